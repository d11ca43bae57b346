"""Plots to look at, not to work in."""

from __future__ import annotations

import pyqtgraph as pg
from qtpy.QtCore import Qt


def hold_still(plot: pg.PlotWidget) -> None:
    """No menu, no zoom, no focus: the wheel scrolls the panel."""
    plot.setMenuEnabled(False)
    plot.hideButtons()
    plot.setMouseEnabled(False, False)
    plot.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
    plot.setFocusPolicy(Qt.FocusPolicy.NoFocus)
