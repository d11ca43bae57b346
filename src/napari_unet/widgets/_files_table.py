"""The files of a batch and how far each is: one row is drawn anew when it gets further."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt, Signal
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

from napari_unet.core.types import FileDone

_COLUMNS = ("file", "status")
_WAITING = "waiting"


class FilesModel(QAbstractTableModel):
    """A row a file: its name and its status in words."""

    def __init__(self) -> None:
        super().__init__()
        self._paths: list[Path] = []
        self._words: list[str] = []
        self._done: dict[int, FileDone] = {}

    def set_paths(self, paths: Sequence[Path]) -> None:
        """Begin with other files, all of which wait."""
        self.beginResetModel()
        self._paths, self._words, self._done = list(paths), [_WAITING] * len(paths), {}
        self.endResetModel()

    def tell(self, row: int, words: str) -> None:
        """Say how far a file is."""
        self._words[row] = words
        self.dataChanged.emit(self.index(row, 1), self.index(row, 1))

    def finish(self, row: int, file: FileDone) -> None:
        """A file is through."""
        self._done[row] = file
        self.tell(row, describe_file(file))

    def result_of(self, row: int) -> FileDone | None:
        """What was made of a file; None where nothing was, or not yet."""
        file = self._done.get(row)
        return file if file is not None and file.result else None

    def count_results(self) -> int:
        """How many files something was made of, now or before."""
        return sum(bool(file.result) for file in self._done.values())

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(self._paths)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(_COLUMNS)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        row, is_name = index.row(), index.column() == 0
        if role == Qt.ItemDataRole.DisplayRole:
            return self._paths[row].name if is_name else self._words[row]
        if role == Qt.ItemDataRole.ToolTipRole:
            return str(self._paths[row]) if is_name else self._words[row]
        return None

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return _COLUMNS[section]
        return None


def describe_file(file: FileDone) -> str:
    """The status of a file that is through."""
    if file.status == "failed":
        return "left out: " + file.sentence.replace(f"“{file.file}” ", "")  # the row says which
    cells = "1 cell" if file.cells == 1 else f"{file.cells} cells"
    parts = [cells]
    if file.planes > 1:
        parts.append(f"{file.planes} planes")
    if file.diameter is not None:
        parts.append(f"Ø {file.diameter:.0f} px")
    if file.status == "kept":
        parts.append("as before")
    return " · ".join(parts)


class FilesView(QTableView):
    """Shows a `FilesModel`.

    Signals
    -------
    opened(row : int)
        The person double-clicked a row, or pressed Enter on it.
    """

    opened = Signal(int)

    def __init__(self, model: FilesModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setModel(model)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setWordWrap(False)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)  # names of one series end differently
        self.setTabKeyNavigation(False)
        self.setMinimumHeight(9 * self.fontMetrics().lineSpacing())
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(self.fontMetrics().height() + 6)
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        header.setStretchLastSection(True)
        header.resizeSection(0, 20 * self.fontMetrics().averageCharWidth())
        self.doubleClicked.connect(lambda index: self.opened.emit(index.row()))

    def follow(self, row: int) -> None:
        """Bring a row into view, unless somebody scrolled away from the one before it."""
        before = self.visualRect(self.model().index(max(row - 1, 0), 0))
        if self.viewport().rect().intersects(before):
            self.scrollTo(self.model().index(row, 0))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self.currentIndex().isValid():
            self.opened.emit(self.currentIndex().row())
        else:
            super().keyPressEvent(event)
