"""The judged cells of a plane: how many of each kind, a walk through them, and layers of them."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_unet.core.comparison import Verdict
from napari_unet.core.errors import InputError
from napari_unet.widgets import _cell_layers, _layers
from napari_unet.widgets._judge import Judged
from napari_unet.widgets._rows import make_button
from napari_unet.widgets._session import Session
from napari_unet.widgets._verdict_line import WORDS, VerdictLine
from napari_unet.widgets._walk import Walk

_FOLLOW = "The layers follow each further evaluation"
_SHOW_CELLS = (
    "Show the cells as layers",
    f"found green, false red, missed blue; merged and split outlined. {_FOLLOW}",
)
_SHOW_DIFFERENCES = (
    "Show where they differ as layers",
    "cells that A finds and B misses in the colour of A, those that B finds in that of B; false "
    f"cells of one alone outlined in its colour. {_FOLLOW}",
)


class JudgedCells(QWidget):
    """Counts to click and a button for layers, of one prediction or of what two differ in.

    Signals
    -------
    walked(sentence : str)
        The view has moved to a cell.
    failed(sentence : str)
    """

    walked = Signal(str)
    failed = Signal(str)

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._judged: Judged | None = None
        self._walk: Walk | None = None
        self.counts = VerdictLine(session.viewer.theme)
        self.button = make_button(*_SHOW_CELLS)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        for widget in (self.counts, self.button):
            layout.addWidget(widget)
        self.counts.clicked.connect(self.walk)
        self.button.clicked.connect(self.show_layers)

    def show_judged(self, judged: Judged) -> None:
        """Count the cells; where there are layers of such kinds already, show them there."""
        self._judged = judged
        text, why = _SHOW_CELLS if judged.differences is None else _SHOW_DIFFERENCES
        self.button.setText(text)
        self.button.setToolTip(why)
        self.counts.show_counts(judged.explained)
        image = judged.image(self._session)
        self._walk = Walk(self._session, image, judged.index)
        kinds = judged.explained.labels
        if any(_layers.find(self._session.viewer, kind, image) is not None for kind in kinds):
            self.show_layers()
        self.show()

    def clear(self) -> None:
        """Show nothing."""
        self._judged = self._walk = None
        self.hide()

    def show_layers(self) -> None:
        """Show the cells of each kind as a layer; kinds without a cell get no new one."""
        if self._judged is None:
            return
        viewer, explained = self._session.viewer, self._judged.explained
        try:
            image = self._judged.image(self._session)
            for kind, labels in explained.labels.items():
                if explained.places[kind] or _layers.find(viewer, kind, image) is not None:
                    _cell_layers.show_verdict(viewer, image, kind, labels, self._judged.index)
        except InputError as error:
            self.failed.emit(str(error))

    def walk(self, kind: str) -> None:
        """Move the view to the next cell of this kind."""
        if self._walk is None or self._judged is None:
            return
        places, word = self._judged.explained.places[kind], WORDS[kind].full
        try:
            at = self._walk.step(word, places)
        except InputError as error:
            self.failed.emit(str(error))
            return
        what = "Split cell" if kind == Verdict.SPLIT else f"Cell {word}"
        self.walked.emit(f"{what}, {at} of {len(places)}")

    def set_theme(self, theme: str) -> None:
        """Take the colour of text of napari's theme of this name."""
        self.counts.set_theme(theme)
