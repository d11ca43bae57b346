"""The cells of one block of a large image, by names that other blocks know them by too.

A cell is named by its anchor, the index of its first pixel in raster order in the whole image.
Blocks that see all of a cell that they share find the same anchor, whatever numbers they gave it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.regions import within
from napari_unet.core.types import Region


@dataclass(frozen=True, eq=False)
class BlockCells:
    """The cells that have pixels in one block.

    Attributes
    ----------
    labels : (h, w) int32 array
        1 … n in the order of the anchors, 0 background.
    anchors : (n,) int64 array
        Row × width + column of each cell's first pixel in the whole image, rising.
    classes : (n,) uint8 array
    scores : (n,) float32 array
        As in `Prediction`.
    is_cut : bool
        Whether a component in the block did not fit into the widest window.
    """

    labels: NDArray[np.int32]
    anchors: NDArray[np.int64]
    classes: NDArray[np.uint8]
    scores: NDArray[np.float32]
    is_cut: bool


@dataclass(frozen=True, eq=False)
class NamedCells:
    """Anchor, class and score of cells."""

    anchors: NDArray[np.int64]
    classes: NDArray[np.uint8]
    scores: NDArray[np.float32]

    @classmethod
    def none(cls) -> NamedCells:
        return cls(np.zeros(0, np.int64), np.zeros(0, np.uint8), np.zeros(0, np.float32))


def name_cells(
    labels: NDArray[np.int32],
    classes: NDArray[np.uint8],
    scores: NDArray[np.float32],
    window: Region,
    part: Region,
    width: int,
) -> tuple[NamedCells, NDArray[np.int64]]:
    """Name the cells of a window of an image of so many columns.

    Parameters
    ----------
    labels : (h, w) int32 array
        Instances 1 … n of the window, none of them empty.
    classes, scores : (n,) arrays
    window, part : Region
        In pixels of the image; the part lies in the window.
    width : int
        Of the image.

    Returns
    -------
    cells : NamedCells
    named : int64 array
        The anchor at each pixel of `part`, −1 for background.
    """
    flat = labels.ravel()
    pixels = np.flatnonzero(flat)
    first = np.zeros(len(scores) + 1, np.int64)
    first[flat[pixels[::-1]]] = pixels[::-1]  # the last one written is the first of its cell
    rows, columns = np.divmod(first, labels.shape[1])
    anchors = (rows + window[0].start) * width + columns + window[1].start
    anchors[0] = -1
    return NamedCells(anchors[1:], classes, scores), anchors[labels[within(part, window)]]


def gather(
    anchors: NDArray[np.int64],
    seen_in: NDArray[np.int32],
    known: Sequence[NamedCells],
    is_cut: bool,
) -> BlockCells:
    """Number the cells of a block in the order of their anchors.

    What they are is told by the look that was the last at a pixel of theirs, as it was sure of it;
    another may have seen less of them.

    Parameters
    ----------
    anchors, seen_in : (h, w) arrays
        The anchor at each pixel of the block, −1 for background, and which of the looks, whose
        cells are `known`, found it.
    known : sequence of NamedCells
    is_cut : bool
        As in `BlockCells`.
    """
    present, first, labels = np.unique(anchors, return_index=True, return_inverse=True)
    numbers: NDArray[np.int32] = labels.reshape(anchors.shape).astype(np.int32)
    if present[0] >= 0:
        numbers += 1
    else:
        present, first = present[1:], first[1:]
    classes, scores = np.zeros(len(present), np.uint8), np.zeros(len(present), np.float32)
    looks = seen_in.ravel()[first]
    for i, cells in enumerate(known):
        mine = looks == i
        order = np.argsort(cells.anchors)
        place = order[np.searchsorted(cells.anchors, present[mine], sorter=order)]
        classes[mine], scores[mine] = cells.classes[place], cells.scores[place]
    return BlockCells(numbers, present, classes, scores, is_cut)
