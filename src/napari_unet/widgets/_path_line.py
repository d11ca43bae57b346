"""A line for a folder: typed, browsed for, or dropped on it."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLineEdit, QPushButton, QWidget


class PathLine(QWidget):
    """The path of a folder.

    Parameters
    ----------
    title : str
        Of the window in which one browses for it.
    nothing : str
        What the empty line says.

    Signals
    -------
    changed()
    """

    changed = Signal()

    def __init__(self, title: str, nothing: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._title = title
        self.line = QLineEdit()
        self.line.setPlaceholderText(nothing)
        self.line.setAcceptDrops(False)  # it would take the words of a dropped folder
        self.line.textChanged.connect(self._on_text)
        self.browse = QPushButton("Browse…")
        self.browse.clicked.connect(self._browse)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        layout.addWidget(self.line, 1)
        layout.addWidget(self.browse)
        self.setAcceptDrops(True)

    @property
    def path(self) -> Path | None:
        """What is typed; None for nothing."""
        text = self.line.text().strip()
        return Path(text).expanduser() if text else None

    def set_path(self, path: Path | None) -> None:
        """Write a path into the line."""
        self.line.setText("" if path is None else str(path))

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if any(url.isLocalFile() for url in event.mimeData().urls()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        paths = [Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()]
        if paths:
            # of a file the folder that it lies in
            self.set_path(paths[0] if paths[0].is_dir() else paths[0].parent)
            event.acceptProposedAction()

    def _browse(self) -> None:
        name = QFileDialog.getExistingDirectory(self, self._title, str(self.path or ""))
        if name:
            self.set_path(Path(name))

    def _on_text(self, text: str) -> None:
        self.line.setToolTip(text)
        self.changed.emit()
