"""What is told of a contest of model families, and how they did on the same cells.

Needs no torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from napari_unet.core.disagreement import Tally
from napari_unet.core.metrics import Scored
from napari_unet.core.tuning import find_margin
from napari_unet.core.types import TrainEvent

_FIGURES = ("ap50", "ap75", "mean_ap", "f1_50", "pq")


@dataclass(frozen=True)
class Told:
    """What training, and then scoring, says of one entry."""

    name: str
    event: TrainEvent | Scored


@dataclass(frozen=True)
class Failed:
    """An entry could not be trained, for the reason that the sentence gives; the others go on."""

    name: str
    sentence: str


ContestEvent: TypeAlias = Told | Failed


@dataclass(frozen=True)
class Standing:
    """What one model family came to.

    Attributes
    ----------
    name : str
        The family, with its preset where that is not the default.
    model : str
        Its file.
    scores : dict
        On what was held out: what `evaluation.summarize` gives.
    parameters : int
        Of the network.
    minutes : float
        From the first look at the paint to the tuned model, held-out part looked at included.
    steps : int
        Of the optimiser.
    images_per_second : float
        Tiles that training has seen, over the time it took.
    memory, gpu_memory : int, optional
        Bytes that the process of the training held at most, torch itself included, and that it
        had allocated on a GPU; None where that cannot be told or there is none.
    """

    name: str
    model: str
    scores: dict[str, float]
    parameters: int
    minutes: float
    steps: int
    images_per_second: float
    memory: int | None = None
    gpu_memory: int | None = None

    @property
    def costs(self) -> dict[str, float]:
        """Seconds of a prediction, minutes and GB of the training, as far as they are known."""
        costs = {"seconds": self.scores["seconds"], "minutes": self.minutes}
        return costs if self.memory is None else {**costs, "memory": self.memory / 1e9}

    def row(self) -> dict[str, Any]:
        """As a row of a table; memory in MB (10⁶ bytes), that of the GPU where there is one."""
        row: dict[str, Any] = {"model": self.name}
        row |= {key: self.scores[key] for key in _FIGURES}
        row |= {
            "parameters": self.parameters,
            "train_minutes": self.minutes,
            "steps": self.steps,
            "images_per_second": self.images_per_second,
            "predict_seconds": self.scores["seconds"],
            "memory_mb": None if self.memory is None else self.memory / 1e6,
        }
        return row if self.gpu_memory is None else {**row, "gpu_memory_mb": self.gpu_memory / 1e6}


@dataclass(frozen=True)
class Outcome:
    """What came of it: those that were trained, why others were not, and how they differ.

    Attributes
    ----------
    standings : tuple of Standing
        In the order in which they were trained, at least one.
    failed : dict of name to sentence
    tallies : tuple of Tally
        For each ordered pair of `standings`.
    """

    standings: tuple[Standing, ...]
    failed: dict[str, str]
    tallies: tuple[Tally, ...]

    @property
    def better(self) -> str | None:
        """The one that is ahead of all others by more than chance; None where none is."""
        first, *others = self._ranked()
        return first.name if others and self._gap > self._margin else None

    def conclude(self, titles: Mapping[str, str] | None = None) -> str:
        """Which one is better, by the mean AP, in a sentence that calls them by these titles."""
        first, *others = ((titles or {}).get(one.name, one.name) for one in self._ranked())
        if not others:
            return f"{first} alone was trained: there is nothing to compare it with."
        on = f"on {self.standings[0].scores['n_true']:.0f} held-out cells"
        if not self._gap:
            return f"{first} and {others[0]} are equal in mean AP {on}."
        ahead = f"{first} is ahead of {others[0]} by {self._gap:.3f} mean AP {on}"
        if self.better is None:
            return f"{ahead}, but {self._margin:.3f} may be chance: paint more to tell them apart."
        return f"{ahead}; {self._margin:.3f} would be chance."

    def _ranked(self) -> Sequence[Standing]:
        return sorted(self.standings, key=lambda one: -one.scores["mean_ap"])

    @property
    def _gap(self) -> float:
        first, second, *_ = self._ranked()
        return first.scores["mean_ap"] - second.scores["mean_ap"]

    @property
    def _margin(self) -> float:
        return find_margin(int(self.standings[0].scores["n_true"]))
