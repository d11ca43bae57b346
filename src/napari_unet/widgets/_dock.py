"""What the docks that compute have in common: a session, and a clean end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QSize
from qtpy.QtGui import QCloseEvent
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_unet.widgets._connections import Connections
from napari_unet.widgets._form import scrolling
from napari_unet.widgets._session import session

if TYPE_CHECKING:
    from napari.components import ViewerModel

WIDTH = 320
"""Pixels; the width that all docks are laid out for."""

HEIGHT = 640
"""Pixels; what fits beside the canvas on a screen of 800."""


class Dock(QWidget):
    """A panel that scrolls where the window is low, and lets go of everything when it closes.

    Subclasses put their rows into `body` and connect by `connections`.
    """

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__()
        # napari hands plugins a proxy of the viewer, which would be another key of the session
        self.session = session(getattr(napari_viewer, "__wrapped__", napari_viewer))
        self.connections = Connections()
        body = QWidget()
        self.body = QVBoxLayout(body)
        self.body.setContentsMargins(8, 8, 8, 8)
        self.body.setSpacing(8)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self.scroll = scrolling(body)
        layout.addWidget(self.scroll)
        self.setMinimumWidth(WIDTH - 40)

    def add_settings(self, settings: QWidget) -> None:
        """Put the rows of settings first, as high in every dock: the button below stands still."""
        settings.setMinimumHeight(11 * settings.fontMetrics().lineSpacing())
        self.body.addWidget(settings)

    def sizeHint(self) -> QSize:
        return QSize(WIDTH, HEIGHT)

    def let_go(self) -> None:
        """End what runs for this panel and disconnect it; safe to call again."""
        self.connections.undo()

    def closeEvent(self, event: QCloseEvent) -> None:
        self.let_go()
        super().closeEvent(event)

    def event(self, event: QEvent) -> bool:
        # napari takes a widget out of its dock when that is closed, without closing the widget
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.let_go()
        return super().event(event)
