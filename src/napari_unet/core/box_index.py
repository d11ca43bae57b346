"""Boxes found by where they are, and how much of them two boxes have in common."""

from __future__ import annotations

import itertools
from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

_SQUARE = 64.0  # px: about as large as cells


class BoxIndex:
    """Some of the boxes of an image, by the squares that they reach into."""

    def __init__(self, boxes: NDArray[np.float32]) -> None:
        self._boxes = boxes
        self._at: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
        self._squares = np.floor(boxes / _SQUARE).astype(np.int64)

    def add(self, number: int) -> None:
        """Take one of the boxes in."""
        for square in self._reach(number):
            self._at[square].append(number)

    def is_shared(self, number: int, share: float) -> bool:
        """Whether a box has more than this share in common with one that was taken in."""
        near = {other for square in self._reach(number) for other in self._at.get(square, ())}
        others = self._boxes[sorted(near)]
        return bool((share_boxes(self._boxes[number], others) > share).any())

    def _reach(self, number: int) -> itertools.product[tuple[int, int]]:
        x1, y1, x2, y2 = self._squares[number].tolist()
        return itertools.product(range(y1, y2 + 1), range(x1, x2 + 1))


def share_boxes(box: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float64]:
    """Intersection over union of a box and each of (n, 4) others, all x1, y1, x2, y2."""
    a, b = box.astype(np.float64), others.astype(np.float64)
    sides = np.minimum(a[2:], b[:, 2:]) - np.maximum(a[:2], b[:, :2])
    common = np.maximum(sides, 0).prod(axis=1)
    both = (a[2:] - a[:2]).prod() + (b[:, 2:] - b[:, :2]).prod(axis=1) - common
    share: NDArray[np.float64] = common / np.maximum(both, 1e-9)
    return share
