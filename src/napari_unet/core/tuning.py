"""How cells are made, chosen on images with known cells, without the network."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.config import EvidenceKind, InstanceConfig, applies
from napari_unet.core.errors import InputError
from napari_unet.core.evidence import Evidence
from napari_unet.core.matching import Labels
from napari_unet.core.metrics import ImageScores, average, drop_small, score_image

Choices: TypeAlias = Mapping[str, tuple[Any, ...]]
CHOICES: Choices = {
    "threshold": (0.3, 0.4, 0.5, 0.6, 0.7),
    "min_score": (0.0, 0.25, 0.4, 0.5, 0.6),
    "overlap": (0.3, 0.5, 0.7),
}
"""The fields of an `InstanceConfig` that are tuned, and what is tried."""

_TITLES = {"threshold": "threshold", "min_score": "least score", "overlap": "overlap"}
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
    evidence : Evidence
        Of which cells are made in one way or another.
    truth : (H, W) int array
        > 0 a true cell.
    known : (H, W) bool array
        False where nothing is known of the truth.
    min_size : int
        Instances of fewer pixels are left out on both sides.
    """

    evidence: Evidence
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
    names : tuple of str
        The fields that were tried.
    """

    before: InstanceConfig
    best: InstanceConfig
    scores_before: dict[str, float]
    scores_best: dict[str, float]
    margin: float
    names: tuple[str, ...]

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
            return f"{self._words(self.before)} are the best {on}: mean AP {before:.3f}."
        change = ", ".join(
            f"{_TITLES[name]} {getattr(self.before, name):g} → {getattr(self.best, name):g}"
            for name in self.names
            if getattr(self.before, name) != getattr(self.best, name)
        )
        if self.after == self.before:
            return (
                f"{self._words(self.before)} stay: {change} is ahead by {self.gain:.3f} mean AP "
                f"{on}, and {self.margin:.3f} may be chance."
            )
        return f"{change}: mean AP {before:.3f} → {best:.3f} {on}."

    @property
    def values(self) -> dict[str, Any]:
        """Of the fields that were tried what they are from now on."""
        return {name: getattr(self.after, name) for name in self.names}

    @property
    def words(self) -> str:
        """The same for the person."""
        return self._words(self.after)

    def _words(self, config: InstanceConfig) -> str:
        *most, last = (f"{_TITLES[name]} {getattr(config, name):g}" for name in self.names)
        return f"{', '.join(most)} and {last}"


def choices_for(evidence: EvidenceKind, choices: Choices = CHOICES) -> Choices:
    """Those of the choices that say something to this kind of evidence."""
    fields = {item.name: item for item in dataclasses.fields(InstanceConfig)}
    return {name: each for name, each in choices.items() if applies(fields[name], evidence)}


def tune(seen: Iterable[Seen], config: InstanceConfig) -> Generator[Tried, None, Tuned]:
    """Try all of `choices_for` what is seen, and find the way with the highest mean AP.

    Parameters
    ----------
    seen : iterable of Seen
        Of one kind of evidence. Gone through once; one image is held at a time.
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
    ways: list[InstanceConfig] = []
    names: tuple[str, ...] = ()
    scores: list[list[ImageScores]] = []  # of each image those of all ways
    for one in seen:
        if not one.known.any():
            continue
        if not ways:
            choices = choices_for(one.evidence.kind)
            names, ways = tuple(choices), _ways(config, choices)
        scores.append(_score_ways(one, ways))
        yield Tried(len(scores))
    cells = sum(of_image[0].n_true for of_image in scores)
    if not cells:
        raise InputError("There is no true cell to tune on: give images with painted cells.")
    averages = [average(of_way) for of_way in zip(*scores, strict=True)]
    best = max(range(len(ways)), key=lambda i: averages[i]["mean_ap"])  # of equals the first
    return Tuned(config, ways[best], averages[0], averages[best], find_margin(cells), names)


def _ways(config: InstanceConfig, choices: Choices) -> list[InstanceConfig]:
    """The config itself, then all combinations of choices, those that change least first."""
    values = itertools.product(*choices.values())
    each = (dict(zip(choices, chosen, strict=True)) for chosen in values)
    others = [dataclasses.replace(config, **changes) for changes in each]
    others.sort(key=lambda way: sum(getattr(way, n) != getattr(config, n) for n in choices))
    return [config, *(way for way in others if way != config)]


def _score_ways(seen: Seen, ways: list[InstanceConfig]) -> list[ImageScores]:
    """Score each way; ways that differ in the least score alone are labelled together."""
    labelled: dict[InstanceConfig, tuple[NDArray[np.int32], NDArray[np.float32]]] = {}
    scores = []
    truth = drop_small(seen.truth, seen.min_size)
    for way in ways:
        everything = dataclasses.replace(way, min_score=0.0)
        if everything not in labelled:
            all_of_them = seen.evidence.label(everything)
            labelled[everything] = all_of_them.labels, all_of_them.scores
        labels, sureness = labelled[everything]
        kept = np.append(False, sureness >= way.min_score)
        found = drop_small(np.where(kept[labels], labels, 0), seen.min_size)
        scores.append(score_image(truth, found, seen.known))
    return scores
