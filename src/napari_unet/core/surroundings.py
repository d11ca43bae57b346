"""What taking a predicted cell over into the annotation says of the pixels around it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

from napari_unet.core.proofreading import Edit, Mask
from napari_unet.core.regions import hull, within

_RIM = 2  # px
_SQUARE = ndi.generate_binary_structure(2, 2)


def surround(
    edit: Edit,
    prediction: NDArray[Any],
    annotation: NDArray[Any],
    predicted: Mask | None = None,
    regions: bool = False,
) -> Edit:
    """Say too that beside a cell that is taken over from the prediction there is background.

    To accept an outline is to say what lies outside of it. And where an annotation says nothing of
    background, all of the frame counts as annotated: a few cells that were accepted would teach
    that all others are none. Where cells were painted so, it stays so.

    Parameters
    ----------
    edit : Edit
    prediction, annotation : (H, W) arrays of integers
        As they are before the edit. Nothing is said where another cell is predicted, or where the
        annotation says something, and nothing at all where it cannot hold -1.
    predicted : (H, W) bool array, optional
        Where the network has looked; everywhere by default.
    regions : bool
        Whether there are complete regions, so that a frame without -1 is none.
    """
    is_sparse = regions or bool((annotation < 0).any())
    found, labels = prediction[edit.box], edit.labels.copy()
    new = (labels > 0) & (annotation[edit.box] <= 0) & (found > 0)
    painted_all_over = not is_sparse and (annotation > 0).any()
    if painted_all_over or annotation.dtype.kind != "i" or not new.any():
        return edit
    own = np.bincount(found[new]).argmax()  # what was taken off its outline is beside it too
    free = (labels == 0) & ((found == 0) | (found == own))
    if predicted is not None:
        free &= predicted[edit.box]
    labels[ndi.binary_dilation(new, _SQUARE, _RIM) & free] = -1
    if is_sparse or (labels < 0).any():
        return Edit(edit.box, labels)
    ground = (prediction == 0) if predicted is None else (prediction == 0) & predicted
    return _mark_nearest(edit, annotation, ground)


def _mark_nearest(edit: Edit, annotation: NDArray[Any], ground: Mask) -> Edit:
    """Say background at the nearest pixel of the ground: amid a cluster none is beside the cell."""
    rows, columns = np.nonzero(ground)
    if not rows.size:
        return edit
    middle = [(part.start + part.stop) / 2 for part in edit.box]
    at = np.argmin((rows - middle[0]) ** 2 + (columns - middle[1]) ** 2)
    row, column = int(rows[at]), int(columns[at])
    box = hull([edit.box, (slice(row, row + 1), slice(column, column + 1))])
    labels = annotation[box].copy()
    labels[within(edit.box, box)] = edit.labels
    labels[row - box[0].start, column - box[1].start] = -1
    return Edit(box, labels)
