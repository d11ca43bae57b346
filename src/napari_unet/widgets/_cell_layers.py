"""Layers of cells that we show over an image: predicted, corrected, right and wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels
from napari.utils.colormaps import CyclicLabelColormap
from napari.utils.notifications import show_info
from numpy.typing import NDArray

from napari_unet.core.comparison import Difference, Verdict
from napari_unet.core.types import Region
from napari_unet.widgets import _planes
from napari_unet.widgets._edited import is_edited, set_aside, watch_for_edits
from napari_unet.widgets._layers import (
    CORRECTED,
    KEY,
    PREDICTION,
    WEIGHTS,
    add_quietly,
    describe,
    find,
    make_fit,
    shape_over,
    zeros_over,
)
from napari_unet.widgets._planes import PlaneIndex
from napari_unet.widgets._upload import upload_labels

if TYPE_CHECKING:
    from napari.components import ViewerModel

VERDICT_COLORS: dict[str, str] = {
    Verdict.TRUE_POSITIVE: "#1fb37d",
    Verdict.FALSE_POSITIVE: "#f0503c",
    Verdict.FALSE_NEGATIVE: "#4a9df0",
    Verdict.MERGED: "#e69f00",
    Verdict.SPLIT: "#cc79a7",
    Difference.FIRST_FINDS: "#56b4e9",
    Difference.SECOND_FINDS: "#e69f00",
    Difference.FIRST_INVENTS: "#56b4e9",
    Difference.SECOND_INVENTS: "#e69f00",
}
"""Green is right, red too many, blue missing; joined and cut cells are outlined.

