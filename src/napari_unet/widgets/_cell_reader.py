"""What a layer says of the cells of the plane in view, be it of labels or of whole cells."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from napari.layers import Labels, Shapes

from napari_unet.core.annotation import check_labels
from napari_unet.core.formats.labelled import Labelled, put_together
from napari_unet.core.whole_cells import fill_outlines, find_at
from napari_unet.widgets import _planes
from napari_unet.widgets._edited import Cells
from napari_unet.widgets._features import as_words, read_feature
from napari_unet.widgets._planes import PlaneIndex
from napari_unet.widgets._session import Session
from napari_unet.widgets._whole_cells import holds_cells, read_wholes


def fits(session: Session, layer: Cells) -> bool:
    """Whether a layer can be of the cells of the image."""
    if isinstance(layer, Labels):
        return session.fits(layer)
    return session.image is not None and holds_cells(layer, session.image)


def find_plane(session: Session, layer: Cells) -> PlaneIndex:
    """Which plane of a layer the viewer shows."""
    if isinstance(layer, Labels):
        return session.plane_index(layer)
    return (None, None) if layer.ndim == 2 else session.plane_index(session.need_image())


def cells_reader(session: Session, layer: Cells) -> Callable[[], Labelled]:
    """What reads the cells of the plane in view, as they are now, when a thread calls it.

    Raises
    ------
    InputError
        There is no image; when it is called: the labels are none.
    """
    name, index = f"“{layer.name}”", find_plane(session, layer)
    if isinstance(layer, Shapes):
        outlines, size = read_wholes(layer, index), session.plane_shape()
        return lambda: put_together(fill_outlines(outlines), size, name)
    read = _planes.plane_reader(layer, index)
    classes = {
        label: as_words(kind) for label, kind in (read_feature(layer, "class") or {}).items()
    }
    scores = read_feature(layer, "score") or {}
    return lambda: Labelled(check_labels(read(), name=name), classes, scores)


def find_cell(session: Session, layer: Cells, position: Sequence[float]) -> int:
    """The number of the cell at a place in the world, of several the smallest; 0 for none."""
    if isinstance(layer, Labels):
        return int(layer.get_value(position, world=True) or 0)
    index = find_plane(session, layer)
    place = np.asarray(layer.world_to_data(np.asarray(position)[-layer.ndim :]))
    row, column = place[list(_planes.plane_axes(index))].tolist()
    return find_at(read_wholes(layer, index), (row, column))
