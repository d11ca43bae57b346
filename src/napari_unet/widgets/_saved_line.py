"""The line that says under which name a model was saved, and lets one change it."""

from __future__ import annotations

from pathlib import Path

from napari.utils.notifications import show_warning
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QPushButton, QSizePolicy, QWidget

from napari_unet.core.errors import InputError
from napari_unet.widgets._model_files import rename_model


class SavedLine(QWidget):
    """saved as “hela 2026-11-22 14.05” [rename]: Enter takes the new name, Esc keeps the old."""

    renamed = Signal(object)
    """The new `Path`."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._path: Path | None = None
        self._words = QLabel()
        self._words.setWordWrap(True)
        self._words.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self._name = QLineEdit()
        self._name.returnPressed.connect(self._rename)
        self._button = QPushButton("rename")
        self._button.clicked.connect(self._on_click)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._words, 1)
        layout.addWidget(self._name, 1)
        layout.addWidget(self._button)
        self.hide()

    def show_path(self, path: Path | None) -> None:
        """Say that the model was saved here; None hides the line."""
        self._path = path
        self._name.hide()
        self._words.show()
        self._button.setText("rename")
        self.setVisible(path is not None)
        if path is not None:
            self._words.setText(f"saved as “{path.stem}”")
            self._words.setToolTip(str(path))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape and self._name.isVisible():
            self.show_path(self._path)
        else:
            super().keyPressEvent(event)

    def _on_click(self) -> None:
        if self._name.isVisible():
            self._rename()
            return
        if self._path is None:
            return
        self._name.setText(self._path.stem)
        self._words.hide()
        self._name.show()
        self._name.selectAll()
        self._name.setFocus()
        self._button.setText("OK")

    def _rename(self) -> None:
        if self._path is None:
            return
        try:
            path = rename_model(self._path, self._name.text())
        except InputError as error:
            show_warning(str(error))
            return
        self.show_path(path)
        self.renamed.emit(path)