Of two predictions each has the colour of its curve: full where it is right, outlined where not.
"""

OUTLINED = (
    Verdict.MERGED,
    Verdict.SPLIT,
    Difference.FIRST_INVENTS,
    Difference.SECOND_INVENTS,
)
"""Kinds that are shown as outlines, so that what lies under them is seen."""

_PARTS = "parts"  # of the metadata of a layer: by plane the regions that were shown, None for all
_OUTLINE = 3  # px


def show_prediction(
    viewer: ViewerModel,
    image: Image,
    labels: NDArray[np.int32],
    region: Region | None = None,
    index: PlaneIndex | None = None,
) -> Labels:
    """Show predicted cells over `image`; the layer is updated in place where there is one.

    Parameters
    ----------
    labels : (H, W) int32 array
        Instances of the whole plane, or of `region` alone. Those of a whole image that is no
        stack become the data of the layer, without a copy.
    region : optional
        The part of the plane that is new; the rest keeps what it shows.
    index : optional
        The plane of a stack; the one in view by default.
    """
    return _show_labels(viewer, image, PREDICTION, labels, region, index)


def add_prediction(viewer: ViewerModel, image: Image, labels: Any) -> Labels:
    """Add the cells of all planes of `image` as they were predicted before.

    Parameters
    ----------
    labels : array of integers, or a list of such at falling resolution
        NumPy or dask. Where it does not fit the image, it is a layer like any other.
    """
    data = labels[0] if isinstance(labels, list) else labels
    named = describe(PREDICTION, image)
    if data.shape != shape_over(image):
        named = {"name": named["name"]}
    layer = Labels(labels, **named)
    watch_for_edits(layer)
    return add_quietly(viewer, layer, above=image)


def show_corrected(
    viewer: ViewerModel, image: Image, labels: NDArray[np.int32], index: PlaneIndex
) -> Labels:
    """Show the cells of a plane as they are after proofreading, (H, W), in a layer of their own."""
    return _show_labels(viewer, image, CORRECTED, labels, None, index, top=True)


def show_verdict(
    viewer: ViewerModel,
    image: Image,
    verdict: str,
    labels: NDArray[np.int32],
    index: PlaneIndex | None = None,
) -> Labels:
    """Show the cells of one kind over `image`, on top where the layer is new.

    Parameters
    ----------
    verdict : Verdict or Difference
    labels : (H, W) int32 array
        Those of `MatchMap.labels` or `DifferenceMap.labels`; they become the data of the layer
        where it is no stack.
    index : optional
        The plane of a stack; the one in view by default.
    """
    # one colour that comes round with each number: napari maps it faster than a direct colormap
    colors = CyclicLabelColormap(colors=["transparent", VERDICT_COLORS[verdict]], name=verdict)
    return _show_labels(
        viewer, image, verdict, labels, None, index, colormap=colors, opacity=0.6, top=True
    )


def _show_labels(
    viewer: ViewerModel,
    image: Image,
    role: str,
    labels: NDArray[np.int32],
    region: Region | None,
    index: PlaneIndex | None,
    top: bool = False,
    **look: Any,
) -> Labels:
    index = index or _planes.find_plane(viewer, image)
    layer = _find_writable(viewer, role, image)
    is_all = region is None and labels.shape == _planes.spatial_shape(image)
    before = None
    parts = {} if layer is None else layer.metadata[KEY].get(_PARTS, {})
    if layer is not None and set_aside(layer, KEY):
        layer, before = None, layer.data
    if layer is None:
        if is_all:
            data = labels
        elif before is not None and before.shape == shape_over(image):
            data = np.array(before)
        else:
            data = zeros_over(image, np.int32)
        layer = Labels(data, **look, **describe(role, image))
        if role in (PREDICTION, CORRECTED):
            watch_for_edits(layer)
        layer.metadata[KEY][_PARTS] = parts
        _note_part(layer, index, region)
        if role in OUTLINED:
            layer.contour = _OUTLINE
        if not is_all:
            layer.data[_planes.plane_slices(index)][region or ...] = _part(labels, region)
        above = None if top else find(viewer, WEIGHTS, image) or image
        return add_quietly(viewer, layer, above=above)
    _note_part(layer, index, region)
    if is_all:
        layer.data = labels
        return layer
    make_fit(layer, image)
    layer.data[_planes.plane_slices(index)][region or ...] = _part(labels, region)
    if index == _planes.find_plane(viewer, image):
        layer.refresh(extent=False, highlight=False)
    return layer


def show_piece(
    viewer: ViewerModel,
    image: Image,
    labels: NDArray[np.int32],
    region: Region,
    index: PlaneIndex,
) -> Labels:
    """As `show_prediction` of a part while more is on its way: only that part is drawn anew."""
    layer = _find_writable(viewer, PREDICTION, image)
    if layer is None or is_edited(layer) or index != _planes.find_plane(viewer, image):
        return show_prediction(viewer, image, labels, region, index)
    make_fit(layer, image)
    _note_part(layer, index, region)
    layer.data[_planes.plane_slices(index)][region] = labels
    upload_labels(viewer, layer, region)
    return layer


def find_predicted(layer: Labels, index: PlaneIndex) -> NDArray[np.bool_] | None:
    """Where in a plane the network has looked, (H, W); None where it has all over."""
    parts = layer.metadata.get(KEY, {}).get(_PARTS, {}).get(index)
    if parts is None:
        return None
    seen = np.zeros(_planes.read_plane(layer, index).shape, bool)
    for region in parts:
        seen[region] = True
    return seen


def _note_part(layer: Labels, index: PlaneIndex, region: Region | None) -> None:
    """Remember which part of a plane a layer shows: all of it once it has been shown."""
    parts = layer.metadata[KEY].setdefault(_PARTS, {})
    before = parts.get(index, ())
    parts[index] = None if region is None or before is None else (*before, region)


def _find_writable(viewer: ViewerModel, role: str, image: Image) -> Labels | None:
    """The layer of a role; one that was opened from a file or has levels is let go, and hidden."""
    layer: Labels | None = find(viewer, role, image)
    if layer is None or (isinstance(layer.data, np.ndarray) and not layer.multiscale):
        return layer
    layer.metadata = {key: value for key, value in layer.metadata.items() if key != KEY}
    layer.visible = False
    show_info(f"“{layer.name}” was opened from a file: it stays as it is, and is hidden.")
    return None


def _part(labels: NDArray[Any], region: Region | None) -> NDArray[Any]:
    """The labels of the region, whether `labels` is that part or the whole plane."""
    if region is None or labels.shape == tuple(part.stop - part.start for part in region):
        return labels
    return labels[region]
