# mypy: disable-error-code="no-untyped-def"
"""What is known of each label, compiled: unlike SciPy's it lets other threads run meanwhile."""

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


@nb.njit(cache=True, nogil=True)
def meet(labels, present, touching):
    """Mark each label > 0 that is there, and each that has another one among 3×3 neighbours.

    Parameters
    ----------
    labels : (H, W) int array
    present, touching : (n,) bool arrays, n above the largest label
    """
    height, width = labels.shape
    for y in range(height):
        for x in range(width):
            label = labels[y, x]
            if label <= 0:
                continue
            present[label] = True
            # the other four neighbours have looked at this pixel, or will
            for dy, dx in ((0, 1), (1, -1), (1, 0), (1, 1)):
                if y + dy < height and 0 <= x + dx < width:
                    other = labels[y + dy, x + dx]
                    if other > 0 and other != label:
                        touching[label] = touching[other] = True
