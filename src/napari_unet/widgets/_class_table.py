"""The table of classes of an annotation: a combo of them, and a dialog to add and rename."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QIcon, QPainter, QPixmap
from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_unet.widgets._classes import COLORS

_EDITABLE = Qt.ItemFlag.ItemIsEditable


class ClassTable(QDialog):
    """A list of class names to write in; `names` are those that stand there.

    A class keeps its row, so that row i of the old names and of the new ones is one class.
    """

    def __init__(self, names: Sequence[str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Classes of cells")
        self._list = QListWidget()
        for name in names:
            self._append(name)
        hint = QLabel(
            "Double-click a name to change it. The first class is that of all cells\n"
            "for which nothing else is said."
        )
        add = QPushButton("Add a class")
        add.clicked.connect(self.add_class)
        buttons = QDialogButtonBox(
            QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel
        )
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        for widget in (hint, self._list, add, buttons):
            layout.addWidget(widget)

    @property
    def names(self) -> list[str]:
        """The names as they stand, in order; a row without a name keeps a number."""
        texts = [self._list.item(row).text().strip() for row in range(self._list.count())]
        return [text or f"class {row}" for row, text in enumerate(texts, 1)]

    def add_class(self) -> None:
        """A new row, ready to be named."""
        item = self._append(f"class {self._list.count() + 1}")
        self._list.setCurrentItem(item)
        self._list.editItem(item)

    def rename(self, row: int, name: str) -> None:
        """Write a name into a row, as the person does by typing."""
        self._list.item(row).setText(name)

    def _append(self, name: str) -> QListWidgetItem:
        item = QListWidgetItem(draw_dot(self._list.count()), name)
        item.setFlags(item.flags() | _EDITABLE)
        self._list.addItem(item)
        return item


def draw_dot(number: int) -> QIcon:
    """A dot in the colour of a class, counted from 0."""
    pixmap = QPixmap(24, 24)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(COLORS[number % len(COLORS)]))
    painter.drawEllipse(4, 4, 16, 16)
    painter.end()
    return QIcon(pixmap)
