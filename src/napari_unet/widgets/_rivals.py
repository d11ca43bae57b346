"""A model of each kind trained on the annotation in view, to see which one suits it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, Signal

from napari_unet.core.config import TrainConfig
from napari_unet.core.errors import InputError
from napari_unet.core.models import MODELS
from napari_unet.core.standings import Failed, Outcome, Told
from napari_unet.core.types import Judging, Sample, Stepped
from napari_unet.widgets._connections import Connections
from napari_unet.widgets._model_files import SUFFIX, models_folder, move_model, new_model_path
from napari_unet.widgets._session import Session
from napari_unet.widgets._worker import run


@dataclass(frozen=True, eq=False)
class Compared:
    """What came of it, and where the models are, in the order of `outcome.standings`."""

    outcome: Outcome
    models: tuple[Path, ...]

    @property
    def sentence(self) -> str:
        """Which kind is better, for the status line."""
        titles = {name: family.title for name, family in MODELS.items()}
        return f"Done · {self.outcome.conclude(titles)}"


class Rivals(QObject):
    """Trains one after the other in the compute process; models go to the person's folder.

    Signals
    -------
    progressed(sentence : str, fraction : float)
    finished(compared : Compared)
    stopped(models : list of Path)
        What had been learnt by then is kept.
    failed(sentence : str, details : str)
    """

    progressed = Signal(str, float)
    finished = Signal(object)
    stopped = Signal(object)
    failed = Signal(str, str)

    def __init__(self, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._job: int | None = None
        self._reading = self._given_up = False
        self._folder: Path | None = None
        self._name = ""
        self._source: object = None
        self._seen: list[str] = []
        self._connections = Connections()
        compute = session.compute
        self._connections.connect(compute.happened, self._on_happened)
        self._connections.connect(compute.done, self._on_done)
        self._connections.connect(compute.stopped, self._on_stopped)
        self._connections.connect(compute.failed, self._on_failed)

    @property
    def busy(self) -> bool:
        """Whether the annotation is read or models are trained."""
        return self._reading or self._job is not None

    @property
    def in_view(self) -> bool:
        """Whether what they were trained on is what is in view."""
        return self._source == self._in_view()

    def _in_view(self) -> object:
        session = self._session
        image, labels = session.image, session.labels
        return image, labels, None if image is None else session.plane_index(image)

    def start(self, config: TrainConfig, start_from: Sequence[Path] = ()) -> None:
        """Train on the plane in view, each for the budget of `config`.

        Raises
        ------
        InputError
            If there is no image or no annotation.
        """
        read = self._session.sample_reader()
        self._source = self._in_view()
        self._reading, self._given_up, self._seen = True, False, []
        run(
            read,
            on_done=partial(self._ask, config, start_from),
            on_error=lambda sentence: self._fail(sentence, ""),
            owner=self,
        )

    def stop(self) -> None:
        """Compare nothing; what was learnt so far is kept."""
        self._given_up = True
        if self._job is not None:
            self._session.compute.stop(self._job)

    def close(self) -> None:
        """Stop what runs and let go of everything."""
        self.stop()
        self._connections.undo()
        if self._folder is not None:
            self._keep_all()
        self._forget()

    def _ask(self, config: TrainConfig, start_from: Sequence[Path], sample: Sample) -> None:
        self._reading = False
        if self._given_up:
            self.stopped.emit([])
            return
        try:
            self._folder = Path(tempfile.mkdtemp(prefix=".comparison-", dir=models_folder()))
        except OSError as error:
            self._fail(f"The folder of models cannot be written to ({error.strerror}).", "")
            return
        self._name = sample.name
        self._job = self._session.compute.compete(
            sample,
            config,
            self._folder,
            start_from=start_from,
            class_names=self._session.class_names,
        )

    def _on_happened(self, job: int, event: object) -> None:
        if job != self._job or not isinstance(event, Told | Failed):
            return
        if event.name not in self._seen:
            self._seen.append(event.name)
        of = f"model {len(self._seen)} of {len(MODELS)}"
        title = MODELS[event.name].title
        before = (len(self._seen) - 1) / len(MODELS)
        said = event.event if isinstance(event, Told) else None
        if isinstance(said, Stepped):
            words = f"Training · {title}, {of} · step {said.step} · {said.remaining:.0f} s left"
            self.progressed.emit(words, before + said.fraction / len(MODELS))
        elif isinstance(said, Judging):
            words = f"Judging the held-out part · {title}, {of} · {said.done} of {said.total}"
            self.progressed.emit(words, before)

    def _on_done(self, job: int, result: dict[str, Any]) -> None:
        if job != self._job:
            return
        outcome: Outcome = result["outcome"]
        try:
            models = [self._keep(Path(one.model)) for one in outcome.standings]
        except InputError as error:
            self._fail(str(error), "")
            return
        self._forget()
        self.finished.emit(Compared(outcome, tuple(models)))

    def _on_stopped(self, job: int, result: dict[str, Any]) -> None:
        if job == self._job:
            kept = self._keep_all()
            self._forget()
            self.stopped.emit(kept)

    def _on_failed(self, job: int, sentence: str, details: str) -> None:
        if job == self._job:
            self._keep_all()
            self._fail(sentence, details)

    def _fail(self, sentence: str, details: str) -> None:
        self._forget()
        self.failed.emit(sentence, details)

    def _keep_all(self) -> list[Path]:
        assert self._folder is not None
        return [self._keep(path) for path in sorted(self._folder.glob(f"*{SUFFIX}"))]

    def _keep(self, path: Path) -> Path:
        """Give a model its place and name among the person's."""
        return move_model(path, new_model_path(f"{self._name} {MODELS[path.stem].title}"))

    def _forget(self) -> None:
        """The rest, predictions of what was held out and half-made states, is not needed."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._job, self._folder, self._reading = None, None, False
