"""What paint teaches about whole cells: boxes, classes and masks of a tile, and what is unsaid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage as ndi
from skimage import measure
from torch import Tensor
from torch.nn import functional

from napari_unet.core.models.base import Batch, Target

_UNSAID = -1
_SLIVER = 0.25  # of the area of a small cell: less of one that the tile cuts is no cell to find
_FEWEST = 4  # px: smaller parts are left by the warping


class CellTarget(Target):
    """What one image teaches about its cells; its maps are, in this order:

    - the cells 1 … n; 0 background, −1 not said;
    - the class 1 … K of the cell at each pixel, 0 where there is none.
    """

    @property
    def known(self) -> NDArray[np.bool_]:
        known: NDArray[np.bool_] = self.maps[0] != _UNSAID
        return known


@dataclass(frozen=True, eq=False)
class Cells:
    """The cells of one tile.

    Attributes
    ----------
    boxes : (n, 4) float32 tensor
        x1, y1, x2, y2 in pixels, the end excluded.
    classes : (n,) int64 tensor
        1 … K.
    whole : (n,) bool tensor
        False for a cell that the tile cuts: it is found as it is seen, but its outline, of which
        the tile's border is a part, teaches nothing.
    number : (h, w) int64 tensor
        i + 1 in cell i, 0 elsewhere.
    unsaid : (h + 1, w + 1) float32 tensor
        Pixels above and to the left of each corner of which nothing is known.
    """

    boxes: Tensor
    classes: Tensor
    whole: Tensor
    number: Tensor
    unsaid: Tensor

    def unsaid_share(self, boxes: Tensor) -> Tensor:
        """Of each (m, 4) box, as far as it lies in the tile, the share that is unsaid, 0 to 1."""
        height, width = self.number.shape
        x1, x2 = (boxes[:, i].round().long().clamp(0, width) for i in (0, 2))
        y1, y2 = (boxes[:, i].round().long().clamp(0, height) for i in (1, 3))
        table = self.unsaid
        pixels = table[y2, x2] - table[y1, x2] - table[y2, x1] + table[y1, x1]
        share: Tensor = pixels / ((x2 - x1) * (y2 - y1)).clamp(min=1)
        return share

    def masks(self, boxes: Tensor, cells: Tensor, edge: int) -> Tensor:
        """(m, edge, edge): how much of each bin of a box is its cell, 0 to 1, from 2 × 2 samples.

        No mask of the tile's size is made: hundreds of cells would not fit.
        """
        height, width = self.number.shape
        steps = (torch.arange(2 * edge, device=boxes.device) + 0.5) / (2 * edge)
        x = boxes[:, :1] + steps * (boxes[:, 2:3] - boxes[:, :1])
        y = boxes[:, 1:2] + steps * (boxes[:, 3:] - boxes[:, 1:2])
        x, y = x.long().clamp(0, width - 1), y.long().clamp(0, height - 1)
        inside = self.number[y[:, :, None], x[:, None, :]] == (cells + 1)[:, None, None]
        return functional.avg_pool2d(inside.float()[:, None], 2)[:, 0]


@dataclass(frozen=True, eq=False)
class CellBatch(Batch):
    """Tiles in pixels of the network, and the cells of each."""

    cells: tuple[Cells, ...]


def find_cells(maps: Tensor, small: float) -> Cells:
    """The cells of a warped tile.

    Of a cell that is seen twice, such as in what is mirrored in at the border of the image, each
    connected part is a cell of its own, as the network sees it.

    Parameters
    ----------
    maps : (2, h, w) float32 tensor
        `CellTarget.maps`.
    small : float
        Edge in pixels of the smallest cells.
    """
    cell, kind = maps.cpu().numpy()
    parts = measure.label(np.maximum(cell, 0).astype(np.int32), connectivity=1)
    height, width = parts.shape
    boxes, classes, whole = [], [], []
    number, unsaid = np.zeros(parts.shape, np.int64), cell == _UNSAID
    for part, box in enumerate(ndi.find_objects(parts), 1):
        rows, columns = box
        mask = parts[box] == part
        area = np.count_nonzero(mask)
        inner = rows.start > 0 and columns.start > 0 and rows.stop < height and columns.stop < width
        if area < (_FEWEST if inner else max(_FEWEST, _SLIVER * small**2)):
            unsaid[box] |= mask
            continue
        boxes.append((columns.start, rows.start, columns.stop, rows.stop))
        classes.append(int(kind[box][mask][0]))
        whole.append(inner)
        number[box][mask] = len(boxes)
    table = np.pad(unsaid.cumsum(0).cumsum(1), ((1, 0), (1, 0))).astype(np.float32)
    where = maps.device
    return Cells(
        torch.tensor(boxes, dtype=torch.float32, device=where).reshape(-1, 4),
        torch.tensor(classes, dtype=torch.int64, device=where),
        torch.tensor(whole, dtype=torch.bool, device=where),
        torch.from_numpy(number).to(where),
        torch.from_numpy(table).to(where),
    )
