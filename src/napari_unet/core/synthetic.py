"""How the synthetic cells of `samples` are laid out and drawn.

Each cell is a star-shaped outline. Its `level` is 0 at the centre and 1 on the outline; where
two cells want the same pixel the lower level has it, so that touching cells meet in a seam
between them. The drawings are made for the eye and for training, not for optics.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Plane: TypeAlias = NDArray[np.float32]
Labels: TypeAlias = NDArray[np.int32]
Drawing: TypeAlias = tuple[NDArray[Any], Labels, dict[int, int]]


@dataclass(frozen=True)
class _Outline:
    """A superellipse with a wavy edge; `power` below 2 gives it pointed ends."""

    radius: float
    stretch: float
    power: float
    angle: float
    waves: NDArray[np.float64]
    phases: NDArray[np.float64]

    def level(self, dy: NDArray[np.float64], dx: NDArray[np.float64]) -> NDArray[np.float64]:
        """Distance from the centre as a part of the distance to the outline."""
        theta = np.arctan2(dy, dx) - self.angle
        long = np.abs(np.cos(theta) / np.sqrt(self.stretch)) ** self.power
        short = np.abs(np.sin(theta) * np.sqrt(self.stretch)) ** self.power
        edge = (long + short) ** (-1 / self.power)
        for k, (wave, phase) in enumerate(zip(self.waves, self.phases, strict=True), start=2):
            edge = edge * (1 + wave * np.cos(k * theta + phase))
        level: NDArray[np.float64] = np.hypot(dy, dx) / (self.radius * edge)
        return level


class _Dish:
    """Cells being laid out; `level` and `labels` hold what is there."""

    def __init__(self, shape: tuple[int, int], rng: np.random.Generator) -> None:
        self.rng = rng
        self.labels: Labels = np.zeros(shape, np.int32)
        self.level: Plane = np.ones(shape, np.float32)
        self.centres: list[tuple[float, float, float]] = []

    def scatter(self, count: int, outline: Callable[[], _Outline], clustered: float) -> list[int]:
        """Lay out up to `count` cells, a part `clustered` of them against one that is there."""
        first = len(self.centres)
        for _ in range(12 * count):
            if len(self.centres) - first == count:
                break
            cell = outline()
            self._place(cell, self._spot(cell, clustered))
        return list(range(first + 1, len(self.centres) + 1))

    def _spot(self, cell: _Outline, clustered: float) -> tuple[float, float]:
        rng, (rows, cols) = self.rng, self.labels.shape
        if self.centres and rng.random() < clustered:
            y, x, radius = self.centres[rng.integers(len(self.centres))]
            away = (radius + cell.radius) * rng.uniform(0.8, 1.0)
            angle = rng.uniform(0, 2 * np.pi)
            return y + away * np.sin(angle), x + away * np.cos(angle)
        return rng.uniform(0, rows), rng.uniform(0, cols)

    def _place(self, cell: _Outline, spot: tuple[float, float]) -> None:
        """Put the cell there unless it or a neighbour would lose more than a fifth."""
        reach = cell.radius * np.sqrt(cell.stretch) * 1.6
        box = tuple(
            slice(max(0, int(at - reach)), max(0, min(size, int(at + reach) + 2)))
            for at, size in zip(spot, self.labels.shape, strict=True)
        )
        labels, level = self.labels[box], self.level[box]
        if labels.size == 0:
            return
        dy, dx = np.ogrid[box]
        wanted = cell.level(dy - spot[0], dx - spot[1])
        inside = wanted < 1
        gained = inside & (wanted < level)
        contested = inside & (labels > 0)
        if gained.sum() < 0.8 * inside.sum() or inside.sum() < 30:
            return
        neighbours, lost = np.unique(labels[contested & gained], return_counts=True)
        for neighbour, pixels in zip(neighbours, lost, strict=True):
            if pixels > 0.2 * (labels == neighbour).sum():
                return
        self.centres.append((*spot, cell.radius))
        labels[gained] = len(self.centres)
        level[gained] = wanted[gained]

    def settle(self) -> None:
        """Leave each cell its largest part; what a neighbour cut off becomes background."""
        for label, box in enumerate(ndimage.find_objects(self.labels), start=1):
            if box is None:
                continue
            parts, n = ndimage.label(self.labels[box] == label)
            if n > 1:
                sizes = np.bincount(parts.ravel())
                scrap = (parts > 0) & (parts != 1 + sizes[1:].argmax())
                self.labels[box][scrap] = 0
                self.level[box][scrap] = 1


def _outline(
    rng: np.random.Generator, radius: float, stretch: float, power: float, rough: float
) -> _Outline:
    waves = rng.normal(0, rough, 4) / np.arange(1, 5)
    return _Outline(
        radius, stretch, power, rng.uniform(0, np.pi), waves, rng.uniform(0, 2 * np.pi, 4)
    )


def _noise(rng: np.random.Generator, shape: tuple[int, int], grain: float) -> Plane:
    """Smooth noise of mean 0 and sd 1 with spots of about `grain` px."""
    if grain < 4:
        smooth = ndimage.gaussian_filter(rng.standard_normal(shape, np.float32), grain / 2)
    else:
        size = [max(3, round(n / grain) + 3) for n in shape]
        coarse = rng.standard_normal(size, np.float32)
        factors = [(n + 2 * grain) / m for n, m in zip(shape, size, strict=True)]
        smooth = ndimage.zoom(coarse, factors, order=3)[: shape[0], : shape[1]]
    plane: Plane = (smooth - smooth.mean()) / smooth.std()
    return plane


def _per_cell(labels: Labels, values: NDArray[np.float64]) -> Plane:
    """The value of each cell on its pixels, 0 on the background."""
    plane: Plane = np.concatenate([[0.0], values]).astype(np.float32)[labels]
    return plane


def _specks(
    rng: np.random.Generator, inside: NDArray[np.bool_], density: float, size: float
) -> Plane:
    """Blurred points inside the cells, their peaks about 1."""
    points = (rng.random(inside.shape, np.float32) < density) & inside
    strength = points * rng.uniform(0.5, 1.2, inside.shape).astype(np.float32)
    blurred: Plane = ndimage.gaussian_filter(strength, size) * np.float32(2 * np.pi * size**2)
    return blurred


def draw_fluorescence(shape: tuple[int, int], rng: np.random.Generator) -> Drawing:
    """Bright nuclei of uneven brightness in haze; a 12-bit camera in uint16."""
    dish = _Dish(shape, rng)
    count = max(6, round(shape[0] * shape[1] / 2500))
    dish.scatter(
        count,
        lambda: _outline(rng, rng.uniform(9, 17), rng.uniform(1, 1.7), 2.0, 0.05),
        clustered=0.65,
    )
    dish.settle()
    labels = dish.labels
    inside = labels > 0
    brightness = _per_cell(labels, rng.lognormal(0.0, 0.3, len(dish.centres)))
    dome = np.clip(1 - dish.level**2, 0, 1) ** 0.35
    chromatin = 1 + 0.13 * _noise(rng, shape, 3) + 0.1 * _noise(rng, shape, 7)
    nucleoli = 1 - 0.45 * np.clip(_specks(rng, dish.level < 0.7, 0.004, 1.8), 0, 1)
    signal = np.where(inside, brightness * dome * chromatin * nucleoli, 0).astype(np.float32)
    haze = ndimage.gaussian_filter(signal, 14, truncate=2.5)
    sharp = ndimage.gaussian_filter(signal, 1.1)
    light = 1 + 0.18 * _noise(rng, shape, max(shape) / 2)
    photons = light.clip(0.4, 1.6) * (260 * sharp + 70 * haze) + 22 * light.clip(0.2, 2)
    counts = rng.poisson(photons.clip(0)) * 4.0 + 110 + rng.normal(0, 9, shape)
    image = counts.round().clip(0, 65535).astype(np.uint16)[np.newaxis]
    return image, labels, dict.fromkeys(range(1, len(dish.centres) + 1), 1)


def draw_phase(shape: tuple[int, int], rng: np.random.Generator) -> Drawing:
    """Spread, grainy cells with a dark rim and a bright halo, some of them rounded up; uint8."""
    dish = _Dish(shape, rng)
    count = max(5, round(shape[0] * shape[1] / 5600))
    spread = dish.scatter(
        round(count * 0.85),
        lambda: _outline(
            rng, rng.uniform(15, 27), rng.uniform(1.1, 3.2), rng.uniform(1.5, 2.1), 0.17
        ),
        clustered=0.5,
    )
    dish.scatter(
        count - len(spread),
        lambda: _outline(rng, rng.uniform(9, 12), rng.uniform(1, 1.15), 2.0, 0.02),
        clustered=0.2,
    )
    dish.settle()
    labels = dish.labels
    inside = labels > 0
    rounded = labels > len(spread)
    dome = np.clip(1 - dish.level**2, 0, 1)
    thickness = inside * (0.35 + 0.65 * dome) * np.where(rounded, 1.6, 1.0)
    shaded = ndimage.gaussian_filter(thickness, 9, truncate=2.5)
    seam = ndimage.grey_dilation(labels, 3) != ndimage.grey_erosion(labels, 3)
    from_rim = ndimage.distance_transform_edt(~seam).astype(np.float32)
    image = 124 + 7 * _noise(rng, shape, max(shape) / 2) - 42 * (thickness - shaded)
    image += (
        ~inside
        * (0.6 + 0.4 * ndimage.gaussian_filter(rounded * 2.0, 6))
        * 46
        * np.exp(-from_rim / 3.2)
    )
    image -= inside * 34 * np.exp(-((from_rim / 1.8) ** 2))
    grains = _specks(rng, inside & ~rounded & (dish.level < 0.85), 0.03, 0.9)
    image += inside * (7 * _noise(rng, shape, 3) + 6 * _noise(rng, shape, 8))
    image += 16 * grains - 20 * _specks(rng, inside & ~rounded, 0.012, 1.0)
    nucleus = inside & ~rounded & (dish.level + 0.06 * _noise(rng, shape, 12) < 0.36)
    image += 11 * ndimage.gaussian_filter(nucleus.astype(np.float32), 1.2)
    image -= 26 * _specks(rng, nucleus, 0.012, 1.4)
    image += rounded * 95 * dome**1.5
    image = ndimage.gaussian_filter(image, 0.8) + rng.normal(0, 2.5, shape)
    grey = image.round().clip(0, 255).astype(np.uint8)[np.newaxis]
    return grey, labels, dict.fromkeys(range(1, len(dish.centres) + 1), 1)


# Optical densities of haematoxylin and eosin in red, green and blue (Ruifrok and Johnston 2001).
_HAEMATOXYLIN = np.array([0.65, 0.70, 0.29], np.float32)
_EOSIN = np.array([0.07, 0.99, 0.11], np.float32)


def draw_two_classes(shape: tuple[int, int], rng: np.random.Generator) -> Drawing:
    """Large pale nuclei (class 1) and small dark ones (class 2) in pink tissue; RGB uint8."""
    dish = _Dish(shape, rng)
    area = shape[0] * shape[1]
    pale = dish.scatter(
        max(4, round(area / 4200)),
        lambda: _outline(rng, rng.uniform(11, 16), rng.uniform(1.05, 1.8), 2.0, 0.05),
        clustered=0.5,
    )
    dark = dish.scatter(
        max(4, round(area / 3600)),
        lambda: _outline(rng, rng.uniform(6, 8), rng.uniform(1, 1.2), 2.0, 0.04),
        clustered=0.55,
    )
    dish.settle()
    labels, level = dish.labels, dish.level
    inside, small = labels > 0, labels > len(pale)
    stain = np.where(small, 1.15, 0.42) * _per_cell(
        labels, rng.lognormal(0, 0.13, len(dish.centres))
    )
    rim = np.where(small, 0.1, 0.45) * np.exp(-(((1 - level) / 0.13) ** 2))
    nucleoli = 0.7 * _specks(rng, inside & ~small & (level < 0.6), 0.006, 1.6).clip(0, 1)
    texture = 1 + np.where(small, 0.14, 0.2) * _noise(rng, shape, 3)
    haematoxylin = inside * (stain * (texture + nucleoli) + rim) + 0.05
    fibres = _fibres(rng, shape)
    gaps = ndimage.gaussian_filter((_noise(rng, shape, 34) > 1.25) * np.float32(1), 1.5)
    eosin = (0.34 + 0.1 * fibres + 0.06 * _noise(rng, shape, 24)) * (1 - 0.85 * gaps)
    eosin = np.where(inside, 0.55 * eosin, eosin).clip(0.02)
    density = haematoxylin[..., None] * _HAEMATOXYLIN + eosin[..., None] * _EOSIN
    light = 242 * np.exp(-ndimage.gaussian_filter(density, (0.8, 0.8, 0)) * 1.15)
    rgb = light + rng.normal(0, 3, light.shape)
    image = rgb.round().clip(0, 255).astype(np.uint8).transpose(2, 0, 1)
    classes = dict.fromkeys(pale, 1) | dict.fromkeys(dark, 2)
    return np.ascontiguousarray(image), labels, classes


def _fibres(rng: np.random.Generator, shape: tuple[int, int]) -> Plane:
    """Wavy strands: ridges of a noise that is drawn out along one direction."""
    drawn_out = ndimage.gaussian_filter(rng.standard_normal(shape, np.float32), (2.0, 9.0))
    bend = 6 * _noise(rng, shape, 60)
    rows = (np.arange(shape[0])[:, None] + bend).round().astype(int) % shape[0]
    wavy = drawn_out[rows, np.arange(shape[1])[None, :]]
    strands: Plane = ndimage.gaussian_filter(wavy, 0.7)
    strands = (strands - strands.mean()) / strands.std()
    return strands
