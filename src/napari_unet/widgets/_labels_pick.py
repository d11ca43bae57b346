"""A combo of labels layers that fit the image, for a panel alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from napari.layers import Labels
from qtpy.QtWidgets import QComboBox, QWidget

from napari_unet.widgets import _layers
from napari_unet.widgets._connections import Connections
from napari_unet.widgets._form import guard_wheel
from napari_unet.widgets._session import Session

if TYPE_CHECKING:
    from collections.abc import Iterator


class LabelsPick(QComboBox):
    """The labels layers of the image, topmost first.

    What the person chose stays chosen while it is there; else it follows `default()`.
    Choosing changes nothing outside the panel.
    """

    def __init__(
        self,
        session: Session,
        connections: Connections,
        default: Callable[[], Labels | None],
        nothing: str,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._session, self._default, self._nothing = session, default, nothing
        self._chosen: Labels | None = None
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
        """The layer that the combo shows."""
        layer: Labels | None = self.currentData()
        return layer

    def refresh(self, event: Any = None) -> None:
        """Look at the layers again."""
        layers = list(self._fitting())
        if self._chosen not in layers:
            self._chosen = None
        shown = self._chosen or self._default()
        self.clear()
        for layer in layers:
            self.addItem(layer.name, layer)
        if shown in layers:
            self.setCurrentIndex(layers.index(shown))
        else:
            self.insertItem(0, self._nothing, None)
            self.setCurrentIndex(0)
        self.setToolTip(self.currentText())

    def _fitting(self) -> Iterator[Labels]:
        for layer in reversed(self._session.viewer.layers):
            if (
                isinstance(layer, Labels)
                and _layers.role_of(layer) not in _layers.VERDICTS
                and self._session.fits(layer)
            ):
                yield layer

    def _on_activated(self, row: int) -> None:
        self._chosen = self.itemData(row)
        self.setToolTip(self.currentText())
