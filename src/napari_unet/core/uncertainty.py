"""Which predicted cells a person should look at first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.measure import regionprops_table

_ENOUGH = 5  # cells whose median area says how large a cell is


def rank_cells(
    labels: NDArray[Any], scores: Mapping[int, float] | None = None
) -> list[tuple[int, float]]:
    """Cells with how doubtful they are, most doubtful first.

    Parameters
    ----------
    labels : (H, W) array of integers
    scores : mapping of label to score, optional
        How sure the network is of a cell, 0 to 1.

    Returns
    -------
    list of (label, doubt)
        The doubt is the largest of three, each 0 to 1: 1 − solidity (area ÷ area of the convex
        hull, that of two joined cells is low), |log2(area ÷ median area)| ÷ 3 (fragments, joined
        cells; not of cells that the image's border cuts small), and 1 − score.
    """
    numbers = np.asarray(labels, np.int32)
    table = regionprops_table(numbers, properties=("label", "area", "area_convex", "bbox"))
    label, area = table["label"], table["area"].astype(np.float64)
    rows, columns = numbers.shape
    cut = (table["bbox-0"] == 0) | (table["bbox-1"] == 0)
    cut |= (table["bbox-2"] == rows) | (table["bbox-3"] == columns)
    # the hull runs through the corners of pixels: that of a small disc is larger than the disc
    doubt = np.clip(1 - area / np.maximum(table["area_convex"], 1), 0, 1)
    if len(area) >= _ENOUGH:
        odd = np.abs(np.log2(area / np.median(area))) / 3
        odd[cut & (area < np.median(area))] = 0  # what lies outside is missing
        doubt = np.maximum(doubt, np.clip(odd, 0, 1))
    if scores:
        sure = np.array([scores.get(int(number), 1.0) for number in label])
        doubt = np.maximum(doubt, np.clip(1 - sure, 0, 1))
    order = np.argsort(-doubt, kind="stable")
    return [(int(label[i]), float(doubt[i])) for i in order]
