"""The plane of a stack that the viewer shows, and the part of it in view."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.errors import InputError
from napari_unet.core.types import Region
from napari_unet.widgets._pixels import Source

if TYPE_CHECKING:
    from napari.components import Camera, ViewerModel
    from napari.layers import Image, Labels, Shapes

Reader: TypeAlias = Callable[[], NDArray[Any]]
PlaneIndex: TypeAlias = tuple[int | None, ...]
"""One entry per axis of a layer: where the plane lies on it, None for the plane's own two axes.

0 on an axis of channels, which all belong to the plane.
"""

KEY = "napari_unet"
"""Key of a layer's metadata under which ours stand."""

_CHANNEL_NAMES = ("c", "ch", "channel", "channels")


def find_plane(viewer: ViewerModel, layer: Image | Labels) -> PlaneIndex:
    """Find the plane of `layer` that the viewer shows; in 3-D display the one at the sliders.

    The two axes of the plane come in the order of the data, however the view is transposed.
    """
    if layer.ndim == 2:  # asked for with each move of the brush
        return None, None
    channels = channel_axis(layer)
    spare = viewer.dims.ndim - layer.ndim
    order = [axis - spare for axis in viewer.dims.order if axis - spare != channels]
    axes = set(order[-2:])
    if min(axes) < 0:  # a layer of fewer dimensions than the view shows
        axes = set([axis for axis in range(layer.ndim) if axis != channels][-2:])
    shape = spatial_shape(layer)
    point = layer.world_to_data(viewer.dims.point)
    return tuple(
        None
        if axis in axes
        else 0
        if axis == channels
        else int(np.clip(round(point[axis]), 0, shape[axis] - 1))
        for axis in range(layer.ndim)
    )


def has_plane(viewer: ViewerModel, layer: Image | Labels) -> bool:
    """Whether a layer has a plane where the viewer looks: it may end sooner than another one."""
    index, channels, shape = find_plane(viewer, layer), channel_axis(layer), spatial_shape(layer)
    point = layer.world_to_data(viewer.dims.point)
    return all(
        place is None or axis == channels or 0 <= round(point[axis]) < shape[axis]
        for axis, place in enumerate(index)
    )


def channel_axis(layer: Image | Labels) -> int | None:
    """The axis of an image that holds its channels; None without one, and of an RGB image.

    What the person chose (`choose_channel_axis`), else the axis that is called so.
    """
    if getattr(layer, "rgb", True) or layer.ndim < 3:  # labels have neither
        return None
    chosen: int | None = layer.metadata.get(KEY, {}).get("channel_axis", -1)
    if chosen is None or 0 <= chosen < layer.ndim:
        return chosen
    for axis, label in enumerate(layer.axis_labels):
        if str(label).lower() in _CHANNEL_NAMES:
            return axis
    return None


def choose_channel_axis(image: Image, axis: int | None) -> None:
    """Say which axis of an image holds its channels, None for none."""
    ours = {**image.metadata.get(KEY, {}), "channel_axis": axis}
    image.metadata[KEY] = ours


def list_planes(layer: Image | Labels, index: PlaneIndex) -> list[PlaneIndex]:
    """All planes of a stack that lie as `index` does, in order; the channels are of one plane."""
    channels, shape = channel_axis(layer), spatial_shape(layer)
    places: list[Sequence[int | None]] = [
        [None] if at is None else [0] if axis == channels else range(shape[axis])
        for axis, at in enumerate(index)
    ]
    return list(itertools.product(*places))


def count_axes(planes: Sequence[PlaneIndex]) -> int:
    """Along how many axes planes lie."""
    return sum(len(set(places)) > 1 for places in zip(*planes, strict=True))


def spatial_shape(layer: Image | Labels) -> tuple[int, ...]:
    """Pixels along each axis at full resolution, without the colours of an RGB image."""
    return tuple(int(size) for size in layer.level_shapes[0])


def plane_axes(index: PlaneIndex) -> tuple[int, int]:
    """The two axes of the plane, in the order of the data."""
    rows, cols = (axis for axis, place in enumerate(index) if place is None)
    return rows, cols


def plane_slices(index: PlaneIndex) -> tuple[int | slice, ...]:
    """What picks the plane from an array."""
    return tuple(slice(None) if place is None else place for place in index)


