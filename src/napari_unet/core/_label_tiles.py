"""How a label image is cut into tiles with their surroundings, and a tile's columns reduced.

Everything is three-dimensional, (D, H, W); an image is a volume of one plane. Working memory is
that of one tile, whatever the size of the image.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_unet.core import _nearest, _weighing

Ridge: TypeAlias = bool | Literal["half"]
Box: TypeAlias = tuple[slice, slice, slice]
Labels: TypeAlias = NDArray[Any]
Steps: TypeAlias = tuple[float, float, float]
Halos: TypeAlias = tuple[int, int, int]

WIDEST_INT16 = 100.0
"""Reach up to which sums of squared distances fit int16."""


class Scratch:
    """Arrays that are used again for every tile; one for each thread."""

    def __init__(self) -> None:
        self._buffers: dict[str, NDArray[np.uint8]] = {}

    def take(self, name: str, shape: tuple[int, ...], kind: Any) -> Any:
        """An array of `shape`; overwrites the one taken before under `name`."""
        size = math.prod(shape) * np.dtype(kind).itemsize
        buffer = self._buffers.get(name)
        if buffer is None or buffer.size < size:
            buffer = self._buffers[name] = np.empty(size, np.uint8)
        return buffer[:size].view(kind).reshape(shape)

    def lines(self, name: str, shape: tuple[int, ...], kind: Any, names: Any) -> tuple[Any, ...]:
        """Nearest squared distance, its label and the second's squared distance."""
        kinds = (kind, names, kind)
        return tuple(self.take(f"{name}{i}", shape, k) for i, k in enumerate(kinds))


def reduce(
    volume: Labels,
    tile: Box,
    halos: Halos,
    steps: Steps,
    ndim: int,
    reach: float,
    scratch: Scratch,
) -> tuple[Labels, list[tuple[Any, ...]]]:
    """The tile's labels with their surroundings, and per plane its rows reduced along columns.

    Rows cover the tile, columns the tile and its surroundings.
    """
    kind = _kind(reach, steps)
    labels = window(volume, tile, halos, np.int16 if kind is np.int16 else np.int32, scratch)
    depth, rows = (part.stop - part.start for part in tile[:2])
    _, height, width = labels.shape
    far = _nearest.FAR[kind]
    if ndim == 2:
        lines = scratch.lines("row", (rows, width), kind, labels.dtype)
        _nearest.scan_first_axis(labels[0], halos[1], steps[1], far, *lines)
        return labels, [lines]
    columns = scratch.lines("plane", (depth, height * width), kind, labels.dtype)
    flat = labels.reshape(labels.shape[0], -1)
    _nearest.scan_first_axis(flat, halos[0], steps[0], far, *columns)
    square = squares(halos[1], steps[1], np.dtype(kind))
    planes = []
    for z in range(depth):
        plane = (column[z].reshape(height, width) for column in columns)
        lines = scratch.lines(f"row{z} ", (rows, width), kind, labels.dtype)
        last = halos[1] - _nearest.STRIDE
        _nearest.combine_rows(*plane, halos[1], last, square, reach**2, far, *lines)
        planes.append(lines)
    return labels, planes


def _kind(reach: float, steps: Steps) -> Any:
    """The narrowest type that holds squared distances within `reach` exactly."""
    if any(step != 1.0 for step in steps):
        return np.float64
    return np.int16 if reach <= WIDEST_INT16 else np.float32


