"""The border weight map of the U-Net papers, exact, in one pass whatever the number of cells.

``w(x) = w_c(x) + w0·exp(−(d1 + d2)²/2σ²) + w1·exp(−d1²/2σ1²)``, where d1 and d2 are the distances
from pixel x to its nearest and to its second-nearest distinct instance (Ronneberger et al. 2015;
the last term is that of Falk et al. 2019). An exponential below 4e-8 is 0, which bounds how far a
label reaches: an image is worked through in tiles with that much of their surroundings, so the
working memory does not grow with the image and a brush stroke changes a box.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_unet.core import _nearest
from napari_unet.core.config import ClassWeights, WeightConfig
from napari_unet.core.errors import InputError
from napari_unet.core.types import Region

SMALLEST = 4e-8
"""An exponential term below this is 0: less than half a float32 step of the weights it adds to."""

Ridge: TypeAlias = bool | Literal["half"]
Box: TypeAlias = tuple[slice, slice, slice]
Labels: TypeAlias = NDArray[Any]
Floats: TypeAlias = NDArray[np.float32]

_TILES = {2: (1, 128, 512), 3: (8, 32, 128)}
_RIDGE_TILE = (1, 64, 1024)
_WIDEST_HALO = 256
_WIDEST_INT16 = 100.0


def border_weight_map(
    labels: ArrayLike,
    *,
    w0: float = 10.0,
    sigma: float = 5.0,
    class_weights: ClassWeights = "balanced",
    inside: bool = False,
    ridge: Ridge = True,
    spacing: Sequence[float] | None = None,
    w1: float = 0.0,
    sigma1: float = 10.0,
    supervision: NDArray[np.bool_] | None = None,
    threads: int = 1,
) -> Floats:
    """Weight of every pixel in the loss: class weight plus border terms.

    Parameters
    ----------
    labels : (H, W) or (D, H, W) array of any integer dtype
        > 0 a cell instance, anything else background. Values may be sparse and large.
    w0, sigma : float
        Height and width (in pixels, or in the unit of `spacing`) of the border term.
    class_weights : "balanced", "none" or (background, cell)
        w_c: N/(2·n_k) over the supervised pixels, 1, or the two values given.
    inside : bool
        Border terms on every pixel instead of on background only.
    ridge : bool or "half"
        Touching cells: see `cut_ridge`. Distances always go to the uncut instances.
    spacing : sequence of float, optional
        Distance between neighbouring pixels along each axis; 1 by default.
    w1, sigma1 : float
        Height and width of the rim term of Falk et al. 2019.
    supervision : bool array of the shape of `labels`, optional
        Where False, the weight is 0 and the pixel does not count in w_c.
    threads : int
        Tiles worked on at the same time; the result does not depend on it.

    Returns
    -------
    float32 array of the shape of `labels`

    Raises
    ------
    InputError
        For labels that are not 2-D or 3-D integers, or parameters out of range.

    References
    ----------
    Ronneberger, Fischer, Brox 2015, https://arxiv.org/abs/1505.04597, equation 2;
    Falk et al. 2019, https://doi.org/10.1038/s41592-018-0261-2.
    """
    volume, shape = _volume(labels)
    config = WeightConfig(w0, sigma, class_weights, ridge, inside, w1, sigma1)
    said = None if supervision is None else _mask(supervision, shape).reshape(volume.shape)
    out = np.empty(volume.shape, np.float32)
    rule, steps = _rule(config, signed=True), _spacing(spacing, len(shape))
    cells = _fill(out, volume, _whole(volume), rule, steps, ridge, said, threads)
    total = out.size if said is None else int(np.count_nonzero(said))
    background, cell = class_weight_values((total - cells, cells), class_weights)
    _nearest.add_class_weights(out.reshape(-1), background, cell)
    if said is not None:
        np.multiply(out, said, out=out)
    return out.reshape(shape)


def border_term(
    labels: ArrayLike,
    config: WeightConfig,
    spacing: Sequence[float] | None = None,
    threads: int = 1,
) -> Floats:
    """The exponential terms of the weight map alone, without w_c.

    Parameters
    ----------
    labels : (H, W) or (D, H, W) array of any integer dtype
    config : WeightConfig
    spacing : sequence of float, optional
        Distance between neighbouring pixels along each axis; 1 by default.
    threads : int
        Tiles worked on at the same time.

    Returns
    -------
    float32 array of the shape of `labels`
    """
    volume, shape = _volume(labels)
    out = np.empty(volume.shape, np.float32)
    steps = _spacing(spacing, len(shape))
    _fill(out, volume, _whole(volume), _rule(config), steps, config.ridge, None, threads)
    return out.reshape(shape)


def update(term: Floats, labels: ArrayLike, region: Region, config: WeightConfig) -> Region:
    """Bring `term` up to date after the labels changed inside `region`.

    Parameters
    ----------
    term : (H, W) float32 array
        What `border_term` gave before the change; changed in place, afterwards bitwise equal to
        ``border_term(labels, config)``.
    labels : (H, W) array of any integer dtype
        The labels now.
    region : (rows, columns) slices
        The box that changed.
    config : WeightConfig
        The same as before the change.

    Returns
    -------
    (rows, columns) slices
        The box that was computed anew: `region` and all that it reaches, inside the image.
    """
    volume, shape = _volume(labels)
    if len(shape) != 2 or term.shape != shape or term.dtype != np.float32:
        raise InputError(
            f"The weight map to update is {term.dtype} of shape {term.shape}; "
            f"it must be float32 of the shape {shape} of the labels, in two dimensions."
        )
    rule = _rule(config)
    halo = max(math.ceil(rule.reach), 1)
    grown = []
    for part, size in zip(region, shape, strict=True):
        start, stop, _ = part.indices(size)
        # An empty region changes nothing, however far its edges would reach.
        grown.append(slice(max(start - halo, 0), min(stop + halo, size)) if stop > start else None)
    if grown[0] is None or grown[1] is None:
        return slice(0, 0), slice(0, 0)
    rows, columns = grown[0], grown[1]
    box = (slice(0, 1), rows, columns)
    _fill(term[np.newaxis], volume, box, rule, (1.0, 1.0, 1.0), config.ridge, None, 1)
    return rows, columns


def cut_ridge(labels: ArrayLike, ridge: Ridge = True) -> NDArray[np.bool_]:
    """Foreground pixels that become background because another instance touches them.

    Parameters
    ----------
    labels : (H, W) or (D, H, W) array of any integer dtype
    ridge : bool or "half"
        True: another instance among the 3×3 (3×3×3) neighbours. "half": only among those that
        come before the pixel in memory order, so one of two touching pixels stays (Falk et al.
        2019). False: nothing is cut.

    Returns
    -------
    bool array of the shape of `labels`
    """
    volume, shape = _volume(labels)
    out = np.zeros(volume.shape, np.bool_)
    if ridge:
        scratch = _Scratch()
        for box in _tiles(_whole(volume), _RIDGE_TILE):
            body, here = _body(volume, box, len(shape), ridge, scratch)
            np.logical_and(here > 0, body == 0, out=out[box])
    return out.reshape(shape)


def class_weight_values(counts: ArrayLike, mode: ClassWeights) -> Floats:
    """Weight w_c of each class.

    Parameters
    ----------
    counts : (K + 1,) integers
        Supervised pixels of the background and of each cell class.
    mode : "balanced", "none" or tuple of float
        N/((K + 1)·n_k), 1 where a class has no pixel; 1 everywhere; or the values given, of which
        the last also stands for all classes that follow it.

    Returns
    -------
    (K + 1,) float32 array
        Index 0 is the background.
    """
    numbers = np.asarray(counts, dtype=np.float64)
    if isinstance(mode, str):
        if mode == "none":
            return np.ones(numbers.size, np.float32)
        if mode != "balanced":
            raise InputError(
                f'Class weights "{mode}" are not known: say "balanced", "none" or one number a class.'
            )
        present = numbers > 0
        weights = np.ones(numbers.size)
        weights[present] = numbers.sum() / (numbers.size * numbers[present])
        return weights.astype(np.float32)
    given = np.asarray(mode, dtype=np.float64)
    if given.ndim != 1 or not 0 < given.size <= numbers.size or not np.all(given >= 0):
        raise InputError(
            f"Class weights {mode} do not fit: give up to {numbers.size} numbers from 0 up, "
            "the background's first."
        )
    return given[np.minimum(np.arange(numbers.size), given.size - 1)].astype(np.float32)


def nearest_two(
    labels: ArrayLike, spacing: Sequence[float] | None = None
) -> tuple[Floats, Floats]:
    """Distances to the nearest and to the second-nearest distinct instance, not truncated.

    Parameters
    ----------
    labels : (H, W) or (D, H, W) array of any integer dtype
    spacing : sequence of float, optional
        Distance between neighbouring pixels along each axis; 1 by default.

    Returns
    -------
    d1, d2 : float32 arrays of the shape of `labels`
        inf where there is no (second) instance.
    """
    volume, shape = _volume(labels)
    steps = _spacing(spacing, len(shape))
    box = _whole(volume)
    halos = _halos(math.inf, steps, volume.shape, len(shape))
    d1 = np.empty(volume.shape, np.float32)
    d2 = np.empty(volume.shape, np.float32)
    if d1.size == 0:
        return d1.reshape(shape), d2.reshape(shape)
    _, lines = _reduce(volume, box, halos, steps, len(shape), math.inf, _Scratch())
    square = _squares(halos[2], steps[2], lines[0][0].dtype)
    for z, (g1, l1, g2) in enumerate(lines):
        squared = np.empty((2, *volume.shape[1:]), g1.dtype)
        _nearest.measure_rows(g1, l1, g2, halos[2], volume.shape[2], square, *squared)
        for distance, out in zip(np.sqrt(squared), (d1, d2), strict=True):
            out[z] = np.where(distance > _nearest.FAR[np.float32] / 2, np.inf, distance)
    return d1.reshape(shape), d2.reshape(shape)


def warm_up() -> None:
    """Compile the kernels, or load them from the cache of an earlier run."""
    labels = np.zeros((8, 8), np.int32)
    labels[1:3, 1:3], labels[5:7, 5:7] = 1, 2
    update(border_term(labels, WeightConfig()), labels, (slice(2, 4), slice(2, 4)), WeightConfig())
    border_weight_map(labels)
    nearest_two(labels)


@dataclass(frozen=True)
class _Rule:
    """What the last axis needs: the numbers of the formula and how far a label reaches."""

    numbers: NDArray[np.float64]
    reach: float


def _rule(config: WeightConfig, signed: bool = False) -> _Rule:
    for name in ("w0", "w1"):
        if not (math.isfinite(getattr(config, name)) and getattr(config, name) >= 0):
            raise InputError(f"{name} is {getattr(config, name)}; it must be a number from 0 up.")
    for name in ("sigma", "sigma1"):
        if not (math.isfinite(getattr(config, name)) and getattr(config, name) > 0):
            raise InputError(f"{name} is {getattr(config, name)}; it must be a number above 0.")
    border, rim = _reach(config.w0, config.sigma), _reach(config.w1, config.sigma1)
    numbers = (
        config.w0,
        0.5 / config.sigma**2,
        border,
        config.w1,
        0.5 / config.sigma1**2,
        rim,
        config.inside,
        signed,
    )
    return _Rule(np.array(numbers, np.float64), max(border, rim))


def _reach(height: float, width: float) -> float:
    """Distance at which height·exp(−d²/2·width²) falls to `SMALLEST`."""
    return width * math.sqrt(2 * math.log(height / SMALLEST)) if height > SMALLEST else 0.0


def _fill(
    out: Floats,
    volume: Labels,
    box: Box,
    rule: _Rule,
    steps: tuple[float, float, float],
    ridge: Ridge,
    said: NDArray[np.bool_] | None,
    threads: int,
) -> int:
    """Compute `box` of `out` tile by tile; returns how many supervised pixels are foreground."""
    ndim = 2 if volume.shape[0] == 1 and steps[0] == 1.0 else 3
    halos = _halos(rule.reach, steps, volume.shape, ndim)
    # With surroundings larger than the tile it is cheaper to have one tile.
    size = volume.shape if max(halos) > _WIDEST_HALO else _TILES[ndim]

    def work(tiles: list[Box]) -> int:
        scratch, total = _Scratch(), 0
        for tile in tiles:
            labels, lines = _reduce(volume, tile, halos, steps, ndim, rule.reach, scratch)
            square = _squares(halos[2], steps[2], lines[0][0].dtype)
            neighbours = _neighbours(labels.shape, ridge)
            flat = labels.reshape(-1)
            rows, width = (part.stop - part.start for part in tile[1:])
            weights = scratch.take("weights", (rows, width), np.float32)
            for z, (g1, l1, g2) in enumerate(lines):
                start = ((z + halos[0]) * labels.shape[1] + halos[1]) * labels.shape[2] + halos[2]
                cells = _nearest.weigh_rows(
                    flat, start, labels.shape[2], neighbours, g1, l1, g2, halos[2], square,
                    rule.numbers, weights,
                )  # fmt: skip
                place = (tile[0].start + z, tile[1], tile[2])
                if said is not None:
                    cells = np.count_nonzero(np.signbit(weights) & said[place])
                out[place] = weights
                total += int(cells)
        return total

    tiles = list(_tiles(box, size))
    if threads > 1:
        with ThreadPoolExecutor(threads) as pool:
            return sum(pool.map(work, (tiles[i::threads] for i in range(threads))))
    return work(tiles)


class _Scratch:
    """Arrays that are used again for every tile; one for each thread."""

    def __init__(self) -> None:
        self._buffers: dict[str, NDArray[np.uint8]] = {}

    def take(self, name: str, shape: tuple[int, ...], kind: type) -> Any:
        """An array of `shape`; overwrites the one taken before under `name`."""
        size = math.prod(shape) * np.dtype(kind).itemsize
        buffer = self._buffers.get(name)
        if buffer is None or buffer.size < size:
            buffer = self._buffers[name] = np.empty(size, np.uint8)
        return buffer[:size].view(kind).reshape(shape)

    def lines(self, name: str, shape: tuple[int, ...], kind: type, names: Any) -> tuple[Any, ...]:
        """Nearest squared distance, its label and the second's squared distance."""
        kinds = (kind, names, kind)
        return tuple(self.take(f"{name}{i}", shape, k) for i, k in enumerate(kinds))


