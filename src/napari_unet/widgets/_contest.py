"""One plane predicted with one model after the other, to compare what they say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from napari_unet.core.config import PredictConfig
from napari_unet.core.evidence import Evidence
from napari_unet.core.types import TileDone
from napari_unet.widgets._connections import Connections
from napari_unet.widgets._pixels import Pixels
from napari_unet.widgets._session import Session
from napari_unet.widgets._worker import Latest


@dataclass(frozen=True, eq=False)
class Answer:
    """What one model said.

    Attributes
    ----------
    model : Path
    labels : (H, W) int32 array
    classes : dict of label to class 1 … K
    evidence : Evidence
        What cells can be made of in another way.
    seconds : float
        That the network took.
    """

    model: Path
    labels: NDArray[np.int32]
    classes: dict[int, int]
    evidence: Evidence
    seconds: float


class Contest(QObject):
    """Predicts the plane in view with several models; they take turns, so that times are fair.

    Signals
    -------
    progressed(model : Path, done : int, total : int)
        Tiles.
    finished(answers : list of Answer)
    stopped()
    failed(sentence : str, details : str)
    """

    progressed = Signal(object, int, int)
    finished = Signal(object)
    stopped = Signal()
    failed = Signal(str, str)

    def __init__(self, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._job: int | None = None
        self._waiting: list[Path] = []
        self._answers: list[Answer] = []
        self._pixels: Pixels | None = None
        self._name = ""
        self._connections = Connections()
        compute = session.compute
        self._connections.connect(compute.happened, self._on_happened)
        self._connections.connect(compute.done, self._on_done)
        self._connections.connect(compute.stopped, self._on_stopped)
        self._connections.connect(compute.failed, self._on_failed)

    @property
    def busy(self) -> bool:
        """Whether a model is asked and has not answered."""
        return self._job is not None

    def start(self, models: Sequence[Path]) -> None:
        """Ask each model for the cells of the plane in view.

        Raises
        ------
        InputError
            If there is no image.
        """
        self._pixels, self._name = self._session.image_reader(), self._session.need_image().name
        self._waiting, self._answers = list(models), []
        self._ask()

    def stop(self) -> None:
        """Ask no more; nothing is told of what was answered."""
        if self._job is not None:
            self._session.compute.stop(self._job)

    def close(self) -> None:
        """Stop what runs and let go of everything."""
        self.stop()
        self._forget()
        self._connections.undo()

    def _ask(self) -> None:
        assert self._pixels is not None
        self._job = self._session.compute.predict(
            self._waiting[0], self._pixels, PredictConfig(), region=None, name=self._name
        )

    def _forget(self) -> None:
        self._job, self._pixels, self._waiting, self._answers = None, None, [], []

    def _on_happened(self, job: int, event: object) -> None:
        if job == self._job and isinstance(event, TileDone):
            self.progressed.emit(self._waiting[0], event.done, event.total)

    def _on_done(self, job: int, result: dict[str, Any]) -> None:
        if job != self._job:
            return
        self._answers.append(
            Answer(
                self._waiting.pop(0),
                result["labels"],
                {label: int(kind) for label, kind in enumerate(result["classes"], 1)},
                result["evidence"],
                float(result["seconds"]),
            )
        )
        if self._waiting:
            self._ask()
            return
        answers = self._answers
        self._forget()
        self.finished.emit(answers)

    def _on_stopped(self, job: int, result: dict[str, Any]) -> None:
        if job == self._job:
            self._forget()
            self.stopped.emit()

    def _on_failed(self, job: int, sentence: str, details: str) -> None:
        if job == self._job:
            self._forget()
            self.failed.emit(sentence, details)


class PlaneWork(QObject):
    """Work on the plane in view that first asks models, then goes on off the GUI thread.

    Signals
    -------
    progressed(model : Path, done : int, total : int)
    stopped()
    failed(sentence : str, details : str)
    """

    progressed = Signal(object, int, int)
    stopped = Signal()
    failed = Signal(str, str)

    def __init__(self, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._contest: Contest | None = None
        self._work = Latest(self)
        self._given_up = False

    @property
    def busy(self) -> bool:
        """Whether a model is asked, or the work goes on."""
        return self._work.busy or (self._contest is not None and self._contest.busy)

    def stop(self) -> None:
        """Ask no more; what runs in a thread ends without being shown."""
        if self._contest is not None and self._contest.busy:
            self._contest.stop()
        elif self._work.busy:
            self._given_up = True

    def close(self) -> None:
        """Stop what runs and let go of everything."""
        self._given_up = True
        if self._contest is not None:
            self._contest.close()

    def _on_answers(self, answers: list[Answer]) -> None:
        """All models have answered."""
        raise NotImplementedError

    def _ask(self, models: Sequence[Path]) -> None:
        # only now: a contest starts the compute process
        if self._contest is None:
            self._contest = Contest(self._session, self)
            self._contest.progressed.connect(self.progressed)
            self._contest.finished.connect(self._on_answers)
            self._contest.stopped.connect(self.stopped)
            self._contest.failed.connect(self.failed)
        self._contest.start(models)
