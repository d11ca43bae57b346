"""What the docks of one viewer share: the image, its annotation, the weight map, the model."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from napari.layers import Image, Labels, Shapes
from numpy.typing import NDArray
from psygnal import Signal

from napari_unet.core.annotation import check_labels
from napari_unet.core.config import WeightConfig
from napari_unet.core.errors import InputError
from napari_unet.core.types import Region, Sample
from napari_unet.widgets import _classes, _colors, _dirty, _layers, _planes, _regions, _worker
from napari_unet.widgets._channels import Channels
from napari_unet.widgets._connections import Connections
from napari_unet.widgets._follower import Follower
from napari_unet.widgets._pixels import Pixels
from napari_unet.widgets._planes import PlaneIndex, Reader

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_unet.widgets._compute import Compute

_sessions: WeakKeyDictionary[ViewerModel, Session] = WeakKeyDictionary()


def session(viewer: ViewerModel) -> Session:
    """The session of a viewer: the same for all its docks, and gone with it."""
    if viewer not in _sessions:
        _sessions[viewer] = Session(viewer)
    return _sessions[viewer]


class Session:
    """State of one viewer. Get it by `session(viewer)`.

    `image` and `labels` follow the layer list until the person chooses: the active image, else
    the topmost one, and the labels that were painted on it.
    """

    image_changed = Signal()
    """Another image layer is chosen, or none."""
    channels_changed = Signal()
    """Other channels of the image are chosen, or another axis that holds them."""
    labels_changed = Signal()
    """Another labels layer is chosen, or none."""
    painted = Signal(object)
    """Pixels of the labels changed: their box (a `Region` of the plane), None for anything."""
    regions_changed = Signal()
    """The complete regions changed."""
    classes_changed = Signal()
    """A cell got another class, or a class another name."""
    weights_changed = Signal()
    """`weights` is another configuration."""
    model_changed = Signal()
    """`model` is another file, or None."""

    def __init__(self, viewer: ViewerModel) -> None:
        # a strong reference would keep the viewer alive through the dictionary of sessions
        self._viewer = weakref.ref(viewer)
        self._image: Image | None = None
        self._channels = Channels()
        self._labels: Labels | None = None
        self._weights = WeightConfig()
        self._model: Path | None = None
        self._compute: Compute | None = None
        self._of_labels = Connections()
        self._of_regions = Connections()
        self._regions: Shapes | None = None
        self._complete: tuple[Any, NDArray[np.bool_] | None] | None = None
        self._classes: dict[int, int] | None = None
        self._said_classes: Any = None
        self._follower = Follower(viewer)
        self._connections = Connections()
        for name in ("inserted", "removed"):
            self._connections.connect(getattr(viewer.layers.events, name), self._on_layers)
        self._on_layers()
        _worker.run(_colors.warm_up, on_done=lambda _: None, owner=self)

    @property
    def viewer(self) -> ViewerModel:
        """The viewer this is the state of."""
        viewer = self._viewer()
        if viewer is None:
            raise ReferenceError("The viewer of this session is gone.")
        return viewer

    @property
    def image(self) -> Image | None:
        """The image that is annotated, trained and predicted on."""
        return self._image

    @image.setter
    def image(self, layer: Image | None) -> None:
        if layer is self._image:
            return
        self._image = layer
        self._channels = Channels()
        self.image_changed.emit()
        self.labels = self._find_labels()
        self._follow_regions()

    @property
    def labels(self) -> Labels | None:
        """The labels layer that holds the annotation."""
        return self._labels

    @labels.setter
    def labels(self, layer: Labels | None) -> None:
        if layer is self._labels:
            return
        self._of_labels.undo()
        self._labels = layer
        self._classes = None
        self._said_classes = None if layer is None else _classes.said_classes(layer)
        if layer is not None:
            for event in (layer.events.features, layer.events.metadata):
                self._of_labels.connect(event, self._on_classes)
            self._of_labels.add(
                _dirty.watch(
                    layer,
                    self.painted.emit,
                    self._labels_plane,
                    moved=self.viewer.dims.events.current_step,
                )
            )
        self.labels_changed.emit()

    @property
    def regions(self) -> Shapes | None:
        """The shapes layer with the complete regions of the image."""
        return self._regions

    @property
    def weights(self) -> WeightConfig:
        """The weight map as the person set it; training takes it over."""
        return self._weights

    @weights.setter
    def weights(self, config: WeightConfig) -> None:
        if config != self._weights:
            self._weights = config
            self.weights_changed.emit()

    @property
    def model(self) -> Path | None:
        """The model file in use."""
        return self._model

    @model.setter
    def model(self, path: Path | None) -> None:
        if path != self._model:
            self._model = path
            self.model_changed.emit()

    @property
    def compute(self) -> Compute:
        """The bridge to the compute process; made when first asked for, closed with the viewer."""
        if self._compute is None:
            from napari_unet.widgets._compute import Compute

            self._compute = compute = Compute()
            # not at the end of the interpreter, when Qt is gone: Compute sees to that itself
            weakref.finalize(self.viewer, compute.close).atexit = False
            window = getattr(self.viewer, "window", None)
            if window is not None:
                window._qt_window.destroyed.connect(compute.close)
        return self._compute

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes 1 … K of the annotation."""
        return ("cell",) if self._labels is None else _classes.class_names(self._labels)

    def plane_index(self, layer: Image | Labels) -> PlaneIndex:
        """Which plane of a layer the viewer shows."""
        return _planes.find_plane(self.viewer, layer)

    def plane(self, layer: Image | Labels) -> NDArray[Any]:
        """The plane of a layer that the viewer shows: (Y, X), or (Y, X, C) of an RGB image."""
        return _planes.read_plane(layer, self.plane_index(layer))

    def image_reader(self, index: PlaneIndex | None = None) -> Pixels:
        """What reads the plane of the image, or another one: full resolution, raw grey values.

        Of the channels that are chosen, (C, H, W).

        Raises
        ------
        InputError
            No image is open.
        """
        image = self.need_image()
        return self._channels.pixels(image, index or self.plane_index(image))

    def channels(self) -> int:
        """How many channels the image has for the network."""
        return self._channels.count(self.need_image())

    @property
    def chosen(self) -> Channels:
        """Which channels the network sees."""
        return self._channels

    def choose_channels(self, chosen: Channels) -> None:
        """Have the network see other channels of the image; that of another image are its own."""
        if chosen != self._channels:
            self._channels = chosen
            self.channels_changed.emit()

    def choose_channel_axis(self, axis: int | None) -> None:
        """Say which axis of the image holds its channels; all of them are seen then."""
        _planes.choose_channel_axis(self.need_image(), axis)
        self._channels = Channels()
        self._complete = None
        self.channels_changed.emit()
        self.painted.emit(None)  # another plane may be in view

    def labels_reader(self) -> Reader:
        """What copies the plane of the annotation, values as they are when it is called.

        What is painted during the call may be in the copy or not; `painted` tells of it after.

        Raises
        ------
        InputError
            There is no image or no annotation, or they differ in size.
        """
        image = self.need_image()
        if self._labels is None:
            raise InputError(
                f"“{image.name}” has no annotation yet: press New in the Annotate panel and "
                "paint a few cells."
            )
        index, shape = self.plane_index(self._labels), self.plane_shape()
        sizes = _planes.spatial_shape(self._labels)
        painted = tuple(sizes[axis] for axis in _planes.plane_axes(index))
        if painted != shape:
            raise InputError(
                f"“{self._labels.name}” is {_words(painted)} px and “{image.name}” is "
                f"{_words(shape)} px: choose the labels that were painted on this image."
            )
        if not _planes.has_plane(self.viewer, self._labels):
            raise InputError(
                f"“{self._labels.name}” has no plane where you look at “{image.name}”: move the "
                "slider, or choose the labels that were painted on this image."
            )
        return _planes.plane_reader(self._labels, index)

    def plane_shape(self) -> tuple[int, int]:
        """Rows and columns of the plane of the image."""
        image = self.need_image()
        shape = _planes.spatial_shape(image)
        rows, cols = _planes.plane_axes(self.plane_index(image))
        return shape[rows], shape[cols]

    def complete(self) -> NDArray[np.bool_] | None:
        """Where everything that is a cell is painted, (H, W); None where nothing is said.

        The same read-only array until the regions or the plane change.
        """
        image = self.need_image()
        if self._regions is None:
            return None
        index, shape = self.plane_index(image), self.plane_shape()
        if self._complete is None or self._complete[0] != (index, shape):
            mask = _regions.draw_mask(self._regions, index, shape)
            if mask is not None:
                mask.flags.writeable = False
            self._complete = (index, shape), mask
        return self._complete[1]

    def classes(self) -> dict[int, int]:
        """The class 1 … K of each cell whose class is said; the same until they change."""
        if self._labels is None:
            return {}
        if self._classes is None:
            self._classes = _classes.classes_of_cells(self._labels)
        return self._classes

    def sample_reader(self, pixels: NDArray[Any] | None = None) -> Callable[[], Sample]:
        """What copies all that is known about the plane in view, when it is called.

        Parameters
        ----------
        pixels : (C, H, W) array, optional
            The grey values of the plane, where they have been read before.

        Raises
        ------
        InputError
            There is no image or no annotation, or they do not fit each other. When it is called:
            the values are no labels.
        """
        read_image = self.image_reader() if pixels is None else lambda: pixels
        read_labels = self.labels_reader()
        complete, classes = self.complete(), dict(self.classes())
        name, painted = self.need_image().name, f"“{self._labels and self._labels.name}”"

        def read() -> Sample:
            labels = check_labels(read_labels(), name=painted)
            return Sample(read_image(), labels, complete, classes, name)

        return read

    def visible_region(self) -> Region:
        """The part of the image's plane that the canvas shows.

        Raises
        ------
        InputError
            No image is open, or no part of it is in view.
        """
        image = self.need_image()
        return _planes.find_visible(self.viewer, image, self.plane_index(image))

    def add_annotation(self) -> Labels:
        """Add an empty annotation to the image and choose it."""
        self.labels = _layers.add_annotation(self.viewer, self.need_image())
        return self.labels

    def add_regions(self) -> Shapes:
        """The layer of complete regions, made where there is none."""
        if self._regions is None:
            _layers.add_regions(self.viewer, self.need_image())
            self._follow_regions()
        assert self._regions is not None
        return self._regions

    def fits(self, labels: Labels) -> bool:
        """Whether a labels layer can be the annotation of the image: the planes are alike."""
        if self._image is None or labels.multiscale:
            return False
        shape = _planes.spatial_shape(labels)
        rows, cols = _planes.plane_axes(self.plane_index(labels))
        return (shape[rows], shape[cols]) == self.plane_shape()

    def need_image(self) -> Image:
        """The image, or an `InputError` that says that there is none."""
        if self._image is None:
            raise InputError("No image is open: drop one on the window, or open a sample.")
        return self._image

    def _labels_plane(self) -> _dirty.Plane:
        assert self._labels is not None
        index = self.plane_index(self._labels)
        return index, _planes.read_plane(self._labels, index)

    def _on_layers(self, event: Any = None) -> None:
        layers = self.viewer.layers
        if self._image not in layers:
            self.image = self._find_image()
        if self._labels not in layers:
            self.labels = self._find_labels()
        self.choose_channels(self._channels.among(layers))
        self._follow_regions()

    def _find_image(self) -> Image | None:
        layers = self.viewer.layers
        active = layers.selection.active
        for layer in (active, *reversed(layers)):
            if is_layer_of_image(layer):
                return layer
        return None

    def _find_labels(self) -> Labels | None:
        if self._image is None:
            return None
        ours = _layers.find(self.viewer, _layers.ANNOTATION, self._image)
        if ours is not None:
            return ours
        for layer in reversed(self.viewer.layers):
            if isinstance(layer, Labels) and not _layers.role_of(layer) and self.fits(layer):
                return layer
        return None

    def _follow_regions(self) -> None:
        found = self._image and _layers.find(self.viewer, _layers.REGIONS, self._image)
        if found is self._regions:
            return
        self._of_regions.undo()
        self._regions = found
        self._complete = None
        if found is not None:
            self._of_regions.connect(found.events.data, self._on_regions)
        self.regions_changed.emit()

    def _on_regions(self, event: Any) -> None:
        # while a shape is drawn or moved there is an event for each move of the mouse
        if str(event.action) in ("added", "removed", "changed"):
            self._complete = None
            self.regions_changed.emit()

    def _on_classes(self, event: Any = None) -> None:
        # the table of features and the metadata hold more than classes, such as measurements
        said = None if self._labels is None else _classes.said_classes(self._labels)
        if said == self._said_classes:
            return
        self._said_classes = said
        self._classes = None
        self.classes_changed.emit()


def _words(shape: tuple[int, ...]) -> str:
    return " × ".join(str(size) for size in shape)


def is_layer_of_image(layer: Layer | None) -> bool:
    """Whether a layer is an image of the person's, not one of our maps."""
    return isinstance(layer, Image) and not _layers.role_of(layer)
