"""Lines drawn into the canvas with the mouse, from where it is pressed to where it is let go."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from napari_unet.widgets import _planes

if TYPE_CHECKING:
    from napari.components import ViewerModel

_STILL = 3
"""Pixels of the screen by which a hand may move while it clicks."""

Points = list[tuple[float, ...]]
"""In world coordinates."""


class Draws(Protocol):
    """Who gets the points: on each move all so far, and in the end, `done`."""

    def __call__(self, points: Points, done: bool, /) -> None: ...


def watch(viewer: ViewerModel, method: Draws) -> Callable[[], None]:
    """Call a bound method of a widget while the left button is pressed, instead of moving the view.

    A press that does not move is a line of one point. The widget is not kept alive by it.

    Returns
    -------
    callable
        Ends it.
    """
    reference: Any = weakref.WeakMethod(method)  # type: ignore[arg-type]

    def follow(viewer: ViewerModel, event: Any) -> Iterator[None]:
        if event.button != 1 or event.modifiers:
            return
        points: Points = [tuple(event.position)]
        last = tuple(event.pos)
        yield
        while event.type == "mouse_move":
            if max(abs(a - b) for a, b in zip(event.pos, last, strict=True)) > _STILL:
                points.append(tuple(event.position))
                last = tuple(event.pos)
                _tell(points, False)
            yield
        _tell(points, True)

    def _tell(points: Points, done: bool) -> None:
        alive = reference()
        if alive is not None:
            alive(points, done)

    camera = _planes.find_camera(viewer)
    moved_before = camera.mouse_pan
    camera.mouse_pan = False
    viewer.mouse_drag_callbacks.append(follow)

    def end() -> None:
        if follow in viewer.mouse_drag_callbacks:
            viewer.mouse_drag_callbacks.remove(follow)
            active = viewer.layers.selection.active
            camera.mouse_pan = moved_before if active is None else active.mouse_pan

    return end
