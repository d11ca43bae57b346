"""From probabilities to cells: threshold, components, split, grow back where cells meet."""

from __future__ import annotations

from math import pi
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi
from skimage.segmentation import watershed

from napari_unet.core.config import InstanceConfig
from napari_unet.core.distances import distance_to_border
from napari_unet.core.errors import InputError
from napari_unet.core.types import Prediction

NECK_LONG, NECK_ROUND = 0.5, 0.9
"""Two parts are two cells where the neck is less than this × the smaller part's height.

The first is for ragged and very long parts, the second for discs, in between linear in
roundness. Chosen on the outlines of nuclei and of phase-contrast cells, with half of the
ridges missing, and on maps of nets trained for a few minutes.
"""

RIDGE = 2
"""Width in pixels of the widest ridge; a training target has one pixel cut from either cell."""

_EIGHT = np.ones((3, 3), bool)
_NEIGHBOURS: tuple[tuple[Any, Any], ...] = (
    (np.s_[:-1], np.s_[1:]),
    (np.s_[:, :-1], np.s_[:, 1:]),
)


def label_instances(
    maps: NDArray[np.float32], config: InstanceConfig, classes: int | None = None
) -> Prediction:
    """Make cells of what a network says of one image.

    Parameters
    ----------
    maps : (K, H, W) or (K + 1, H, W) float32 array
        Probability of each cell class 1 … K; background has what is missing to 1. A further map
        is the `distances.relative_distance` that the network expects.
    config : InstanceConfig
        Threshold, splitting, and which objects are kept.
    classes : int, optional
        K; by default every map is a class.

    Returns
    -------
    Prediction
        The class of an instance is the one with the largest summed probability in it. Its score
        is that of its surest pixel: foreground probability × expected relative distance, which
        is high amid what looks like one whole cell and low in specks and smears.

    Raises
    ------
    InputError
        For an array that is empty or not (K, H, W), or has values that are not finite.
    """
    maps = np.asarray(maps, np.float32)
    if maps.ndim != 3 or maps.size == 0:
        raise InputError(
            f"The probabilities have the shape {maps.shape}: give (classes, rows, columns)."
        )
    if not np.isfinite(maps).all():
        raise InputError(
            "The probabilities have values that are not finite: train or load another model."
        )
    probabilities, further = maps[:classes], maps[len(maps) if classes is None else classes :]
    foreground = probabilities.sum(axis=0) if len(probabilities) > 1 else probabilities[0]
    labels, _ = ndi.label(foreground > config.threshold, output=np.int32)
    if config.fill_holes:
        labels = fill_holes(labels)
    if config.split == "watershed":
        distance = further[0] if len(further) else None
        labels = split_components(labels, foreground, config, distance)
    labels = grow_where_cells_meet(labels, foreground)
    if config.fill_holes:
        labels = fill_holes(labels)
    labels = keep_cells(labels, config)
    sureness = foreground if not len(further) else foreground * further[0]
    found, scores = _describe(labels, probabilities, sureness)
    sure = scores >= config.min_score
    labels = renumber(labels, np.append(False, sure))
    return Prediction(labels, found[sure], scores[sure], probabilities)


