"""From probabilities to cells: threshold, components, split, grow back where cells meet."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi
from skimage.segmentation import watershed

from napari_unet.core.config import InstanceConfig
from napari_unet.core.errors import InputError
from napari_unet.core.types import Prediction

NECK = 0.7
"""Two parts are two cells where the neck between them is narrower than this × the smaller part.

Chosen on the labels of nuclei and of phase-contrast cells with ridges partly missing.
"""

RIDGE = 2
"""Two cells meet where the background between them is at most twice this wide, in pixels."""

SMOOTH = 1.0
_EIGHT = np.ones((3, 3), bool)


def label_instances(probabilities: NDArray[np.float32], config: InstanceConfig) -> Prediction:
    """Make cells of the class probabilities of one image.

    Parameters
    ----------
    probabilities : (K, H, W) float32 array
        Probability of each cell class 1 … K; background has what is missing to 1.
    config : InstanceConfig
        Threshold, splitting, and which objects are kept.

    Returns
    -------
    Prediction
        Instances 1 … n in reading order; the class of each is the one with the largest summed
        probability in it, its score the mean foreground probability.

    Raises
    ------
    InputError
        For an array that is not (K, H, W) or has values that are not finite.
    """
    probabilities = np.asarray(probabilities, np.float32)
    if probabilities.ndim != 3 or len(probabilities) == 0:
        raise InputError(
            f"The probabilities have the shape {probabilities.shape}: give (classes, rows, "
            "columns)."
        )
    if not np.isfinite(probabilities).all():
        raise InputError(
            "The probabilities have values that are not finite: train or load another model."
        )
    foreground = probabilities.sum(axis=0)
    mask = foreground > config.threshold
    labels, _ = ndi.label(mask, output=np.int32)
    if config.fill_holes:
        labels = fill_holes(labels)
    if config.split == "watershed":
        labels = split_components(labels, config.min_size)
    labels = grow_where_cells_meet(labels, foreground)
    if config.fill_holes:
        labels = fill_holes(labels)
    labels = _keep(labels, config)
    classes, scores = _describe(labels, probabilities, foreground)
    return Prediction(labels, classes, scores, probabilities)


def fill_holes(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Give each patch of background that lies inside one single instance to that instance."""
    patches, n = ndi.label(labels == 0, output=np.int32)
    inside, outside = _contacts(patches, labels)
    lowest = np.full(n + 1, np.iinfo(np.int32).max, np.int32)
    highest = np.zeros(n + 1, np.int32)
    np.minimum.at(lowest, inside, outside)
    np.maximum.at(highest, inside, outside)
    fill = np.where(lowest == highest, highest, 0)
    for edge in (patches[0], patches[-1], patches[:, 0], patches[:, -1]):
        fill[edge] = 0
    fill[0] = 0
    return np.where(labels == 0, fill[patches], labels).astype(np.int32)