def window(volume: Labels, box: Box, halos: Halos, kind: Any, scratch: Scratch) -> Labels:
    """Labels of `box` and its surroundings in the C order, 0 outside the image.

    Only equality counts, so where values do not fit `kind` they are renamed; the result is int32
    where there are too many for `kind`.
    """
    inner, outer = [], []
    for span, halo, size in zip(box, halos, volume.shape, strict=True):
        low, high = max(span.start - halo, 0), min(span.stop + halo, size)
        inner.append(slice(low, high))
        offset = span.start - halo
        outer.append(slice(low - offset, high - offset))
    shape = tuple(span.stop - span.start + 2 * h for span, h in zip(box, halos, strict=True))
    part = volume[tuple(inner)]
    labels: Labels = scratch.take("labels", shape, kind)
    if part.shape != shape:
        labels[...] = 0
    target = labels[tuple(outer)]
    limits = np.iinfo(kind)
    if np.can_cast(part.dtype, kind) or not part.size:
        target[...] = part
    elif part.max() <= limits.max:
        if part.min() < limits.min:
            part = np.maximum(part, 0)
        np.copyto(target, part, casting="unsafe")
    elif not _nearest.rename_labels(_as_int64(part), limits.max, target):
        return window(volume, box, halos, np.int32, scratch)
    return labels


def _as_int64(part: Labels) -> NDArray[np.int64]:
    """The same labels in int64 and C order, renamed where uint64 goes beyond it."""
    if part.dtype == np.uint64 and part.max() > np.iinfo(np.int64).max:
        names = np.unique(np.append(np.uint64(0), part), return_inverse=True)[1]
        part = names[1:].reshape(part.shape)
    return np.ascontiguousarray(part, dtype=np.int64)


def body(
    volume: Labels, box: Box, ndim: int, ridge: Ridge, scratch: Scratch
) -> tuple[Labels, Labels]:
    """What stays foreground in `box`, as 0 and 1, and the labels there."""
    halos = (0, 1, 1) if ndim == 2 else (1, 1, 1)
    labels = window(volume, box, halos, np.int16, scratch)
    here = labels[tuple(slice(h, n - h) for h, n in zip(halos, labels.shape, strict=True))]
    kept: Labels = scratch.take("body", here.shape, labels.dtype.type)
    _weighing.mark_rows(labels, halos, neighbours(labels.shape, ridge), kept)
    return kept, here


def neighbours(shape: tuple[int, ...], ridge: Ridge) -> NDArray[np.int64]:
    """Offsets of the 3×3 (3×3×3) neighbours in a flat array of `shape`, in fours (0 fills up)."""
    if not ridge:
        return np.zeros(0, np.int64)
    depths = (0,) if shape[0] == 1 else (-1, 0, 1)
    offsets = [
        (z * shape[1] + y) * shape[2] + x
        for z, y, x in itertools.product(depths, (-1, 0, 1), (-1, 0, 1))
    ]
    chosen = [o for o in offsets if o < 0 or (o > 0 and ridge != "half")]
    return np.array(chosen + [0] * (-len(chosen) % 4), np.int64)


def halos(reach: float, steps: Steps, shape: tuple[int, ...], ndim: int) -> Halos:
    """Pixels around a tile that its result depends on, padded for the sweeps of the search."""
    pixels = [
        min(math.ceil(min(reach / step, size)), size) + _nearest.STRIDE
        for step, size in zip(steps, shape, strict=True)
    ]
    return (0 if ndim == 2 else pixels[0], pixels[1], pixels[2])


def squares(halo: int, step: float, kind: np.dtype[Any]) -> NDArray[Any]:
    """Squared distance of each offset along one axis."""
    return ((np.arange(halo + 2) * step) ** 2).astype(kind)


def tiles_of(box: Box, size: tuple[int, ...]) -> Iterator[Box]:
    """The parts of `box` of at most `size`, row by row; together they are the box."""
    starts = [range(part.start, part.stop, step or 1) for part, step in zip(box, size, strict=True)]
    for corner in itertools.product(*starts):
        z, y, x = (
            slice(low, min(low + step, part.stop))
            for low, step, part in zip(corner, size, box, strict=True)
        )
        yield z, y, x


def whole(volume: Labels) -> Box:
    """The box of all of `volume`."""
    depth, height, width = volume.shape
    return slice(0, depth), slice(0, height), slice(0, width)