def fill_holes(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Give each patch of background that lies inside one single instance to that instance."""
    patches, n = ndi.label(labels == 0, output=np.int32)
    inside, outside = find_contacts(patches, labels)
    lowest = np.full(n + 1, np.iinfo(np.int32).max, np.int32)
    highest = np.zeros(n + 1, np.int32)
    np.minimum.at(lowest, inside, outside)
    np.maximum.at(highest, inside, outside)
    fill = np.where(lowest == highest, highest, 0)
    for edge in (patches[0], patches[-1], patches[:, 0], patches[:, -1]):
        fill[edge] = 0
    fill[0] = 0
    return np.where(labels == 0, fill[patches], labels)


def find_contacts(
    patches: NDArray[np.int32], labels: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Where a patch and an instance are 4-neighbours: the patch's number, the instance's."""
    found: list[tuple[NDArray[np.int32], NDArray[np.int32]]] = []
    for here, there in _NEIGHBOURS:
        for a, b in ((here, there), (there, here)):
            touch = (patches[a] > 0) & (labels[b] > 0)
            found.append((patches[a][touch], labels[b][touch]))
    return np.concatenate([p for p, _ in found]), np.concatenate([i for _, i in found])


def split_components(
    labels: NDArray[np.int32],
    foreground: NDArray[np.float32],
    config: InstanceConfig,
    distance: NDArray[np.float32] | None = None,
) -> NDArray[np.int32]:
    """Part components at their necks.

    The height of a pixel is the relative distance that the network expects, or else its distance
    to the background, × its probability, slightly smoothed. Each maximum of it is flooded; then
    basins are joined again, highest neck first, unless the neck is low in comparison with both
    basins: lower than `neck` × the lower of them (for a distance in pixels: `NECK_LONG`,
    `NECK_ROUND`). So long and ragged cells stay whole, whatever their size. A part of fewer than
    `min_size` pixels is joined to the one it hangs on most.
    """
    area = np.bincount(labels.ravel())
    large = area >= 2 * max(config.min_size, 1)
    large[0] = False
    height = _find_height(labels, large, foreground, config.threshold, distance)
    seeds, n = _find_seeds(height, labels, large)
    maxima = np.flatnonzero(seeds)
    numbers = seeds.ravel()[maxima]
    summit, component = np.zeros(n + 1, np.float32), np.zeros(n + 1, np.int32)
    summit[numbers] = height.ravel()[maxima]
    component[numbers] = labels.ravel()[maxima]
    parted = np.bincount(component[1:], minlength=len(area)) > 1
    mask = parted[labels]
    if not mask.any():
        return labels
    basins = _flood(height, seeds, mask)
    neck = None if distance is None else config.neck
    cell = _join(basins, height, summit, config.min_size, neck)
    cell += np.int32(len(area))
    return np.where(mask, cell[basins], labels)


def _find_height(
    labels: NDArray[np.int32],
    large: NDArray[np.bool_],
    foreground: NDArray[np.float32],
    threshold: float,
    distance: NDArray[np.float32] | None,
) -> NDArray[np.float32]:
    """How deep each pixel lies in a component that is large enough to be split."""
    height = distance_to_border(labels, large) if distance is None else distance * large[labels]
    height *= np.maximum(foreground, threshold)  # a filled hole is improbable but no neck
    smooth: NDArray[np.float32] = ndi.gaussian_filter(height, 1.0)
    return smooth


def _find_seeds(
    height: NDArray[np.float32], labels: NDArray[np.int32], large: NDArray[np.bool_]
) -> tuple[NDArray[np.int32], int]:
    """The maxima of the height as 1 … n, and n."""
    maxima = ndi.maximum_filter(height, 3) == height
    maxima &= large[labels]
    seeds, n = ndi.label(maxima, output=np.int32)
    return seeds, n


def _flood(
    height: NDArray[np.float32], seeds: NDArray[np.int32], mask: NDArray[np.bool_]
) -> NDArray[np.int32]:
    """Watershed within the mask from the seeds in it, highest pixels first.

    Of seeds of the same height the first in raster order goes first. Left to the watershed, their
    order would hang on all other seeds of the image, and a block of it would be labelled otherwise
    than the whole.
    """
    cost = np.negative(height, dtype=np.float64)
    pixels = np.flatnonzero(np.logical_and(seeds, mask))
    heights = height.ravel()[pixels]
    # less than half the step to the next float32
    earlier = np.spacing(np.abs(heights)).astype(np.float64) * (1 - pixels / seeds.size) / 2
    cost.ravel()[pixels] -= earlier
    return np.asarray(watershed(cost, seeds, mask=mask), np.int32)


def _join(
    basins: NDArray[np.int32],
    height: NDArray[np.float32],
    summit: NDArray[np.float32],
    min_size: int,
    neck_ratio: float | None,
) -> NDArray[np.int32]:
    """For each basin 0 … n the basin whose cell it belongs to.

    `neck_ratio` None takes that of a distance in pixels, which depends on the parts' shape.
    """
    pairs = _necks(basins, height)
    area: list[int] = np.bincount(basins.ravel(), minlength=len(summit)).tolist()
    top: list[float] = summit.tolist()
    parent = list(range(len(summit)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    def is_wide(neck: float, a: int, b: int) -> bool:
        ratio = neck_ratio
        if ratio is None:
            roundness = min(1.0, pi * top[a] ** 2 / area[a], pi * top[b] ** 2 / area[b])
            ratio = NECK_LONG + (NECK_ROUND - NECK_LONG) * roundness
        return neck >= ratio * min(top[a], top[b])

    def is_small(_: float, a: int, b: int) -> bool:
        return min(area[a], area[b]) < min_size

    for belong_together in (is_wide, is_small):
        for i, j, neck in pairs:
            a, b = root(i), root(j)
            if a != b and belong_together(neck, a, b):
                parent[b] = a
                top[a] = max(top[a], top[b])
                area[a] += area[b]
    return np.array([root(i) for i in range(len(parent))], np.int32)


def _necks(basins: NDArray[np.int32], height: NDArray[np.float32]) -> list[tuple[int, int, float]]:
    """The pairs of basins that touch with the height of their pass, highest first."""
    parts = []
    for here, there in _NEIGHBOURS:
        a, b = basins[here], basins[there]
        touch = (a != b) & (a > 0) & (b > 0)
        a, b, pass_height = a[touch], b[touch], np.minimum(height[here], height[there])[touch]
        parts.append((np.minimum(a, b), np.maximum(a, b), pass_height))
    first, second, neck = (np.concatenate(part) for part in zip(*parts, strict=True))
    order = np.lexsort((second, first, -neck))
    pairs = np.stack([first[order], second[order]])
    kept = np.sort(np.unique(pairs, axis=1, return_index=True)[1])
    chosen = order[kept]
    return list(
        zip(first[chosen].tolist(), second[chosen].tolist(), neck[chosen].tolist(), strict=True)
    )


def grow_where_cells_meet(
    labels: NDArray[np.int32], foreground: NDArray[np.float32]
) -> NDArray[np.int32]:
    """Give the ridge between two cells back to them, and leave every other border where it is.

    The ridge is flooded from the instances, most probable pixels first.
    """
    ridge = _find_ridge(labels)
    around = ndi.binary_dilation(ridge, _EIGHT)
    around &= ridge | (labels > 0)
    return np.where(ridge, _flood(foreground, labels, around), labels)


def _find_ridge(labels: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Background with two different instances on opposite sides of it, at most `RIDGE` wide."""
    size = 2 * RIDGE + 1
    some = np.where(labels > 0, labels, np.iinfo(np.int32).max)
    highest, lowest = ndi.maximum_filter(labels, size), ndi.minimum_filter(some, size)
    rows, columns = np.nonzero((labels == 0) & (highest > 0) & (lowest != highest))
    padded = np.pad(labels, RIDGE)
    flat, width = padded.ravel(), padded.shape[1]
    pixels = (rows + RIDGE) * width + columns + RIDGE
    between = np.zeros(len(pixels), bool)
    for step in (1, width, width + 1, width - 1):
        ahead, steps_ahead = _first_instance(flat, pixels, step)
        behind, steps_behind = _first_instance(flat, pixels, -step)
        narrow = steps_ahead + steps_behind <= RIDGE + 1
        between |= narrow & (ahead > 0) & (behind > 0) & (ahead != behind)
    ridge = np.zeros(labels.shape, bool)
    ridge[rows[between], columns[between]] = True
    return ridge


def _first_instance(
    flat: NDArray[np.int32], pixels: NDArray[np.intp], step: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The first instance met from each pixel in one direction, and after how many steps."""
    found = np.zeros(len(pixels), np.int32)
    steps = np.zeros(len(pixels), np.int32)
    for k in range(1, RIDGE + 1):
        new = found == 0
        found[new] = flat[pixels[new] + k * step]
        steps[new] = k
    return found, steps


def keep_cells(labels: NDArray[np.int32], config: InstanceConfig) -> NDArray[np.int32]:
    """Renumber what is large enough, and not cut where that matters, 1 … n."""
    area = np.bincount(labels.ravel())
    keep = (area > 0) & (area >= config.min_size)
    if config.drop_border:
        for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
            keep[edge] = False
    keep[0] = False
    return renumber(labels, keep)


def renumber(labels: NDArray[np.int32], keep: NDArray[np.bool_]) -> NDArray[np.int32]:
    """The labels that are to be kept as 1 … n, in their order."""
    number = np.where(keep, np.cumsum(keep), 0).astype(np.int32)
    return number[labels]


def _describe(
    labels: NDArray[np.int32],
    probabilities: NDArray[np.float32],
    sureness: NDArray[np.float32],
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Class and score of instances 1 … n."""
    flat = labels.ravel()
    n = int(flat.max(initial=0))
    sums = np.stack([np.bincount(flat, p.ravel(), minlength=n + 1)[1:] for p in probabilities])
    classes = (sums.argmax(axis=0) + 1).astype(np.uint8)
    scores = np.zeros(n + 1, np.float32)
    np.maximum.at(scores, flat, sureness.ravel())
    return classes, np.clip(scores[1:], 0.0, 1.0)
