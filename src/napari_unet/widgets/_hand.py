"""Work that waits until the hand rests."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QApplication


def is_down() -> bool:
    """Whether a mouse button is pressed: the person paints, or moves the view."""
    return QApplication.mouseButtons() != Qt.MouseButton.NoButton


class RestTimer(QTimer):
    """Calls `slot` once, `delay_ms` after the last `start` and with no mouse button pressed.

    For what reads all of an image: beside a stroke it would take the stroke's cores and memory.
    It has no parent: it is stopped when the widget that owns it may be deleted already.
    """

    def __init__(self, delay_ms: int, slot: Callable[[], None]) -> None:
        super().__init__()
        self._slot = slot
        self.setSingleShot(True)
        self.setInterval(delay_ms)
        self.timeout.connect(self._ring)

    def _ring(self) -> None:
        if is_down():
            self.start()
        else:
            self._slot()
