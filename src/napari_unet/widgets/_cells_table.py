"""A table of cells that sorts and filters thousands of rows at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QTableView, QWidget

from napari_unet.core.tables import Limits, Table, choose_rows, take_rows

_PRECISION = 30
"""Rows that are looked at to find how wide a column has to be."""


class CellsModel(QAbstractTableModel):
    """The rows of a table that lie within limits, in the order of one column."""

    def __init__(self) -> None:
        super().__init__()
        self._table: Table = {"label": np.zeros(0, int)}
        self._names = list(self._table)
        self._limits: dict[str, Limits] = {}
        self._sorted_by, self._order = "label", Qt.SortOrder.AscendingOrder
        self._rows = np.zeros(0, int)

    @property
    def names(self) -> list[str]:
        """The columns."""
        return list(self._names)

    @property
    def shown(self) -> Table:
        """The rows that are shown, in their order."""
        return take_rows(self._table, self._rows)

    def set_table(self, table: Table) -> None:
        """Show another table; limits and order stay."""
        self.beginResetModel()
        self._table, self._names = table, list(table)
        self._arrange()
        self.endResetModel()

    def set_limits(self, limits: Mapping[str, Limits]) -> None:
        """Show the rows within these limits alone."""
        self.beginResetModel()
        self._limits = dict(limits)
        self._arrange()
        self.endResetModel()

    def label_at(self, row: int) -> int:
        """The cell of a row."""
        return int(self._table["label"][self._rows[row]])

    def row_of(self, label: int) -> int | None:
        """The row of a cell; None where it is not shown."""
        found = np.flatnonzero(self._table["label"][self._rows] == label)
        return int(found[0]) if found.size else None

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(self._rows)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(self._names)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if role == Qt.ItemDataRole.DisplayRole:
            return _as_text(self._table[self._names[index.column()]][self._rows[index.row()]])
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        return None

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return self._names[section]
        return None

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Order the rows by a column; those without a value come last."""
        if not 0 <= column < len(self._names):
            return
        self.beginResetModel()
        self._sorted_by, self._order = self._names[column], order
        self._arrange()
        self.endResetModel()

    def _arrange(self) -> None:
        rows = np.flatnonzero(choose_rows(self._table, self._limits))
        values = self._table.get(self._sorted_by, self._table["label"])[rows]
        order = np.argsort(values, kind="stable")
        if self._order == Qt.SortOrder.DescendingOrder:
            missing = int(np.isnan(values).sum()) if values.dtype.kind == "f" else 0
            some = len(order) - missing
            order = np.concatenate((order[:some][::-1], order[some:]))
        self._rows = rows[order]


class CellsView(QTableView):
    """Shows a `CellsModel`; one row can be chosen.

    Signals
    -------
    chosen(label : int)
        The person clicked a row or moved to it by the keyboard.
    """

    chosen = Signal(int)

    def __init__(self, model: CellsModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._cells = model
        self._label: int | None = None
        self._is_restoring = False
        self.setModel(model)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setWordWrap(False)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(self.fontMetrics().height() + 6)
        header = self.horizontalHeader()
        header.setResizeContentsPrecision(_PRECISION)
        header.setHighlightSections(False)
        header.setSortIndicator(0, Qt.SortOrder.AscendingOrder)
        self.setSortingEnabled(True)
        self.setTabKeyNavigation(False)
        model.modelReset.connect(self._restore)
        self.selectionModel().currentRowChanged.connect(self._on_current)

    @property
    def label(self) -> int | None:
        """The cell whose row is chosen; it stays so through sorting and filtering."""
        return self._label

    def choose(self, label: int | None) -> None:
        """Choose the row of a cell and bring it into view, without a `chosen`."""
        self._label = label
        self._restore()

    def _restore(self) -> None:
        row = None if self._label is None else self._cells.row_of(self._label)
        self._is_restoring = True
        if row is None:
            self.clearSelection()
            self.setCurrentIndex(QModelIndex())
        else:
            column = max(0, self.currentIndex().column())
            self.setCurrentIndex(self._cells.index(row, column))
        self._is_restoring = False

    def _on_current(self, current: QModelIndex, previous: QModelIndex) -> None:
        if not self._is_restoring and current.isValid():
            self._label = self._cells.label_at(current.row())
            self.chosen.emit(self._label)


def _as_text(value: Any) -> str:
    """A value in four digits."""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float | np.floating):
        return "" if np.isnan(value) else f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"
    return str(value)
