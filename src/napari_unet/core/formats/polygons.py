"""Masks as rings along the edges of pixels, and rings as masks, without loss.

A ring is an (n, 2) array of corners (x, y), the first of which is not repeated; pixel (row, column)
reaches from (column, row) to (column + 1, row + 1). Inside is what an odd number of rings encloses,
so that a hole is one more ring.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from skimage.draw import polygon

Ring: TypeAlias = NDArray[Any]

_STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))  # east, south, west, north as (x, y)


def trace(mask: NDArray[np.bool_], origin: tuple[int, int] = (0, 0)) -> list[Ring]:
    """Follow the edges of a mask: outer rings clockwise in the image, holes the other way.

    Parameters
    ----------
    mask : (h, w) bool array
    origin : (row, column)
        Of the mask in the image.

    Returns
    -------
    list of (n, 2) int array
        Corners alone, as (x, y). Pixels that touch at a corner are apart.
    """
    # of each corner the directions in which an edge leaves it, with the mask on its right
    padded = np.pad(mask, 1)
    above, below, left, right = padded[:-1], padded[1:], padded[:, :-1], padded[:, 1:]
    leaves = np.zeros((mask.shape[0] + 1, mask.shape[1] + 1, 4), bool)
    leaves[:, :-1, 0] = (below & ~above)[:, 1:-1]
    leaves[:-1, :, 1] = (left & ~right)[1:-1]
    leaves[:, 1:, 2] = (above & ~below)[:, 1:-1]
    leaves[1:, :, 3] = (right & ~left)[1:-1]
    rings = []
    for y, x in np.argwhere(leaves[..., 0]).tolist():
        ring: list[tuple[int, int]] = []
        heading, before = 0, -1
        while leaves[y, x, heading]:
            leaves[y, x, heading] = False
            if heading != before:
                ring.append((x, y))
            x, y, before = x + _STEPS[heading][0], y + _STEPS[heading][1], heading
            # right first: where pixels touch at a corner it stays with its own
            turns = [(heading + turn) % 4 for turn in (1, 0, 3)]
            heading = next((turn for turn in turns if leaves[y, x, turn]), heading)
        if ring:
            rings.append(np.array(ring) + np.array(origin[::-1]))
    return rings


def fill(rings: Sequence[Ring]) -> tuple[NDArray[np.bool_], tuple[int, int]]:
    """The pixels whose middle lies in an odd number of rings, whole or with fractions.

    None of rings without corners.

    Returns
    -------
    mask : (h, w) bool array
    origin : (row, column)
        Of the mask in the image; it may be negative.
    """
    rings = [ring for ring in rings if len(ring)]
    if not rings:
        return np.zeros((1, 1), bool), (0, 0)
    corners = np.concatenate(rings)
    left, top = np.floor(corners.min(axis=0)).astype(int).tolist()
    right, bottom = np.ceil(corners.max(axis=0)).astype(int).tolist()
    mask = np.zeros((max(bottom - top, 1), max(right - left, 1)), bool)
    for ring in rings:
        rows, columns = polygon(ring[:, 1] - top - 0.5, ring[:, 0] - left - 0.5, mask.shape)
        mask[rows, columns] ^= True
    return mask, (top, left)


def trace_once(mask: NDArray[np.bool_], origin: tuple[int, int] = (0, 0)) -> Ring:
    """As `trace`, in one ring: to each further piece or hole it goes and comes back the same way.

    Along edges of pixels, so that no middle of a pixel lies on that way, and `fill` gives the mask
    again.
    """
    joined, *others = trace(mask, origin)
    for other in others:
        steps = np.abs(joined[:, None] - other).sum(axis=2)
        at, start = np.unravel_index(steps.argmin(), steps.shape)
        other = np.roll(other, -start, axis=0)
        turn = np.array([[other[0, 0], joined[at, 1]]])
        joined = np.concatenate((joined[: at + 1], turn, other, other[:1], turn, joined[at:]))
    # a line that stands still for a step is drawn by napari to somewhere else
    moves: NDArray[np.bool_] = (joined != np.roll(joined, 1, axis=0)).any(axis=1)
    ring: Ring = joined[moves]
    return ring


def group_rings(rings: Sequence[Ring]) -> list[list[Ring]]:
    """Put holes behind the outer ring that they lie in: one list for each piece of a mask.

    Parameters
    ----------
    rings : sequence of Ring
        As `trace` gives them.
    """
    pieces = [[ring] for ring in rings if _area(ring) > 0]
    masks = [fill(piece) for piece in pieces]
    for hole in (ring for ring in rings if _area(ring) < 0):
        inside, (top, left) = fill([hole])
        row, column = np.argwhere(inside)[0].tolist()
        around = [
            (int(mask.sum()), at)
            for at, (mask, (first, start)) in enumerate(masks)
            if 0 <= row + top - first < mask.shape[0]
            and 0 <= column + left - start < mask.shape[1]
            and mask[row + top - first, column + left - start]
        ]
        pieces[min(around)[1]].append(hole)
    return pieces


def _area(ring: Ring) -> float:
    """Positive for a ring that is clockwise in the image."""
    x, y = ring[:, 0].astype(float), ring[:, 1].astype(float)
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y) / 2)
