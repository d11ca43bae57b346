"""What the colours of the weight map mean, and how many pixels have which."""

from __future__ import annotations

import numpy as np
from napari.utils.colormaps import AVAILABLE_COLORMAPS
from numpy.typing import NDArray
from qtpy.QtCore import QRectF, Qt
from qtpy.QtGui import QImage, QPainter, QPaintEvent
from qtpy.QtWidgets import QHBoxLayout, QLabel, QWidget

_STEPS = 120
_STRIP, _BARS = 10, 24  # px high


class WeightScale(QWidget):
    """A colour scale from weight 0 to the largest one, with a histogram standing on it."""

    def __init__(self) -> None:
        super().__init__()
        self._strip = _Strip()
        self._largest = QLabel()
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(QLabel("0"), 0, Qt.AlignmentFlag.AlignBottom)
        layout.addWidget(self._strip, 1)
        layout.addWidget(self._largest, 0, Qt.AlignmentFlag.AlignBottom)
        self.setToolTip("how many pixels weigh how much; the bars grow with the logarithm")
        self.setVisible(False)

    def show_figures(self, largest: float, histogram: NDArray[np.int64]) -> None:
        """The weight at the right end, and pixels in equal steps from 0 to it."""
        self._largest.setText(f"{largest:.3g}")
        self._strip.show_histogram(histogram)
        self.setVisible(True)


class _Strip(QWidget):
    """The bars and the colours."""

    def __init__(self) -> None:
        super().__init__()
        colors = AVAILABLE_COLORMAPS["inferno"].map(np.linspace(0, 1, _STEPS))
        self._pixels = np.ascontiguousarray((colors * 255).astype(np.uint8))
        self._colors = QImage(self._pixels.data, _STEPS, 1, QImage.Format.Format_RGBA8888)
        self._heights = np.zeros(0)
        self.setFixedHeight(_STRIP + _BARS)
        self.setMinimumWidth(40)

    def show_histogram(self, histogram: NDArray[np.int64]) -> None:
        heights = np.log1p(histogram)
        self._heights = heights / max(1e-9, float(heights.max(initial=0)))
        self.update()

    def paintEvent(self, event: QPaintEvent | None) -> None:
        painter = QPainter(self)
        painter.drawImage(QRectF(0, _BARS, self.width(), _STRIP), self._colors)
        step = self.width() / max(1, self._heights.size)
        for place, height in enumerate(self._heights.tolist()):
            bar = QRectF(place * step, _BARS * (1 - height), max(1.0, step - 1), _BARS * height)
            painter.fillRect(bar, self.palette().windowText())
        painter.end()
