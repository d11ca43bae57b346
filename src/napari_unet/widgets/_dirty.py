"""Which part of a labels layer was painted: the data compared with a snapshot."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QTimer

from napari_unet.core.regions import shift
from napari_unet.core.types import Region
from napari_unet.widgets._connections import Connections
from napari_unet.widgets._worker import Latest

if TYPE_CHECKING:
    from napari.layers import Labels

AT_ONCE = 2**20
"""Pixels that are compared at once, within a frame; of a larger plane a thread looks for them."""

_BAND = 64

Plane: TypeAlias = tuple[Hashable, NDArray[Any]]
"""Which plane it is, and its labels as a 2-D view."""


def watch(
    layer: Labels,
    callback: Callable[[Region | None], None],
    plane: Callable[[], Plane] | None = None,
    delay_ms: int = 25,
    moved: Any = None,
) -> Callable[[], None]:
    """Call `callback` with the region of a labels layer that changed.

    Parameters
    ----------
    layer : Labels
        Painted on by brush, fill, polygon, undo, scripts or other tools.
    callback : callable
        Gets the smallest box that holds all pixels that differ since the last call, within each
        move of the brush and soon after any other edit; None when another plane is shown or the
        shape is another. Never called where no pixel differs.
    plane : callable, optional
        Gives the plane to look at; all of a 2-D layer by default.
    delay_ms : int
        Edits other than those of the brush are gathered this long.
    moved : event emitter, optional
        Says that another plane may be in view, which a hidden layer does not.

    Returns
    -------
    callable
        Ends it. Whoever watches keeps it: without it the watch ends by itself.
    """
    watching = _Watch(layer, callback, plane or (lambda: (None, np.asarray(layer.data))), delay_ms)
    if moved is not None and layer.ndim > 2:
        watching.look_after(moved)
    return watching.end


def find_change(before: NDArray[Any], after: NDArray[Any]) -> Region | None:
    """Find the smallest box that holds all differing pixels of two (H, W) arrays.

    Band by band, so that neither array leaves the processor's cache on its way.
    """
    first = last = left = right = -1
    for top in range(0, len(before), _BAND):
        band = slice(top, top + _BAND)
        differs = before[band] != after[band]
        rows = np.flatnonzero(differs.any(axis=1))
        if not rows.size:
            continue
        cols = np.flatnonzero(differs[rows[0] : rows[-1] + 1].any(axis=0))
        first = top + rows[0] if first < 0 else first
        last = top + rows[-1]
        left = cols[0] if left < 0 else min(left, cols[0])
        right = max(right, cols[-1])
    if first < 0:
        return None
    return slice(int(first), int(last) + 1), slice(int(left), int(right) + 1)


class _Watch:
    """No event of a labels layer tells what was painted, and some come without any paint.

    `set_data` comes with undo and redo, but with contour and opacity as well; `paint` comes at
    the end of a stroke only; `labels_update` comes with each move of the brush and tells the
    box. So events only say where to look, and the snapshot says what changed. A look at all of
    a large plane takes a thread; what it finds is looked at again, as the brush may have moved.
    """

    def __init__(
        self,
        layer: Labels,
        callback: Callable[[Region | None], None],
        plane: Callable[[], Plane],
        delay_ms: int,
    ) -> None:
        self._callback = callback
        self._plane = plane
        self._ended = False
        self._searching = Latest(self)
        self._key, now = plane()
        self._snapshot = now.copy()
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(delay_ms)
        self._timer.timeout.connect(self._compare)
        self._connections = Connections()
        for name in ("paint", "set_data", "data"):
            self._connections.connect(getattr(layer.events, name), self._look_everywhere)
        self._connections.connect(layer.events.labels_update, self._look_at)

    @property
    def busy(self) -> bool:
        """Whether there may be something to report."""
        return self._timer.isActive() or self._searching.busy

    def look_after(self, emitter: Any) -> None:
        """Look whenever something happens that may change what is in view."""
        self._connections.connect(emitter, self._look_everywhere)

    def end(self) -> None:
        """Stop watching."""
        self._ended = True
        self._timer.stop()
        self._connections.undo()

    def _look_at(self, event: Any) -> None:
        """A move of the brush: report it before the canvas draws it."""
        if len(event.offset) != 2:
            self._look_everywhere()
            return
        box = tuple(
            slice(int(start), int(start) + size)
            for start, size in zip(event.offset, event.data.shape[:2], strict=True)
        )
        key, now = self._plane()
        if event.data.size > AT_ONCE or self._is_other(key, now):
            self._look_everywhere()
        else:
            # a box of a transposed view points elsewhere: the look after the stroke mends it
            self._look((box[0], box[1]), now)

    def _look_everywhere(self) -> None:
        if not self._timer.isActive():
            self._timer.start()

    def _compare(self) -> None:
        key, now = self._plane()
        if self._is_other(key, now):
            self._key, self._snapshot = key, now.copy()
            self._callback(None)
        elif now.size <= AT_ONCE:
            self._look((slice(0, None), slice(0, None)), now)
        else:
            self._searching.run(find_change, self._snapshot, now, on_done=self._on_found)

    def _is_other(self, key: Hashable, now: NDArray[Any]) -> bool:
        return key != self._key or now.shape != self._snapshot.shape

    def _on_found(self, region: Region | None) -> None:
        if region is not None and not self._ended:
            key, now = self._plane()
            if not self._is_other(key, now):
                self._look(region, now)

    def _look(self, looked_at: Region, now: NDArray[Any]) -> None:
        """Report what differs in a box."""
        region = find_change(self._snapshot[looked_at], now[looked_at])
        if region is None:
            return
        region = shift(region, looked_at[0].start, looked_at[1].start)
        if self._snapshot.dtype != now.dtype:
            self._snapshot = now.copy()
        else:
            self._snapshot[region] = now[region]
        self._callback(region)
