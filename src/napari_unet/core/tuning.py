"""Threshold and least score chosen on images with known cells, without the network."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.config import InstanceConfig
from napari_unet.core.errors import InputError
from napari_unet.core.matching import Labels
from napari_unet.core.metrics import ImageScores, average, drop_small, score_image
from napari_unet.core.types import Prediction

CHOICES: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("threshold", (0.3, 0.4, 0.5, 0.6, 0.7)),
    ("min_score", (0.0, 0.25, 0.4, 0.5, 0.6)),
)
"""The fields of an `InstanceConfig` that are tuned, and what is tried."""

_TITLES = {"threshold": "threshold", "min_score": "least score"}
_DOUBT = 0.3  # about the standard error of an AP near 0.6, of two states judged by the same cells


def find_margin(cells: int) -> float:
    """Mean AP by which one way has to be ahead to be better by more than chance.

    Few cells tell less than many.
    """
    return float(_DOUBT / np.sqrt(max(1, cells)))


@dataclass(frozen=True, eq=False)
class Seen:
    """What a network says of one image, and what is known of it.

    Attributes
    ----------
    label : callable of InstanceConfig to Prediction
        Makes cells of it in one way.
    truth : (H, W) int array
        > 0 a true cell.
    known : (H, W) bool array
        False where nothing is known of the truth.
    min_size : int
        Instances of fewer pixels are left out on both sides.
    """

    label: Callable[[InstanceConfig], Prediction]
    truth: Labels
    known: NDArray[np.bool_]
    min_size: int = 0


@dataclass(frozen=True)
class Tried:
    """Everything was tried on one more image: `done` so far."""

    done: int


@dataclass(frozen=True)
class Tuned:
    """The best way to make cells, and how it compares with the one before.

    Attributes
    ----------
    before, after : InstanceConfig
        Alike where nothing is better than `before` by more than `margin`.
    best : InstanceConfig
        What was best, be it by chance.
    scores_before, scores_best : dict
        As `metrics.evaluate` returns them: means over the images.
    margin : float
        Mean AP that may be chance, see `find_margin`.
    """

    before: InstanceConfig
    best: InstanceConfig
    scores_before: dict[str, float]
    scores_best: dict[str, float]
    margin: float

    @property
    def gain(self) -> float:
        """Mean AP that the best is ahead by."""
        return self.scores_best["mean_ap"] - self.scores_before["mean_ap"]

    @property
    def after(self) -> InstanceConfig:
        return self.best if self.gain > self.margin else self.before

    def __str__(self) -> str:
        images, cells = int(self.scores_before["images"]), int(self.scores_before["n_true"])
        before, best = self.scores_before["mean_ap"], self.scores_best["mean_ap"]
        on = f"on {cells} cells{f' of {images} images' if images > 1 else ''}"
        if self.best == self.before:
            return f"{_words(self.before)} are the best {on}: mean AP {before:.3f}."
        change = _changes(self.before, self.best)
        if self.after == self.before:
            return (
                f"{_words(self.before)} stay: {change} is ahead by {self.gain:.3f} mean AP {on}, "
                f"and {self.margin:.3f} may be chance."
            )
        return f"{change}: mean AP {before:.3f} → {best:.3f} {on}."


def tune(seen: Iterable[Seen], config: InstanceConfig) -> Generator[Tried, None, Tuned]:
    """Try all of `CHOICES` on each image and find the one with the highest mean AP.

    Parameters
    ----------
    seen : iterable of Seen
        Gone through once; one image is held at a time.
    config : InstanceConfig
        The way before, which stands where nothing is better; of equals, that which changes least.

    Yields
    ------
    Tried
        After each image.

    Raises
    ------
    InputError
        If there is no image with a cell that counts.
    """
    ways = _ways(config)
    scores: list[list[ImageScores]] = [[] for _ in ways]
    for one in seen:
        if not one.known.any():
            continue
        for of_way, score in zip(scores, _score_ways(one, ways), strict=True):
            of_way.append(score)
        yield Tried(len(scores[0]))
    cells = sum(score.n_true for score in scores[0])
    if not cells:
        raise InputError("There is no true cell to tune on: give images with painted cells.")
    averages = [average(of_way) for of_way in scores]
    best = max(range(len(ways)), key=lambda i: averages[i]["mean_ap"])  # of equals the first
    return Tuned(config, ways[best], averages[0], averages[best], find_margin(cells))


def _ways(config: InstanceConfig) -> list[InstanceConfig]:
    """The config itself, then all combinations of `CHOICES`, those that change least first."""
    names = [name for name, _ in CHOICES]
    values = itertools.product(*(values for _, values in CHOICES))
    others = [dataclasses.replace(config, **dict(zip(names, each, strict=True))) for each in values]
    others.sort(key=lambda way: sum(getattr(way, n) != getattr(config, n) for n in names))
    return [config, *(way for way in others if way != config)]


def _score_ways(seen: Seen, ways: list[InstanceConfig]) -> list[ImageScores]:
    """Score each way; ways that differ in the least score alone are labelled together."""
    labelled: dict[InstanceConfig, tuple[NDArray[np.int32], NDArray[np.float32]]] = {}
    scores = []
    truth = drop_small(seen.truth, seen.min_size)
    for way in ways:
        everything = dataclasses.replace(way, min_score=0.0)
        if everything not in labelled:
            all_of_them = seen.label(everything)
            labelled[everything] = all_of_them.labels, all_of_them.scores
        labels, sureness = labelled[everything]
        kept = np.append(False, sureness >= way.min_score)
        found = drop_small(np.where(kept[labels], labels, 0), seen.min_size)
        scores.append(score_image(truth, found, seen.known))
    return scores


def _words(config: InstanceConfig) -> str:
    return f"threshold {config.threshold:g} and least score {config.min_score:g}"


def _changes(before: InstanceConfig, after: InstanceConfig) -> str:
    return ", ".join(
        f"{_TITLES[name]} {getattr(before, name):g} → {getattr(after, name):g}"
        for name, _ in CHOICES
        if getattr(before, name) != getattr(after, name)
    )
