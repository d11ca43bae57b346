"""Where the work runs and why, with the command that would get a GPU working."""

from __future__ import annotations

import re
from typing import Protocol

from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSizePolicy, QWidget

_NOISE = re.compile(
    r"\((R|TM|C)\)|\b\d+-Core\b|\bProcessor\b|\bCPU\b|\bNVIDIA\b|@.*", re.IGNORECASE
)


class Report(Protocol):
    """A device as the core or the compute process reports it."""

    name: str
    precision: str
    reason: str
    hint: str


def short_name(name: str) -> str:
    """`AMD EPYC 7763` of `AMD EPYC 7763 64-Core Processor`: for a status line."""
    return " ".join(_NOISE.sub(" ", name).split()) or name


class DeviceBadge(QWidget):
    """One line, such as “AMD EPYC 7763, bfloat16 · no GPU was found”."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._words = QLabel("starting …")
        self._words.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self._copy = QPushButton("copy command")
        self._copy.clicked.connect(self._copy_hint)
        self._copy.hide()
        self._hint = ""
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._words, 1)
        layout.addWidget(self._copy)

    def show_report(self, report: Report) -> None:
        """Show the device; the reason and the command stand in the tooltip as well."""
        self._hint = report.hint
        self._words.setText(f"{short_name(report.name)}, {report.precision}")
        tooltip = f"{report.name}, {report.precision}. {report.reason}"
        self._words.setToolTip(f"{tooltip} To use it: {report.hint}" if report.hint else tooltip)
        self._copy.setToolTip(f"{report.reason} Copies: {report.hint}")
        self._copy.setVisible(bool(report.hint))

    @property
    def text(self) -> str:
        return self._words.text()

    def _copy_hint(self) -> None:
        QGuiApplication.clipboard().setText(self._hint)
        self._copy.setText("copied")
