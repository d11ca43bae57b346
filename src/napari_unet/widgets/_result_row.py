"""What was found, in a sentence, and beside it the way to its figures."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSizePolicy, QWidget

from napari_unet.widgets._rows import make_button


class ResultRow(QWidget):
    """A sentence with two small buttons, which are there when there is something to measure.

    Signals
    -------
    table_clicked()
    save_clicked()
    """

    table_clicked = Signal()
    save_clicked = Signal()

    def __init__(self, sentence: QLabel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.table = _button("table", "opens the Measure panel: each cell in figures")
        self.save = _button("CSV", "measures all these cells and saves the table")
        self.table.clicked.connect(self.table_clicked)
        self.save.clicked.connect(self.save_clicked)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        row.addWidget(sentence, 1)
        for button in (self.table, self.save):
            row.addWidget(button, 0, Qt.AlignmentFlag.AlignTop)
        self.offer(False)

    def offer(self, offered: bool) -> None:
        """Show the buttons, or not."""
        self.table.setVisible(offered)
        self.save.setVisible(offered)


def _button(text: str, why: str) -> QPushButton:
    button = make_button(text, why)
    button.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
    return button
