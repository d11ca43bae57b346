"""Complete regions: shapes that say "in here every cell is painted"."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from skimage.draw import polygon

from napari_unet.widgets._planes import PlaneIndex, plane_axes

if TYPE_CHECKING:
    from napari.layers import Shapes

Outline: TypeAlias = tuple[NDArray[Any], str]
"""Vertices (N, D) in data coordinates and the type of shape."""

_CLOSED = ("rectangle", "polygon", "ellipse")
_ELLIPSE_POINTS = 64


def list_outlines(layer: Shapes, index: PlaneIndex) -> list[int]:
    """Numbers of the closed shapes that lie on a plane."""
    shapes = zip(layer.data, layer.shape_type, strict=True)
    return [
        number
        for number, (vertices, kind) in enumerate(shapes)
        if kind in _CLOSED and lies_on(vertices, index)
    ]


def lies_on(vertices: NDArray[Any], index: PlaneIndex) -> bool:
    """Whether a shape lies on a plane."""
    others = [axis for axis, place in enumerate(index) if place is not None]
    places = [place for place in index if place is not None]
    return not others or bool(np.all(np.abs(np.asarray(vertices)[:, others] - places) < 0.5))


def draw_mask(layer: Shapes, index: PlaneIndex, shape: tuple[int, int]) -> NDArray[np.bool_] | None:
    """Draw the closed shapes of a plane as a (H, W) mask, True inside; None without a shape.

    A pixel is inside where its centre is.
    """
    numbers = list_outlines(layer, index)
    if not numbers:
        return None
    mask = np.zeros(shape, dtype=bool)
    for number in numbers:
        vertices = read_line(layer.data[number], layer.shape_type[number], plane_axes(index))
        low, high = vertices.min(axis=0), vertices.max(axis=0)
        if layer.shape_type[number] == "rectangle" and _is_upright(vertices):
            # a list of all pixels, as `polygon` makes it, takes long for a whole frame
            first = np.maximum(np.ceil(low), 0).astype(int)
            last = np.maximum(np.floor(high) + 1, 0).astype(int)
            mask[first[0] : last[0], first[1] : last[1]] = True
        else:
            mask[polygon(vertices[:, 0], vertices[:, 1], shape)] = True
    return mask


def read_line(
    vertices: NDArray[Any], kind: str, axes: Sequence[int] = (-2, -1)
) -> NDArray[np.float64]:
    """The line around a shape of any kind in the plane of two axes, (n, 2)."""
    line = np.asarray(vertices, np.float64)[:, list(axes)]
    return _trace_ellipse(line) if kind == "ellipse" else line


def frame(index: PlaneIndex, shape: tuple[int, int]) -> Outline:
    """A rectangle around all pixels of a plane."""
    corners = np.array([[place or 0 for place in index]] * 4, dtype=float)
    rows, cols = plane_axes(index)
    corners[:, rows] = np.array([0, 0, 1, 1]) * shape[0] - 0.5
    corners[:, cols] = np.array([0, 1, 1, 0]) * shape[1] - 0.5
    return corners, "rectangle"


def remove_outlines(layer: Shapes, index: PlaneIndex) -> list[Outline]:
    """Remove the closed shapes of a plane and return them, so that it can be undone."""
    numbers = list_outlines(layer, index)
    removed = [(np.array(layer.data[number]), layer.shape_type[number]) for number in numbers]
    layer.remove(numbers)
    return removed


def _is_upright(corners: NDArray[Any]) -> bool:
    """Whether the sides of a rectangle go along rows and columns."""
    sides = np.abs(np.diff(corners, axis=0))
    return bool(np.all(sides.min(axis=1) < 1e-6))


def _trace_ellipse(corners: NDArray[Any]) -> NDArray[np.float64]:
    """The outline of the ellipse that napari keeps as the four corners around it."""
    centre = corners.mean(axis=0)
    first, second = (corners[1] - corners[0]) / 2, (corners[3] - corners[0]) / 2
    angles = np.linspace(0, 2 * np.pi, _ELLIPSE_POINTS, endpoint=False)[:, None]
    return np.asarray(centre + np.cos(angles) * first + np.sin(angles) * second)
