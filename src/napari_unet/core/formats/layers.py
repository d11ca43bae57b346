"""Cells that overlap as several label images, each cell whole in one of them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.formats.labelled import Labelled, Shape, find_view


def split_layers(labelled: Labelled) -> list[NDArray[np.int32]]:
    """The cells of each frame as label images in none of which two cells overlap.

    So what looks at a label image finds each cell whole in one of them.

    Returns
    -------
    list of (L, H, W) int32 array
        One a frame. L is 1 where no cells overlap, and that image then has the −1 of background.
    """
    if not labelled.wholes:
        return [frame[np.newaxis] for frame in labelled.frames]
    size = (labelled.labels.shape[-2], labelled.labels.shape[-1])
    cells = sorted(labelled.wholes, key=lambda cell: cell.label)
    return [
        _stack((cell for cell in cells if cell.frame == frame), size)
        for frame in range(len(labelled.frames))
    ]


def _stack(cells: Iterable[Shape], size: tuple[int, int]) -> NDArray[np.int32]:
    """Draw each cell into the first layer that has room for it."""
    layers = [np.zeros(size, np.int32)]
    for cell in cells:
        views = (find_view(layer, cell) for layer in layers)
        view = next((view for view in views if not view[cell.mask].any()), None)
        if view is None:
            layers.append(np.zeros(size, np.int32))
            view = find_view(layers[-1], cell)
        view[cell.mask] = cell.label
    return np.stack(layers)
