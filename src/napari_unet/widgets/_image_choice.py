"""A combo of the person's images; choosing one chooses it for all docks of the viewer."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QComboBox, QWidget

from napari_unet.widgets._connections import Connections
from napari_unet.widgets._form import guard_wheel
from napari_unet.widgets._session import Session, is_layer_of_image


class ImageChoice(QComboBox):
    """The images of the viewer, topmost first; it shows the one of the session."""

    def __init__(
        self, session: Session, connections: Connections, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._session = session
        self.setSizeAdjustPolicy(self.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(8)
        guard_wheel(self)
        self.activated.connect(self._on_activated)
        connections.connect(session.image_changed, self.refresh)
        events = session.viewer.layers.events
        for event in (events.inserted, events.removed):
            connections.connect(event, self.refresh)
        self.refresh()

    def refresh(self, event: Any = None) -> None:
        """Look at the layers again."""
        self.clear()
        for layer in reversed(self._session.viewer.layers):
            if is_layer_of_image(layer):
                self.addItem(layer.name, layer)
        if not self.count():
            self.addItem("no image", None)
        self._show_chosen()

    def showPopup(self) -> None:
        self.refresh()  # a layer may have got another name
        super().showPopup()

    def _show_chosen(self) -> None:
        for row in range(self.count()):
            if self.itemData(row) is self._session.image:
                self.setCurrentIndex(row)
        self.setToolTip(self.currentText())

    def _on_activated(self, row: int) -> None:
        self._session.image = self.itemData(row)
