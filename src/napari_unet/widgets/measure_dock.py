"""The Measure panel: what was found in figures, cell by cell and as a distribution."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from napari.layers import Labels
from qtpy.QtCore import Qt
from qtpy.QtGui import QHideEvent, QShowEvent
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QWidget,
)

from napari_unet.core.measuring import PIXEL, spell_unit, summarise
from napari_unet.core.tables import Limits
from napari_unet.widgets import _canvas_click, _planes
from napari_unet.widgets._cell_marker import clear_mark, mark_cell, remove_mark
from napari_unet.widgets._cell_reader import find_cell
from napari_unet.widgets._cells_table import CellsModel, CellsView
from napari_unet.widgets._connections import Connections
from napari_unet.widgets._dock import Dock
from napari_unet.widgets._features import write_measurements
from napari_unet.widgets._form import guard_wheel, tidy
from napari_unet.widgets._histogram import Histogram
from napari_unet.widgets._image_choice import ImageChoice
from napari_unet.widgets._labels_choice import LabelsChoice, find_cells
from napari_unet.widgets._limits import LimitInputs
from napari_unet.widgets._measurer import Measured, Measurer
from napari_unet.widgets._saving import save_table

if TYPE_CHECKING:
    import napari.viewer

_BORDER = "touches_border"
_NOT_DRAWN = ("label", "class", _BORDER)
_NOTHING = "There are no cells yet: predict some, or paint them."


class MeasureDock(Dock):
    """Figures of the predicted or painted cells; a row leads to its cell and a cell to its row."""

    def __init__(self, napari_viewer: "napari.viewer.Viewer") -> None:  # noqa: UP037 - npe2
        super().__init__(napari_viewer)
        # a window that closes deletes its panels without closing them
        self.destroyed.connect(self.connections.undo)
        self._measured: Measured | None = None
        self._limits: dict[str, Limits] = {}
        self._of_layer = Connections()
        self.connections.add(self._of_layer.undo)
        self.measurer = Measurer(self.session, self)
        self.connections.add(self.measurer.close)
        self._build_rows()
        self.summary = QLabel(_NOTHING)
        self.summary.setWordWrap(True)
        self.summary.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.model = CellsModel()
        self.table = CellsView(self.model)
        self.table.setMinimumHeight(160)
        self.table.setToolTip("click a row to see its cell, a name to sort by it")
        self.save = QPushButton("Save as CSV…")
        self.save.setToolTip("writes the rows that are shown, in their order")
        self.save.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.state = QLabel()
        self.state.setWordWrap(True)
        below = QHBoxLayout()
        below.addWidget(self.save)
        below.addWidget(self.state, 1)
        for widget in (self._settings, self.summary):
            self.body.addWidget(widget)
        self.body.addWidget(self.table, 1)
        self.body.addLayout(below)
        self._connect()

    def _build_rows(self) -> None:
        self._settings = QWidget()
        rows = QFormLayout(self._settings)
        tidy(rows)
        self.image = ImageChoice(self.session, self.connections)
        self.cells = LabelsChoice(
            self.session,
            self.connections,
            find_cells(self.session),
            "the cells that are measured",
            "no cells yet",
        )
        self.column = QComboBox()
        self.column.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.column.setMinimumContentsLength(8)
        self.column.setToolTip("what the histogram shows and the limits below act on")
        guard_wheel(self.column)
        self.histogram = Histogram(str(self.session.viewer.theme))
        self.limits = LimitInputs()
        self.inside = QCheckBox("leave out cells at the border")
        self.inside.setToolTip("from the table and the figures; the cells stay as they are")
        rows.addRow("Image", self.image)
        rows.addRow("Cells", self.cells)
        rows.addRow("Column", self.column)
        rows.addRow(self.histogram)
        rows.addRow("Show", self.limits)
        rows.addRow(self.inside)

    def _connect(self) -> None:
        viewer = self.session.viewer
        self.cells.layer_changed.connect(self._on_layer)
        self.measurer.measured.connect(self._on_measured)
        self.measurer.failed.connect(self._fail)
        self.column.activated.connect(self._on_column)
        self.limits.changed.connect(self._on_limits)
        self.inside.toggled.connect(self._filter)
        self.table.chosen.connect(self._on_row)
        self.save.clicked.connect(self.save_table)
        self.connections.connect(viewer.events.theme, self._on_theme)
        self.connections.add(_canvas_click.watch(viewer, self._on_click))
        self._on_layer()

    def save_table(self) -> None:
        """Ask for a file and write the rows that are shown."""
        layer = self.measurer.layer
        if layer is not None:
            say = self.state.setText
            save_table(self, layer.name, self.model.shown, on_done=say, on_error=say)

    def _on_layer(self) -> None:
        self._of_layer.undo()
        layer = self.cells.layer
        self._measured = None
        remove_mark(self.session)
        self.model.set_table({"label": self.model.shown["label"][:0]})
        self.table.choose(None)
        self.measurer.layer = layer
        if layer is None:
            self.summary.setText(_NOTHING)
        else:
            if isinstance(layer, Labels):
                self._of_layer.connect(layer.events.selected_label, self._on_selected_label)
        self.save.setEnabled(False)
        self.state.clear()

    def _on_measured(self, measured: Measured) -> None:
        layer = self.measurer.layer
        assert layer is not None
        self._measured = measured
        # a label of a stack is another cell on each plane
        if isinstance(layer, Labels) and layer.ndim == 2:
            write_measurements(layer, measured.table)
        self.model.set_table(measured.table)
        self.save.setEnabled(True)
        self._show_columns()
        self._mark()

    def _fail(self, sentence: str) -> None:
        self._measured = None
        self.model.set_table({"label": self.model.shown["label"][:0]})
        self.save.setEnabled(False)
        self.summary.setText(sentence)

    def _show_columns(self) -> None:
        assert self._measured is not None
        names = [name for name in self._measured.table if name not in _NOT_DRAWN]
        if names != [self.column.itemText(row) for row in range(self.column.count())]:
            before = self.column.currentText()
            self._limits = {name: limits for name, limits in self._limits.items() if name in names}
            self.column.clear()
            self.column.addItems(names)
            self.column.setCurrentText(before if before in names else names[0])
            self.table.resizeColumnsToContents()
        self._on_column()

    def _on_column(self, row: int = 0) -> None:
        """Another column: its own limits, or none, come into the inputs."""
        if self._measured is None:
            return
        name = self.column.currentText()
        values = self._measured.table[name]
        unit = _unit_of(name, self._measured.unit)
        self.limits.show_range(values, self._limits.get(name, (None, None)), unit)
        self._filter()

    def _on_limits(self, limits: Limits) -> None:
        self._limits[self.column.currentText()] = limits
        if limits == (None, None):
            del self._limits[self.column.currentText()]
        self._filter()

    def _filter(self) -> None:
        limits: dict[str, Limits] = dict(self._limits)
        if self.inside.isChecked():
            limits[_BORDER] = (None, 0)
        self.model.set_limits(limits)
        self._draw()
        if self._measured is not None:
            self.summary.setText(self._describe(self._measured))

    def _draw(self) -> None:
        shown, name = self.model.shown, self.column.currentText()
        if name in shown and self._measured is not None:
            words = _title_of(name, self._measured.unit)
            self.histogram.show_values(shown[name], words, self._limits.get(name, (None, None)))

    def _describe(self, measured: Measured) -> str:
        shown, total = summarise(self.model.shown, measured.unit), len(measured.table["label"])
        if not total:
            return _NOTHING
        cells = "1 cell" if total == 1 else f"{total} cells"
        if shown.cells < total:
            cells = f"{shown.cells} of {cells} shown"
        if not shown.cells:
            return f"{cells}: widen the limits{self._other_limits()}."
        border = "1 touches" if shown.at_border == 1 else f"{shown.at_border} touch"
        diameter = _diameter(shown.diameter, measured)
        return f"{cells} · median Ø {diameter} · {border} the border{self._other_limits()}"

    def _other_limits(self) -> str:
        """Limits that are not seen, as another column is chosen."""
        others = [name for name in self._limits if name != self.column.currentText()]
        return f" · also limited: {', '.join(others)}" if others else ""

    def _on_row(self, label: int) -> None:
        """A row was clicked: the view goes to its cell."""
        layer, measured = self.measurer.layer, self._measured
        if layer is not None and measured is not None and label in measured.boxes:
            _planes.centre_on(self.session.viewer, layer, measured.index, measured.boxes[label])
        self._mark()

    def _on_selected_label(self, event: Any = None) -> None:
        layer = self.measurer.layer
        if isinstance(layer, Labels) and self.isVisible():
            self._choose(int(layer.selected_label))

    def _on_click(self, position: tuple[float, ...]) -> None:
        """A click on a cell, not a stroke and not a drag: its row is chosen."""
        layer = self.measurer.layer
        if layer is None or not layer.visible or not self.isVisible():
            return
        self._choose(find_cell(self.session, layer, position))

    def _choose(self, label: int) -> None:
        known = self._measured is not None and label in self._measured.boxes
        self.table.choose(label if known else None)
        self._mark()

    def _mark(self) -> None:
        layer, measured, label = self.measurer.layer, self._measured, self.table.label
        box = None if measured is None or label is None else measured.boxes.get(label)
        if layer is None or measured is None or label is None or box is None:
            clear_mark(self.session)
        else:
            mark_cell(self.session, layer, label, measured.index, box)

    def _on_theme(self, event: Any = None) -> None:
        self.histogram.set_theme(str(self.session.viewer.theme))

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self.measurer.is_looked_at = True

    def hideEvent(self, event: QHideEvent) -> None:
        self.measurer.is_looked_at = False
        super().hideEvent(event)

    def let_go(self) -> None:
        remove_mark(self.session)
        super().let_go()


def _diameter(diameter: float, measured: Measured) -> str:
    """A diameter in pixels, and in the unit where there is one."""
    if measured.unit == PIXEL:
        return f"{diameter:.0f} px"
    pixels = diameter / math.sqrt(measured.scale[0] * measured.scale[1])
    return f"{pixels:.0f} px = {diameter:.3g} {measured.unit}"


def _unit_of(column: str, unit: str) -> str:
    """The unit of a column of measurements, as people write it; empty where it has none."""
    spelt = spell_unit(unit)
    if column.endswith(f"_{spelt}2"):
        return f"{unit}²"
    return unit if column.endswith(f"_{spelt}") else ""


def _title_of(column: str, unit: str) -> str:
    """The name of a column in words, with its unit."""
    if not _unit_of(column, unit):
        return column.replace("_", " ")
    return f"{column.rpartition('_')[0].replace('_', ' ')} in {_unit_of(column, unit)}"
