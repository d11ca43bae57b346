"""Keys of ours on a viewer: bound where they are free, and given back."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels, Shapes
from napari.utils.key_bindings import coerce_keybinding

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from qtpy.QtWidgets import QPushButton

    from napari_unet.widgets._connections import Connections


def bind(viewer: ViewerModel, key: str, method: Callable[[], Any]) -> Callable[[], None] | None:
    """Bind `key` to a method of a widget, which is not kept alive by it.

    Returns
    -------
    callable or None
        Gives the key back. None where the key is taken already, by napari, by the person's own
        shortcuts or by another widget: those are never overwritten.
    """
    combination = coerce_keybinding(key)
    kinds = [*type(viewer).__mro__, Image, Labels, Shapes]
    taken = [viewer.keymap, *(getattr(kind, "class_keymap", {}) for kind in kinds)]
    if any(combination in keymap for keymap in taken):
        return None
    reference = weakref.WeakMethod(method)

    def press(viewer: ViewerModel) -> None:
        alive = reference()
        if alive is not None:
            alive()

    def unbind() -> None:
        if viewer.keymap.get(combination) is press:
            viewer.bind_key(key, None)

    viewer.bind_key(key, press)
    return unbind


def bind_button(
    viewer: ViewerModel,
    connections: Connections,
    key: str,
    button: QPushButton,
    method: Callable[[], Any],
) -> None:
    """Bind a key where it is free, and show it on the button that does the same."""
    unbind = bind(viewer, key, method)
    if unbind is not None:
        button.setText(f"{button.text()} {key.replace('Shift-', '⇧')}")
        connections.add(unbind)
