"""What the prediction of one large image consists of, and how far it has come.

Beside the result `cells.zarr` lies `cells.zarr.scratch` while the work lasts:

    job.json     the `Job`: whoever comes next goes on with this work or, with another, refuses
    maps         (M, H, W) zarr array of what the network says, one chunk a tile; or
    candidates   one .npz a tile, of what it finds: the `TileStore` of the model family
    cells        (H, W) zarr array of the cells of each block by themselves, one chunk a block
    tables       one .npz a block: which cells of the image these are

A chunk or file is written whole or not at all, and is done if it is there. Nothing else keeps
count.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec

from napari_unet.core.block_labels import BLOCK
from napari_unet.core.config import InstanceConfig, from_dict, to_dict
from napari_unet.core.errors import InputError
from napari_unet.core.files import write_atomically
from napari_unet.core.ngff import is_ours
from napari_unet.core.tiling import Tile, grid
from napari_unet.core.types import Region

_FULL = 65535  # maps of 0 … 1 are kept as uint16: to 8e-6, where float16 keeps them to 2e-4


@dataclass(frozen=True)
class Job:
    """All that any process needs to do any part of the work, besides the image.

    Attributes
    ----------
    model, model_hash : str
        File, and SHA-256 of what is in it.
    shape : (C, H, W)
        Of the image.
    dtype : str
        Of the image.
    sample_hash : int
        CRC-32 of the pixels that stand for the image: another plane may have the same percentiles.
    percentiles : C pairs of float
        The grey values that become 0 and 1.
    zoom : float
        Pixels of the network to one of the image.
    architecture : str
        Name of the model family in the registry.
    maps, classes : int
        How many maps the network gives, if any; the first K are the probabilities of the classes.
    tile, context, stride : int
        As in `tiling.grid`, in pixels.
    tta : bool
        Whether the mean over turns is taken.
    instances : InstanceConfig
    device, precision : str
        As in `PredictConfig`.
    output : str
        Path of the result.
    block : int
        Edge in pixels of what is labelled at a time, and of the chunks of the result.
    """

    model: str
    model_hash: str
    shape: tuple[int, int, int]
    dtype: str
    sample_hash: int
    percentiles: tuple[tuple[float, float], ...]
    zoom: float
    architecture: str
    maps: int
    classes: int
    tile: int
    context: int
    stride: int
    tta: bool
    instances: InstanceConfig = InstanceConfig()
    device: str = "auto"
    precision: str = "auto"
    output: str = ""
    block: int = BLOCK

    @property
    def scratch(self) -> Path:
        """The folder of what is not the result."""
        return scratch_of(Path(self.output))

    def tiles(self) -> Sequence[Tile]:
        """What the network looks at."""
        return _tiles(self.shape[1:], self.tile, self.context, self.stride)

    def tiles_at(self, region: Region) -> Sequence[int]:
        """Which tiles see some of a region, with their context."""
        starts, stops = _windows(self.shape[1:], self.tile, self.context, self.stride)
        sees = (starts < [side.stop for side in region]) & (stops > [side.start for side in region])
        found: list[int] = np.flatnonzero(sees.all(axis=1)).tolist()
        return found

    def blocks(self, level: int = 0) -> Sequence[Region]:
        """The chunks of a level of the result."""
        height, width = (-(-length // 2**level) for length in self.shape[1:])
        return _blocks(height, width, self.block)


@lru_cache(maxsize=4)
def _tiles(shape: tuple[int, int], tile: int, context: int, stride: int) -> Sequence[Tile]:
    return grid(shape, tile, context, stride)


@lru_cache(maxsize=4)
def _windows(
    shape: tuple[int, int], tile: int, context: int, stride: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(n, 2): row and column at which the window of each tile starts, and after it stops."""
    tiles = _tiles(shape, tile, context, stride)
    starts = np.array([each.start for each in tiles])
    return starts, starts + np.array([each.size for each in tiles])


@lru_cache(maxsize=32)
def _blocks(height: int, width: int, block: int) -> Sequence[Region]:
    return [
        (slice(y, min(y + block, height)), slice(x, min(x + block, width)))
        for y in range(0, height, block)
        for x in range(0, width, block)
    ]


def scratch_of(output: Path) -> Path:
    """Where the unfinished work for a result lies."""
    return output.with_name(output.name + ".scratch")


