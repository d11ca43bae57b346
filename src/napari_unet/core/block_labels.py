"""The cells of one block of a large image, as labelling the whole image would give them.

What becomes of a cell hangs on its component of the foreground and on what lies within a few
pixels of it. So a window around the block does, provided that no component that matters touches
the window's edge; `find_doubts` says which do, and these are looked at again in a wider window. A
block is a pure function of the maps: any process can label it, in any order, again.

Blocks that share a cell find the same name for it, see `block_cells`: nothing needs to be merged.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

from napari_unet.core.block_cells import BlockCells, NamedCells, gather, name_cells
from napari_unet.core.config import InstanceConfig
from napari_unet.core.instances import label_instances
from napari_unet.core.label_doubts import find_doubts, find_open_sides
from napari_unet.core.regions import enclose, hull, measure, overlap, shift, widen, within
from napari_unet.core.room import THREADS, Room
from napari_unet.core.tiling import grid
from napari_unet.core.types import Prediction, Region

BLOCK = 1024
"""px: a window around it has four times as many pixels as a tile of the network."""

HALO = 96
"""Pixels first seen around a block: what touches its border has about two cells' room."""

_AROUND = 16
"""Pixels around all foreground that labelling may see: more than any step of it looks."""

WIDEST = 2048
"""Edge in pixels of the widest window. A component that does not fit is cut at block borders."""

_ROOM = Room(2 * (BLOCK + 2 * HALO) ** 2)
"""Pixels of windows that all threads look at at a time: two around blocks, or one that is wider."""

ReadMaps = Callable[[Region], NDArray[np.float32]]


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
    anchors = np.full(measure(block), -1, np.int64)
    seen_in = np.zeros(anchors.shape, np.int32)
    known: list[NamedCells] = []
    is_cut = False
    looks = [_Look(block, block, halo)]
    while looks:
        look = looks.pop(0)
        window = look.window(shape)
        with _ROOM.take(_area(window)):
            maps = read_maps(window)
            mask = maps[:classes].sum(axis=0) > config.threshold
            cells, named = _name_cells(maps, mask, config, classes, window, look.part, shape[1])
            del maps
            doubts = find_doubts(mask, find_open_sides(window, shape), config)
        here = within(look.part, block)
        anchors[here], seen_in[here] = named, len(known)
        known.append(cells)
        wider, too_wide = _look_wider(look, window, doubts, shape, widest)
        is_cut |= any(mask[within(part, window)].any() for part in too_wide)
        looks += wider
    return gather(anchors, seen_in, known, is_cut)


def label_in_blocks(
    maps: NDArray[np.float32],
    config: InstanceConfig,
    classes: int | None = None,
    *,
    block: int = BLOCK,
    halo: int = HALO,
    widest: int = WIDEST,
) -> Prediction:
    """What `instances.label_instances` makes of maps, in threads, in about 8 bytes a pixel.

    The cells are numbered in the order of their first pixels. Where a component is so large that
    many blocks would have to see all of it, all is labelled at once.

    Parameters
    ----------
    maps, config, classes
        As there.
    block : int
        Edge in pixels of what is labelled at a time.
    halo, widest : int
        As in `label_block`.
    """
    shape = maps.shape[1], maps.shape[2]
    components, _ = ndi.label(maps[:classes].sum(axis=0) > config.threshold, output=np.int32)
    if any(max(measure(box)) > block // 2 for box in ndi.find_objects(components)):
        return label_instances(maps, config, classes)
    del components
    blocks = [tile.write for tile in grid(shape, block, 0, 1)]

    def label(part: Region) -> BlockCells:
        return label_block(
            lambda region: maps[(slice(None), *region)], shape, part, config, classes,
            halo=halo, widest=widest,
        )  # fmt: skip

    with ThreadPoolExecutor(THREADS) as threads:
        found = list(threads.map(label, blocks))
    if any(cells.is_cut for cells in found):
        del found
        return label_instances(maps, config, classes)
    anchors, first = np.unique(np.concatenate([one.anchors for one in found]), return_index=True)
    labels = np.empty(shape, np.int32)
    for part, cells in zip(blocks, found, strict=True):
        numbers = np.searchsorted(anchors, cells.anchors).astype(np.int32) + np.int32(1)
        labels[part] = np.append(np.int32(0), numbers)[cells.labels]
    kinds, scores = (
        np.concatenate([getattr(cells, name) for cells in found])[first]
        for name in ("classes", "scores")
    )
    return Prediction(labels, kinds, scores, maps[:classes])


def _name_cells(
    maps: NDArray[np.float32],
    mask: NDArray[np.bool_],
    config: InstanceConfig,
    classes: int | None,
    window: Region,
    part: Region,
    width: int,
) -> tuple[NamedCells, NDArray[np.int64]]:
    """The cells of a window, and the anchor at each pixel of `part` of it, −1 for background.

    What lies far from all foreground, `mask`, is not labelled: a window may be nearly empty.
    """
    named = np.full(measure(part), -1, np.int64)
    box: Region = (slice(0, mask.shape[0]), slice(0, mask.shape[1]))
    if np.isfinite(maps).all():  # else labelling says so
        foreground = enclose(mask)
        if foreground is None:
            return NamedCells.none(), named
        box = widen(foreground, _AROUND, (mask.shape[0], mask.shape[1]))
    found = label_instances(maps[(slice(None), *box)], config, classes)
    here = shift(box, window[0].start, window[1].start)
    seen = overlap(part, here)
    cells, anchors = name_cells(found.labels, found.classes, found.scores, here, seen, width)
    named[within(seen, part)] = anchors
    return cells, named


def _look_wider(
    look: _Look, window: Region, doubts: list[Region], shape: tuple[int, int], widest: int
) -> tuple[list[_Look], list[Region]]:
    """How to see more of what is in doubt in the part looked at, and which parts of it cannot be.

    In windows of their own where that is less than looking at all of it again.
    """
    looks, too_wide = [], []
    for doubt in doubts:
        box = shift(doubt, window[0].start, window[1].start)
        part = overlap(look.part, box)
        if not _area(part):
            continue
        new = _Look(part, box, 2 * look.halo)
        if _fits(new.window(shape), widest):
            looks.append(new)
        else:
            too_wide.append(part)
    if sum(_area(new.window(shape)) for new in looks) > 2 * _area(window):
        parts = hull([new.part for new in looks])
        for box in (hull([new.box for new in looks]), parts):
            new = _Look(parts, box, 2 * look.halo)
            if _fits(new.window(shape), widest):
                return [new], too_wide
        return [], [*too_wide, parts]
    return looks, too_wide


def _fits(window: Region, widest: int) -> bool:
    return max(measure(window)) <= widest


def _area(box: Region) -> int:
    height, width = measure(box)
    return height * width
