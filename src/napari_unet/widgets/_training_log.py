"""What a training says, in one status sentence, three curves and the score of the held-out part."""

from __future__ import annotations

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_unet.core.config import TrainConfig
from napari_unet.core.types import Judging, Prepared, Repainted, Stepped, Validated, Warned
from napari_unet.widgets._device_badge import short_name
from napari_unet.widgets._plot import CurvePlot
from napari_unet.widgets._task_bar import TaskBar

_STATUS_MS = 250


class TrainingLog(QWidget):
    """Takes the events of a training and tells the bar and the plot of the panel.

    It shows itself the score line, “held out: AP50 0.61 → 0.83 on 2 of 9 regions”, and warnings.
    """

    def __init__(self, bar: TaskBar, plot: CurvePlot, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._bar, self._plot = bar, plot
        self._score = QLabel()
        self._warning = QLabel()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for label in (self._score, self._warning):
            label.setWordWrap(True)
            label.hide()
            layout.addWidget(label)
        self._status = QTimer(self)
        self._status.setSingleShot(True)
        self._status.setInterval(_STATUS_MS)
        self._status.timeout.connect(self._show_step)
        self.begin(TrainConfig())

    def begin(self, config: TrainConfig) -> None:
        """Forget the last training."""
        self._config = config
        self._prepared: Prepared | None = None
        self._step: Stepped | None = None
        self._cells = ""
        self._first: Validated | None = None
        self._best: Validated | None = None
        self.just_got_better = False
        self._score.hide()
        self._warning.hide()
        self._plot.clear()
        self._plot.set_budget(None if config.steps else config.minutes)

    def go_on(self) -> None:
        """The last training continues: its curves and scores stay."""
        self._warning.hide()

    def add(self, event: object) -> None:
        """Take one event of the core."""
        self.just_got_better = False
        match event:
            case Stepped():
                self._step = event
                self._plot.add_loss(event.seconds / 60, event.loss)
                if not self._status.isActive():  # faster than one can read is not shown
                    self._status.start()
            case Judging(done=done, total=total):
                self._status.stop()
                fraction = 0.0 if self._step is None else self._step.fraction
                self._bar.run(f"Judging the held-out part · {done} of {total}", fraction)
            case Validated():
                self._add_validation(event)
            case Prepared():
                self._prepared = event
                self._bar.prepare(f"Preparing · {event.cells} cells · {self._device}")
            case Repainted(cells=cells):
                self._cells = f"{cells} cells · "
            case Warned():
                self.warn(event.message)

    def warn(self, sentence: str) -> None:
        """Show what does not stop the work."""
        self._warning.setText(f"! {sentence}")
        self._warning.show()

    def end(self) -> None:
        """No more events are shown."""
        self._status.stop()
        self._plot.draw()

    def final(self, word: str) -> str:
        """The sentence after the end: `word` is Done or Stopped."""
        if self._step is None:
            return f"{word}."
        steps = "1 step" if self._step.step == 1 else f"{self._step.step} steps"
        pieces = [word, clock(self._step.seconds), steps, self._device]
        return " · ".join(pieces)

    @property
    def _device(self) -> str:
        if self._prepared is None:
            return ""
        return f"{short_name(self._prepared.device)}, {self._prepared.precision}"

    @property
    def score(self) -> str:
        """The score line as the person reads it."""
        return self._score.text()

    def _add_validation(self, event: Validated) -> None:
        seconds = 0.0 if self._step is None else self._step.seconds
        self._plot.add_validation(seconds / 60, event.loss, event.f1)
        self._first = self._first or event
        if event.best or self._best is None:
            self._best = event
        # a model that finds no cell yet would cover the image with noise
        self.just_got_better = event.best and event.f1 > 0
        held_out = self._prepared.held_out if self._prepared else ""
        where = f" on {held_out}" if held_out else ""
        first, best = self._first.ap50, self._best.ap50
        change = f"{best:.2f}" if self._first is self._best else f"{first:.2f} → {best:.2f}"
        self._score.setText(f"held out: AP50 {change}{where}")
        self._score.setToolTip(
            "average precision of the cells at IoU 0.5, on what was never trained on: "
            "at the first look and in the state that is kept"
        )
        self._score.show()

    def _show_step(self) -> None:
        step = self._step
        if step is None:
            return
        total = step.seconds + step.remaining
        if self._config.steps is None:
            total = 60 * self._config.minutes
        self._bar.run(
            f"Training · {clock(min(step.seconds, total))} of {clock(total)} · {self._cells}"
            f"{self._device} · "
            f"{step.images_per_second:.{0 if step.images_per_second >= 10 else 1}f} images/s",
            step.fraction,
        )


def clock(seconds: float) -> str:
    """`02:05`, from an hour on `1:02:05`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"
