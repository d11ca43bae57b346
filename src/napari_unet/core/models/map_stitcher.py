"""The maps of tiles put together, for families that say something of each pixel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from napari_unet.core.evidence import Maps
from napari_unet.core.models.base import Stitcher
from napari_unet.core.tiling import Tile
from napari_unet.core.types import Region


class MapStitcher(Stitcher):
    """Puts the tiles' maps side by side and labels once, so that no cell has a seam."""

    def __init__(
        self, region: Region, classes: int, maps: int, out: NDArray[np.float32] | None
    ) -> None:
        self._origin, self._classes = (region[0].start, region[1].start), classes
        shape = (maps, region[0].stop - region[0].start, region[1].stop - region[1].start)
        self._maps = np.zeros(shape, np.float32) if out is None else out

    def add(self, tile: Tile, output: Tensor) -> None:
        rows, columns = tile.write
        # the context begins a multiple of the stride before the part that is written
        offset = (rows.start - tile.start[0], columns.start - tile.start[1])
        context = (tile.size[0] - output.shape[-2]) // 2
        top, left = offset[0] - context, offset[1] - context
        height, width = rows.stop - rows.start, columns.stop - columns.start
        target = self._maps[
            :,
            rows.start - self._origin[0] : rows.stop - self._origin[0],
            columns.start - self._origin[1] : columns.stop - self._origin[1],
        ]
        target[:] = output[:, top : top + height, left : left + width].float().cpu().numpy()

    def evidence(self) -> Maps:
        return Maps(self._maps, self._classes)
