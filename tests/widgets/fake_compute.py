"""A compute process that does what a test tells it."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from qtpy.QtCore import QObject, Signal

REPORT = SimpleNamespace(
    device="cpu",
    name="AMD EPYC 7763 64-Core Processor",
    precision="bfloat16",
    reason="No GPU was found.",
    hint="",
)


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
        return 1 + len(self.trainings) + len(self.predictions)

    def train(self, *arguments: Any, **options: Any) -> int:
        self.trainings.append(Call(self._number(), arguments, options))
        return self.trainings[-1].job

    def predict(self, *arguments: Any, **options: Any) -> int:
        self.predictions.append(Call(self._number(), arguments, options))
        return self.predictions[-1].job

    def repaint(self, job: int, sample: Any) -> None:
        self.repaints.append((job, sample))

    def maps(self, job: int) -> Any:
        return self.partial.get(job)

    def stop(self, job: int) -> None:
        self.stops.append(job)

    def close(self) -> None:
        pass
