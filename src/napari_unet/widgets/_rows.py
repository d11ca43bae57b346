"""Buttons and rows of widgets that look and behave alike in every panel."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QPushButton, QSizePolicy, QWidget


def make_button(text: str, why: str) -> QPushButton:
    """A push button with a tooltip; a click leaves the keys with the canvas, Tab reaches it."""
    button = QPushButton(text)
    button.setToolTip(why)
    button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    return button


def make_line(*widgets: QWidget) -> QWidget:
    """Widgets beside each other; a combo takes the room that the others leave."""
    line = QWidget()
    layout = QHBoxLayout(line)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(4)
    for widget in widgets:
        layout.addWidget(widget, 1 if isinstance(widget, QComboBox) else 0)
    if not any(isinstance(widget, QComboBox) for widget in widgets):
        layout.addStretch(1)
    line.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    return line
