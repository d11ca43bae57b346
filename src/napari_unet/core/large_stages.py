"""The stages of predicting a large image, one tile, block or chunk at a time.

Each part is a function of the job and of what an earlier stage wrote, and writes one chunk of its
own: any process may do it, in any order, and again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zarr
from numpy.typing import NDArray

from napari_unet.core.checkpoint import Model, load_model
from napari_unet.core.device import DeviceReport, free_memory, is_out_of_memory, resolve_device
from napari_unet.core.errors import InputError
from napari_unet.core.evidence import Evidence
from napari_unet.core.files import write_atomically
from napari_unet.core.formats.labelled import Shape
from napari_unet.core.large_job import (
    Job,
    hash_file,
    is_written,
    open_scratch,
)
from napari_unet.core.lazy_image import LazyImage
from napari_unet.core.models import find_model
from napari_unet.core.models.base import Segmenter
from napari_unet.core.ngff import open_levels
from napari_unet.core.normalize import scale
from napari_unet.core.prediction import autocast, place
from napari_unet.core.tile_store import TileStore
from napari_unet.core.tiling import Tile, divide
from napari_unet.core.types import Region


class TileNet:
    """The network of a job on its device, and the size of what it is given at a time."""

    def __init__(self, model: Model, job: Job) -> None:
        self.where: DeviceReport = resolve_device(job.device, job.precision)
        fitted = model.segmenter.fit(job.shape[0], job.classes, job.zoom)
        place(fitted.net, self.where).eval()
        self.segmenter: Segmenter = fitted
        self.model = model
        self.edge = job.tile + job.stride

    def predict(self, window: NDArray[np.float32], tile: Tile, tta: bool) -> Evidence:
        """What is said of a tile; in smaller parts where the memory runs out."""
        stride = self.segmenter.stride
        while True:
            stitcher = self.segmenter.stitcher(tile.write)
            try:
                for part in divide(tile, self.edge, self.segmenter.tile_context):
                    stitcher.add(part, self._run(window, tile, part, tta))
                return stitcher.evidence()
            except RuntimeError as error:
                if not is_out_of_memory(error) or self.edge <= stride:
                    raise
            free_memory(self.where)
            self.edge = max(stride, self.edge // 2 // stride * stride)

    def _run(self, window: NDArray[np.float32], tile: Tile, part: Tile, tta: bool) -> Any:
        (top, left), (height, width) = part.start, part.size
        rows, columns = (top - tile.start[0], left - tile.start[1])
        cut = np.ascontiguousarray(window[:, rows : rows + height, columns : columns + width])
        batch = torch.from_numpy(cut)[None].to(self.where.device)
        batch = batch.contiguous(memory_format=torch.channels_last)
        with torch.inference_mode(), autocast(self.where):
            return self.segmenter.predict_tile(batch, average_turns=tta)[0]


@lru_cache(maxsize=1)
def _load_net(path: str, model_hash: str, job: Job) -> TileNet:
    if hash_file(Path(path)) != model_hash:
        raise InputError(f"The model {path} has been changed meanwhile: begin anew.")
    return TileNet(load_model(path, job.device), job)


def read_tile(job: Job, image: LazyImage, index: int) -> NDArray[np.float32]:
    """The normalised window that the network needs for a tile."""
    from napari_unet.core.card import read_card

    tile = job.tiles()[index]
    pairs = np.asarray(job.percentiles)
    return scale(image.read_mirrored(tile.start, tile.size), pairs, read_card(job.model).normalize)


def open_store(job: Job) -> TileStore:
    """Where what the network says of the tiles is kept."""
    return find_model(job.architecture).store(job)


def write_tile(job: Job, index: int, evidence: Evidence) -> int:
    """Keep what the network says of a tile."""
    open_store(job).write(index, evidence)
    return index


def map_tile(job: Job, image: LazyImage, index: int) -> int:
    """All of a tile, for a process that does them one by one."""
    net = _load_net(job.model, job.model_hash, job)
    window, tile = read_tile(job, image, index), job.tiles()[index]
    return write_tile(job, index, net.predict(window, tile, job.tta))


def tiles_to_do(job: Job) -> list[int]:
    """The tiles of which nothing is kept yet."""
    store = open_store(job)
    return [index for index in range(len(job.tiles())) if not store.has(index)]


def label_part(job: Job, index: int) -> int:
    """Label a block and keep its cells and the table of which these are."""
    block = job.blocks()[index]
    found = open_store(job).label(block)
    open_scratch(job, "cells")[block] = found.labels
    write_atomically(
        table_of(job, index),
        lambda path: np.savez(
            path,
            anchors=found.anchors,
            classes=found.classes,
            scores=found.scores,
            is_cut=found.is_cut,
        ),
    )
    return index


def table_of(job: Job, index: int) -> Path:
    """The file of which cells a block has; it is there when the block is done."""
    return job.scratch / "tables" / f"{index}.npz"


def read_table(job: Job, index: int) -> dict[str, NDArray[Any]]:
    """Of a block the `anchors`, `classes` and `scores` of its cells, and whether it `is_cut`."""
    with np.load(table_of(job, index)) as table:
        return dict(table)


def blocks_to_do(job: Job) -> list[int]:
    """The blocks that are not labelled yet."""
    return [i for i in range(len(job.blocks())) if not table_of(job, i).is_file()]


def number_part(job: Job, index: int, numbers: NDArray[np.int32]) -> int:
    """Write a block of the result: its cells with their numbers in the image."""
    block = job.blocks()[index]
    cells = open_scratch(job, "cells")[block]
    open_levels(Path(job.output))[0][block] = np.append(np.int32(0), numbers)[cells]
    return index


def shrink_part(job: Job, level: int, index: int) -> int:
    """Write a chunk of a coarser level: every second row and column of the one before."""
    rows, columns = job.blocks(level)[index]
    levels = open_levels(Path(job.output))
    finer = levels[level - 1][2 * rows.start : 2 * rows.stop, 2 * columns.start : 2 * columns.stop]
    levels[level][rows, columns] = finer[::2, ::2]
    return index


def chunks_to_do(job: Job, level: int) -> list[int]:
    """The chunks of a level of the result that are not there yet."""
    array = open_levels(Path(job.output))[level]
    return [
        i
        for i, block in enumerate(job.blocks(level))
        if not is_written(array, _place(block, (job.block, job.block)))
    ]


def _place(box: Region, chunks: Any) -> tuple[int, int]:
    return box[0].start // chunks[0], box[1].start // chunks[1]


def list_wholes(job: Job, anchors: NDArray[np.int64], names: Sequence[str]) -> Iterator[Shape]:
    """Each cell of the finished result as a whole, block by block, with its class and score.

    Parameters
    ----------
    job : Job
    anchors : (n,) int64 array
        Of the cells, in the order of their numbers.
    names : sequence of str
        Of the classes 1 … K; of a single one nothing is said.
    """
    cells: Any = zarr.open_group(job.output, mode="r")["cells"]
    store, classes, scores = open_store(job), cells["class"][:], cells["score"][:]
    for block in job.blocks():
        for shape in store.wholes(block, anchors):
            kind = names[classes[shape.label - 1] - 1] if len(names) > 1 else ""
            yield replace(shape, kind=kind, score=float(scores[shape.label - 1]))
