"""Curves of a training: loss, validation loss and F1 against time."""

from __future__ import annotations

from array import array
from dataclasses import dataclass

import pyqtgraph as pg
from napari.utils.theme import get_theme
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QLabel, QSizePolicy, QVBoxLayout, QWidget

from napari_unet.widgets._still_plot import hold_still

_MAX_POINTS = 600
_REDRAW_MS = 500  # each time Qt paints the window, and with it the canvas
_DOTS = {"symbol": "o", "symbolSize": 5, "symbolPen": None}


@dataclass(frozen=True)
class _Colors:
    """Colours of Okabe and Ito, which also the colour-blind tell apart, per kind of theme."""

    loss: str
    validation: str
    f1: str


_COLORS = {
    "dark": _Colors("#56b4e9", "#e69f00", "#2fd6a3"),
    "light": _Colors("#0072b2", "#b85000", "#00805c"),
}


class _Curve:
    """Points of a growing line in bounded memory: when full, neighbours are averaged."""

    def __init__(self) -> None:
        self.x = array("d")
        self.y = array("d")

    def append(self, x: float, y: float) -> None:
        self.x.append(x)
        self.y.append(y)
        if len(self.x) >= _MAX_POINTS:
            self.x = self._halve(self.x)
            self.y = self._halve(self.y)

    @staticmethod
    def _halve(values: array[float]) -> array[float]:
        pairs = zip(values[::2], values[1::2], strict=True)
        return array("d", ((first + second) / 2 for first, second in pairs))

    def clear(self) -> None:
        del self.x[:], self.y[:]


class CurvePlot(QWidget):
    """Loss and validation loss on the left axis, F1 of the held-out cells on the right one.

    New points are kept at once and drawn at most five times a second.
    """

    def __init__(self, theme: str = "dark", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._loss, self._validation, self._f1 = _Curve(), _Curve(), _Curve()
        self._smooth: float | None = None
        self._legend = QLabel()
        self._legend.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        self._legend.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self._plot = pg.PlotWidget()
        self._plot.setFixedHeight(150)
        hold_still(self._plot)
        item = self._plot.getPlotItem()
        item.setLabel("bottom", "minutes")
        for side in ("left", "right", "bottom"):
            item.getAxis(side).enableAutoSIPrefix(False)
        item.showAxis("right")
        item.layout.setContentsMargins(0, 8, 0, 0)
        item.getAxis("left").setWidth(34)
        item.getAxis("right").setWidth(30)
        self._right = pg.ViewBox(enableMenu=False)
        self._right.setMouseEnabled(False, False)
        item.scene().addItem(self._right)
        item.getAxis("right").linkToView(self._right)
        self._right.setXLink(item.vb)
        self._right.setYRange(0.0, 1.0, padding=0.02)
        item.vb.sigResized.connect(self._align)
        self._loss_line = item.plot()
        self._validation_line = item.plot(**_DOTS)
        self._f1_line = pg.PlotDataItem(**_DOTS)
        self._right.addItem(self._f1_line)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self._legend)
        layout.addWidget(self._plot)
        self._redraw = QTimer(self)
        self._redraw.setSingleShot(True)
        self._redraw.setInterval(_REDRAW_MS)
        self._redraw.timeout.connect(self.draw)
        self.set_theme(theme)

    def add_loss(self, minutes: float, loss: float) -> None:
        """The loss of one step; the line shows its running mean, as single tiles scatter."""
        self._smooth = loss if self._smooth is None else 0.9 * self._smooth + 0.1 * loss
        self._loss.append(minutes, self._smooth)
        self._redraw_soon()

    def add_validation(self, minutes: float, loss: float, f1: float) -> None:
        """What the held-out part said."""
        self._validation.append(minutes, loss)
        self._f1.append(minutes, f1)
        self._redraw_soon()

    def clear(self) -> None:
        """Forget the curves of the last training."""
        for curve in (self._loss, self._validation, self._f1):
            curve.clear()
        self._smooth = None
        self.draw()

    def set_budget(self, minutes: float | None) -> None:
        """Let the time axis end with the budget; None where the end is not known."""
        box = self._plot.getPlotItem().vb
        if minutes is None:
            box.enableAutoRange(axis=box.XAxis)
        else:
            box.setXRange(0.0, minutes, padding=0.02)

    def set_theme(self, theme: str) -> None:
        """Take the colours of napari's theme of this name."""
        look = get_theme(theme)
        self._colors = _COLORS[look.type]
        text = look.text.as_hex(format="long")
        self._plot.setBackground(look.background.as_hex(format="long"))
        item = self._plot.getPlotItem()
        for side in ("left", "right", "bottom"):
            item.getAxis(side).setPen(look.secondary.as_hex(format="long"))
            item.getAxis(side).setTextPen(text)
        dashes = Qt.PenStyle.DashLine
        self._loss_line.setPen(pg.mkPen(self._colors.loss, width=2))
        self._validation_line.setPen(pg.mkPen(self._colors.validation, width=2, style=dashes))
        self._f1_line.setPen(pg.mkPen(self._colors.f1, width=2))
        self._validation_line.setSymbolBrush(self._colors.validation)
        self._f1_line.setSymbolBrush(self._colors.f1)
        self.draw()

    def draw(self) -> None:
        """Draw what is known now."""
        lines = (self._loss_line, self._validation_line, self._f1_line)
        for line, curve in zip(lines, (self._loss, self._validation, self._f1), strict=True):
            line.setData(list(curve.x), list(curve.y))
        self._legend.setText(
            " &nbsp;".join(
                f'<span style="color:{color}"><b>{sign}</b> {name} {curve.y[-1]:.{digits}f}</span>'
                if curve.y
                else f'<span style="color:{color}"><b>{sign}</b> {name}</span>'
                for color, sign, name, curve, digits in (
                    (self._colors.loss, "—", "loss", self._loss, 3),
                    (self._colors.validation, "- -", "validation", self._validation, 3),
                    (self._colors.f1, "—", "F1", self._f1, 2),
                )
            )
        )

    def _redraw_soon(self) -> None:
        if not self._redraw.isActive():
            self._redraw.start()

    def _align(self) -> None:
        box = self._plot.getPlotItem().vb
        self._right.setGeometry(box.sceneBoundingRect())
        self._right.linkedViewChanged(box, self._right.XAxis)
