"""Layers of ours go where their image goes: its scale may be said after it was painted on."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from napari_unet.widgets import _layers
from napari_unet.widgets._hand import RestTimer

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

_REST_MS = 100
_MOVES = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")


class Follower:
    """Keeps every layer of ours in a viewer over the layer that it belongs to.

    They follow when the hand rests: each that is moved is sliced anew.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = weakref.ref(viewer)
        self._moved: list[Layer] = []
        self._soon = RestTimer(_REST_MS, self._follow)
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
        if event.source not in self._moved:
            self._moved.append(event.source)
        self._soon.start()

    def _follow(self) -> None:
        viewer = self._viewer()
        moved, self._moved = self._moved, []
        for layer in () if viewer is None else viewer.layers:
            for image in moved:
                ours = _layers.role_of(layer) and _layers.belongs_to(layer, image)
                if ours and layer.ndim == image.ndim:
                    _layers.put_over(layer, image)