def place_on(points: NDArray[np.float64], index: PlaneIndex) -> NDArray[np.float64]:
    """(n, 2) points of a plane as points of the layer."""
    placed = np.empty((len(points), len(index)))
    placed[:] = [np.nan if place is None else place for place in index]
    placed[:, list(plane_axes(index))] = points
    return placed


def read_plane(layer: Image | Labels, index: PlaneIndex) -> NDArray[Any]:
    """Read a plane at full resolution: (Y, X), or (Y, X, C) of an RGB image.

    A view where the data is a NumPy array, else a copy.
    """
    return np.asarray(_full_resolution(layer)[plane_slices(index)])


def plane_reader(layer: Image | Labels, index: PlaneIndex) -> Reader:
    """What copies a plane as it is when called: (Y, X), or (Y, X, C) of an RGB image.

    It holds the data but not the layer, so that a thread can call it: copying a large plane, or
    computing a lazy one, takes longer than the canvas can wait.
    """
    data, where = _full_resolution(layer), plane_slices(index)
    return lambda: np.array(data[where])


def count_planes(layer: Image | Labels) -> int:
    """Planes of a stack, whichever two axes they have: those of the last two."""
    channels = channel_axis(layer)
    sizes = [size for axis, size in enumerate(spatial_shape(layer)) if axis != channels]
    return math.prod(sizes[:-2])


def count_channels(image: Image) -> int:
    """Channels of an image; transparency of an RGBA image is left out."""
    axis = channel_axis(image)
    return 3 if image.rgb else 1 if axis is None else spatial_shape(image)[axis]


def channels_source(image: Image, index: PlaneIndex, channels: tuple[int, ...]) -> Source:
    """Where some channels of a plane of an image come from."""
    levels = list(image.data) if image.multiscale else [image.data]
    if image.rgb:
        return Source(levels, (*index, 0), len(index), channels, together=True)
    return Source(levels, index, channel_axis(image), channels)


def _full_resolution(layer: Image | Labels) -> Any:
    return layer.data[0] if layer.multiscale else layer.data


def find_camera(viewer: ViewerModel) -> Camera:
    """The camera, which moved with napari 0.9."""
    return viewer.scene.camera if hasattr(viewer, "scene") else viewer.camera


def find_visible(viewer: ViewerModel, layer: Image | Labels, index: PlaneIndex) -> Region:
    """Find the box of the plane that the canvas shows.

    Raises
    ------
    InputError
        The image lies outside the view.
    """
    axes = plane_axes(index)
    shape = tuple(spatial_shape(layer)[axis] for axis in axes)
    if viewer.dims.ndisplay == 3:
        return slice(0, shape[0]), slice(0, shape[1])
    camera = find_camera(viewer)
    canvas = viewer.canvas.size if hasattr(viewer, "canvas") else viewer._canvas_size
    half = np.asarray(canvas, dtype=float) / (2 * camera.zoom)
    centre = np.asarray(camera.center[-2:], dtype=float)
    corners = []
    for signs in itertools.product((-1, 1), repeat=2):
        point = np.array(viewer.dims.point, dtype=float)
        point[list(viewer.dims.displayed)] = centre + half * signs
        corners.append(layer.world_to_data(point)[list(axes)])
    # pixel i reaches from i - 0.5 to i + 0.5
    low = np.clip(np.floor(np.min(corners, axis=0) + 0.5).astype(int), 0, shape)
    high = np.clip(np.floor(np.max(corners, axis=0) + 0.5).astype(int) + 1, 0, shape)
    if np.any(low >= high):
        raise InputError(f"No part of “{layer.name}” is in view: press Ctrl-R to see all of it.")
    return slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1]))


def centre_on(
    viewer: ViewerModel, layer: Image | Labels | Shapes, index: PlaneIndex, region: Region
) -> None:
    """Move the view so that the middle of `region` is in the middle of the canvas."""
    place: list[float] = [0.0 if at is None else float(at) for at in index]
    for axis, part in zip(plane_axes(index), region, strict=True):
        place[axis] = (part.start + part.stop - 1) / 2
    world = np.array(viewer.dims.point, dtype=float)
    world[-layer.ndim :] = layer.data_to_world(place)
    camera = find_camera(viewer)
    shown = [world[axis] for axis in viewer.dims.displayed]
    camera.center = (*camera.center[: 3 - len(shown)], *shown)
