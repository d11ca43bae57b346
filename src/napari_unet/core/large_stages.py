"""The stages of predicting a large image, one tile, block or chunk at a time.

Each part is a function of the job and of what an earlier stage wrote, and writes one chunk of its
own: any process may do it, in any order, and again.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_unet.core.block_labels import label_block
from napari_unet.core.checkpoint import Model, load_model
from napari_unet.core.device import DeviceReport, free_memory, is_out_of_memory, resolve_device
from napari_unet.core.errors import InputError
from napari_unet.core.files import write_atomically
from napari_unet.core.large_job import (
    Job,
    dequantize,
    hash_file,
    is_written,
    open_scratch,
    quantize,
)
from napari_unet.core.lazy_image import LazyImage
from napari_unet.core.models.base import Segmenter
from napari_unet.core.ngff import open_levels
from napari_unet.core.normalize import scale
from napari_unet.core.prediction import autocast, place
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

    def predict(self, window: NDArray[np.float32], tta: bool) -> NDArray[np.float32]:
        """Maps of a window without its context, in smaller parts where the memory runs out."""
        context, stride = self.segmenter.tile_context, self.segmenter.stride
        height, width = (length - 2 * context for length in window.shape[1:])
        while True:
            rows = range(0, height, self.edge)
            columns = range(0, width, self.edge)
            try:
                parts = [[self._run(window, y, x, context, tta) for x in columns] for y in rows]
                return np.concatenate([np.concatenate(row, axis=2) for row in parts], axis=1)
            except RuntimeError as error:
                if not is_out_of_memory(error) or self.edge <= stride:
                    raise
            free_memory(self.where)
            self.edge = max(stride, self.edge // 2 // stride * stride)

    def _run(
        self, window: NDArray[np.float32], y: int, x: int, context: int, tta: bool
    ) -> NDArray[np.float32]:
        stop = self.edge + 2 * context
        part = np.ascontiguousarray(window[:, y : y + stop, x : x + stop])
        batch = torch.from_numpy(part)[None].to(self.where.device)
        batch = batch.contiguous(memory_format=torch.channels_last)
        with torch.inference_mode(), autocast(self.where):
            output = self.segmenter.predict_tile(batch, average_turns=tta)[0]
        wanted = [length - 2 * context for length in part.shape[1:]]
        # a family may give more than was asked for, on all sides alike
        top, left = ((n - m) // 2 for n, m in zip(output.shape[1:], wanted, strict=True))
        cut = output[:, top : top + wanted[0], left : left + wanted[1]]
        maps: NDArray[np.float32] = cut.float().cpu().numpy()
        return maps


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


def write_tile(job: Job, index: int, maps: NDArray[np.float32]) -> int:
    """Keep the maps of a tile."""
    rows, columns = job.tiles()[index].write
    maps = maps[:, : rows.stop - rows.start, : columns.stop - columns.start]
    if not np.isfinite(maps).all():
        raise InputError(
            "The probabilities have values that are not finite: train or load another model."
        )
    open_scratch(job, "maps")[:, rows, columns] = quantize(maps)
    return index


def map_tile(job: Job, image: LazyImage, index: int) -> int:
    """All of a tile, for a process that does them one by one."""
    net = _load_net(job.model, job.model_hash, job)
    return write_tile(job, index, net.predict(read_tile(job, image, index), job.tta))


def tiles_to_do(job: Job) -> list[int]:
    """The tiles whose maps are not there yet."""
    maps = open_scratch(job, "maps")
    return [
        i
        for i, tile in enumerate(job.tiles())
        if not is_written(maps, (0, *_place(tile.write, maps.chunks[1:])))
    ]


def label_part(job: Job, index: int) -> int:
    """Label a block and keep its cells and the table of which these are."""
    maps, cells = open_scratch(job, "maps"), open_scratch(job, "cells")
    block = job.blocks()[index]
    found = label_block(
        lambda region: dequantize(maps[(slice(None), *region)]),
        (job.shape[1], job.shape[2]),
        block,
        job.instances,
        job.classes,
    )
    cells[block] = found.labels
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
