"""Layers of ours: found by their role, placed like the image, added and updated quietly.

Quietly: neither the selection nor the active layer, its tool, the keyboard focus or the view
changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from napari.layers import Image, Labels, Shapes
from numpy.typing import NDArray

from napari_unet.core.comparison import Difference, Verdict
from napari_unet.core.errors import InputError
from napari_unet.widgets import _planes
from napari_unet.widgets._colors import (
    MARKER_COLOR,
    REGION_COLOR,
    annotation_colors,
    weight_colors,
)
from napari_unet.widgets._planes import PlaneIndex

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

KEY = _planes.KEY

ANNOTATION = "annotation"
REGIONS = "regions"
WEIGHTS = "weights"
PREDICTION = "prediction"
WHOLES = "wholes"
"""Role of the outlines of predicted cells, each whole where others lie over it."""
CORRECTED = "corrected"
VERDICTS = tuple(str(kind) for kind in (*Verdict, *Difference))
"""Roles of the layers that show what is right and wrong, and where two predictions differ."""
MARKER = "marker"

_NAMES = {
    ANNOTATION: "annotation",
    REGIONS: "complete regions",
    WEIGHTS: "weights",
    PREDICTION: "prediction",
    WHOLES: "whole cells",
    CORRECTED: "corrected cells",
    **{role: role for role in VERDICTS},
    MARKER: "chosen cell",
}

_AnyLayer = TypeVar("_AnyLayer", bound="Layer")


def role_of(layer: Layer) -> str:
    """The role of a layer of ours, empty for the person's own layers, and for copies of ours."""
    ours = layer.metadata.get(KEY, {})
    is_copy = ours.get("layer", layer.unique_id) != layer.unique_id  # napari copies all metadata
    return "" if is_copy else str(ours.get("role", ""))


def find(viewer: ViewerModel, role: str, image: Image | Labels | Shapes) -> Any | None:
    """Find the layer that plays `role` for `image`; the topmost where there are several."""
    for layer in reversed(viewer.layers):
        if role_of(layer) == role and belongs_to(layer, image):
            return layer
    return None


def belongs_to(layer: Layer, image: Image | Labels | Shapes) -> bool:
    """Whether a layer that plays a role does so for `image`."""
    ours = layer.metadata[KEY]
    # a layer that a reader brought can only name its image
    if "image_id" in ours:
        return bool(ours["image_id"] == image.unique_id)
    return bool(ours.get("image") == image.name)


def add_annotation(viewer: ViewerModel, image: Image) -> Labels:
    """Add an empty int32 Labels layer over `image`, as large as its full resolution."""
    layer = Labels(
        zeros_over(image, np.int32), colormap=annotation_colors(), **describe(ANNOTATION, image)
    )
    return add_quietly(viewer, layer)


def add_regions(viewer: ViewerModel, image: Image) -> Shapes:
    """Add an empty Shapes layer for the regions in which every cell is painted."""
    width = max(1.0, min(_planes.spatial_shape(image)[-2:]) / 400)
    layer = Shapes(
        ndim=image.ndim,
        edge_color=REGION_COLOR,
        edge_width=width,
        face_color=[0.0, 0.0, 0.0, 0.0],
        **describe(REGIONS, image),
    )
    layer.current_edge_width = width
    return add_quietly(viewer, layer)


def add_marker(viewer: ViewerModel, labels: Labels | Shapes) -> Shapes:
    """Add an empty Shapes layer for the line around a cell of `labels`."""
    layer = Shapes(
        ndim=labels.ndim,
        edge_color=MARKER_COLOR,
        face_color=[0.0, 0.0, 0.0, 0.0],
        **describe(MARKER, labels),
    )
    return add_quietly(viewer, layer)


def show_weights(
    viewer: ViewerModel,
    image: Image,
    weights: NDArray[np.float32],
    index: PlaneIndex | None = None,
) -> Image:
    """Show a weight map over `image`; the layer is updated in place where there is one.

    Parameters
    ----------
    weights : (H, W) float32 array
        Becomes the data of the layer, without a copy.
    index : optional
        The plane of a stack that the map belongs to; the one in view by default. The layer
        covers this plane alone.
    """
    index = index or _planes.find_plane(viewer, image)
    shape = tuple(
        size if place is None else 1 for size, place in zip(shape_over(image), index, strict=True)
    )
    layer = find(viewer, WEIGHTS, image)
    if layer is not None:
        layer.data = weights.reshape(shape)
        layer.metadata[KEY]["plane"] = index
        put_over(layer, image)
        return layer
    layer = Image(
        weights.reshape(shape),
        rgb=False,
        colormap=weight_colors(),
        blending="translucent_no_depth",
        opacity=0.8,
        contrast_limits=(0.0, max(1.0, float(weights.max(initial=0.0)))),
        **describe(WEIGHTS, image, index),
    )
    return add_quietly(viewer, layer, above=image)


