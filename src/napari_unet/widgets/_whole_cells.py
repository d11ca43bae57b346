"""Layers of whole cells: outlines that may cross, where labels give each pixel to one cell.

The outlines are paths, of which napari makes no faces: those of 500 cells take it 8 s, their paths
0.2 s. They go along the edges of pixels, so that who asks for the cells gets each of these again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from napari.layers import Image, Labels, Shapes
from numpy.typing import NDArray

from napari_unet.core.tables import Table
from napari_unet.core.whole_cells import Outlines
from napari_unet.widgets import _layers, _planes
from napari_unet.widgets._edited import set_aside, unwatched, watch_for_edits
from napari_unet.widgets._features import as_words
from napari_unet.widgets._layers import KEY, WHOLES
from napari_unet.widgets._planes import PlaneIndex
from napari_unet.widgets._regions import lies_on, read_line

if TYPE_CHECKING:
    from napari.components import ViewerModel

_INDEX = "index"
_SAID = ("class", "score")
_KINDS = ("path", "polygon", "rectangle", "ellipse")
_COLOR = "#4cc9f0"


def show_wholes(viewer: ViewerModel, image: Image, outlines: Outlines, index: PlaneIndex) -> Shapes:
    """Show whole cells on a plane of `image`, in place of those that it has.

    A layer that the person changed is left to them, and the cells get another. Each outline has
    the colour of its number in the prediction.
    """
    labels = _layers.find(viewer, _layers.PREDICTION, image)
    layer = _find_ours(viewer, image)
    if layer is not None:
        with unwatched(layer):
            _replace(layer, outlines, index, labels)
        return layer
    shape = _planes.spatial_shape(image)
    rows, columns = _planes.plane_axes(index)
    layer = make_layer((shape[rows], shape[columns]), image.ndim, _layers.describe(WHOLES, image))
    _replace(layer, outlines, index, labels)
    watch_for_edits(layer)
    return _layers.add_quietly(viewer, layer, above=labels or image)


def clear_wholes(viewer: ViewerModel, image: Image, index: PlaneIndex) -> None:
    """Take away the outlines of a plane of which labels alone are known now."""
    layer = _find_ours(viewer, image)
    if layer is not None:
        with unwatched(layer):
            _remove(layer, index)


def make_layer(size: tuple[int, int], ndim: int, named: dict[str, Any]) -> Shapes:
    """An empty layer of whole cells for an image of (H, W) `size`, with options of its own."""
    ours = {**named.get("metadata", {}).get(KEY, {}), "size": list(size)}
    width = max(1.0, min(size) / 400)
    layer = Shapes(
        ndim=ndim,
        edge_width=width,
        edge_color=_COLOR,
        face_color="transparent",
        **{**named, "metadata": {KEY: ours}},
    )
    layer.current_edge_width = width
    layer.features = pd.DataFrame({_INDEX: np.zeros(0, np.int64)})
    return layer


def add_outlines(layer: Shapes, outlines: Outlines, index: PlaneIndex, colors: Any = None) -> None:
    """Add cells to a plane of a layer, all at once: one by one takes long."""
    table = layer.features
    if outlines.lines:
        layer.add_paths(
            [_planes.place_on(line, index) for line in outlines.lines],
            edge_width=layer.current_edge_width,
            edge_color=_COLOR if colors is None else colors,
            face_color="transparent",
        )
        parts = [part for part in (table, pd.DataFrame(outlines.table)) if len(part)]
        layer.features = pd.concat(parts, ignore_index=True)


def holds_cells(layer: Any, image: Image) -> bool:
    """Whether a layer is one of whole cells that may lie on the image: its table numbers them."""
    return (
        isinstance(layer, Shapes)
        and layer.ndim in (2, image.ndim)
        and _INDEX in layer.features
        and (not _layers.role_of(layer) or _layers.belongs_to(layer, image))
    )


def read_wholes(layer: Shapes, index: PlaneIndex) -> Outlines:
    """The cells of a plane of a layer as they are now; `fill_outlines` of them is for a thread."""
    index = index if layer.ndim == len(index) else (None, None)
    return read_outlines(layer.data, layer.shape_type, layer.features, index)


def read_outlines(
    data: Sequence[NDArray[Any]], kinds: Sequence[str], features: pd.DataFrame, index: PlaneIndex
) -> Outlines:
    """The cells of a plane of shapes that napari keeps in this way; lines enclose none.

    Of two that have one number the second gets one that is free, as does one that has none: so
    have those that were drawn or pasted.
    """
    rows = _list_on(data, kinds, index)
    axes = _planes.plane_axes(index)
    said = features.iloc[rows] if len(features) == len(data) else pd.DataFrame(index=rows)
    table: Table = {_INDEX: _number(said.get(_INDEX), len(rows))}
    for name in _SAID:
        if name in said:
            values = [None if pd.isna(value) else value for value in said[name]]
            table[name] = np.array(values, object)
    if "class" in table:
        words = [value and as_words(value) for value in table["class"]]
        table["class"] = np.array(words, object)
    return Outlines(tuple(read_line(data[row], kinds[row], axes) for row in rows), table)


def _find_ours(viewer: ViewerModel, image: Image) -> Shapes | None:
    """The layer of the predicted cells, unless the person changed it, which leaves it to them."""
    layer: Shapes | None = _layers.find(viewer, WHOLES, image)
    return None if layer is None or set_aside(layer, KEY) else layer


def _replace(layer: Shapes, outlines: Outlines, index: PlaneIndex, labels: Labels | None) -> None:
    with layer.block_thumbnail_update():
        _remove(layer, index)
    colors = None if labels is None else labels.colormap.map(outlines.table[_INDEX])
    add_outlines(layer, outlines, index, colors)


def _remove(layer: Shapes, index: PlaneIndex) -> None:
    rows = _list_on(layer.data, layer.shape_type, index)
    if rows:
        layer.remove(rows)


def _list_on(data: Sequence[NDArray[Any]], kinds: Sequence[str], index: PlaneIndex) -> list[int]:
    """Rows of the shapes that enclose something on a plane."""
    shapes = enumerate(zip(data, kinds, strict=True))
    return [
        row
        for row, (vertices, kind) in shapes
        if kind in _KINDS and len(vertices) > 2 and lies_on(vertices, index)
    ]


def _number(said: pd.Series | None, count: int) -> NDArray[np.int64]:
    said = pd.Series(np.zeros(count)) if said is None else pd.to_numeric(said, errors="coerce")
    numbers = np.nan_to_num(said.to_numpy(float)).astype(np.int64)
    first = np.unique(numbers, return_index=True)[1]
    ours = np.zeros(count, bool)
    ours[first] = numbers[first] > 0
    free = int(numbers.max(initial=0)) + 1
    numbers[~ours] = free + np.arange(np.count_nonzero(~ours))
    return numbers
