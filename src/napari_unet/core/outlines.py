"""The outline of a cell, as a line that can be drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.measure import find_contours

from napari_unet.core.types import Region


def find_outline(labels: NDArray[Any], label: int, box: Region) -> NDArray[np.float64] | None:
    """Find the longest outline of a cell.

    Parameters
    ----------
    labels : (H, W) array of integers
    label : int
        The cell.
    box : Region
        Where it lies; what is outside is not looked at.

    Returns
    -------
    (n, 2) float array or None
        Closed, as (row, column), between the pixels of the cell and those around it. None where
        the box holds no pixel of it.
    """
    mask = np.pad(labels[box] == label, 1)
    lines = find_contours(mask.astype(np.float32), 0.5)
    if not lines:
        return None
    origin = np.array([box[0].start - 1, box[1].start - 1])
    outline: NDArray[np.float64] = max(lines, key=len) + origin
    return outline
