"""The border weight map of the U-Net papers, exact, in one pass whatever the number of cells.

``w(x) = w_c(x) + w0·exp(−(d1 + d2)²/2σ²) + w1·exp(−d1²/2σ1²)``, where d1 and d2 are the distances
from pixel x to its nearest and to its second-nearest distinct instance (Ronneberger et al. 2015;
the last term is that of Falk et al. 2019). An exponential below 4e-8 is 0, which bounds how far a
label reaches: an image is worked through in tiles with that much of their surroundings, so the
working memory does not grow with the image and a brush stroke changes a box.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_unet.core import _label_tiles, _nearest, _weighing
from napari_unet.core._label_tiles import Box, Labels, Ridge, Steps
from napari_unet.core.class_weights import class_weight_values
from napari_unet.core.config import ClassWeights, WeightConfig
from napari_unet.core.errors import InputError

SMALLEST = 4e-8
"""An exponential term below this is 0: less than half a float32 step of the weights it adds to."""

Floats: TypeAlias = NDArray[np.float32]

_TILES = {2: (1, 192, 384), 3: (8, 32, 128)}
_RIDGE_TILE = (1, 64, 1024)
_WIDEST_HALO = 256


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
    cells = _fill(out, volume, _label_tiles.whole(volume), rule, steps, ridge, said, threads)
    total = out.size if said is None else int(np.count_nonzero(said))
    background, cell = class_weight_values((total - cells, cells), class_weights)
    _weighing.add_class_weights(out.reshape(-1), background, cell)
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
    _fill(
        out, volume, _label_tiles.whole(volume), _rule(config), steps, config.ridge, None, threads
    )
    return out.reshape(shape)


def update(
    term: Floats,
    labels: ArrayLike,
    region: Sequence[slice],
    config: WeightConfig,
    spacing: Sequence[float] | None = None,
) -> tuple[slice, ...]:
    """Bring `term` up to date after the labels changed inside `region`.

    Parameters
    ----------
    term : (H, W) or (D, H, W) float32 array
        What `border_term` gave before the change; changed in place, afterwards bitwise equal to
        ``border_term(labels, config, spacing)``.
    labels : array of any integer dtype and the shape of `term`
        The labels now.
    region : sequence of slice, one an axis
        The box that changed.
    config, spacing
        The same as before the change.

    Returns
    -------
    tuple of slice
        The box that was computed anew: `region` and all that it reaches, inside the image.
    """
    volume, shape = _volume(labels)
    if term.shape != shape or term.dtype != np.float32:
        raise InputError(
            f"The weight map to update is {term.dtype} of shape {term.shape}; "
            f"it must be float32 of the shape {shape} of the labels."
        )
    rule, steps = _rule(config), _spacing(spacing, len(shape))
    grown = []
    for part, size, step in zip(region, shape, steps[-len(shape) :], strict=True):
        start, stop, _ = part.indices(size)
        if stop <= start:  # an empty region changes nothing, however far its edges would reach
            return (slice(0, 0),) * len(shape)
        halo = max(math.ceil(rule.reach / step), 1)
        grown.append(slice(max(start - halo, 0), min(stop + halo, size)))
    depth, rows, columns = (slice(0, 1), *grown)[-3:]
    out = term if term.ndim == 3 else term[np.newaxis]
    _fill(out, volume, (depth, rows, columns), rule, steps, config.ridge, None, 1)
    return tuple(grown)


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
        scratch = _label_tiles.Scratch()
        for box in _label_tiles.tiles_of(_label_tiles.whole(volume), _RIDGE_TILE):
            body, here = _label_tiles.body(volume, box, len(shape), ridge, scratch)
            np.logical_and(here > 0, body == 0, out=out[box])
    return out.reshape(shape)


def nearest_two(labels: ArrayLike, spacing: Sequence[float] | None = None) -> tuple[Floats, Floats]:
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
    box = _label_tiles.whole(volume)
    halos = _label_tiles.halos(math.inf, steps, volume.shape, len(shape))
    d1 = np.empty(volume.shape, np.float32)
    d2 = np.empty(volume.shape, np.float32)
    if d1.size == 0:
        return d1.reshape(shape), d2.reshape(shape)
    _, lines = _label_tiles.reduce(
        volume, box, halos, steps, len(shape), math.inf, _label_tiles.Scratch()
    )
    square = _label_tiles.squares(halos[2], steps[2], lines[0][0].dtype)
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
    border, rim = reach_of(config.w0, config.sigma), reach_of(config.w1, config.sigma1)
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


def reach_of(height: float, width: float) -> float:
    """Distance at which height·exp(−d²/2·width²) falls to `SMALLEST`: no label acts further."""
    return width * math.sqrt(2 * math.log(height / SMALLEST)) if height > SMALLEST else 0.0


def _fill(
    out: Floats,
    volume: Labels,
    box: Box,
    rule: _Rule,
    steps: Steps,
    ridge: Ridge,
    said: NDArray[np.bool_] | None,
    threads: int,
) -> int:
    """Compute `box` of `out` tile by tile; returns how many supervised pixels are foreground."""
    ndim = 2 if volume.shape[0] == 1 and steps[0] == 1.0 else 3
    halos = _label_tiles.halos(rule.reach, steps, volume.shape, ndim)
    # With surroundings larger than the tile it is cheaper to have one tile.
    size = volume.shape if max(halos) > _WIDEST_HALO else _TILES[ndim]

    def work(tiles: list[Box]) -> int:
        scratch, total = _label_tiles.Scratch(), 0
        for tile in tiles:
            labels, lines = _label_tiles.reduce(
                volume, tile, halos, steps, ndim, rule.reach, scratch
            )
            square = _label_tiles.squares(halos[2], steps[2], lines[0][0].dtype)
            neighbours = _label_tiles.neighbours(labels.shape, ridge)
            flat = labels.reshape(-1)
            rows, width = (part.stop - part.start for part in tile[1:])
            weights = scratch.take("weights", (rows, width), np.float32)
            for z, (g1, l1, g2) in enumerate(lines):
                start = ((z + halos[0]) * labels.shape[1] + halos[1]) * labels.shape[2] + halos[2]
                cells = _weighing.weigh_rows(
                    flat, start, labels.shape[2], neighbours, g1, l1, g2, halos[2], square,
                    rule.numbers, weights,
                )  # fmt: skip
                place = (tile[0].start + z, tile[1], tile[2])
                if said is not None:
                    cells = np.count_nonzero(np.signbit(weights) & said[place])
                out[place] = weights
                total += int(cells)
        return total

    tiles = list(_label_tiles.tiles_of(box, size))
    if threads > 1:
        with ThreadPoolExecutor(threads) as pool:
            return sum(pool.map(work, (tiles[i::threads] for i in range(threads))))
    return work(tiles)


def _volume(labels: ArrayLike) -> tuple[Labels, tuple[int, ...]]:
    """Labels as (D, H, W) without a copy, and their own shape."""
    array = np.asarray(labels)
    if array.dtype.kind not in "iub":
        raise InputError(f"Labels are {array.dtype}; they must be whole numbers, one a cell.")
    if array.ndim not in (2, 3):
        raise InputError(
            f"Labels have {array.ndim} dimensions; give an image or a volume (2 or 3)."
        )
    return (array if array.ndim == 3 else array[np.newaxis]), array.shape


def _mask(supervision: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    said = np.asarray(supervision, dtype=np.bool_)
    if said.shape != shape:
        raise InputError(
            f"The supervision mask is of shape {said.shape}; it must be {shape} like the labels."
        )
    return said


def _spacing(spacing: Sequence[float] | None, ndim: int) -> Steps:
    steps = (1.0,) * ndim if spacing is None else tuple(float(step) for step in spacing)
    if len(steps) != ndim or not all(math.isfinite(step) and step > 0 for step in steps):
        raise InputError(f"Spacing {spacing} does not fit: give {ndim} numbers above 0.")
    z, y, x = steps if ndim == 3 else (1.0, *steps)
    return z, y, x
