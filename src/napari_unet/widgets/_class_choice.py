"""The class of the next cells, and of a cell that is picked."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QPushButton, QWidget

from napari_unet.core.types import Region
from napari_unet.widgets import _classes
from napari_unet.widgets._class_table import ClassTable, draw_dot
from napari_unet.widgets._connections import Connections
from napari_unet.widgets._form import guard_wheel
from napari_unet.widgets._session import Session


class ClassChoice(QWidget):
    """A combo of the classes of the annotation, and a button to add and rename them.

    What is chosen is the class of the next cells; painted cells keep theirs, but for one that is
    picked from the image.
    """

    def __init__(
        self, session: Session, connections: Connections, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._session = session
        self._of_labels = Connections()
        self.combo = QComboBox()
        self.combo.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.combo.setMinimumContentsLength(8)
        self.combo.setToolTip(
            "class of the next cells; pick a cell on the image (key L) to change its own"
        )
        guard_wheel(self.combo)
        self.combo.activated.connect(self._on_chosen)
        self.edit = QPushButton("Edit…")
        self.edit.setToolTip("add a class or give it a name")
        self.edit.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.edit.clicked.connect(self._edit)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.combo, 1)
        layout.addWidget(self.edit)
        connections.connect(session.labels_changed, self._on_labels)
        connections.connect(session.classes_changed, self._show)
        connections.connect(session.painted, self._on_painted)
        connections.add(self._of_labels.undo)
        self._on_labels()

    @property
    def name(self) -> str:
        """The class of the next cells."""
        return self.combo.currentText()

    def take(self, names: list[str]) -> None:
        """Take over a table of names; row i stays the same class."""
        labels = self._session.labels
        if labels is None:
            return
        row = self.combo.currentIndex()
        _classes.rename_classes(labels, names)
        self.combo.setCurrentIndex(row)

    def _on_labels(self) -> None:
        self._of_labels.undo()
        labels = self._session.labels
        if labels is not None:
            self._of_labels.connect(labels.events.selected_label, self._show_class_of_cell)
        self.edit.setEnabled(labels is not None)
        self._show()

    def _show(self) -> None:
        chosen = self.name
        self.combo.clear()
        for number, name in enumerate(self._session.class_names):
            self.combo.addItem(draw_dot(number), name)
        self.combo.setCurrentText(chosen)

    def _show_class_of_cell(self, event: Any = None) -> None:
        labels = self._session.labels
        number = labels and self._session.classes().get(int(labels.selected_label))
        if number:
            self.combo.setCurrentIndex(number - 1)

    def _on_chosen(self, row: int) -> None:
        labels = self._session.labels
        if labels is None or labels.selected_label <= 0:
            return
        label = int(labels.selected_label)
        is_new = not (self._session.plane(labels) == label).any()
        if labels.mode == "pick" or (is_new and label in self._session.classes()):
            _classes.set_class(labels, label, self.combo.itemText(row))

    def _on_painted(self, region: Region | None) -> None:
        """A label that was not given by Next cell gets the class too."""
        labels = self._session.labels
        if region is None or labels is None or self.combo.currentIndex() <= 0:
            return
        label = int(labels.selected_label)
        if label <= 0 or labels.mode == "erase" or label in self._session.classes():
            return
        if _is_new(self._session.plane(labels), label, region):
            _classes.set_class(labels, label, self.name)

    def _edit(self) -> None:
        table = ClassTable(self._session.class_names, self)
        table.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        table.accepted.connect(lambda: self.take(table.names))
        table.open()


def _is_new(plane: NDArray[Any], label: int, painted: Region) -> bool:
    """Whether a label is in `painted` alone; a cell that is touched up is outside of it too."""
    rows, columns = (slice(max(0, side.start - 1), side.stop + 1) for side in painted)
    inside = np.count_nonzero(plane[painted] == label)
    # mostly told beside the brush: all of a large plane takes longer than a move of it may
    if not inside or np.count_nonzero(plane[rows, columns] == label) > inside:
        return False
    return inside == np.count_nonzero(plane == label)
