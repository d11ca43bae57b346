"""Measures a layer of cells off the GUI thread, again when it was edited and the hand rests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from napari.layers import Shapes
from qtpy.QtCore import QObject, Signal

from napari_unet.core.errors import InputError
from napari_unet.core.formats.layers import split_layers
from napari_unet.core.label_boxes import find_boxes
from napari_unet.core.measuring import PIXEL, Scale, measure_layers
from napari_unet.core.tables import Table
from napari_unet.core.types import Region
from napari_unet.widgets import _dirty, _planes
from napari_unet.widgets._cell_reader import cells_reader, find_plane, fits
from napari_unet.widgets._connections import Connections
from napari_unet.widgets._edited import Cells
from napari_unet.widgets._hand import RestTimer
from napari_unet.widgets._planes import PlaneIndex
from napari_unet.widgets._session import Session
from napari_unet.widgets._worker import Latest

_PAUSE_MS = 400


@dataclass(frozen=True, eq=False)
class Measured:
    """The cells of one plane: what they measure, where each lies, and in what unit."""

    table: Table
    boxes: dict[int, Region]
    scale: Scale
    unit: str
    index: PlaneIndex


def measurement_of(session: Session, layer: Cells) -> Callable[[], Measured]:
    """What measures the plane of a layer of cells that is shown, when a thread calls it.

    The grey values and the size of a pixel are those of the session's image. Cells that overlap
    are measured over all their pixels.

    Raises
    ------
    InputError
        There is no image, or the labels are not of its size.
    """
    image = session.need_image()
    if not fits(session, layer):
        raise InputError(f"“{layer.name}” is not of the size of “{image.name}”: choose others.")
    read_cells, read_image = cells_reader(session, layer), session.image_reader()
    index = find_plane(session, layer)
    scale, unit = pixel_size(session)
    columns, colours = set(layer.features), ("red", "green", "blue") if image.rgb else None

    def work() -> Measured:
        found = read_cells()
        classes = found.classes if "class" in columns else None
        scores = found.scores if "score" in columns else None
        (layers,) = split_layers(found)
        table = measure_layers(layers, read_image(), scale, unit, classes, scores, colours)
        boxes = {label: box for labels in layers for label, box in find_boxes(labels)}
        return Measured(table, boxes, scale, unit, index)

    return work


def pixel_size(session: Session) -> tuple[Scale, str]:
    """Height and width of a pixel of the image, and their unit; 1 × 1 px where none is said."""
    image = session.need_image()
    axes = _planes.plane_axes(session.plane_index(image))
    units = {f"{image.units[axis]:~P}" for axis in axes}
    unit = units.pop()
    if units or unit in ("pixel", "px", ""):
        return (1.0, 1.0), PIXEL
    height, width = (abs(float(image.scale[axis])) for axis in axes)
    return (height, width), unit


class Measurer(QObject):
    """Keeps the measurements of one layer of cells up to date while somebody looks at them.

    Signals
    -------
    measured(measured : Measured)
    failed(sentence : str)
    """

    measured = Signal(object)
    failed = Signal(str)

    def __init__(self, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._layer: Cells | None = None
        self._watched = Connections()
        self._of_image = Connections()
        self._connections = Connections()
        self._is_looked_at = False
        self._is_stale = True
        self._working = Latest(self)
        self._pause = RestTimer(_PAUSE_MS, self._start)
        self._connections.add(self._pause.stop)
        self._connections.connect(session.image_changed, self._on_image)
        self._connections.connect(session.channels_changed, self._on_edit)
        self._on_image()

    @property
    def layer(self) -> Cells | None:
        """The cells that are measured."""
        return self._layer

    @layer.setter
    def layer(self, layer: Cells | None) -> None:
        self._watched.undo()
        self._layer = layer
        if isinstance(layer, Shapes):
            for event in (layer.events.data, layer.events.set_data):  # edits, and other planes
                self._watched.connect(event, self._on_edit)
        elif layer is not None:
            session = self._session

            def plane() -> _dirty.Plane:
                index = session.plane_index(layer)
                return index, _planes.read_plane(layer, index)

            moved = session.viewer.dims.events.current_step
            self._watched.add(_dirty.watch(layer, self._on_edit, plane, moved=moved))
        self.refresh()

    @property
    def is_looked_at(self) -> bool:
        """Whether the results are seen; what is not seen is not measured."""
        return self._is_looked_at

    @is_looked_at.setter
    def is_looked_at(self, looked_at: bool) -> None:
        self._is_looked_at = looked_at
        if looked_at and self._is_stale:
            self.refresh()

    def refresh(self) -> None:
        """Measure now, if somebody looks."""
        self._is_stale = True
        self._pause.stop()
        self._start()

    def close(self) -> None:
        """Stop watching."""
        self._is_looked_at = False
        for connections in (self._watched, self._of_image, self._connections):
            connections.undo()

    def _on_image(self) -> None:
        """Grey values, and the size of a pixel, are the image's."""
        self._of_image.undo()
        image = self._session.image
        if image is not None:
            for event in (image.events.data, image.events.scale, image.events.units):
                self._of_image.connect(event, self._on_edit)
        self.refresh()

    def _on_edit(self, what: object = None) -> None:
        self._is_stale = True
        if self._is_looked_at:
            self._pause.start()

    def _start(self) -> None:
        layer = self._layer
        if layer is None or not self._is_looked_at:
            return
        self._is_stale = False
        try:
            work = measurement_of(self._session, layer)
        except InputError as error:
            self.failed.emit(str(error))
            return
        self._working.run(
            work,
            on_done=lambda measured: self._deliver(layer, measured),
            on_error=self.failed.emit,
        )

    def _deliver(self, layer: Cells, measured: Measured) -> None:
        if layer is self._layer:
            self.measured.emit(measured)
