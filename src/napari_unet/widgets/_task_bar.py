"""The primary button of a dock, what it is doing in one sentence, and what to do if it failed."""

from __future__ import annotations

import platform
from datetime import datetime
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version

from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtGui import QFontDatabase, QGuiApplication
from qtpy.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

_REPORTED = (
    "napari-unet-cells",
    "napari",
    "PyQt6",
    "PySide6",
    "vispy",
    "numpy",
    "numba",
    "torch",
    "torchvision",
)
_STEPS = 1000
_PULSE_MS = 500


class TaskState(StrEnum):
    """What a task bar can show, in the words the person reads."""

    READY = "ready"
    PREPARING = "preparing"
    RUNNING = "running"
    STOPPING = "stopping"
    DONE = "done"
    FAILED = "failed"


class TaskBar(QWidget):
    """A button that starts the work and becomes Stop while it runs, beside a status sentence.

    Parameters
    ----------
    verb : str
        What the button does, "Train".

    Below it a button Continue can be offered for work that was stopped.

    The bar only shows: whoever owns it starts and stops the work at `start_clicked`,
    `continue_clicked` and `stop_clicked`, and tells it by `ready`, `prepare`, `run`, `stop`,
    `finish` and `fail`. Once Stop is clicked, `prepare` and `run` of events still on their way
    are not shown.
    """

    start_clicked = Signal()
    stop_clicked = Signal()
    continue_clicked = Signal()

    def __init__(self, verb: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._verb = verb
        self._report = ""
        self._state = TaskState.READY
        self._button = QPushButton(verb)
        self._button.setMinimumSize(84, 32)
        self._button.clicked.connect(self._on_click)
        self._continue = QPushButton("Continue")
        self._continue.clicked.connect(self.continue_clicked)
        self._continue.hide()
        self._status = QLabel()
        self._status.setWordWrap(True)
        self._status.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._status.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        self._status.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        # three lines of room: the rows below stand still while the sentence changes
        self._status.setMinimumHeight(3 * self._status.fontMetrics().lineSpacing())
        self._progress = QProgressBar()
        self._progress.setTextVisible(False)
        self._progress.setFixedHeight(4)
        self._progress.setRange(0, _STEPS)
        # Qt's own animation paints the window thirty times a second, and with it the canvas: where
        # no GPU draws, that takes half of two processors from the work that is waited for
        self._pulse = QTimer(self)
        self._pulse.setInterval(_PULSE_MS)
        self._pulse.timeout.connect(self._on_pulse)
        policy = self._progress.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self._progress.setSizePolicy(policy)
        self._build()
        self.ready()

    def _build(self) -> None:
        self._details_button = QPushButton("Details")
        self._details_button.setCheckable(True)
        self._copy_button = QPushButton("Copy report")
        self._copy_button.setToolTip("versions, platform and the error, to paste into an e-mail")
        self._copy_button.clicked.connect(self._copy)
        self._details = QPlainTextEdit()
        self._details.setReadOnly(True)
        self._details.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self._details.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        self._details.setFixedHeight(140)
        self._details_button.toggled.connect(self._details.setVisible)
        for button in (self._button, self._continue, self._details_button, self._copy_button):
            # a click leaves the keys with the canvas; Tab reaches the button
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self._failure = QWidget()
        buttons = QHBoxLayout()
        buttons.addWidget(self._details_button)
        buttons.addWidget(self._copy_button)
        buttons.addStretch()
        below = QVBoxLayout(self._failure)
        below.setContentsMargins(0, 0, 0, 0)
        below.addLayout(buttons)
        below.addWidget(self._details)
        row = QHBoxLayout()
        row.setSpacing(8)
        column = QVBoxLayout()
        column.setSpacing(4)
        column.addWidget(self._button)
        column.addWidget(self._continue)
        column.addStretch()
        row.addLayout(column)
        row.addWidget(self._status, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(row)
        layout.addWidget(self._progress)
        layout.addWidget(self._failure)

    @property
    def state(self) -> TaskState:
        return self._state

    @property
    def stopping(self) -> bool:
        """Whether Stop was asked for and the work has not ended yet."""
        return self._state is TaskState.STOPPING

    @property
    def sentence(self) -> str:
        """The status line as the person reads it."""
        return self._status.text()

    @property
    def report(self) -> str:
        """What Copy report puts on the clipboard; empty unless failed."""
        return self._report

    @property
    def button(self) -> QPushButton:
        return self._button

    @property
    def continue_button(self) -> QPushButton:
        return self._continue

    def offer_to_continue(self, why: str) -> None:
        """Show the button Continue, with this tooltip, until something runs; "" hides it."""
        self._continue.setVisible(bool(why))
        self._continue.setToolTip(why)

    def ready(self, sentence: str = "ready", startable: bool = True) -> None:
        """Nothing runs; `startable` False where something is missing, said in `sentence`."""
        self._show(TaskState.READY, sentence)
        self._button.setEnabled(startable)

    def prepare(self, sentence: str) -> None:
        """The work is asked for and has not taken its first step."""
        if self._state is TaskState.STOPPING:
            return
        self._show(TaskState.PREPARING, sentence)
        self._show_fraction(None)

    def run(self, sentence: str, fraction: float | None = None) -> None:
        """The work runs; `fraction` of it is done, None where that is not known."""
        if self._state is TaskState.STOPPING:
            return
        self._show(TaskState.RUNNING, sentence)
        self._show_fraction(fraction)

    def stop(self, sentence: str = "stopping") -> None:
        """Stop was asked for."""
        self._show(TaskState.STOPPING, sentence)

    def finish(self, sentence: str) -> None:
        """The work is done, or was stopped and kept its result."""
        self._show(TaskState.DONE, sentence)

    def fail(self, sentence: str, details: str = "") -> None:
        """The work failed: why and what to do, with the traceback for whoever asks for it.

        Without `details` it is the person's own to mend, and there is nothing to report.
        """
        self._show(TaskState.FAILED, sentence)
        self._details.setPlainText(details)
        self._failure.setVisible(bool(details))
        self._report = write_report(sentence, details) if details else ""

    def _show(self, state: TaskState, sentence: str) -> None:
        self._state = state
        if self._status.text() != sentence:
            self._status.setText(sentence)
            self._status.setToolTip(sentence)
        busy = state in (TaskState.PREPARING, TaskState.RUNNING, TaskState.STOPPING)
        self._button.setText("Stop" if busy else self._verb)
        self._button.setEnabled(state is not TaskState.STOPPING)
        self._progress.setVisible(busy)
        if not busy:
            self._pulse.stop()
        if busy:
            self._continue.hide()
        if state is not TaskState.FAILED:
            self._failure.hide()
            self._details_button.setChecked(False)
            self._details.hide()

    def _show_fraction(self, fraction: float | None) -> None:
        """Fill the bar so far; where the fraction is not known it blinks."""
        if fraction is not None:
            self._pulse.stop()
            self._fill(round(_STEPS * min(1.0, max(0.0, fraction))))
        elif not self._pulse.isActive():
            self._fill(0)
            self._pulse.start()

    def _on_pulse(self) -> None:
        self._fill(0 if self._progress.value() else _STEPS)

    def _fill(self, steps: int) -> None:
        # Qt repaints a progress bar within setValue, and with it the canvas: 100 ms a step
        self._progress.setUpdatesEnabled(False)
        self._progress.setValue(steps)
        self._progress.setUpdatesEnabled(True)

    def _on_click(self) -> None:
        if self._state in (TaskState.PREPARING, TaskState.RUNNING):
            self.stop()
            self.stop_clicked.emit()
        else:
            self.start_clicked.emit()

    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(self._report)
        self._copy_button.setText("Copied")


def write_report(sentence: str, details: str) -> str:
    """What one needs to mend a failure: when, where, which versions, and the error itself."""
    lines = [
        f"{sentence}",
        "",
        f"{datetime.now().astimezone().isoformat(timespec='seconds')}",
        f"{platform.platform()}, Python {platform.python_version()}",
    ]
    for name in _REPORTED:
        try:
            lines.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return "\n".join([*lines, "", details.rstrip(), ""])