def _reduce(
    volume: Labels,
    tile: Box,
    halos: tuple[int, int, int],
    steps: tuple[float, float, float],
    ndim: int,
    reach: float,
    scratch: _Scratch,
) -> tuple[Labels, list[tuple[Any, ...]]]:
    """The tile's labels with their surroundings, and per plane its rows reduced along columns.

    Rows cover the tile, columns the tile and its surroundings.
    """
    kind = _kind(reach, steps)
    labels = _window(volume, tile, halos, np.int16 if kind is np.int16 else np.int32, scratch)
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
    square = _squares(halos[1], steps[1], np.dtype(kind))
    planes = []
    for z in range(depth):
        plane = (column[z].reshape(height, width) for column in columns)
        lines = scratch.lines(f"row{z} ", (rows, width), kind, labels.dtype)
        last = halos[1] - _nearest.STRIDE
        _nearest.combine_rows(*plane, halos[1], last, square, reach**2, far, *lines)
        planes.append(lines)
    return labels, planes


def _kind(reach: float, steps: tuple[float, float, float]) -> type:
    """The narrowest type that holds squared distances within `reach` exactly."""
    if any(step != 1.0 for step in steps):
        return np.float64
    return np.int16 if reach <= _WIDEST_INT16 else np.float32


def _window(
    volume: Labels, box: Box, halos: tuple[int, int, int], kind: type, scratch: _Scratch
) -> Labels:
    """Labels of `box` and its surroundings in the C order, 0 outside the image.

    Only equality counts, so where values do not fit `kind` they are renamed; the result is int32
    where there are too many for `kind`.
    """
    inner, outer = [], []
    for part, halo, size in zip(box, halos, volume.shape, strict=True):
        low, high = max(part.start - halo, 0), min(part.stop + halo, size)
        inner.append(slice(low, high))
        offset = part.start - halo
        outer.append(slice(low - offset, high - offset))
    shape = tuple(b.stop - b.start + 2 * h for b, h in zip(box, halos, strict=True))
    part = volume[tuple(inner)]
    window = scratch.take("labels", shape, kind)
    if part.shape != shape:
        window[...] = 0
    target = window[tuple(outer)]
    limits = np.iinfo(kind)
    if np.can_cast(part.dtype, kind) or not part.size:
        target[...] = part
    elif part.max() <= limits.max:
        if part.min() < limits.min:
            part = np.maximum(part, 0)
        np.copyto(target, part, casting="unsafe")
    elif not _nearest.compact(_as_int64(part), limits.max, target.reshape(-1, target.shape[2])):
        return _window(volume, box, halos, np.int32, scratch)
    return window


