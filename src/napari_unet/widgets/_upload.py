"""A box of a layer sent to the graphics card, where napari would send the whole plane."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels

from napari_unet.core.regions import widen, within
from napari_unet.core.types import Region

if TYPE_CHECKING:
    from napari.components import ViewerModel


def upload_box(viewer: ViewerModel, layer: Image, box: Region) -> None:
    """Show what changed inside `box` of a layer of float32 pixels.

    Parameters
    ----------
    layer : napari.layers.Image
        Its data has been changed in place.
    box : (rows, columns) slices
        Of the plane in view, in the order of the data.

    A refresh sends all of the image, so that a stroke would cost the more the larger the image
    is; napari's own brush sends boxes, and so does this, by the same way into the canvas. Where
    that is not as expected (no window, transposed, 3-D, lazily sliced), it is a refresh.
    """
    node = _find_node(viewer, layer)
    if node is None:
        layer.refresh(thumbnail=False, extent=False, highlight=False)
        return
    rows, columns = box
    if rows.start < rows.stop and columns.start < columns.stop:
        pixels = np.ascontiguousarray(layer._slice.image.raw[box])
        node._texture.scale_and_set_data(pixels, offset=(rows.start, columns.start))
    node.update()


def upload_labels(viewer: ViewerModel, layer: Labels, box: Region) -> None:
    """Show what changed inside `box` of the plane of a Labels layer that is in view.

    As napari's own brush does, which sends boxes too. Where its inner names have changed, or the
    view is transposed or 3-D, it is a refresh.
    """
    in_order = tuple(viewer.dims.order) == tuple(range(viewer.dims.ndim))
    display = getattr(layer, "_raw_to_displayed", None)
    image = getattr(getattr(layer, "_slice", None), "image", None)
    if (
        viewer.dims.ndisplay != 2
        or not in_order
        or not layer.loaded
        or display is None
        or image is None
        or not np.may_share_memory(image.raw, layer.data)
    ):
        layer.refresh(thumbnail=False, extent=False, highlight=False)
        return
    # contours are where a neighbour is another cell
    box = widen(box, layer.contour, image.raw.shape)
    around = widen(box, layer.contour, image.raw.shape)
    # for each new layout of memory napari compiles its colours, which would be waited for here
    colors = display(np.ascontiguousarray(image.raw[around]))[within(box, around)]
    image.view[box] = colors
    layer.events.labels_update(data=colors, offset=[part.start for part in box])


def _find_node(viewer: ViewerModel, layer: Image) -> Any | None:
    """What draws the data of `layer` pixel by pixel in the canvas, None where nothing does."""
    in_order = tuple(viewer.dims.order) == tuple(range(viewer.dims.ndim))
    if viewer.dims.ndisplay != 2 or not in_order or not layer.loaded:
        return None
    try:  # names of napari's own, which may change
        shown = layer._slice.image.raw
        node = viewer.window._qt_viewer.canvas.layer_to_visual[layer].node
        texture = node._texture
    except (AttributeError, KeyError):
        return None
    is_data = shown.dtype == np.float32 and np.may_share_memory(shown, layer.data)
    return node if is_data and tuple(texture.shape[:2]) == shown.shape else None
