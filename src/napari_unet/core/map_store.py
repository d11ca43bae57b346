"""The maps of the tiles of a large image as one zarr array, a chunk a tile."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.block_cells import BlockCells
from napari_unet.core.block_labels import label_block
from napari_unet.core.errors import InputError
from napari_unet.core.evidence import Maps
from napari_unet.core.formats.labelled import Shape
from napari_unet.core.label_boxes import find_boxes
from napari_unet.core.label_doubts import find_open_sides, find_rim
from napari_unet.core.large_job import (
    create_scratch,
    dequantize,
    is_written,
    open_scratch,
    quantize,
)
from napari_unet.core.ngff import open_levels
from napari_unet.core.regions import widen
from napari_unet.core.tile_store import TileStore
from napari_unet.core.types import Region


class MapStore(TileStore):
    """`maps`, (M, H, W) uint16."""

    def create(self) -> None:
        first = self.job.tiles()[0].write
        chunks = (self.job.maps, first[0].stop, first[1].stop)
        create_scratch(self.job, "maps", (self.job.maps, *self.shape), chunks, "uint16")

    @cached_property
    def _maps(self) -> Any:
        return open_scratch(self.job, "maps")

    def has(self, index: int) -> bool:
        rows, columns = self.job.tiles()[index].write
        _, height, width = self._maps.chunks
        return is_written(self._maps, (0, rows.start // height, columns.start // width))

    def write(self, index: int, evidence: Maps) -> None:
        if not np.isfinite(evidence.values).all():
            raise InputError(
                "The probabilities have values that are not finite: train or load another model."
            )
        self._maps[(slice(None), *self.job.tiles()[index].write)] = quantize(evidence.values)

    def label(self, block: Region) -> BlockCells:
        return label_block(
            lambda region: dequantize(self._maps[(slice(None), *region)]),
            self.shape,
            block,
            self.job.instances,
            self.job.classes,
        )

    def wholes(self, block: Region, anchors: NDArray[np.int64]) -> Iterator[Shape]:
        """Those of the result: of maps each pixel is of one cell alone."""
        labels, window = open_levels(Path(self.job.output))[0], block
        numbers = _begin_in(block, anchors, self.shape[1])
        while True:
            seen = labels[window]
            if not np.isin(find_rim(seen, find_open_sides(window, self.shape)), numbers).any():
                break
            window = widen(window, self.job.block // 4, self.shape)
        found = dict(find_boxes(seen))
        for number in numbers.tolist():
            rows, columns = found[number]
            origin = rows.start + window[0].start, columns.start + window[1].start
            yield Shape(seen[rows, columns] == number, origin, number)


def _begin_in(block: Region, anchors: NDArray[np.int64], width: int) -> NDArray[np.intp]:
    """The numbers of the cells whose first pixels lie in a block."""
    rows, columns = block
    row, column = np.divmod(anchors, width)
    inside = (row >= rows.start) & (row < rows.stop)
    inside &= (column >= columns.start) & (column < columns.stop)
    return np.flatnonzero(inside) + 1
