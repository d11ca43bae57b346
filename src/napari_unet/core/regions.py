"""Boxes of an image beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.types import Region

_BLOCK = 512  # px: what lies as close together may have one box


def measure(region: Region) -> tuple[int, int]:
    """Rows and columns of a region."""
    return region[0].stop - region[0].start, region[1].stop - region[1].start


def enclose(mask: NDArray[np.bool_]) -> Region | None:
    """The smallest region that has all that is True in an (H, W) mask; None where nothing is."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return None
    return (
        slice(int(rows[0]), int(rows[-1]) + 1),
        slice(int(columns[0]), int(columns[-1]) + 1),
    )


def cover(mask: NDArray[np.bool_], around: int) -> list[Region]:
    """Regions that have all that is True in an (H, W) mask, far from each other.

    What is scattered over a large image needs no box as large as that. With so many pixels `around`
    each of them no two have a pixel in common.
    """
    tops, lefts = (range(0, length, _BLOCK) for length in mask.shape)
    apart: list[Region] = []
    for top, left in product(tops, lefts):
        inside = enclose(mask[top : top + _BLOCK, left : left + _BLOCK])
        if inside is None:
            continue
        region = shift(inside, top, left)
        while near := next((each for each in apart if _is_near(each, region, around)), None):
            apart.remove(near)
            region = hull([near, region])
        apart.append(region)
    return apart


def _is_near(one: Region, other: Region, around: int) -> bool:
    return all(
        max(a.start, b.start) - min(a.stop, b.stop) < 2 * around
        for a, b in zip(one, other, strict=True)
    )


def within(part: Region, whole: Region) -> Region:
    """A part of a region in pixels from where that begins."""
    rows, columns = (
        slice(a.start - b.start, a.stop - b.start) for a, b in zip(part, whole, strict=True)
    )
    return rows, columns


def shift(region: Region, rows: int, columns: int) -> Region:
    """The region as far down and to the right."""
    return (
        slice(region[0].start + rows, region[0].stop + rows),
        slice(region[1].start + columns, region[1].stop + columns),
    )


def widen(region: Region, by: int, shape: tuple[int, ...]) -> Region:
    """A region with so many pixels more on each side, as far as an image of `shape` has them."""
    rows, columns = (
        slice(max(part.start - by, 0), min(part.stop + by, size))
        for part, size in zip(region, shape, strict=True)
    )
    return rows, columns


def hull(boxes: Sequence[Region]) -> Region:
    """The smallest region that has all of them."""
    rows, columns = (
        slice(min(box[i].start for box in boxes), max(box[i].stop for box in boxes)) for i in (0, 1)
    )
    return rows, columns


def overlap(one: Region, other: Region) -> Region:
    """What two regions have in common; empty where that is nothing."""
    rows, columns = (
        slice(start := max(a.start, b.start), max(start, min(a.stop, b.stop)))
        for a, b in zip(one, other, strict=True)
    )
    return rows, columns
