"""Combos of the layers of cells that fit the image."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from napari.layers import Labels, Shapes
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QWidget

from napari_unet.widgets import _layers
from napari_unet.widgets._cell_reader import fits
from napari_unet.widgets._connections import Connections
from napari_unet.widgets._edited import Cells
from napari_unet.widgets._form import guard_wheel
from napari_unet.widgets._session import Session

Default: TypeAlias = Callable[[Sequence[Cells]], Cells | None]
"""From the layers that are offered, topmost first, to the one that is shown."""


class LabelsChoice(QComboBox):
    """Labels as large as the image and layers of whole cells, topmost first.

    Layers that show verdicts are left out.

    What the person chose stays chosen while it is there; else it follows `default`.

    Signals
    -------
    layer_changed()
        `layer` is another one, or None.

    Parameters
    ----------
    default : callable
        See `Default`.
    why : str
        What the layer is for, behind its name in the tooltip.
    nothing : str
        Stands there where no layer is shown.
    """

    layer_changed = Signal()

    def __init__(
        self,
        session: Session,
        connections: Connections,
        default: Default,
        why: str,
        nothing: str = "none yet",
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._session, self._default = session, default
        self._why, self._nothing = why, nothing
        self._chosen: weakref.ref[Cells] | None = None
        self._shown: weakref.ref[Cells] | None = None
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
    def layer(self) -> Cells | None:
        """The layer that the combo shows."""
        return None if self._shown is None else self._shown()

    def refresh(self, event: Any = None) -> None:
        """Look at the layers again."""
        layers = [layer for layer in reversed(self._session.viewer.layers) if self._offers(layer)]
        chosen = None if self._chosen is None else self._chosen()
        shown = chosen if chosen in layers else self._default(layers)
        self.clear()
        for layer in layers:
            self.addItem(layer.name, layer)
        if shown not in layers:
            shown = None
            self.insertItem(0, self._nothing, None)
        self._show(shown)

    def _offers(self, layer: Any) -> bool:
        return (
            isinstance(layer, Labels | Shapes)
            and _layers.role_of(layer) not in _layers.VERDICTS
            and fits(self._session, layer)
        )

    def _on_activated(self, row: int) -> None:
        layer = self.itemData(row)
        if layer is not None:
            self._chosen = weakref.ref(layer)
            self._show(layer)

    def _show(self, layer: Cells | None) -> None:
        self.setCurrentIndex([self.itemData(row) for row in range(self.count())].index(layer))
        self.setToolTip(f"{self.currentText()}: {self._why}")
        if layer is not self.layer:
            self._shown = None if layer is None else weakref.ref(layer)
            self.layer_changed.emit()


class AnnotationChoice(LabelsChoice):
    """The layer that is painted on: choosing one chooses it for all docks of the viewer."""

    def __init__(self, session: Session, connections: Connections) -> None:
        super().__init__(
            session, connections, lambda _: session.labels, "the layer that you paint on"
        )

    def _offers(self, layer: Any) -> bool:
        # what is painted on is named, so that it can be left, where it does not fit the image
        ours = layer is self._session.labels
        return ours or (isinstance(layer, Labels) and super()._offers(layer))

    def _on_activated(self, row: int) -> None:
        self._session.labels = self.itemData(row)


def find_cells(session: Session) -> Default:
    """The prediction of the image, else its annotation, else what is topmost."""

    def choose(layers: Sequence[Cells]) -> Cells | None:
        for layer in (find_prediction(session), session.labels, *layers):
            if layer in layers:
                return layer
        return None

    return choose


def find_prediction(session: Session) -> Labels | None:
    """The layer of what was predicted on the image."""
    image = session.image
    return None if image is None else _layers.find(session.viewer, _layers.PREDICTION, image)
