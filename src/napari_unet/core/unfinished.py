"""The cells of a prediction that is under way: those of the tiles that are done."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.config import InstanceConfig
from napari_unet.core.evidence import Evidence
from napari_unet.core.mosaic import diameters, number_by_overlap
from napari_unet.core.regions import shift
from napari_unet.core.types import Region

SEAM = 64
"""Pixels around new tiles that are looked at again, so that a cell on a seam becomes one."""


@dataclass(frozen=True, eq=False)
class Piece:
    """What is to be shown in a part of a plane.

    Attributes
    ----------
    region : Region
        Of the plane, in pixels.
    labels : (h, w) int32 array
        The cells that reach into new tiles, and beside them what was shown before.
    cells : int
        Number of those that lie in finished tiles.
    diameter : float
        Their median diameter in pixels; NaN where there is none.
    """

    region: Region
    labels: NDArray[np.int32]
    cells: int
    diameter: float


def label_finished(
    evidence: Evidence,
    region: Region,
    finished: Sequence[Region],
    new: Sequence[Region],
    shown: NDArray[np.int32],
    config: InstanceConfig,
) -> Piece:
    """Label tiles that are done and fit their cells into what is shown.

    Parameters
    ----------
    evidence : Evidence
        Of `region`, as far as it is there; may grow meanwhile.
    region : Region
        The part of the plane that is predicted, in pixels.
    finished : sequence of Region
        Tiles of which it is final, in pixels of the plane.
    new : sequence of Region
        Those of them that are to be labelled, at least one.
    shown : (H, W) int32 array
        Instances > 0 of the whole plane.
    config : InstanceConfig
        What lies at the border of a tile is kept whatever it says.

    Returns
    -------
    Piece
        Of a box around `new`.
    """
    box = _bound(new, region)
    done, fresh = _mask(finished, box), _mask(new, box)
    found = evidence.cut(shift(box, -region[0].start, -region[1].start), done)
    config = dataclasses.replace(config, drop_border=False)
    labels = found.label(config).labels
    reaches_in = np.bincount(labels[fresh], minlength=int(labels.max()) + 1) > 0
    reaches_in[0] = False
    labels = np.where(reaches_in[labels], labels, 0)
    before = shown[box]
    number = number_by_overlap(labels, before, np.arange(int(shown.max(initial=0)) + 1) > 0)
    labels = np.where(fresh | (done & (number > 0)), number, before).astype(np.int32)
    sizes = diameters(labels[done])
    median = float(np.median(sizes)) if sizes.size else float("nan")
    return Piece(box, labels, sizes.size, median)


def meet(one: Region, other: Region) -> bool:
    """Whether two regions have pixels in common."""
    return all(max(a.start, b.start) < min(a.stop, b.stop) for a, b in zip(one, other, strict=True))


def _bound(tiles: Sequence[Region], region: Region) -> Region:
    """The box around the tiles and a seam, within the region."""
    (rows, columns) = (
        slice(
            max(whole.start, min(part.start for part in parts) - SEAM),
            min(whole.stop, max(part.stop for part in parts) + SEAM),
        )
        for parts, whole in zip(zip(*tiles, strict=True), region, strict=True)
    )
    return rows, columns


def _mask(tiles: Sequence[Region], box: Region) -> NDArray[np.bool_]:
    """The pixels of the box that lie in a tile."""
    mask = np.zeros([part.stop - part.start for part in box], bool)
    for tile in tiles:
        rows, columns = (
            slice(max(0, part.start - whole.start), max(0, part.stop - whole.start))
            for part, whole in zip(tile, box, strict=True)
        )
        mask[rows, columns] = True
    return mask
