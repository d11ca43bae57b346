"""A line of ours around one cell: the person's layers keep their colours and their selection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Shapes
from numpy.typing import NDArray

from napari_unet.core.outlines import find_outline
from napari_unet.core.types import Region
from napari_unet.widgets import _layers, _planes
from napari_unet.widgets._planes import PlaneIndex
from napari_unet.widgets._whole_cells import read_wholes

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_unet.widgets._session import Session

_WIDTH = 2.5
"""Of the line, in pixels of the screen when the cell is chosen."""


def mark_cell(
    session: Session, labels: Labels | Shapes, label: int, index: PlaneIndex, box: Region
) -> Shapes | None:
    """Draw a line around a cell, and none around the one before.

    Parameters
    ----------
    index : PlaneIndex
        The plane of `labels` that it lies on.
    box : Region
        Where it lies on it. Where it is there no more, there is no line.

    Returns
    -------
    Shapes or None
        The layer of the line; None where there is none.
    """
    outline = (
        _find_whole(labels, label, index)
        if isinstance(labels, Shapes)
        else find_outline(_planes.read_plane(labels, index), label, box)
    )
    if outline is None:
        clear_mark(session)
        return None
    return mark_outline(session, labels, outline, index)


def mark_outline(
    session: Session, labels: Labels | Shapes, outline: NDArray[np.float64], index: PlaneIndex
) -> Shapes:
    """Draw a line on a plane of `labels`, (n, 2) as (row, column), and none that was before."""
    viewer = session.viewer
    layer = _layers.find(viewer, _layers.MARKER, labels)
    if layer is None:
        layer = _layers.add_marker(viewer, labels)
    for other in _markers(session):
        if other is not layer and other.nshapes:
            other.data = []
    axis = _planes.plane_axes(index)[-1]
    width = _WIDTH / (_planes.find_camera(viewer).zoom * abs(float(layer.scale[axis])))
    # in place: a layer that goes and comes lets the canvas draw what is there no more
    layer.data = [(_planes.place_on(outline, index), "path")]
    if layer.edge_width != [width]:
        layer.edge_width = [width]
    return layer


def draw_line(
    session: Session, labels: Labels, line: Sequence[tuple[int, int]], index: PlaneIndex
) -> None:
    """Show a line of (row, column) points on a plane, beside the line around a cell."""
    points = np.asarray(line, np.float64)
    markers = _markers(session) or [_layers.add_marker(session.viewer, labels)]
    layer = markers[-1]
    layer.data = [
        *zip(layer.data[:1], ["path"], strict=False),
        (_planes.place_on(points, index), "path"),
    ]


def clear_mark(session: Session) -> None:
    """Take the line away; its layer stays, empty, until `remove_mark`."""
    for layer in _markers(session):
        if layer.nshapes:
            layer.data = []


def remove_mark(session: Session) -> None:
    """Take the layer of the line away."""
    for layer in _markers(session):
        session.viewer.layers.remove(layer)


def _find_whole(layer: Shapes, label: int, index: PlaneIndex) -> NDArray[np.float64] | None:
    """The line of a whole cell, closed."""
    lines = read_wholes(layer, index).take(label).lines
    if not lines:
        return None
    (line,) = lines
    is_closed = np.array_equal(line[0], line[-1])
    return line if is_closed else np.concatenate((line, line[:1]))


def _markers(session: Session) -> list[Shapes]:
    layers = session.viewer.layers
    return [layer for layer in layers if _layers.role_of(layer) == _layers.MARKER]
