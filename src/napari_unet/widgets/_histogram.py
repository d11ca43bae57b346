"""A histogram of one column of a table, with the limits that a filter sets."""

from __future__ import annotations

from math import ceil, sqrt
from typing import Any

import numpy as np
import pyqtgraph as pg
from napari.utils.theme import get_theme
from numpy.typing import NDArray
from qtpy.QtWidgets import QWidget

from napari_unet.core.tables import Limits
from napari_unet.widgets._still_plot import hold_still

_MOST_BARS = 40
_COLORS = {"dark": "#56b4e9", "light": "#0072b2"}
_LIMIT_COLORS = {"dark": "#e69f00", "light": "#b85000"}


class Histogram(pg.PlotWidget):
    """Bars of equal width, as many as the root of the number of values, 40 at most."""

    def __init__(self, theme: str = "dark", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFixedHeight(126)
        hold_still(self)
        item = self.getPlotItem()
        for side in ("left", "bottom"):
            item.getAxis(side).enableAutoSIPrefix(False)
        item.getAxis("left").setWidth(34)
        item.layout.setContentsMargins(0, 4, 8, 6)
        self._bars = pg.BarGraphItem(x0=[0.0], x1=[0.0], height=[0.0])
        self.addItem(self._bars)
        self._lines = [pg.InfiniteLine(angle=90), pg.InfiniteLine(angle=90)]
        for line in self._lines:
            line.hide()
            self.addItem(line, ignoreBounds=True)
        self.counts: NDArray[np.intp] = np.zeros(0, np.intp)
        self.set_theme(theme)

    def show_values(self, values: NDArray[Any], words: str, limits: Limits = (None, None)) -> None:
        """Show finite values of a column; `words` stand below the axis."""
        values = values[np.isfinite(values)]
        self.counts, edges = np.histogram(
            values, bins=min(_MOST_BARS, max(1, ceil(sqrt(len(values)))))
        )
        self._bars.setOpts(x0=edges[:-1], x1=edges[1:], height=self.counts)
        self.setLabel("bottom", words)
        self.setXRange(edges[0], edges[-1], padding=0.02)
        self.setYRange(0, max(1, self.counts.max()), padding=0.02)
        for line, limit in zip(self._lines, limits, strict=True):
            line.setVisible(limit is not None)
            if limit is not None:
                line.setValue(limit)

    def set_theme(self, theme: str) -> None:
        """Take the colours of napari's theme of this name."""
        look = get_theme(theme)
        background = look.background.as_hex(format="long")
        self.setBackground(background)
        for side in ("left", "bottom"):
            self.getPlotItem().getAxis(side).setPen(look.secondary.as_hex(format="long"))
            self.getPlotItem().getAxis(side).setTextPen(look.text.as_hex(format="long"))
        self._bars.setOpts(brush=_COLORS[look.type], pen=background)
        for line in self._lines:
            line.setPen(pg.mkPen(_LIMIT_COLORS[look.type], width=2))