def hash_file(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def begin(job: Job) -> None:
    """Make the scratch of a new job, or check that what is there belongs to this one.

    What the network says does not depend on how cells are made of it: with another threshold the
    work begins anew at the labels.

    Raises
    ------
    InputError
        If the scratch is of another model, image or setting, or cannot be written.
    """
    before = read_job(Path(job.output))
    if before is not None and before.instances != job.instances:
        _remove(job.scratch / "tables")
        _remove(job.scratch / "cells")
        _remove(Path(job.output))
    if before is None:
        _remove(job.scratch)
        _refuse_foreign(Path(job.output))
        _remove(Path(job.output))
    create_scratch(job, "cells", job.shape[1:], (job.block, job.block), "int32")
    text = json.dumps(to_dict(job))

    def write(path: Path) -> None:
        path.write_text(text)

    write_atomically(job.scratch / "job.json", write)


def read_job(output: Path) -> Job | None:
    """The unfinished job of a result, or None.

    Raises
    ------
    InputError
        If its description is damaged.
    """
    path = scratch_of(output) / "job.json"
    if not path.is_file():
        return None
    try:
        values = json.loads(path.read_text())
        values["instances"] = from_dict(InstanceConfig, values["instances"])
        values["shape"] = tuple(values["shape"])
        values["percentiles"] = tuple((black, white) for black, white in values["percentiles"])
        return Job(**values)
    except (ValueError, LookupError, TypeError) as error:
        raise InputError(
            f"“{path}” is damaged; remove the folder “{path.parent}” to begin anew."
        ) from error


def refuse_other(before: Job, job: Job) -> None:
    """Raise an `InputError` where what a job begun before knows does not hold for this one."""
    for names, what in (
        (("model_hash",), "another model"),
        (("shape", "dtype", "sample_hash", "percentiles"), "another image"),
        (("tile", "tta", "context", "stride", "maps", "classes", "block"), "other settings"),
    ):
        if any(getattr(before, name) != getattr(job, name) for name in names):
            raise InputError(
                f"“{job.output}” was begun with {what}; "
                f"finish it with that, or remove the folder “{job.scratch}” to begin anew."
            )


def _refuse_foreign(output: Path) -> None:
    if output.exists() and not is_ours(output):
        raise InputError(
            f"“{output}” exists and is not a prediction of ours; choose another folder."
        )


def create_scratch(
    job: Job, name: str, shape: tuple[int, ...], chunks: tuple[int, ...], dtype: str
) -> None:
    """Make a zarr array of zeros in the scratch, unless it is there.

    Raises
    ------
    InputError
        If it cannot be written.
    """
    if (job.scratch / name / "zarr.json").exists():
        return
    try:
        zarr.create_array(
            job.scratch / name, shape=shape, chunks=chunks, dtype=dtype, fill_value=0,
            compressors=BloscCodec(cname="zstd", clevel=1, shuffle="shuffle"),
            overwrite=True, config={"write_empty_chunks": True},
        )  # fmt: skip
    except OSError as error:
        raise InputError(
            f"“{job.scratch}” cannot be written ({error.strerror}); "
            "choose another place or make room."
        ) from error


def _remove(path: Path) -> None:
    """What is removed leads from the most to the least telling: a rest of it tells nothing."""
    (path / "job.json").unlink(missing_ok=True)
    if path.exists():
        shutil.rmtree(path)


def finish(job: Job, *, keep_maps: bool) -> None:
    """Remove the scratch, and what a kill left of chunks half written."""
    for partial in Path(job.output).rglob("*.partial"):
        partial.unlink()
    if not keep_maps:
        _remove(job.scratch)


def open_scratch(job: Job, name: str) -> Any:
    """The zarr array `maps` or `cells`; chunks of zeros are written too, as done ones are there."""
    array = zarr.open_array(job.scratch / name, mode="r+")
    return array.with_config({"write_empty_chunks": True})


def is_written(array: Any, chunk: tuple[int, ...]) -> bool:
    """Whether a chunk of an array in a folder is there, by its place in the grid of chunks."""
    key = array.metadata.encode_chunk_key(chunk)
    return Path(array.store.root, array.path, key).is_file()


def quantize(maps: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Maps of 0 … 1 as they are kept."""
    kept: NDArray[np.uint16] = np.rint(np.clip(maps, 0, 1) * np.float32(_FULL)).astype(np.uint16)
    return kept


def dequantize(kept: NDArray[np.uint16]) -> NDArray[np.float32]:
    """The inverse of `quantize`, to 8e-6."""
    maps = kept.astype(np.float32)
    maps /= np.float32(_FULL)
    return maps
