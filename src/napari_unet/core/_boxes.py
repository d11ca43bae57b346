# mypy: disable-error-code="no-untyped-def"
"""Bounding boxes of labels, compiled: unlike SciPy's it lets other threads run meanwhile."""

from __future__ import annotations

import numba as nb


@nb.njit(cache=True, nogil=True)
def bound(labels, boxes):
    """Widen first row, last row, first column and last column of each label > 0.

    Parameters
    ----------
    labels : (H, W) int array
    boxes : (n, 4) int64 array, n above the largest label
    """
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            label = labels[y, x]
            if label > 0:
                box = boxes[label]
                box[0] = min(box[0], y)
                box[1] = max(box[1], y)
                box[2] = min(box[2], x)
                box[3] = max(box[3], x)
