"""The weight map of an image that is being painted on: exact, and updated by the stroke."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.core._label_tiles import Ridge
from napari_unet.core.annotation import class_index, count_cells, supervision
from napari_unet.core.border_weights import border_term, nearest_two, update
from napari_unet.core.class_weights import class_weight_values
from napari_unet.core.config import WeightConfig
from napari_unet.core.regions import hull, widen, within
from napari_unet.core.types import Region

DRIFT = 0.02
"""Class weights that moved by more than this fraction are worth a map of their own."""

WIDEST_GAP = 20
"""In pixels: cells further apart than this do not meet, the distance is no gap between them."""

_BINS = 48
_COUNTED = 4_000_000
_TILE = 128
_LOOKS = 24
_GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True, eq=False)
class Figures:
    """A map in figures.

    Largest weight, share of pixels above 1, number of cells that touch, share of pixels that
    nothing is said about, and the number of the others in equal steps of weight from 0 to the
    largest (of a large map some millions of pixels, spread evenly, are counted).
    """

    largest: float
    above_one: float
    touching: int
    unsaid: float
    histogram: NDArray[np.int64]


@dataclass(frozen=True)
class Gaps:
    """How wide the gaps between neighbouring cells are, in pixels: from 10 to 90 % of them."""

    narrow: float
    wide: float
    sigma: float
    """The σ with which the middle of a typical gap weighs about 0.6·w0."""


class LiveMap:
    """The weight map of one plane, kept up to date while it is painted on.

    Parameters
    ----------
    labels : (H, W) integer array
        > 0 a cell instance, -1 background said, 0 not said.
    complete : (H, W) bool array, optional
        Where everything that is a cell is painted.
    classes : mapping of label to class
    config : WeightConfig
    threads : int
        For the border term.

    Attributes
    ----------
    shown : (H, W) float32 array
        Border term plus class weight, 0 where nothing is said; changed in place.
    drifted : bool
        Strokes moved the class weights by more than `DRIFT`, or changed what is said elsewhere:
        time for a new map.

    Until it has drifted, `shown` is that of `annotation.weight_map` for the labels now, but for
    the class weights, which are those of when it was made.
    """

    def __init__(
        self,
        labels: NDArray[Any],
        complete: NDArray[np.bool_] | None,
        classes: Mapping[int, int],
        config: WeightConfig,
        threads: int = 1,
    ) -> None:
        self.config = config
        self.drifted = False
        self._term = border_term(labels, config, threads=threads)
        self._index = class_index(labels, classes, config)
        self._known = supervision(labels, complete)
        self._background = labels == -1
        self._backgrounds = int(np.count_nonzero(self._background))
        self._complete = complete if complete is not None and complete.any() else None
        classes_n = max(1, *classes.values(), 1)
        self._counts = np.bincount(self._index[self._known], minlength=classes_n + 1)
        self._weights = class_weight_values(self._counts, config.class_weights)
        self.shown = self._compose((slice(None), slice(None)))

    def paint(
        self,
        labels: NDArray[Any],
        region: Region,
        classes: Mapping[int, int],
    ) -> Region:
        """Bring the map up to date after the labels changed inside `region`.

        Parameters
        ----------
        labels : (H, W) integer array
            The labels now.
        region : (rows, columns) slices
            The box that changed.
        classes : mapping of label to class
            As given before, but for cells inside `region`. The complete regions are those given
            before: other ones make another map.

        Returns
        -------
        (rows, columns) slices
            The box of `shown` that was computed anew.
        """
        rows, columns = update(self._term, labels, region, self.config)
        # a pixel's neighbours decide whether it is ridge
        box = widen(region, 1, labels.shape)
        around = widen(box, 1, labels.shape)
        inside = within(box, around)
        crop = labels[around].astype(np.int32, copy=False)
        present = {label: classes[label] for label in np.unique(crop).tolist() if label in classes}
        index = class_index(crop, present, self.config)[inside]
        self._recount(box, index, self._supervise(crop[inside], box))
        changed = hull([(rows, columns), box])
        self.shown[changed] = self._compose(changed)
        return changed

    def measure(self, labels: NDArray[Any]) -> Figures:
        """Put the map in figures; `labels` as they are now."""
        _, touching = count_cells(labels)
        largest = float(self.shown.max(initial=0.0))
        step = -(-self.shown.size // _COUNTED) or 1
        weights, known = self.shown.ravel()[::step], self._known.ravel()[::step]
        return Figures(
            largest=largest,
            above_one=float(np.count_nonzero(self.shown > 1)) / max(1, self.shown.size),
            touching=touching,
            unsaid=1 - float(np.count_nonzero(self._known)) / max(1, self._known.size),
            histogram=np.histogram(weights[known], _BINS, (0.0, max(largest, 1e-9)))[0],
        )

    def _compose(self, box: Region) -> NDArray[np.float32]:
        weights = self._weights[self._index[box]]
        weights += self._term[box]
        weights *= self._known[box]
        return weights

    def _supervise(self, labels: NDArray[Any], box: Region) -> NDArray[np.bool_]:
        """Where something is said in `box`; a first -1 changes that in all of the frame."""
        had_background = self._backgrounds > 0
        self._backgrounds -= int(np.count_nonzero(self._background[box]))
        self._background[box] = labels == -1
        self._backgrounds += int(np.count_nonzero(self._background[box]))
        has_background = self._backgrounds > 0
        said: NDArray[np.bool_] = labels != 0
        if self._complete is not None:
            said |= self._complete[box]
        else:
            self.drifted |= has_background != had_background
            said |= not has_background
        return said

    def _recount(self, box: Region, index: NDArray[np.uint8], known: NDArray[np.bool_]) -> None:
        """Put in what is in `box` now, and see whether the class weights moved."""
        before = self._index[box][self._known[box]]
        after = index[known]
        largest = max(before.max(initial=0), after.max(initial=0))
        if largest >= self._counts.size:  # a class that was not there: it has no weight yet
            self.drifted = True
            self._counts.resize(largest + 1, refcheck=False)
            self._weights = np.append(
                self._weights, np.ones(self._counts.size - self._weights.size, np.float32)
            )
        size = self._counts.size
        self._counts += np.bincount(after, minlength=size) - np.bincount(before, minlength=size)
        self._index[box] = index
        self._known[box] = known
        now = class_weight_values(self._counts, self.config.class_weights)
        self.drifted |= bool(np.any(np.abs(now - self._weights) > DRIFT * self._weights))


def explain_merging(touching: int, ridge: Ridge, stride: float = 1.0) -> str:
    """Say why the network would learn touching cells as one; empty where it would not.

    Parameters
    ----------
    touching : int
        Number of cells that touch another one.
    ridge : bool or "half"
        How they are parted, see `border_weights.cut_ridge`: by 2 px, by 1 px, not at all.
    stride : float
        Pixels of the annotation to one of the network's output; finer lines are lost in it.
    """
    width = {True: 2, "half": 1, False: 0}[ridge]
    if touching == 0 or width >= stride:
        return ""
    if width == 0:
        return (
            f"{touching} cells touch and no ridge is cut between them: the network would learn "
            "them as one. Cut ridges."
        )
    return (
        f"The ridge between touching cells is {width} px wide and the network sees {stride:g} px "
        "as one: it would learn them as one cell. Use a finer scale."
    )


def measure_gaps(labels: NDArray[Any]) -> Gaps | None:
    """Measure how wide the gaps between neighbouring cells are.

    Parameters
    ----------
    labels : (H, W) integer array

    Returns
    -------
    Gaps or None
        None where no two cells are less than `WIDEST_GAP` pixels apart without touching. A gap
        is measured where it is narrowest, in background pixels from rim to rim; of a large
        image a few parts, spread over it, are looked at.
    """
    tiles = [
        (slice(top, top + _TILE), slice(left, left + _TILE))
        for top in range(0, labels.shape[0], _TILE)
        for left in range(0, labels.shape[1], _TILE)
    ]
    # steps of the golden section spread any number of them over the image
    order = np.argsort(np.arange(len(tiles)) * _GOLDEN % 1)
    painted = (tiles[i] for i in order.tolist() if labels[tiles[i]].max(initial=0) > 0)
    found = [_narrowest(labels, tile) for tile in itertools.islice(painted, _LOOKS)]
    widths = np.concatenate([np.empty(0, np.float32), *found])
    if not widths.size:
        return None
    narrow, middle, wide = np.percentile(widths, (10, 50, 90))
    return Gaps(float(narrow), float(wide), float(max(1, round(middle + 1))))


def _narrowest(labels: NDArray[Any], tile: Region) -> NDArray[np.float32]:
    """Widths of the gaps at their narrowest inside `tile`; what lies further does not count."""
    around = widen(tile, WIDEST_GAP + 2, labels.shape)
    crop = labels[around]
    first, second = nearest_two(crop)
    widths = np.where(crop > 0, np.inf, first + second - 1)
    # half-way between both cells; on their far sides the way goes through a cell
    narrowest = (second - first <= 1) & (widths <= ndimage.minimum_filter(widths, 3))
    inside = within(tile, around)
    found: NDArray[np.float32] = widths[inside][narrowest[inside] & (widths[inside] <= WIDEST_GAP)]
    return found
