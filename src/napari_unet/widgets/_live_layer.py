"""The weight map as a layer that follows the brush."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Image
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer, Signal

from napari_unet.core import border_weights
from napari_unet.core.annotation import check_labels
from napari_unet.core.config import WeightConfig
from napari_unet.core.errors import InputError
from napari_unet.core.live_map import Figures, LiveMap, measure_gaps
from napari_unet.core.types import Region
from napari_unet.widgets import _layers, _worker
from napari_unet.widgets._connections import Connections
from napari_unet.widgets._hand import RestTimer
from napari_unet.widgets._pixel import explain_pixel
from napari_unet.widgets._planes import PlaneIndex, Reader
from napari_unet.widgets._session import Session
from napari_unet.widgets._upload import upload_box

AT_ONCE = 256 * 256
"""Pixels of a stroke that are worked in at once, within a frame; larger changes take a thread."""

_GATHER_MS = 30
_REST_MS = 250
_GAPS_MS = 1000
_THREADS = max(1, min(4, (os.cpu_count() or 1) - 1))


@dataclass(frozen=True)
class _Asked:
    """What a new map is made for, and how many strokes it knows of."""

    image: Image
    index: PlaneIndex
    strokes: int


class LiveLayer(QObject):
    """Keeps the layer of the weight map up to date with the session while it is `shown`.

    A stroke is worked into the map at once. A new map is made off the GUI thread when the
    settings, the regions, the classes or the plane change, and when the hand rests after strokes
    that moved the class weights; the strokes made meanwhile are then worked into it.

    Signals
    -------
    measured(figures : Figures)
    gaps_measured(gaps : Gaps or None)
    said(sentence : str)
        Whether the map follows, or why it does not.
    shown_changed(shown : bool)
        The person showed, hid or removed the layer in the layer list.
    """

    measured = Signal(object)
    gaps_measured = Signal(object)
    said = Signal(str)
    shown_changed = Signal(bool)

    def __init__(self, session: Session, connections: Connections) -> None:
        # no parent: napari may delete the panel's widgets while connections still lead here
        super().__init__()
        self._session = session
        self._shown = False
        self._warm = False
        self._live: LiveMap | None = None
        self._layer: Image | None = None
        self._strokes: list[tuple[int, Region]] = []
        self._count = 0
        self._took = 0.0
        self._making = _worker.Latest(self)
        self._measuring, self._gauging = _worker.Latest(self), _worker.Latest(self)
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(_GATHER_MS)
        self._soon.timeout.connect(self._make)
        self._rest = RestTimer(_REST_MS, self._on_rest)
        self._gauge_soon = RestTimer(_GAPS_MS, self._gauge)
        self._of_layer = Connections()
        for signal in (session.regions_changed, session.classes_changed, session.weights_changed):
            connections.connect(signal, self.refresh)
        for signal in (session.image_changed, session.labels_changed):
            connections.connect(signal, self._on_other)
        connections.connect(session.painted, self._on_painted)
        connections.connect(session.viewer.layers.events.removed, self._on_removed)
        connections.add(self.close)
        # the kernels must not be compiled within a stroke
        _worker.run(border_weights.warm_up, on_done=self._on_warm, owner=self)

    @property
    def shown(self) -> bool:
        """Whether there is to be a map."""
        return self._shown

    @shown.setter
    def shown(self, shown: bool) -> None:
        if shown == self._shown:
            return
        self._shown = shown
        self._live = None
        if self._layer is not None and self._layer.visible != shown:
            self._layer.visible = shown
        if shown:
            self.refresh()
            self._gauge_soon.start()
        else:
            self.said.emit("The map is not shown.")
        self.shown_changed.emit(shown)

    def refresh(self, why: str = "the settings, regions or classes changed") -> None:
        """Make a new map soon, and say until then that the one in view is stale, and why."""
        if self._shown and self._live is not None:
            self.said.emit(f"Stale: {why}. A new map is on its way …")
        self._soon.start()

    def close(self) -> None:
        """Stop following; a layer that no longer follows is hidden."""
        for timer in (self._soon, self._rest, self._gauge_soon):
            timer.stop()
        self._of_layer.undo()
        self._shown = False
        self._live = None
        if self._layer is not None:
            self._layer.visible = False
        self._layer = None

    def look(self, position: NDArray[np.float64]) -> str:
        """What the map is made of at a place of the world, in words; empty outside."""
        if self._live is None or not self._warm:
            return ""
        return explain_pixel(self._session, self._live.shown, position)

    def _on_warm(self, _: None) -> None:
        self._warm = True

    def _on_other(self) -> None:
        """Another image or annotation is chosen: the map of before does not follow any more."""
        self._live = None
        layer, image = self._layer, self._session.image
        if layer is not None and (
            image is None or _layers.find(self._session.viewer, _layers.WEIGHTS, image) is not layer
        ):
            self._of_layer.undo()
            layer.visible = False
            self._layer = None
        self.refresh()
        self._gauge_soon.start()

    def _on_painted(self, region: Region | None) -> None:
        if not self._shown:
            return
        self._gauge_soon.start()
        self._count += 1
        if region is None:  # another plane: the strokes to come are not for this map
            self._live = None
        elif self._making.busy:
            self._strokes.append((self._count, region))
        if region is None or self._live is None or not self._warm:
            self.refresh()
            return
        if _area(region) > AT_ONCE:
            self.refresh("much was painted at once")
            return
        start = time.perf_counter()
        self._work_in([region])
        self._took = time.perf_counter() - start
        self._rest.start()

    def _work_in(self, strokes: list[Region]) -> None:
        """Bring map and layer up to date with some strokes."""
        session, live, layer = self._session, self._live, self._layer
        if live is None or layer is None or session.labels is None:
            return
        labels = session.plane(session.labels)
        classes = session.classes()
        for region in strokes:
            box = live.paint(labels, region, classes)
            largest = float(live.shown[box].max(initial=0.0))
            if largest > layer.contrast_limits[1]:
                _set_range(layer, largest)
            upload_box(session.viewer, layer, box)

    def _on_rest(self) -> None:
        """The hand rests: figures, and a new map if the class weights have moved."""
        if self._live is None or self._session.labels is None:
            return
        if self._live.drifted:
            self.refresh("the class weights moved with the paint")
            return
        try:
            read = self._session.labels_reader()
        except InputError:
            return  # another image is in view: a map of it is on its way
        # not with each move: what changes beside the canvas has all of the window drawn again
        self.said.emit(f"Follows the brush · {1000 * self._took:.1f} ms")
        self._measuring.run(
            _measure, self._live, read, on_done=self.measured.emit, on_error=self.said.emit
        )

    def _make(self) -> None:
        """Make a new map off the GUI thread."""
        if not self._shown:
            return
        try:
            read = self._session.labels_reader()
        except InputError as error:
            self._fail(str(error))
            return
        image = self._session.need_image()
        asked = _Asked(image, self._session.plane_index(image), self._count)
        if self._live is None:
            self.said.emit("Computing the map …")
        self._making.run(
            _make,
            read,
            self._session.complete(),
            dict(self._session.classes()),
            self._session.weights,
            on_done=lambda made: self._take(asked, *made),
            on_error=self._fail,
        )

    def _take(self, asked: _Asked, live: LiveMap, figures: Figures) -> None:
        """Show a new map, and work in the strokes that it does not know of."""
        session = self._session
        image = session.image
        if not self._shown or image is not asked.image or session.labels is None:
            return
        if session.plane_index(image) != asked.index:
            return  # the map of the plane now in view is on its way
        layer = _layers.show_weights(session.viewer, image, live.shown, asked.index)
        self._live = live
        self._follow(layer)
        _set_range(layer, figures.largest)
        self._strokes = [(n, box) for n, box in self._strokes if n > asked.strokes]
        # for the large ones a map of their own is on its way
        missed = [box for _, box in self._strokes if _area(box) <= AT_ONCE]
        if missed:
            self._work_in(missed)
            self._rest.start()
        if not self._making.busy:
            self._strokes.clear()
        self.measured.emit(figures)
        self.said.emit("Follows the brush.")

    def _follow(self, layer: Image) -> None:
        if layer is self._layer:
            return
        self._of_layer.undo()
        self._layer = layer
        layer.visible = True
        self._of_layer.connect(layer.events.visible, self._on_visible)

    def _fail(self, sentence: str) -> None:
        self._live = None
        if self._layer is not None:
            self._layer.data[...] = 0
            self._layer.refresh(extent=False, highlight=False)
        self.said.emit(sentence)

    def _gauge(self) -> None:
        """Measure the gaps off the GUI thread."""
        if not self._shown:
            return
        try:
            read = self._session.labels_reader()
        except InputError:
            self.gaps_measured.emit(None)
            return
        self._gauging.run(lambda: measure_gaps(read()), on_done=self.gaps_measured.emit)

    def _on_visible(self, event: Any = None) -> None:
        if self._layer is not None:
            self.shown = bool(self._layer.visible)

    def _on_removed(self, event: Any) -> None:
        if event.value is self._layer:
            self._of_layer.undo()
            self._layer = None
            self.shown = False


def _make(
    read: Reader,
    complete: NDArray[np.bool_] | None,
    classes: dict[int, int],
    config: WeightConfig,
) -> tuple[LiveMap, Figures]:
    labels = check_labels(read())
    if not (labels > 0).any():
        raise InputError("No cell is painted yet: the map comes with the first one.")
    live = LiveMap(labels, complete, classes, config, threads=_THREADS)
    return live, live.measure(labels)


def _measure(live: LiveMap, read: Reader) -> Figures:
    return live.measure(read())


def _set_range(layer: Image, largest: float) -> None:
    """Colours from 0 to the largest weight; a hundredth less is not worth another look."""
    largest = max(largest, 1e-3)
    if not 0.99 * layer.contrast_limits[1] <= largest <= layer.contrast_limits[1]:
        if largest > layer.contrast_limits_range[1]:
            layer.contrast_limits_range = (0.0, largest)
        layer.contrast_limits = (0.0, largest)


def _area(region: Region) -> int:
    rows, cols = region
    return int((rows.stop - rows.start) * (cols.stop - cols.start))
