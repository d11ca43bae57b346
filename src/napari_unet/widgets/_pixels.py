"""The pixels of a plane as the network sees them: read by parts, and no more than is needed.

A visible field reads its own pixels and those around it that the network looks at, whatever the
size of the image: a lazy image (dask, zarr, a file that is mapped) computes these alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.stack import LOOKED_AT, choose_evenly
from napari_unet.core.types import Region

OVERVIEW = 2_000_000
"""Pixels at most, a channel, that tell how bright a lazy image is."""

_BLOCK = 256  # px: edge of a block that is read where there is no coarser level


@dataclass(frozen=True, eq=False)
class Source:
    """Where some channels of a plane come from.

    Attributes
    ----------
    levels : sequence of array-like
        The same data at falling resolution, the full one first; NumPy, dask, zarr.
    place : tuple of int or None
        Where the plane lies on each axis of the data, None for rows and columns.
    axis : int, optional
        Of the channels; the place on it is not used.
    channels : tuple of int
        To be read along `axis`.
    together : bool
        Whether the channels lie beside one another, as colours do: they are read at once.
    """

    levels: Sequence[Any]
    place: tuple[int | None, ...]
    axis: int | None = None
    channels: tuple[int, ...] = (0,)
    together: bool = False

    def read(self, region: Region | None = None, level: int = 0) -> NDArray[Any]:
        """Read (C, h, w); a view where that can be."""
        data, parts = self.levels[level], iter(region or (slice(None), slice(None)))
        index: list[Any] = [next(parts) if at is None else at for at in self._places(level)]
        if self.axis is None:
            return np.asarray(data[tuple(index)])[np.newaxis]
        if not self.together:
            planes = []
            for channel in self.channels:
                index[self.axis] = channel
                planes.append(np.asarray(data[tuple(index)]))
            return planes[0][np.newaxis] if len(planes) == 1 else np.stack(planes)
        index[self.axis] = slice(None)
        at = sum(isinstance(entry, slice) for entry in index[: self.axis])
        pixels = np.moveaxis(np.asarray(data[tuple(index)]), at, 0)
        if self.channels == tuple(range(self.channels[-1] + 1)):
            return pixels[: len(self.channels)]
        return pixels[list(self.channels)]

    def shape(self, level: int = 0) -> tuple[int, int]:
        """Rows and columns of a level."""
        sizes = self.levels[level].shape
        rows, columns = (
            int(sizes[axis])
            for axis, at in enumerate(self.place)
            if at is None and axis != self.axis
        )
        return rows, columns

    @property
    def in_memory(self) -> bool:
        """Whether reading it costs nothing; a file that is mapped is read from the disk."""
        return isinstance(self.levels[0], np.ndarray) and not isinstance(self.levels[0], np.memmap)

    def _places(self, level: int) -> list[int | None]:
        """Where the plane lies in a level, which may have fewer planes as well."""
        full, sizes = self.levels[0].shape, self.levels[level].shape
        return [
            at if at is None else min(at * int(sizes[axis]) // int(full[axis]), sizes[axis] - 1)
            for axis, at in enumerate(self.place)
        ]


class Pixels:
    """The channels of one plane, (C, H, W). It holds data but no layer: a thread may read it."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = tuple(sources)

    @classmethod
    def of(cls, image: NDArray[Any]) -> Pixels:
        """Those of a (C, H, W) array."""
        return cls([Source([image], (0, None, None), 0, tuple(range(len(image))))])

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, rows and columns."""
        return sum(len(source.channels) for source in self._sources), *self._sources[0].shape()

    def __call__(self) -> NDArray[Any]:
        """Copy all of it."""
        return self.read(None)

    def read(self, region: Region | None) -> NDArray[Any]:
        """Copy a region, (C, h, w), at full resolution and raw."""
        parts = [source.read(region) for source in self._sources]
        return np.array(parts[0]) if len(parts) == 1 else np.concatenate(parts)

    def overview(self, pixels: int = OVERVIEW) -> NDArray[Any]:
        """What tells how bright the plane is, (C, n, m).

        All of it where it is in memory; else the coarsest level that has a tenth of `pixels`, the
        next finer one where that is too coarse, and without levels blocks of a regular grid of the
        full resolution: at most `pixels` either way.
        """
        parts = [_overview(source, pixels) for source in self._sources]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


def stack_overview(planes: Sequence[Pixels], most: int = LOOKED_AT) -> Callable[[], NDArray[Any]]:
    """What reads, when called, how bright a whole stack is: (C, n, m), at most `OVERVIEW` pixels.

    Every plane counts alike; of a long stack `most` planes are looked at, at even distances.
    """
    chosen = choose_evenly(planes, most)
    share = OVERVIEW // len(chosen)

    def read() -> NDArray[Any]:
        looks = [_thin(plane.overview(share), share) for plane in chosen]
        return np.concatenate([look.reshape(len(look), 1, -1) for look in looks], axis=2)

    return read


def _overview(source: Source, most: int) -> NDArray[Any]:
    if source.in_memory:
        return source.read()
    for level in range(len(source.levels) - 1, -1, -1):
        if most / 10 <= math.prod(source.shape(level)) <= most:
            return source.read(level=level)
    coarsest = len(source.levels) - 1
    return _blocks(source, most, coarsest if math.prod(source.shape(coarsest)) > most else 0)


def _blocks(source: Source, most: int, level: int) -> NDArray[Any]:
    """Blocks of a regular grid, side by side: all of a level that is small enough."""
    rows, columns = source.shape(level)
    if rows * columns <= most:
        return source.read(level=level)
    edge = min(_BLOCK, math.isqrt(most))
    per_axis = max(1, math.isqrt(most // edge**2))
    blocks = [
        source.read((slice(top, top + edge), slice(left, left + edge)), level)
        for top in _spread(rows, edge, per_axis)
        for left in _spread(columns, edge, per_axis)
    ]
    return np.concatenate([block.reshape(len(block), 1, -1) for block in blocks], axis=2)


def _spread(length: int, edge: int, count: int) -> list[int]:
    """Where `count` blocks begin, in the middle of as many equal parts."""
    middles = (np.arange(count) + 0.5) * length / count
    return sorted({int(max(0, min(length - edge, middle - edge / 2))) for middle in middles})


def _thin(look: NDArray[Any], most: int) -> NDArray[Any]:
    step = max(1, math.ceil(math.sqrt(look[0].size / most)))
    return look[:, ::step, ::step]
