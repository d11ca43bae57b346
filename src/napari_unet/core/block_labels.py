"""The cells of one block of a large image, as labelling the whole image would give them.

What becomes of a cell hangs on its component of the foreground and on what lies within a few
pixels of it. So a window around the block does, provided that no component that matters touches
the window's edge; `find_doubts` says which do, and these are looked at again in a wider window. A
block is a pure function of the maps: any process can label it, in any order, again.

A cell is named by its anchor, the index of its first pixel in raster order in the whole image.
Blocks that share a cell find the same anchor, so that nothing needs to be merged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.config import InstanceConfig
from napari_unet.core.instances import label_instances
from napari_unet.core.label_doubts import find_doubts, widen
from napari_unet.core.types import Region

HALO = 96
"""Pixels first seen around a block: what touches its border has about two cells' room."""

WIDEST = 2048
"""Edge in pixels of the widest window. A component that does not fit is cut at block borders."""

ReadMaps = Callable[[Region], NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class BlockCells:
    """The cells that have pixels in one block.

    Attributes
    ----------
    labels : (h, w) int32 array
        1 … n in the order of the anchors, 0 background.
    anchors : (n,) int64 array
        Row × width + column of each cell's first pixel in the whole image, rising.
    classes : (n,) uint8 array
    scores : (n,) float32 array
        As in `Prediction`.
    is_cut : bool
        Whether a component in the block did not fit into the widest window.
    """

    labels: NDArray[np.int32]
    anchors: NDArray[np.int64]
    classes: NDArray[np.uint8]
    scores: NDArray[np.float32]
    is_cut: bool


@dataclass(frozen=True)
class _Look:
    """A part of the block to label, seen in a window of `halo` px around `box`."""

    part: Region
    box: Region
    halo: int

    def window(self, shape: tuple[int, int]) -> Region:
        return widen(self.box, self.halo, shape)


def label_block(
    read_maps: ReadMaps,
    shape: tuple[int, int],
    block: Region,
    config: InstanceConfig,
    classes: int | None = None,
    *,
    halo: int = HALO,
    widest: int = WIDEST,
) -> BlockCells:
    """Label one block of an image, of which only windows are read.

    Parameters
    ----------
    read_maps : callable
        From a region to its (M, h, w) float32 maps, see `instances.label_instances`.
    shape : (H, W)
        Of the image.
    block : Region
        In pixels of the image.
    config : InstanceConfig
    classes : int, optional
        K; by default every map is a class.
    halo, widest : int
        Pixels seen around the block at first, and edge of the widest window.

    Raises
    ------
    InputError
        For maps that are not finite.
    """
    anchors = np.full((_length(block[0]), _length(block[1])), -1, np.int64)
    seen_in = np.zeros(anchors.shape, np.int32)
    known: list[_Cells] = []
    is_cut = False
    looks = [_Look(block, block, halo)]
    while looks:
        look = looks.pop(0)
        window = look.window(shape)
        maps = read_maps(window)
        cells, named = _name_cells(maps, config, classes, window, look.part, shape[1])
        here = _within(look.part, block)
        anchors[here], seen_in[here] = named, len(known)
        known.append(cells)
        mask = maps[:classes].sum(axis=0) > config.threshold
        doubts = find_doubts(mask, _open_sides(window, shape), config)
        wider, too_wide = _look_wider(look, window, doubts, shape, widest)
        is_cut |= any(mask[_within(part, window)].any() for part in too_wide)
        looks += wider
    return _gather(anchors, seen_in, known, is_cut)


@dataclass(frozen=True, eq=False)
class _Cells:
    """Anchor, class and score of cells."""

    anchors: NDArray[np.int64]
    classes: NDArray[np.uint8]
    scores: NDArray[np.float32]

    @classmethod
    def none(cls) -> _Cells:
        return cls(np.zeros(0, np.int64), np.zeros(0, np.uint8), np.zeros(0, np.float32))


def _name_cells(
    maps: NDArray[np.float32],
    config: InstanceConfig,
    classes: int | None,
    window: Region,
    part: Region,
    width: int,
) -> tuple[_Cells, NDArray[np.int64]]:
    """The cells of a window, and the anchor at each pixel of `part` of it, −1 for background."""
    if not (maps[:classes].sum(axis=0) > config.threshold).any() and np.isfinite(maps).all():
        return _Cells.none(), np.full((_length(part[0]), _length(part[1])), -1, np.int64)
    found = label_instances(maps, config, classes)
    flat = found.labels.ravel()
    pixels = np.flatnonzero(flat)
    first = np.zeros(len(found.scores) + 1, np.int64)
    first[flat[pixels[::-1]]] = pixels[::-1]  # the last one written is the first of its cell
    rows, columns = np.divmod(first, _length(window[1]))
    anchors = (rows + window[0].start) * width + columns + window[1].start
    anchors[0] = -1
    cells = _Cells(anchors[1:], found.classes, found.scores)
    return cells, anchors[found.labels[_within(part, window)]]


def _look_wider(
    look: _Look, window: Region, doubts: list[Region], shape: tuple[int, int], widest: int
) -> tuple[list[_Look], list[Region]]:
    """How to see more of what is in doubt in the part looked at, and which parts of it cannot be.

    In windows of their own where that is less than looking at all of it again.
    """
    origin = window[0].start, window[1].start
    looks, too_wide = [], []
    for doubt in doubts:
        rows, columns = (
            slice(side.start + start, side.stop + start)
            for side, start in zip(doubt, origin, strict=True)
        )
        part = _overlap(look.part, (rows, columns))
        if part is None:
            continue
        new = _Look(part, (rows, columns), 2 * look.halo)
        if _fits(new.window(shape), widest):
            looks.append(new)
        else:
            too_wide.append(part)
    if sum(_area(new.window(shape)) for new in looks) > 2 * _area(window):
        parts = _hull([new.part for new in looks])
        for box in (_hull([new.box for new in looks]), parts):
            new = _Look(parts, box, 2 * look.halo)
            if _fits(new.window(shape), widest):
                return [new], too_wide
        return [], [*too_wide, parts]
    return looks, too_wide


def _gather(
    anchors: NDArray[np.int64], seen_in: NDArray[np.int32], known: list[_Cells], is_cut: bool
) -> BlockCells:
    """Number the cells of a block in the order of their anchors.

    What they are is told by the look that was the last at a pixel of theirs, as it was sure of it;
    another may have seen less of them.
    """
    present, first, labels = np.unique(anchors, return_index=True, return_inverse=True)
    numbers: NDArray[np.int32] = labels.reshape(anchors.shape).astype(np.int32)
    if present[0] >= 0:
        numbers += 1
    else:
        present, first = present[1:], first[1:]
    classes, scores = np.zeros(len(present), np.uint8), np.zeros(len(present), np.float32)
    looks = seen_in.ravel()[first]
    for i, cells in enumerate(known):
        mine = looks == i
        order = np.argsort(cells.anchors)
        place = order[np.searchsorted(cells.anchors, present[mine], sorter=order)]
        classes[mine], scores[mine] = cells.classes[place], cells.scores[place]
    return BlockCells(numbers, present, classes, scores, is_cut)


def _open_sides(window: Region, shape: tuple[int, int]) -> tuple[bool, bool, bool, bool]:
    rows, columns = window
    return rows.start > 0, rows.stop < shape[0], columns.start > 0, columns.stop < shape[1]


def _within(part: Region, whole: Region) -> Region:
    rows, columns = (
        slice(a.start - b.start, a.stop - b.start) for a, b in zip(part, whole, strict=True)
    )
    return rows, columns


def _overlap(a: Region, b: Region) -> Region | None:
    rows, columns = (
        slice(max(p.start, q.start), min(p.stop, q.stop)) for p, q in zip(a, b, strict=True)
    )
    return (rows, columns) if rows.start < rows.stop and columns.start < columns.stop else None


def _hull(boxes: list[Region]) -> Region:
    rows, columns = (
        slice(min(box[i].start for box in boxes), max(box[i].stop for box in boxes)) for i in (0, 1)
    )
    return rows, columns


def _fits(window: Region, widest: int) -> bool:
    return max(_length(window[0]), _length(window[1])) <= widest


def _area(box: Region) -> int:
    return _length(box[0]) * _length(box[1])


def _length(side: slice) -> int:
    return int(side.stop - side.start)
