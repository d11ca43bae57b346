"""A combo of the labels layers whose cells can be measured: the prediction unless one is chosen."""

from __future__ import annotations

import weakref
from typing import Any

from napari.layers import Labels
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QWidget

from napari_unet.widgets import _layers
from napari_unet.widgets._connections import Connections
from napari_unet.widgets._form import guard_wheel
from napari_unet.widgets._session import Session


class CellsChoice(QComboBox):
    """Labels as large as the image, topmost first.

    Signals
    -------
    layer_changed()
        `layer` is another one, or None.
    """

    layer_changed = Signal()

    def __init__(
        self, session: Session, connections: Connections, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._session = session
        self._chosen: weakref.ref[Labels] | None = None
        self._layer: weakref.ref[Labels] | None = None
        self.setSizeAdjustPolicy(self.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(8)
        guard_wheel(self)
        self.activated.connect(self._on_activated)
        events = session.viewer.layers.events
        for signal in (session.image_changed, session.labels_changed, events.inserted):
            connections.connect(signal, self.refresh)
        for signal in (events.removed, events.renamed):
            connections.connect(signal, self.refresh)
        self.refresh()

    @property
    def layer(self) -> Labels | None:
        """The labels to measure."""
        return None if self._layer is None else self._layer()

    def refresh(self, event: Any = None) -> None:
        """Look at the layers again."""
        layers = [
            layer
            for layer in reversed(self._session.viewer.layers)
            if isinstance(layer, Labels) and self._session.fits(layer)
        ]
        self.clear()
        for layer in layers:
            self.addItem(layer.name, layer)
        if not layers:
            self.addItem("no cells yet", None)
        self._show(self._find_default(layers))

    def _find_default(self, layers: list[Labels]) -> Labels | None:
        image = self._session.image
        chosen = None if self._chosen is None else self._chosen()
        found = (
            None if image is None else _layers.find(self._session.viewer, _layers.PREDICTION, image)
        )
        for layer in (chosen, found, self._session.labels, *layers):
            if layer in layers:
                return layer
        return None

    def _on_activated(self, row: int) -> None:
        layer = self.itemData(row)
        if layer is not None:
            self._chosen = weakref.ref(layer)
            self._show(layer)

    def _show(self, layer: Labels | None) -> None:
        for row in range(self.count()):
            if self.itemData(row) is layer:
                self.setCurrentIndex(row)
        self.setToolTip(f"{self.currentText()}: the cells that are measured")
        if layer is not self.layer or self._layer is None:
            self._layer = None if layer is None else weakref.ref(layer)
            self.layer_changed.emit()
