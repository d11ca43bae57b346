"""The candidates of the tiles of a large image as one file a tile."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.block_candidates import find_wholes, label_block
from napari_unet.core.block_cells import BlockCells
from napari_unet.core.candidates import Candidates
from napari_unet.core.crowd import Crowd
from napari_unet.core.files import write_atomically
from napari_unet.core.formats.labelled import Shape
from napari_unet.core.tile_store import TileStore
from napari_unet.core.types import Region


class CandidateStore(TileStore):
    """`candidates/<tile>.npz`, in pixels from where what the tile decides begins."""

    def has(self, index: int) -> bool:
        return self._file(index).is_file()

    def write(self, index: int, evidence: Candidates) -> None:
        fields = {item.name: getattr(evidence, item.name) for item in dataclasses.fields(evidence)}
        write_atomically(self._file(index), lambda path: np.savez_compressed(path, **fields))

    def label(self, block: Region) -> BlockCells:
        return label_block(self._crowd(), self.shape, block)

    def wholes(self, block: Region, anchors: NDArray[np.int64]) -> Iterator[Shape]:
        for anchor, cell in find_wholes(self._crowd(), self.shape, block):
            number = int(np.searchsorted(anchors, anchor)) + 1
            rows, columns = cell.region
            yield Shape(cell.inside, (rows.start, columns.start), number)

    def _crowd(self) -> Crowd:
        return Crowd(self._read, self.job.tiles_at, self.job.instances)

    def _read(self, index: int) -> Candidates:
        rows, columns = self.job.tiles()[index].write
        with np.load(self._file(index)) as fields:
            here = Candidates(**fields)
        return here.moved(rows.start, columns.start, self.shape)

    def _file(self, index: int) -> Path:
        return self.job.scratch / "candidates" / f"{index}.npz"
