"""Candidates for cells, each whole: of those that are the same one is kept, overlaps are decided.

Looks into no network and needs no torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

from napari_unet.core.box_index import BoxIndex
from napari_unet.core.config import EvidenceKind, InstanceConfig
from napari_unet.core.instances import fill_holes, keep_cells
from napari_unet.core.types import Instances, Prediction, Region

MASK = 28
"""Edge of a mask in bins."""

_EIGHT = np.ones((3, 3), bool)


@dataclass(frozen=True, eq=False)
class Candidates:
    """Cells that may be there.

    Attributes
    ----------
    boxes : (n, 4) float32 array
        x1, y1, x2, y2 in pixels from the origin of what was looked at.
    scores : (n,) float32 array
        0 to 1.
    masks : (n, MASK, MASK) uint8 array
        Probability of each bin of a box, 0 to 255: a byte, as there may be many cells.
    classes : (n,) uint8 array
        1 … K.
    shape : (int, int)
        Pixels of what was looked at.
    """

    kind: ClassVar[EvidenceKind] = "candidates"
    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    masks: NDArray[np.uint8]
    classes: NDArray[np.uint8]
    shape: tuple[int, int]

    @classmethod
    def join(cls, parts: Sequence[Candidates], shape: tuple[int, int]) -> Candidates:
        """All of several lots of one origin."""
        parts = parts or [cls._none(shape)]
        boxes, scores, masks, classes = (
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("boxes", "scores", "masks", "classes")
        )
        return cls(boxes, scores, masks, classes, shape)

    @classmethod
    def _none(cls, shape: tuple[int, int]) -> Candidates:
        return cls(
            np.zeros((0, 4), np.float32),
            np.zeros(0, np.float32),
            np.zeros((0, MASK, MASK), np.uint8),
            np.zeros(0, np.uint8),
            shape,
        )

    def take(self, which: NDArray[np.bool_] | NDArray[np.intp]) -> Candidates:
        """Some of them, in another order where indices say so."""
        return Candidates(
            self.boxes[which], self.scores[which], self.masks[which], self.classes[which],
            self.shape,
        )  # fmt: skip

    def within(self, box: Region) -> Candidates:
        """Those whose boxes reach into a box of what was looked at, from its origin."""
        (rows, columns), boxes = box, self.boxes
        reaches_in = (
            (boxes[:, 2] > columns.start)
            & (boxes[:, 0] < columns.stop)
            & (boxes[:, 3] > rows.start)
            & (boxes[:, 1] < rows.stop)
        )
        inside = self.take(reaches_in)
        origin = np.array([columns.start, rows.start] * 2, np.float32)
        shape = rows.stop - rows.start, columns.stop - columns.start
        return Candidates(inside.boxes - origin, *inside._rest, shape)

    def moved(self, rows: int, columns: int, shape: tuple[int, int]) -> Candidates:
        """The same from an origin that lies so many pixels further up and to the left."""
        by = np.array([columns, rows] * 2, np.float32)
        return Candidates(self.boxes + by, *self._rest, shape)

    def cut(self, box: Region, done: NDArray[np.bool_]) -> Candidates:
        """As `Evidence.cut`; where it is not done nothing was found either."""
        return self.within(box)

    def label(self, config: InstanceConfig) -> Prediction:
        """Give each pixel to the cell of the highest probability × score there.

        Surest cells come first. One is one of these, found again, be it in another tile, where more
        than the share `overlap` of it lies in them, or where its box has more than that in common
        with that of one of them. The score of a cell is that of its box.
        """
        first = np.argsort(-self.scores, kind="stable")
        return _draw(self.take(first[self.scores[first] >= config.min_score]), config)

    @property
    def _rest(self) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.uint8]]:
        return self.scores, self.masks, self.classes


def _draw(sorted_: Candidates, config: InstanceConfig) -> Prediction:
    labels = np.zeros(sorted_.shape, np.int32)
    highest = np.zeros(sorted_.shape, np.float32)
    kept: list[int] = []
    drawn: list[tuple[Region, NDArray[np.bool_]]] = []
    surer = BoxIndex(sorted_.boxes)
    found = zip(sorted_.boxes, sorted_.masks, sorted_.scores, strict=True)
    for i, (box, mask, score) in enumerate(found):
        if surer.is_shared(i, config.overlap):
            continue
        region, soft = draw_mask(box, mask, sorted_.shape)
        inside = cut_out(soft, config)
        area = np.count_nonzero(inside)
        here, value = labels[region], soft * score
        if not area or np.count_nonzero(inside & (here > 0)) > config.overlap * area:
            continue
        kept.append(i)
        surer.add(i)
        drawn.append((region, inside))
        paint(len(kept), inside, value, here, highest[region])
    seen, cells = finish(labels, len(kept), config)
    of = np.array(kept, np.intp)[cells]
    corners = [
        (rows.start, columns.start, rows.stop, columns.stop)
        for (rows, columns), _ in (drawn[cell] for cell in cells)
    ]
    instances = Instances(
        np.array(corners, np.int32).reshape(-1, 4), tuple(drawn[cell][1] for cell in cells)
    )
    return Prediction(seen, sorted_.classes[of], sorted_.scores[of], None, instances)


def paint(
    number: int,
    inside: NDArray[np.bool_],
    value: NDArray[np.float32],
    labels: NDArray[np.int32],
    highest: NDArray[np.float32],
) -> None:
    """Give a cell the pixels inside of it that are free or at which its value is the highest."""
    wins = inside & ((labels == 0) | (value > highest))
    labels[wins] = number
    highest[wins] = value[wins]


def finish(
    labels: NDArray[np.int32], count: int, config: InstanceConfig
) -> tuple[NDArray[np.int32], NDArray[np.intp]]:
    """Fill the holes of painted cells 1 … `count` and leave out those that are not wanted.

    Returns
    -------
    labels : (H, W) int32 array
        Instances 1 … n.
    cells : (n,) int array
        Which of the painted ones they are, from 0.
    """
    if config.fill_holes:
        labels = fill_holes(labels)
    seen = keep_cells(labels, config)
    number = np.zeros(count + 1, np.int32)
    number[labels.ravel()] = seen.ravel()
    return seen, np.flatnonzero(number) - 1


def draw_mask(
    box: NDArray[np.float32], mask: NDArray[np.uint8], shape: tuple[int, int]
) -> tuple[Region, NDArray[np.float32]]:
    """A mask of m × m bins as pixels of the image, as far as the box lies in it.

    Returns
    -------
    region : Region
    soft : (h, w) float32 array
        Probability of the cell at each pixel of the region, 0 to 1.
    """
    weights, region = [], []
    for low, high, length in ((box[1], box[3], shape[0]), (box[0], box[2], shape[1])):
        part = slice(max(0, math.floor(low)), min(length, math.ceil(high)))
        region.append(slice(part.start, max(part.start, part.stop)))
        weights.append(_interpolate(float(low), float(high), region[-1], len(mask)))
    soft = weights[0] @ (mask.astype(np.float32) / 255) @ weights[1].T
    return (region[0], region[1]), soft.astype(np.float32, copy=False)


def cut_out(soft: NDArray[np.float32], config: InstanceConfig) -> NDArray[np.bool_]:
    """The pixels of a drawn mask that are its cell: the largest piece, as specks are of others."""
    inside: NDArray[np.bool_] = soft > config.threshold
    pieces, count = ndi.label(inside, _EIGHT)
    if count > 1:
        inside = pieces == np.bincount(pieces.ravel())[1:].argmax() + 1
    return ndi.binary_fill_holes(inside) if config.fill_holes else inside


def _interpolate(low: float, high: float, part: slice, bins: int) -> NDArray[np.float32]:
    """(pixels, bins): how much each bin counts at each pixel's centre, linear between centres.

    Outside of the box nothing does.
    """
    centres = np.arange(part.start, part.stop, dtype=np.float32) + 0.5
    at = (centres - low) * (bins / (high - low)) - 0.5
    distance = np.abs(np.clip(at, 0, bins - 1)[:, None] - np.arange(bins, dtype=np.float32))
    inside = (centres >= low) & (centres <= high)
    weights: NDArray[np.float32] = np.maximum(0, 1 - distance) * inside[:, None]
    return weights.astype(np.float32)