def _contacts(
    patches: NDArray[np.int32], labels: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Where a patch and an instance are 4-neighbours: the patch's number, the instance's."""
    found: list[tuple[NDArray[np.int32], NDArray[np.int32]]] = []
    for here, there in _NEIGHBOURS:
        for a, b in ((here, there), (there, here)):
            touch = (patches[a] > 0) & (labels[b] > 0)
            found.append((patches[a][touch], labels[b][touch]))
    return np.concatenate([p for p, _ in found]), np.concatenate([i for _, i in found])


_NEIGHBOURS: tuple[tuple[Any, Any], ...] = (
    (np.s_[:-1], np.s_[1:]),
    (np.s_[:, :-1], np.s_[:, 1:]),
)


def split_components(labels: NDArray[np.int32], min_size: int) -> NDArray[np.int32]:
    """Part components at their necks.

    The distance to the background is flooded from each of its maxima; then basins are joined
    again, widest neck first, unless the neck is narrower than `NECK` × the smaller basin's
    greatest distance. A neck is judged relative to the cell, so that long and ragged cells
    stay whole. Parts smaller than `min_size` pixels are joined to where they hang on.
    """
    area = np.bincount(labels.ravel())
    large = area >= 2 * max(min_size, 1)
    large[0] = False
    distance = ndi.distance_transform_edt(large[labels]).astype(np.float32)
    distance = ndi.gaussian_filter(distance, SMOOTH)
    peaks = (ndi.maximum_filter(distance, 3) == distance) & large[labels]
    seeds, _ = ndi.label(peaks, _EIGHT, output=np.int32)
    heights = np.zeros(seeds.max(initial=0) + 1, np.float32)
    heights[seeds[peaks]] = distance[peaks]
    component = np.zeros(len(heights), np.int32)
    component[seeds[peaks]] = labels[peaks]
    several = np.bincount(component[1:], minlength=len(area)) > 1
    mask = several[labels]
    if not mask.any():
        return labels
    basins = watershed(-distance, np.where(mask, seeds, 0), mask=mask).astype(np.int32)
    cell = _join(basins, distance, heights, min_size)
    return np.where(mask, cell[basins] + len(area), labels).astype(np.int32)


def _join(
    basins: NDArray[np.int32],
    distance: NDArray[np.float32],
    heights: NDArray[np.float32],
    min_size: int,
) -> NDArray[np.int32]:
    """For each basin 0 … n the basin whose cell it belongs to."""
    first, second, necks = _necks(basins, distance)
    order = np.argsort(-necks, kind="stable")
    pairs = list(zip(first[order].tolist(), second[order].tolist(), necks[order].tolist(), strict=True))
    area: list[int] = np.bincount(basins.ravel(), minlength=len(heights)).tolist()
    height: list[float] = heights.tolist()
    parent = list(range(len(heights)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for small_only in (False, True):
        for i, j, neck in pairs:
            a, b = root(i), root(j)
            if a == b:
                continue
            if small_only:
                join = min(area[a], area[b]) < min_size
            else:
                join = neck >= CRIT(neck, height[a], height[b], area[a], area[b]) * min(height[a], height[b])
            if join:
                parent[b] = a
                height[a] = max(height[a], height[b])
                area[a] += area[b]
    return np.array([root(i) for i in range(len(parent))], np.int32)


CRIT=lambda n,ha,hb,A,B: .4+.5*min(1,3.14159*ha*ha/A,3.14159*hb*hb/B)


def _necks(
    basins: NDArray[np.int32], distance: NDArray[np.float32]
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]:
    """The pairs of basins that touch, and the greatest distance on their common border."""
    low, high, passes = [], [], []
    for here, there in _NEIGHBOURS:
        a, b = basins[here], basins[there]
        touch = (a != b) & (a > 0) & (b > 0)
        low.append(np.minimum(a[touch], b[touch]))
        high.append(np.maximum(a[touch], b[touch]))
        passes.append(np.minimum(distance[here][touch], distance[there][touch]))
    first, second, neck = np.concatenate(low), np.concatenate(high), np.concatenate(passes)
    order = np.lexsort((neck, second, first))
    first, second, neck = first[order], second[order], neck[order]
    last = np.ones(len(first), bool)
    last[:-1] = (first[1:] != first[:-1]) | (second[1:] != second[:-1])
    return first[last], second[last], neck[last]


def grow_where_cells_meet(
    labels: NDArray[np.int32], foreground: NDArray[np.float32]
) -> NDArray[np.int32]:
    """Give the ridge between two cells back to them, and leave every other border where it is.

    The ridge is flooded from the instances, most probable pixels first.
    """
    ridge = _find_ridge(labels)
    around = ndi.binary_dilation(ridge, _EIGHT)
    grown = watershed(
        -foreground, np.where(around, labels, 0), mask=around & (ridge | (labels > 0))
    )
    return np.where(ridge, grown, labels).astype(np.int32)


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


def _keep(labels: NDArray[np.int32], config: InstanceConfig) -> NDArray[np.int32]:
    """Renumber what is large enough, and not cut where that matters, 1 … n."""
    area = np.bincount(labels.ravel())
    keep = (area > 0) & (area >= config.min_size)
    if config.drop_border:
        for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
            keep[edge] = False
    keep[0] = False
    number = np.where(keep, np.cumsum(keep), 0).astype(np.int32)
    return number[labels]


def _describe(
    labels: NDArray[np.int32],
    probabilities: NDArray[np.float32],
    foreground: NDArray[np.float32],
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Class and score of instances 1 … n."""
    flat = labels.ravel()
    n = int(flat.max(initial=0))
    area = np.bincount(flat, minlength=n + 1)[1:]
    sums = np.stack([np.bincount(flat, p.ravel(), minlength=n + 1)[1:] for p in probabilities])
    total = np.bincount(flat, foreground.ravel(), minlength=n + 1)[1:]
    classes = (sums.argmax(axis=0) + 1).astype(np.uint8)
    scores = np.clip(total / np.maximum(area, 1), 0.0, 1.0).astype(np.float32)
    return classes, scores
