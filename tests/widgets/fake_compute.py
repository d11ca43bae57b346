"""A compute process that does what a test tells it."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from napari_unet.core.card import ModelCard
from napari_unet.core.evidence import Maps

CARD = ModelCard("unet", {}, channels=1, maps=1)
REPORT = SimpleNamespace(
    device="cpu",
    name="AMD EPYC 7763 64-Core Processor",
    precision="bfloat16",
    reason="No GPU was found.",
    hint="",
)


def write_model(path: Path, card: ModelCard = CARD) -> Path:
    """A model file with a card that can be read, and weights that cannot."""
    header = json.dumps({"__metadata__": card.to_header()}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"weights")
    return path


def answer_of(
    labels: NDArray[np.int32],
    maps: NDArray[Any] | None = None,
    scores: tuple[float, ...] | None = None,
) -> dict[str, Any]:
    """The result of a prediction."""
    count = int(labels.max())
    return {
        "labels": labels,
        "evidence": Maps((labels[None] > 0).astype(np.float32) if maps is None else maps, 1),
        "classes": np.ones(count, np.uint8),
        "scores": np.array((1.0,) * count if scores is None else scores, np.float32),
        "seconds": 2.1,
    }


@dataclass
class Call:
    """What was asked for."""

    job: int
    arguments: tuple[Any, ...]
    options: dict[str, Any]


class FakeCompute(QObject):
    """The signals and methods of `napari_unet.widgets._compute.Compute`."""

    ready = Signal(object)
    happened = Signal(int, object)
    done = Signal(int, object)
    stopped = Signal(int, object)
    failed = Signal(int, str, str)

    def __init__(self) -> None:
        super().__init__()
        self.report: Any = None
        self.trainings: list[Call] = []
        self.predictions: list[Call] = []
        self.batches: list[Call] = []
        self.contests: list[Call] = []
        self.stops: list[int] = []
        self.repaints: list[tuple[int, Any]] = []
        self.partial: dict[int, Any] = {}
        self.started = 0

    def start(self) -> None:
        self.started += 1

    def warm(self) -> None:
        self.report = REPORT
        self.ready.emit(REPORT)

    def _number(self) -> int:
        calls = (self.trainings, self.predictions, self.batches, self.contests)
        return 1 + sum(map(len, calls))

    def train(self, *arguments: Any, **options: Any) -> int:
        self.trainings.append(Call(self._number(), arguments, options))
        return self.trainings[-1].job

    def predict(self, *arguments: Any, **options: Any) -> int:
        self.predictions.append(Call(self._number(), arguments, options))
        return self.predictions[-1].job

    def predict_files(self, *arguments: Any, **options: Any) -> int:
        self.batches.append(Call(self._number(), arguments, options))
        return self.batches[-1].job

    def compete(self, *arguments: Any, **options: Any) -> int:
        self.contests.append(Call(self._number(), arguments, options))
        return self.contests[-1].job

    def repaint(self, job: int, sample: Any) -> None:
        self.repaints.append((job, sample))

    def evidence(self, job: int) -> Any:
        maps = self.partial.get(job)
        return None if maps is None else Maps(maps, 1)

    def stop(self, job: int) -> None:
        self.stops.append(job)

    def close(self) -> None:
        pass
