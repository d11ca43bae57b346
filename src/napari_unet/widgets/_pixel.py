"""One pixel of the weight map in words: the distances that its weight comes from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.border_weights import nearest_two
from napari_unet.widgets._planes import plane_axes
from napari_unet.widgets._session import Session

SEEN = 40
"""Pixels: cells further away are not looked for."""


def explain_pixel(
    session: Session, weights: NDArray[np.float32], position: NDArray[np.float64]
) -> str:
    """Explain the weight at a place of the world.

    Parameters
    ----------
    weights : (H, W) float32 array
        The map of the plane in view.
    position : (D,) array
        In the world coordinates of the viewer.

    Returns
    -------
    str
        "here: d1 1.0 px · d2 3.0 px · w 7.9"; empty outside of the image.
    """
    image, labels = session.image, session.labels
    if image is None or labels is None:
        return ""
    axes = list(plane_axes(session.plane_index(image)))
    row, col = np.round(image.world_to_data(position)[axes]).astype(int)
    height, width = weights.shape
    if not (0 <= row < height and 0 <= col < width):
        return ""
    top, left = max(0, row - SEEN), max(0, col - SEEN)
    around = session.plane(labels)[top : row + SEEN + 1, left : col + SEEN + 1]
    first, second = (distance[row - top, col - left] for distance in nearest_two(around))
    weight = weights[row, col]
    unsaid = "" if weight > 0 else ", unlabelled"
    return f"here: d1 {_pixels(first)} · d2 {_pixels(second)} · w {weight:.3g}{unsaid}"


def _pixels(distance: float) -> str:
    return f"{distance:.1f} px" if distance <= SEEN else f"> {SEEN} px"
