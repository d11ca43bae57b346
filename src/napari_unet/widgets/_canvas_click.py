"""Clicks into the canvas that are nothing else: no stroke, no drag of the view."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari.components import ViewerModel

_STILL = 3
"""Pixels of the screen by which a hand may move while it clicks."""


def watch(viewer: ViewerModel, method: Callable[[tuple[float, ...]], None]) -> Callable[[], None]:
    """Call a method of a widget with the place of each click, in world coordinates.

    Only of the left button, without modifiers, and while the active layer's tool is the one that
    moves the view. The widget is not kept alive by it.

    Returns
    -------
    callable
        Ends it.
    """
    reference = weakref.WeakMethod(method)

    def follow(viewer: ViewerModel, event: Any) -> Iterator[None]:
        active = viewer.layers.selection.active
        plain = event.button == 1 and not event.modifiers
        if not plain or (active is not None and str(active.mode) != "pan_zoom"):
            return
        place, start = tuple(event.position), tuple(event.pos)
        yield
        moved = False
        while event.type == "mouse_move":
            moved |= max(abs(a - b) for a, b in zip(event.pos, start, strict=True)) > _STILL
            yield
        alive = reference()
        if not moved and alive is not None:
            alive(place)

    viewer.mouse_drag_callbacks.append(follow)

    def end() -> None:
        if follow in viewer.mouse_drag_callbacks:
            viewer.mouse_drag_callbacks.remove(follow)

    return end