def _as_int64(part: Labels) -> NDArray[np.int64]:
    """The same labels in rows of int64, renamed where uint64 goes beyond it."""
    if part.dtype == np.uint64 and part.max() > np.iinfo(np.int64).max:
        part = np.unique(np.append(np.uint64(0), part), return_inverse=True)[1][1:].reshape(
            part.shape
        )
    return np.ascontiguousarray(part, dtype=np.int64).reshape(-1, part.shape[2])


def _body(
    volume: Labels, box: Box, ndim: int, ridge: Ridge, scratch: _Scratch
) -> tuple[Labels, Labels]:
    """What stays foreground in `box`, as 0 and 1, and the labels there."""
    halos = (0, 1, 1) if ndim == 2 else (1, 1, 1)
    labels = _window(volume, box, halos, np.int16, scratch)
    here = labels[tuple(slice(h, n - h) for h, n in zip(halos, labels.shape, strict=True))]
    body = scratch.take("body", here.shape, labels.dtype.type)
    _nearest.mark_rows(labels, halos, _neighbours(labels.shape, ridge), body)
    return body, here


def _neighbours(shape: tuple[int, ...], ridge: Ridge) -> NDArray[np.int64]:
    """Offsets of the 3×3 (3×3×3) neighbours in a flat array of `shape`."""
    if not ridge:
        return np.zeros(0, np.int64)
    depths = (0,) if shape[0] == 1 else (-1, 0, 1)
    offsets = [
        (z * shape[1] + y) * shape[2] + x
        for z, y, x in itertools.product(depths, (-1, 0, 1), (-1, 0, 1))
    ]
    return np.array([o for o in offsets if o < 0 or (o > 0 and ridge != "half")], np.int64)


