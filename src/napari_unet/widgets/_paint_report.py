"""The annotation in figures, and what looks like a slip in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from time import sleep

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from napari_unet.core.annotation import (
    Finding,
    Summary,
    check_labels,
    look_through,
    summarize,
)
from napari_unet.core.errors import InputError
from napari_unet.core.types import Region
from napari_unet.widgets import _tools
from napari_unet.widgets._connections import Connections
from napari_unet.widgets._hand import RestTimer
from napari_unet.widgets._planes import Reader
from napari_unet.widgets._session import Session
from napari_unet.widgets._worker import Latest

SHOWN = 3
"""Slips shown at a time."""

_COUNT_MS = 150
_LOOK_MS = 1200
_BREATH = 2e-4  # s
_NO_BREAK = "\N{NO-BREAK SPACE}"


@dataclass(frozen=True)
class _Row:
    """One slip: the sentence and the button that shows where it is."""

    line: QWidget
    text: QLabel
    show: QPushButton = field(default_factory=lambda: QPushButton("Show"))


class PaintReport(QWidget):
    """Figures of the session's annotation, kept up to date off the GUI thread.

    Signals
    -------
    show_region(region : Region)
        The person wants to see a place.
    """

    show_region = Signal(object)

    def __init__(
        self, session: Session, connections: Connections, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._session = session
        self._found: list[Finding] = []
        self._refreshed = 0
        self._counting, self._looking = Latest(self), Latest(self)
        self.figures = _wrapped()
        self.slips = _wrapped()
        self._rows = [self._make_row(number) for number in range(SHOWN)]
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.figures)
        for row in self._rows:
            layout.addWidget(row.line)
        layout.addWidget(self.slips)
        self._count_soon = RestTimer(_COUNT_MS, self._count)
        self._look_soon = RestTimer(_LOOK_MS, self._look)
        for signal in (
            session.image_changed,
            session.labels_changed,
            session.regions_changed,
            session.painted,
        ):
            connections.connect(signal, self.refresh)
        connections.add(self._count_soon.stop)
        connections.add(self._look_soon.stop)
        self.refresh()

    def refresh(self, region: Region | None = None) -> None:
        """Count again as soon as the hand rests."""
        self._refreshed += 1
        self._count_soon.start()
        self._look_soon.start()

    def _make_row(self, number: int) -> _Row:
        row = _Row(QWidget(), _wrapped())
        row.show.setToolTip("move the view there")
        row.show.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        row.show.clicked.connect(lambda: self.show_region.emit(self._found[number].region))
        layout = QHBoxLayout(row.line)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(row.text, 1)
        layout.addWidget(row.show)
        row.line.hide()
        return row

    def _reader(self) -> Reader | None:
        try:
            return self._session.labels_reader()
        except InputError:
            return None

    def _count(self) -> None:
        read = self._reader()
        if read is None:
            self.figures.setText("" if self._session.image is None else _first_words(None))
            self._show_slips([])
            return
        self._counting.run(
            _summarize,
            read,
            self._session.complete(),
            on_done=self._show_figures,
            on_error=self.figures.setText,
        )

    def _look(self) -> None:
        read = self._reader()
        if read is not None:
            refreshed = self._refreshed
            self._looking.run(
                _look,
                read,
                lambda: refreshed != self._refreshed,
                on_done=self._show_slips,
                on_error=lambda _: None,
            )

    def _show_figures(self, summary: Summary) -> None:
        if self._session.image is not None:
            self.figures.setText(describe(summary, _tools.count_regions(self._session)))

    def _show_slips(self, found: list[Finding] | None) -> None:
        if found is None:
            return
        self._found = found
        for number, row in enumerate(self._rows):
            row.line.setVisible(number < len(found))
            if number < len(found):
                row.text.setText(f"⚠ {found[number].sentence}")
        more = len(found) - SHOWN
        self.slips.setText(f"and {more} more of this kind" if more > 0 else "")
        self.slips.setVisible(more > 0)


def describe(summary: Summary, regions: int) -> str:
    """The figures of an annotation as the person reads them."""
    if not summary.cells:
        return _first_words(summary)
    parts = [_count_of(summary.cells, "cell")]
    if summary.touching:
        parts.append(f"{summary.touching} touch")
    if regions:
        parts.append(_count_of(regions, "region"))
    if summary.whole_frame:
        return (
            f"{' · '.join(parts)} · all of the frame counts as annotated: "
            "no background and no region is marked"
        )
    if summary.unsaid:
        parts.append(f"{_percent(summary.unsaid)} unlabelled")
    return " · ".join(part.replace(" ", _NO_BREAK) for part in parts)


def _first_words(summary: Summary | None) -> str:
    background = " Background is painted." if summary and summary.background_said else ""
    return f"No cell is painted yet.{background} Press Next cell and paint one cell, then the next."


def _percent(share: float) -> str:
    """Never 0 % or 100 % where it is only close to it."""
    if 0 < share < 0.01:
        return "< 1 %"
    if 0.99 < share < 1:
        return "> 99 %"
    return f"{share:.0%}".replace("%", " %")


def _count_of(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _summarize(read: Reader, complete: NDArray[np.bool_] | None) -> Summary:
    return summarize(check_labels(read()), complete)


def _look(read: Reader, is_stale: Callable[[], bool]) -> list[Finding] | None:
    """The findings; None where the person paints again, which has another look follow."""
    found: list[Finding] = []
    for of_cell in look_through(check_labels(read())):
        if is_stale():
            return None
        found += of_cell
        # Python's lock changes hands every 5 ms only, unless one lets go of it: the brush waits
        sleep(_BREATH)
    return found


def _wrapped() -> QLabel:
    label = QLabel()
    label.setWordWrap(True)
    return label
