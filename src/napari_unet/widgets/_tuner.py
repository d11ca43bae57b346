"""How a model makes cells, found on the plane in view and stored when asked."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from qtpy.QtCore import QObject, Signal

from napari_unet.core.annotation import supervision
from napari_unet.core.card import read_card, write_card
from napari_unet.core.events import exhaust
from napari_unet.core.tuning import Seen, Tuned, tune
from napari_unet.widgets._contest import Answer, PlaneWork
from napari_unet.widgets._edited import Cells
from napari_unet.widgets._judge import Truth, truth_reader
from napari_unet.widgets._session import Session


class Tuner(PlaneWork):
    """Predicts once with a model, then tries how to make cells of it off the GUI thread.

    Signals
    -------
    tuned(sentence : str, better : bool)
        What was found, and whether there is something to store.
    stored(sentence : str)
        And those of `PlaneWork`.
    """

    tuned = Signal(str, bool)
    stored = Signal(str)

    def __init__(self, session: Session, parent: QObject | None = None) -> None:
        super().__init__(session, parent)
        self._read_truth: Callable[[], Truth] | None = None
        self._found: tuple[Path, Tuned] | None = None

    def start(self, truth: Cells, model: Path) -> None:
        """Find the best way to make cells of what `model` says of the plane in view.

        Raises
        ------
        InputError
            If there is no image.
        """
        self.forget()
        self._given_up = False
        self._read_truth = truth_reader(self._session, truth)
        self._ask([model])

    def store(self) -> None:
        """Write what was found into the model file."""
        if self._found is None:
            return
        path, tuned = self._found
        self._work.run(
            _store,
            path,
            tuned,
            on_done=lambda sentence: self._on_stored(path, sentence),
            on_error=lambda sentence: self.failed.emit(sentence, ""),
        )

    def forget(self) -> None:
        """There is nothing to store any more."""
        self._found = None

    def _on_answers(self, answers: list[Answer]) -> None:
        (answer,) = answers
        self._work.run(
            _tune,
            self._read_truth,
            answer,
            on_done=lambda tuned: self._on_tuned(answer.model, tuned),
            on_error=lambda sentence: self.failed.emit(sentence, ""),
        )

    def _on_tuned(self, model: Path, tuned: Tuned) -> None:
        if self._given_up:
            self.stopped.emit()
            return
        better = tuned.after != tuned.before
        self._found = (model, tuned) if better else None
        self.tuned.emit(str(tuned), better)

    def _on_stored(self, path: Path, sentence: str) -> None:
        self._found = None
        if path == self._session.model:
            self._session.model_changed.emit()  # its card is another one now
        self.stored.emit(sentence)


def _tune(read_truth: Callable[[], Truth], answer: Answer) -> Tuned:
    sample = read_truth().sample
    known = supervision(sample.labels, sample.complete)
    seen = Seen(answer.evidence, sample.labels, known)
    return exhaust(tune([seen], read_card(answer.model).instances))


def _store(path: Path, tuned: Tuned) -> str:
    card = read_card(path)
    write_card(path, dataclasses.replace(card, instances=tuned.after))
    return f"Stored in “{path.stem}”: {tuned.words}."
