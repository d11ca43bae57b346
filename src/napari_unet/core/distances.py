"""How deep each pixel lies in its cell."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

from napari_unet.core.label_boxes import find_boxes
from napari_unet.core.types import Region


def distance_to_border(
    labels: NDArray[Any], chosen: NDArray[np.bool_] | None = None
) -> NDArray[np.float32]:
    """Distance in pixels from each pixel of a cell to the nearest one that is not of the cell.

    Parameters
    ----------
    labels : (H, W) integer array, > 0 a cell
    chosen : (n,) bool array, optional
        The labels to measure, 0 for the others; n above the largest label.

    Returns
    -------
    (H, W) float32 array
        0 in the background. The border of the image is none of a cell.
    """
    distances = np.zeros(labels.shape, np.float32)
    for label, box in find_boxes(labels):
        if chosen is None or chosen[label]:
            around, mask, inside = _measure(labels, label, box)
            distances[around][mask] = inside
    return distances


def relative_distance(labels: NDArray[Any]) -> NDArray[np.float32]:
    """`distance_to_border` over the largest one in the same cell: 1 amid each, whatever its size.

    It is low from both sides where cells touch (Naylor et al. 2018 learned it in pixels).
    """
    distances = np.zeros(labels.shape, np.float32)
    for label, box in find_boxes(labels):
        around, mask, inside = _measure(labels, label, box)
        distances[around][mask] = inside / inside.max()
    return distances


def _measure(
    labels: NDArray[Any], label: int, box: Region
) -> tuple[Region, NDArray[np.bool_], NDArray[np.float64]]:
    """A box around a label, its mask there, and the distances of the pixels in the mask."""
    rows, columns = (slice(max(part.start - 1, 0), part.stop + 1) for part in box)
    mask = labels[rows, columns] == label
    # a cell that is all of the image has no border
    distances = np.ones(mask.shape) if mask.all() else ndi.distance_transform_edt(mask)
    return (rows, columns), mask, distances[mask]
