"""Boxes of an image beside each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.types import Region


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
