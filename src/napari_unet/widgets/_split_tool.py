"""The tool that parts a cell: a line drawn across it, or a click into both of its parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from napari_unet.core import proofreading
from napari_unet.core.errors import InputError
from napari_unet.core.proofreading import Cell, Edit
from napari_unet.widgets import _canvas_line
from napari_unet.widgets._connections import Connections
from napari_unet.widgets._proofreader import Point, Proofreader
from napari_unet.widgets._session import Session


class SplitTool(QObject):
    """While it is taken, the mouse draws lines instead of moving the view.

    Signals
    -------
    asked(make : callable)
        What makes the edit of the annotation and two free labels, see `Proofreader.write`.
    said(sentence : str)
        What to do next.
    """

    asked = Signal(object)
    said = Signal(str)

    def __init__(self, session: Session, proofreader: Proofreader, parent: QObject) -> None:
        super().__init__(parent)
        self._session, self._proofreader = session, proofreader
        self._cell: Cell | None = None
        self._seeds: list[Point] = []
        self._drawing = Connections()

    def take(self, cell: Cell) -> None:
        """Take it, to part `cell`."""
        self._cell = cell
        self._drawing.add(_canvas_line.watch(self._session.viewer, self._on_line))
        self.said.emit("Draw a line across the cell, or click both of its parts.")

    def leave(self) -> None:
        """Put it away; safe to call again."""
        self._drawing.undo()
        self._cell, self._seeds = None, []

    def _on_line(self, points: Sequence[tuple[float, ...]], done: bool) -> None:
        cell = self._cell
        if cell is None:
            return
        try:
            line = [self._proofreader.locate(point) for point in points]
            if not done:
                self._proofreader.draw(line)
                return
        except InputError as error:  # such as without the prediction, removed meanwhile
            self.said.emit(str(error))
            return
        if len(line) > 1:
            self.asked.emit(lambda said, free: _along(said, cell, line, free))
        elif not self._seeds:
            self._seeds = line
            self.said.emit("Now click the other part.")
        else:
            seeds = self._seeds[0], line[0]
            self.asked.emit(lambda said, free: _between(said, cell, seeds, free))


def _along(said: NDArray[Any], cell: Cell, line: Sequence[Point], free: int) -> Edit:
    return proofreading.split_along(said, cell, line, _two_labels(said, free))


def _between(said: NDArray[Any], cell: Cell, seeds: tuple[Point, Point], free: int) -> Edit:
    return proofreading.split_by_seeds(said, cell, *seeds, _two_labels(said, free))


def _two_labels(said: NDArray[Any], free: int) -> tuple[int, int]:
    if free >= np.iinfo(said.dtype).max:
        raise InputError(
            f"{said.dtype} labels have no two numbers left after {free - 1}: right-click the layer "
            "▸ Convert data type ▸ int32."
        )
    return free, free + 1
