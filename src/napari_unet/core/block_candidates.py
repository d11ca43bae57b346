"""The cells of one block of a large image, as all candidates of the whole image would give them.

Cells that reach into the block are drawn as wholes, with all that may lie over them: the window is
as much wider than the block as these are. A block is a pure function of the candidates of the
tiles around it, see `crowd`: any process can label it, in any order, again.
"""

from __future__ import annotations

import numpy as np

from napari_unet.core.block_cells import BlockCells, NamedCells, gather, name_cells
from napari_unet.core.candidates import finish, paint
from napari_unet.core.crowd import Crowd
from napari_unet.core.label_doubts import widen
from napari_unet.core.regions import hull, measure, overlap, within
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
    inner = [cell.region for cell in crowd.cells_at(block)]
    if not inner:
        nothing = np.full(measure(block), -1, np.int64)
        return gather(nothing, np.zeros(nothing.shape, np.int32), [NamedCells.none()], False)
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
    return gather(anchors, np.zeros(anchors.shape, np.int32), [known], False)
