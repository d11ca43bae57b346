"""A newly predicted part of an image beside what is labelled already."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.types import Region


def fit_into(
    whole: NDArray[np.int32], part: NDArray[np.int32], region: Region
) -> NDArray[np.int32]:
    """Number the cells of `part` so that it can replace `region` of `whole`.

    Parameters
    ----------
    whole : (H, W) int32 array
        Instances > 0 of the whole plane, with what `region` held before.
    part : (h, w) int32 array
        New instances of `region`.
    region : Region
        Within the plane, in pixels.

    Returns
    -------
    (h, w) int32 array
        The instances of `part`. One that lies on an old cell which reaches out of the region
        takes over its number, so that the cell stays whole; all others get numbers that are free
        outside.
    """
    count = int(part.max(initial=0))
    if count == 0:
        return part.astype(np.int32)
    reaches_out = instances_outside(whole, region)
    return number_by_overlap(part, whole[region], reaches_out)


def number_by_overlap(
    part: NDArray[np.int32], old: NDArray[np.int32], allowed: NDArray[np.bool_]
) -> NDArray[np.int32]:
    """Number cells by the old ones that they lie on.

    Parameters
    ----------
    part, old : (h, w) int32 arrays
        New instances, and those that were there.
    allowed : (N,) bool array
        True for each old number that may be taken over; numbers from N on are free.

    Returns
    -------
    (h, w) int32 array
        The instances of `part`. Each takes over the number that it overlaps most, as long as no
        other overlaps that more; the rest get free numbers.
    """
    count = int(part.max(initial=0))
    first_free = len(allowed)
    number = np.arange(first_free - 1, first_free + count, dtype=np.int32)
    number[0] = 0
    before_here = old.clip(0, first_free - 1)
    both = (part > 0) & allowed[before_here] & (before_here == old)
    pairs = part[both].astype(np.int64) * first_free + before_here[both]
    pairs, overlap = np.unique(pairs, return_counts=True)
    taken: set[int] = set()
    for pair in pairs[np.argsort(-overlap, kind="stable")]:
        new, before = divmod(int(pair), first_free)
        if before not in taken and number[new] >= first_free:
            number[new] = before
            taken.add(before)
    return number[part]


def instances_outside(whole: NDArray[np.int32], region: Region) -> NDArray[np.bool_]:
    """True at the number of each instance that has pixels outside the region; [0] is False."""
    rows, cols = region
    frame = (
        whole[: rows.start],
        whole[rows.stop :],
        whole[rows, : cols.start],
        whole[rows, cols.stop :],
    )
    highest = max(int(part.max(initial=0)) for part in frame)
    present = np.zeros(highest + 1, bool)
    for part in frame:
        present[part.clip(0)] = True
    present[0] = False
    return present


def follow(before: NDArray[np.int32], after: NDArray[np.int32]) -> NDArray[np.int32]:
    """The number that each cell 0 … n of `before` has in `after`, the same cells renumbered."""
    number = np.zeros(int(before.max(initial=0)) + 1, np.int32)
    cells = before > 0
    number[before[cells]] = after[cells]
    return number


def diameters(labels: NDArray[np.int32]) -> NDArray[np.float64]:
    """The diameter 2·√(area/π) of a disk as large as each cell, in pixels."""
    areas = np.bincount(labels.ravel().clip(0))[1:]
    return np.asarray(2 * np.sqrt(areas[areas > 0] / np.pi))


def median_diameter(labels: NDArray[np.int32]) -> float:
    """Median of the cells' diameters in pixels; NaN where there is no cell."""
    found = diameters(labels)
    return float(np.median(found)) if found.size else float("nan")
