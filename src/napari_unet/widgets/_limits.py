"""Two numbers between which a column is shown; at the ends of its range they limit nothing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QAbstractSpinBox, QDoubleSpinBox, QHBoxLayout, QLabel, QWidget

from napari_unet.core.tables import Limits
from napari_unet.widgets._form import guard_wheel

_DIGITS = 3
"""Of the range of a column, that can be told apart."""


class LimitInputs(QWidget):
    """Inputs for the smallest and the largest value.

    Signals
    -------
    changed(limits : (float or None, float or None))
        The person changed one of them.
    """

    changed = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.low, self.high = _input("not smaller than this"), _input("not larger than this")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(6)
        row.addWidget(self.low, 1)
        row.addWidget(QLabel("to"))
        row.addWidget(self.high, 1)
        self._unit = QLabel()  # in the inputs it would push the numbers out
        row.addWidget(self._unit)
        for spin in (self.low, self.high):
            spin.valueChanged.connect(self._announce)

    @property
    def limits(self) -> Limits:
        """What the inputs say; None at the end of the range."""
        low, high = self.low.value(), self.high.value()
        return (
            None if low <= self.low.minimum() else low,
            None if high >= self.high.maximum() else high,
        )

    def show_range(self, values: NDArray[Any], limits: Limits, unit: str = "") -> None:
        """Let the inputs reach over the values, and show limits, without a `changed`."""
        self._unit.setText(unit)
        values = values[np.isfinite(values)]
        least, most = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
        digits = _digits(most - least)
        step = 10.0**-digits
        least, most = math.floor(least / step) * step, math.ceil(most / step) * step
        low, high = limits
        # a limit that no cell reaches any more stays one
        least = least if low is None else min(least, low - step)
        most = most if high is None else max(most, high + step)
        given = [value for value in limits if value is not None]
        for spin, value in ((self.low, low), (self.high, high)):
            before = spin.blockSignals(True)
            spin.setDecimals(digits)
            spin.setRange(min(least, most, *given), max(least, most, *given))
            end = spin.minimum() if spin is self.low else spin.maximum()
            spin.setValue(end if value is None else value)
            spin.blockSignals(before)

    def _announce(self) -> None:
        self.changed.emit(self.limits)


def _input(why: str) -> QDoubleSpinBox:
    spin = QDoubleSpinBox()
    spin.setToolTip(f"{why}; at the end of the range there is no limit")
    spin.setStepType(QAbstractSpinBox.StepType.AdaptiveDecimalStepType)
    spin.setButtonSymbols(QAbstractSpinBox.ButtonSymbols.NoButtons)
    spin.setKeyboardTracking(False)
    # napari's own least width is for an input with buttons
    spin.setStyleSheet("QDoubleSpinBox {min-width: 44px;}")
    guard_wheel(spin)
    return spin


def _digits(span: float) -> int:
    """Digits behind the point by which a span can be told in a thousand steps."""
    return 0 if span <= 0 else max(0, _DIGITS - 1 - math.floor(math.log10(span)))
