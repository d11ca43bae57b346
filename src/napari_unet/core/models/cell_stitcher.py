"""The cells of tiles put together: each once, and of those that overlap each pixel to one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.config import InstanceConfig
from napari_unet.core.instances import fill_holes, keep_cells
from napari_unet.core.models.base import Stitcher
from napari_unet.core.tiling import Tile
from napari_unet.core.types import Instances, Prediction, Region

_SAME = 0.5  # of a mask: with so much of it in surer cells it is one of these seen again


@dataclass(frozen=True, eq=False)
class TileCells:
    """What was found in one tile.

    Attributes
    ----------
    boxes : (n, 4) float32 array
        x1, y1, x2, y2 in pixels of the image from where the tile's context begins.
    scores : (n,) float32 array
        0 to 1.
    masks : (n, m, m) uint8 array
        Probability of each bin of a box, 0 to 255: a byte, as there may be many cells.
    classes : (n,) uint8 array
        1 … K.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    masks: NDArray[np.uint8]
    classes: NDArray[np.uint8]


class CellStitcher(Stitcher):
    """Keeps the cells that reach into what a tile decides, and labels once.

    A cell on a seam is found in both tiles, each of which has it as a whole in its context; with
    more than half of its mask in a surer one it is the same. So a cell smaller than the context is
    that of the whole image, whatever the tiles.
    """

    def __init__(self, region: Region) -> None:
        self._region = region
        self._found: list[TileCells] = []

    def add(self, tile: Tile, output: TileCells) -> None:
        (rows, columns), boxes = tile.write, output.boxes
        shift = np.array([tile.start[1], tile.start[0]] * 2, np.float32)
        boxes = boxes + shift
        reaches_in = (
            (boxes[:, 2] > columns.start)
            & (boxes[:, 0] < columns.stop)
            & (boxes[:, 3] > rows.start)
            & (boxes[:, 1] < rows.stop)
        )
        boxes -= np.array([self._region[1].start, self._region[0].start] * 2, np.float32)
        rest = (output.scores, output.masks, output.classes)
        self._found.append(TileCells(boxes[reaches_in], *(each[reaches_in] for each in rest)))

    def result(self, config: InstanceConfig) -> Prediction:
        shape = tuple(part.stop - part.start for part in self._region)
        found = self._found
        boxes, scores, masks, classes = (
            np.concatenate([getattr(each, name) for each in found])
            for name in ("boxes", "scores", "masks", "classes")
        )
        first = np.argsort(-scores, kind="stable")
        first = first[scores[first] >= config.min_score]
        return _label(boxes[first], scores[first], masks[first], classes[first], shape, config)


def _label(
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    masks: NDArray[np.uint8],
    classes: NDArray[np.uint8],
    shape: tuple[int, ...],
    config: InstanceConfig,
) -> Prediction:
    """Give each pixel to the cell with the highest probability × score there, surest cells first.

    The score of a cell is that of its box.
    """
    labels, highest = np.zeros(shape, np.int32), np.zeros(shape, np.float32)
    kept: list[int] = []
    drawn: list[tuple[Region, NDArray[np.bool_]]] = []
    for i, (box, mask, score) in enumerate(zip(boxes, masks, scores, strict=True)):
        region, soft = _draw(box, mask, shape)
        inside = soft > config.threshold
        area = np.count_nonzero(inside)
        here, value = labels[region], soft * score
        if not area or np.count_nonzero(inside & (here > 0)) > _SAME * area:
            continue
        kept.append(i)
        drawn.append((region, inside))
        wins = inside & (value > highest[region])
        here[wins] = len(kept)
        highest[region][wins] = value[wins]
    if config.fill_holes:
        labels = fill_holes(labels)
    seen = keep_cells(labels, config)
    number = np.zeros(len(kept) + 1, np.int32)
    number[labels.ravel()] = seen.ravel()
    cells = np.flatnonzero(number) - 1
    of = np.array(kept, np.int64)[cells]
    corners = [
        (rows.start, columns.start, rows.stop, columns.stop)
        for (rows, columns), _ in (drawn[cell] for cell in cells)
    ]
    instances = Instances(
        np.array(corners, np.int32).reshape(-1, 4), tuple(drawn[cell][1] for cell in cells)
    )
    return Prediction(seen, classes[of], scores[of].astype(np.float32), None, instances)


def _draw(
    box: NDArray[np.float32], mask: NDArray[np.uint8], shape: tuple[int, ...]
) -> tuple[Region, NDArray[np.float32]]:
    """A mask of m × m bins as pixels of the image, as far as the box lies in it."""
    weights, region = [], []
    for low, high, length in ((box[1], box[3], shape[0]), (box[0], box[2], shape[1])):
        part = slice(max(0, math.floor(low)), min(length, math.ceil(high)))
        region.append(slice(part.start, max(part.start, part.stop)))
        weights.append(_interpolate(float(low), float(high), region[-1], len(mask)))
    soft = weights[0] @ (mask.astype(np.float32) / 255) @ weights[1].T
    return (region[0], region[1]), soft.astype(np.float32, copy=False)


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
