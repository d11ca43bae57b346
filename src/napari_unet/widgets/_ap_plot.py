"""AP against the IoU from which a cell counts as found."""

from __future__ import annotations

from collections.abc import Sequence

import pyqtgraph as pg
from napari.utils.theme import get_theme
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_unet.core.metrics import THRESHOLDS, ImageScores
from napari_unet.widgets._still_plot import hold_still

_COLORS = {"dark": ("#56b4e9", "#e69f00"), "light": ("#0072b2", "#b85000")}
"""Colours of Okabe and Ito, which also the colour-blind tell apart, per kind of theme."""

_HEIGHT = 130


class ApPlot(QWidget):
    """The AP curves of one or two predictions, from 0 to 1."""

    def __init__(self, theme: str = "dark", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._plot = pg.PlotWidget()
        self._plot.setFixedHeight(_HEIGHT)
        hold_still(self._plot)
        item = self._plot.getPlotItem()
        item.setLabel("bottom", "IoU")
        item.setLabel("left", "AP")
        for side in ("left", "bottom"):
            item.getAxis(side).enableAutoSIPrefix(False)
        item.layout.setContentsMargins(0, 6, 8, 0)
        item.getAxis("left").setWidth(44)
        item.vb.setXRange(0.5, 0.95, padding=0.03)
        item.vb.setYRange(0.0, 1.0, padding=0.04)
        dots = {"symbol": "o", "symbolSize": 5, "symbolPen": None}
        self.lines = (item.plot(**dots), item.plot(**dots))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._plot)
        self.set_theme(theme)

    @property
    def colors(self) -> tuple[str, str]:
        """Of the first and the second curve."""
        return self._colors

    def show_scores(self, scores: Sequence[ImageScores]) -> None:
        """Draw the curve of each, one or two; those of before are gone."""
        for number, line in enumerate(self.lines):
            ap = scores[number].ap.tolist() if number < len(scores) else []
            line.setData(THRESHOLDS.tolist() if ap else [], ap)

    def set_theme(self, theme: str) -> None:
        """Take the colours of napari's theme of this name."""
        look = get_theme(theme)
        self._colors = _COLORS[look.type]
        self._plot.setBackground(look.background.as_hex(format="long"))
        item = self._plot.getPlotItem()
        for side in ("left", "bottom"):
            item.getAxis(side).setPen(look.secondary.as_hex(format="long"))
            item.getAxis(side).setTextPen(look.text.as_hex(format="long"))
        for line, color in zip(self.lines, self._colors, strict=True):
            line.setPen(pg.mkPen(color, width=2))
            line.setSymbolBrush(color)
