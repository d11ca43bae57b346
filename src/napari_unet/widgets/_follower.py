"""Layers of ours go where their image goes: its scale may be said after it was painted on."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from napari_unet.widgets import _layers

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

_MOVES = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")


class Follower:
    """Keeps every layer of ours in a viewer over the layer that it belongs to."""

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = weakref.ref(viewer)
        viewer.layers.events.inserted.connect(self._on_inserted)
        viewer.layers.events.removed.connect(self._on_removed)
        for layer in viewer.layers:
            self._watch(layer)

    def _watch(self, layer: Layer) -> None:
        for name in _MOVES:
            getattr(layer.events, name).connect(self._on_moved)

    def _on_inserted(self, event: Any) -> None:
        self._watch(event.value)

    def _on_removed(self, event: Any) -> None:
        for name in _MOVES:
            getattr(event.value.events, name).disconnect(self._on_moved)

    def _on_moved(self, event: Any) -> None:
        viewer = self._viewer()
        if viewer is None:
            return
        for layer in viewer.layers:
            if _layers.role_of(layer) and _layers.belongs_to(layer, event.source):
                _layers.put_over(layer, event.source)
