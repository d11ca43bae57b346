"""A combo of the labels layers that can be the annotation of the image."""

from __future__ import annotations

from typing import Any

from napari.layers import Labels
from qtpy.QtWidgets import QComboBox, QWidget

from napari_unet.widgets._connections import Connections
from napari_unet.widgets._form import guard_wheel
from napari_unet.widgets._session import Session


class LabelsChoice(QComboBox):
    """Labels as large as the image, topmost first; it shows those of the session."""

    def __init__(
        self, session: Session, connections: Connections, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._session = session
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

    def refresh(self, event: Any = None) -> None:
        """Look at the layers again."""
        chosen = self._session.labels
        self.clear()
        for layer in reversed(self._session.viewer.layers):
            if isinstance(layer, Labels) and (layer is chosen or self._session.fits(layer)):
                self.addItem(layer.name, layer)
                if layer is chosen:
                    self.setCurrentIndex(self.count() - 1)
        if chosen is None:
            self.insertItem(0, "none yet", None)
            self.setCurrentIndex(0)
        self.setToolTip(f"{self.currentText()}: the layer that you paint on")

    def _on_activated(self, row: int) -> None:
        self._session.labels = self.itemData(row)