def weights_plane(layer: Image, index: PlaneIndex) -> NDArray[np.float32]:
    """The (H, W) view into the data of a layer that `show_weights` made for `index`."""
    plane: NDArray[np.float32] = layer.data[tuple(slice(None) if i is None else 0 for i in index)]
    return plane


@contextmanager
def selection_kept(viewer: ViewerModel) -> Iterator[None]:
    """Adding a layer selects it in napari; in here the selection stays."""
    layers = viewer.layers
    before = set(layers.selection)
    activates = getattr(layers, "_activate_on_insert", None)
    if activates is not None:  # else listeners would see the selection flicker
        layers._activate_on_insert = False
    try:
        yield
    finally:
        if activates is not None:
            layers._activate_on_insert = activates
    if set(layers.selection) != before:
        layers.selection = before


def add_quietly(viewer: ViewerModel, layer: _AnyLayer, above: Layer | None = None) -> _AnyLayer:
    """Add `layer` on top, or right above another one."""
    place = len(viewer.layers) if above is None else viewer.layers.index(above) + 1
    if KEY in layer.metadata:
        layer.metadata[KEY]["layer"] = layer.unique_id
    with selection_kept(viewer):
        viewer.layers.insert(place, layer)
    return layer


def describe(
    role: str, image: Image | Labels | Shapes, index: PlaneIndex | None = None
) -> dict[str, Any]:
    """Name, role and place in the world of a layer that belongs to `image`, or to one plane."""
    ours = {"role": role, "image": image.name, "image_id": image.unique_id}
    if index is not None:
        ours["plane"] = index
    return {
        "name": f"{image.name} · {_NAMES[role]}",
        "metadata": {KEY: ours},
        **_place(image, index),
    }


def put_over(layer: Layer, image: Image | Labels | Shapes) -> None:
    """Put a layer of ours where its image, or its plane of it, lies in the world."""
    for name, value in _place(image, layer.metadata[KEY].get("plane")).items():
        if not np.array_equal(getattr(layer, name), value):
            setattr(layer, name, value)


def _place(image: Image | Labels | Shapes, index: PlaneIndex | None = None) -> dict[str, Any]:
    return {
        "scale": _scale(image),
        "translate": _origin(image, index),
        "rotate": image.rotate,
        "shear": image.shear,
        "affine": np.array(image.affine.affine_matrix),
        "units": image.units,
        "axis_labels": image.axis_labels,
    }


def _scale(image: Image) -> NDArray[np.float64]:
    """That of a layer of ours: its one pixel on the axis of channels is as thick as all of them."""
    scale, channels = np.array(image.scale), _planes.channel_axis(image)
    if channels is not None:
        scale[channels] *= _planes.count_channels(image)
    return scale


def shape_over(image: Image) -> tuple[int, ...]:
    """That of a layer of ours, which is of all channels alike."""
    channels = _planes.channel_axis(image)
    sizes = enumerate(_planes.spatial_shape(image))
    return tuple(1 if axis == channels else size for axis, size in sizes)


def zeros_over(image: Image, dtype: type[np.generic]) -> NDArray[Any]:
    shape = shape_over(image)
    try:
        return np.zeros(shape, dtype=dtype)
    except MemoryError:
        size = np.prod(shape, dtype=float) * np.dtype(dtype).itemsize / 1e9
        raise InputError(
            f"Labels for all of “{image.name}” need {size:.0f} GB of memory, more than there is: "
            "crop the image, or open a part of the stack."
        ) from None


def fits(layer: Labels, image: Image) -> bool:
    """Whether a layer of ours has the size that belongs to its image, as it is now."""
    return bool(layer.data.shape == shape_over(image))


def make_fit(layer: Labels, image: Image) -> None:
    if not fits(layer, image):
        layer.data = zeros_over(image, np.int32)
        put_over(layer, image)


def _origin(image: Image, index: PlaneIndex | None = None) -> NDArray[np.float64]:
    """The `translate` with which one plane alone, or all, stands where it stands in the image."""
    place = [float(at or 0) for at in index or (0,) * image.ndim]
    channels = _planes.channel_axis(image)
    if channels is not None:
        place[channels] = (_planes.count_channels(image) - 1) / 2
    elif index is None:
        return np.asarray(image.translate)
    start = image.data_to_world(place)
    return np.asarray(image.affine.inverse(start))
