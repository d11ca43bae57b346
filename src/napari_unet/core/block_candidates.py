"""The cells of one block of a large image, as all candidates of the whole image would give them.

Cells that reach into the block are drawn as wholes, with all that may lie over them: the window is
as much wider than the block as these are. A block is a pure function of the candidates of the
tiles around it, see `crowd`: any process can label it, in any order, again.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.block_cells import BlockCells, NamedCells, gather, name_cells
from napari_unet.core.candidates import finish, paint
from napari_unet.core.crowd import Crowd, Drawn
from napari_unet.core.regions import hull, measure, overlap, widen, within
from napari_unet.core.types import Region


def label_block(crowd: Crowd, shape: tuple[int, int], block: Region) -> BlockCells:
    """Label one block of an image, of which only the candidates around it are read.

    Parameters
    ----------
    crowd : Crowd
    shape : (H, W)
        Of the image.
    block : Region
        In pixels of the image.
    """
    known, anchors, _ = _look(crowd, shape, block)
    return gather(anchors, np.zeros(anchors.shape, np.int32), [known], False)


def find_wholes(crowd: Crowd, shape: tuple[int, int], block: Region) -> Iterator[tuple[int, Drawn]]:
    """The cells that begin in a block, by their anchors: all of each, whatever lies over it."""
    known, _, cells = _look(crowd, shape, block)
    rows, columns = block
    for anchor, cell in zip(known.anchors.tolist(), cells, strict=True):
        row, column = divmod(anchor, shape[1])
        if rows.start <= row < rows.stop and columns.start <= column < columns.stop:
            yield anchor, cell


def _look(
    crowd: Crowd, shape: tuple[int, int], block: Region
) -> tuple[NamedCells, NDArray[np.int64], list[Drawn]]:
    """The cells that are seen around a block, the anchor at each of its pixels, and the wholes."""
    inner = [cell.region for cell in crowd.cells_at(block)]
    if not inner:
        return NamedCells.none(), np.full(measure(block), -1, np.int64), []
    # a pixel wider: none of them touches a side of the window that is not one of the image
    window = widen(hull([block, *inner]), 1, shape)
    cells = crowd.cells_at(window)
    labels, highest = np.zeros(measure(window), np.int32), np.zeros(measure(window), np.float32)
    for number, cell in enumerate(cells, 1):
        seen = overlap(cell.region, window)
        mine, here = within(seen, cell.region), within(seen, window)
        value = cell.soft[mine] * cell.score
        paint(number, cell.inside[mine], value, labels[here], highest[here])
    labels, kept = finish(labels, len(cells), crowd.config)
    known, anchors = name_cells(
        labels,
        np.array([cells[i].kind for i in kept], np.uint8),
        np.array([cells[i].score for i in kept], np.float32),
        window,
        block,
        shape[1],
    )
    return known, anchors, [cells[i] for i in kept]
