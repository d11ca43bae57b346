"""The plane of a stack that the viewer shows, and the part of it in view."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.errors import InputError
from napari_unet.core.types import Region

if TYPE_CHECKING:
    from napari.components import Camera, ViewerModel
    from napari.layers import Image, Labels

Reader: TypeAlias = Callable[[], NDArray[Any]]
PlaneIndex: TypeAlias = tuple[int | None, ...]
"""One entry per axis of a layer: where the plane lies on it, None for the plane's own two axes."""


def find_plane(viewer: ViewerModel, layer: Image | Labels) -> PlaneIndex:
    """Find the plane of `layer` that the viewer shows; in 3-D display the one at the sliders.

    The two axes of the plane come in the order of the data, however the view is transposed.
    """
    if layer.ndim == 2:  # asked for with each move of the brush
        return None, None
    spare = viewer.dims.ndim - layer.ndim
    axes = {axis - spare for axis in viewer.dims.order[-2:]}
    if min(axes) < 0:  # a layer of fewer dimensions than the view shows
        axes = {layer.ndim - 2, layer.ndim - 1}
    shape = spatial_shape(layer)
    point = layer.world_to_data(viewer.dims.point)
    return tuple(
        None if axis in axes else int(np.clip(round(point[axis]), 0, shape[axis] - 1))
        for axis in range(layer.ndim)
    )


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


def channels_reader(image: Image, index: PlaneIndex) -> Reader:
    """As `plane_reader`, (C, H, W); transparency of an RGBA image is left out."""
    read = plane_reader(image, index)
    if image.rgb:
        return lambda: np.ascontiguousarray(np.moveaxis(read()[..., :3], -1, 0))
    return lambda: read()[np.newaxis]


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
    viewer: ViewerModel, layer: Image | Labels, index: PlaneIndex, region: Region
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