def _halos(
    reach: float, steps: tuple[float, float, float], shape: tuple[int, ...], ndim: int
) -> tuple[int, int, int]:
    """Pixels around a tile that its result depends on, padded for the sweeps of the search."""
    halos = [
        min(math.ceil(min(reach / step, size)), size) + _nearest.STRIDE
        for step, size in zip(steps, shape, strict=True)
    ]
    return (0 if ndim == 2 else halos[0], halos[1], halos[2])


def _squares(halo: int, step: float, kind: np.dtype[Any]) -> NDArray[Any]:
    return ((np.arange(halo + 2) * step) ** 2).astype(kind)


def _tiles(box: Box, size: tuple[int, ...]) -> Iterator[Box]:
    starts = [range(part.start, part.stop, step or 1) for part, step in zip(box, size, strict=True)]
    for corner in itertools.product(*starts):
        z, y, x = (
            slice(low, min(low + step, part.stop))
            for low, step, part in zip(corner, size, box, strict=True)
        )
        yield z, y, x


def _whole(volume: Labels) -> Box:
    depth, height, width = volume.shape
    return slice(0, depth), slice(0, height), slice(0, width)


def _volume(labels: ArrayLike) -> tuple[Labels, tuple[int, ...]]:
    """Labels as (D, H, W) without a copy, and their own shape."""
    array = np.asarray(labels)
    if array.dtype.kind not in "iub":
        raise InputError(f"Labels are {array.dtype}; they must be whole numbers, one a cell.")
    if array.ndim not in (2, 3):
        raise InputError(f"Labels have {array.ndim} dimensions; give an image or a volume (2 or 3).")
    return (array if array.ndim == 3 else array[np.newaxis]), array.shape


def _mask(supervision: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    said = np.asarray(supervision, dtype=np.bool_)
    if said.shape != shape:
        raise InputError(
            f"The supervision mask is of shape {said.shape}; it must be {shape} like the labels."
        )
    return said


def _spacing(spacing: Sequence[float] | None, ndim: int) -> tuple[float, float, float]:
    steps = (1.0,) * ndim if spacing is None else tuple(float(step) for step in spacing)
    if len(steps) != ndim or not all(math.isfinite(step) and step > 0 for step in steps):
        raise InputError(f"Spacing {spacing} does not fit: give {ndim} numbers above 0.")
    z, y, x = steps if ndim == 3 else (1.0, *steps)
    return z, y, x
