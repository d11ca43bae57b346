"""Tiles drawn from annotated area, and the part of it that is held out."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_unet.core.annotation import BACKGROUND, supervision
from napari_unet.core.augment import change_grey_values, draw_grid, find_reach, resample
from napari_unet.core.config import AugmentConfig, TrainConfig
from napari_unet.core.errors import InputError
from napari_unet.core.label_boxes import name_densely
from napari_unet.core.models.base import Batch, Segmenter
from napari_unet.core.normalize import normalize, percentiles
from napari_unet.core.regions import cover, enclose, measure, widen
from napari_unet.core.types import Sample

Labels: TypeAlias = NDArray[np.int32]
Judged: TypeAlias = tuple[bool | NDArray[np.bool_], ...]

_ANCHORS = 4096  # places a sample offers as tile centres
_BLOCKS = 8  # a lone image is split into at least this many blocks to hold some of them out
_SMALLEST_BLOCK = 64  # px
_DRAWS = 20  # of what to hold out, until both sides have what they need


@dataclass(frozen=True)
class _Source:
    """An image or a part of one, ready to be sampled: on its device, with places to look at."""

    image: Tensor
    target: Tensor
    anchors: NDArray[np.int64]


class TileSampler:
    """Draws batches of augmented tiles around annotated pixels, half of them around cells.

    Every tile is drawn around a pixel that is said; unsaid ones weigh nothing in it. Images are
    drawn with a probability that grows with the square root of what is annotated in them, so that
    neither a large nor a sparsely painted image is all that the network sees. Of each it keeps what
    is said and what its tiles may show around that: of a large image with some cells a small part.
    """

    def __init__(
        self, samples: Sequence[Sample], segmenter: Segmenter, config: TrainConfig, device: str
    ) -> None:
        self._segmenter, self._config, self._device = segmenter, config, device
        self._margin = segmenter.train_margin
        edge = segmenter.tile_edge(config.tile)
        # a tile at the border of an image is moved inwards, by as much as half of it
        self._reach = edge // 2 + find_reach(edge + 2 * self._margin, config.augment)
        self.take(samples)

    def take(self, samples: Sequence[Sample]) -> None:
        """From now on draw from these samples; where that fails, still from those before.

        Raises
        ------
        InputError
            If nothing in them has a weight, or an image cannot be normalised.
        """
        sources: list[_Source] = []
        mass: list[float] = []
        config, device = self._config, self._device
        parts = [_cut_out(sample, self._reach) for sample in samples]
        targets = iter(self._segmenter.targets([*chain(*parts)], config.weights))
        for sample, own in zip(samples, parts, strict=True):
            grey = percentiles(sample.image, config.normalize, sample.name)
            teach = [next(targets) for _ in own]
            known = [target.known for target in teach]
            cells = [said & (part.labels > 0) for said, part in zip(known, own, strict=True)]
            anchors = _draw_anchors(known, cells, config.seed)
            area = sum(map(np.count_nonzero, known))
            drawn = sum(map(len, anchors))
            for part, target, places in zip(own, teach, anchors, strict=True):
                if not len(places):
                    continue
                image = normalize(part.image, config.normalize, part.name, grey)
                pixels, maps = (torch.from_numpy(each).to(device) for each in (image, target.maps))
                sources.append(_Source(pixels, maps, places))
                mass.append(math.sqrt(area) * len(places) / drawn)
        if not sources:
            raise InputError("No pixel has a weight: choose other class weights or paint more.")
        self._sources, self._mass = sources, np.divide(mass, sum(mass))

    def draw(self, numbers: Iterable[int], tile: int, augmentation: AugmentConfig) -> Batch:
        """Draw a batch of tiles with an edge of `tile` pixels.

        What each is depends on the seed and its number only, so that any process can draw it. They
        may be no larger than the config says, and be changed no more.
        """
        tiles = [self._draw_tile(number, tile, augmentation) for number in numbers]
        image, target = (torch.stack(maps) for maps in zip(*tiles, strict=True))
        image = image.contiguous(memory_format=torch.channels_last)
        return self._segmenter.collate(image, target)

    def _draw_tile(
        self, number: int, tile: int, augmentation: AugmentConfig
    ) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng((self._config.seed, number))
        random = torch.Generator().manual_seed(int(rng.integers(2**63)))
        source = self._sources[rng.choice(len(self._sources), p=self._mass)]
        anchor = source.anchors[rng.integers(len(source.anchors))]
        center = anchor + rng.uniform(-tile / 4, tile / 4, 2)
        for axis, length in enumerate(source.image.shape[1:]):
            # as little mirrored surroundings as the image's size allows
            half = (min(tile, length) - 1) / 2
            center[axis] = np.clip(
                round(center[axis]) + (tile - 1) / 2 % 1, half, length - 1 - half
            )
        size = tile + 2 * self._margin
        grid = draw_grid(size, (center[0], center[1]), augmentation, random)
        image = resample(source.image, grid, "bilinear")
        image = change_grey_values(image, augmentation, random)
        inner = slice(self._margin, size - self._margin)
        return image, resample(source.target, grid[inner, inner], "nearest")


def _cut_out(sample: Sample, reach: int) -> list[Sample]:
    """What is said of the sample and as much around it, in parts that lie far from each other."""
    known = supervision(sample.labels, sample.complete)
    regions = [widen(region, reach, known.shape) for region in cover(known, reach)]
    return [
        dataclasses.replace(
            sample,
            image=sample.image[:, *region],
            labels=np.ascontiguousarray(sample.labels[region]),  # what kernels are compiled for
            complete=known[region],  # else one that has cells alone counted as all annotated
        )
        for region in regions
    ]


def _draw_anchors(
    known: Sequence[NDArray[np.bool_]], cells: Sequence[NDArray[np.bool_]], seed: int
) -> list[NDArray[np.int64]]:
    """Places in each part of an image, (n, 2): of all of them half in what is known, half in cells.

    In a part as many as it has of either.
    """
    rng = np.random.default_rng(seed)
    totals = [sum(map(np.count_nonzero, masks)) for masks in (known, cells)]
    anchors = []
    for masks in zip(known, cells, strict=True):
        drawn = [np.empty(0, np.int64)]
        for mask, total in zip(masks, totals, strict=True):
            there = np.flatnonzero(mask)
            if len(there):
                drawn.append(rng.choice(there, math.ceil(_ANCHORS / 2 * len(there) / total)))
        anchors.append(np.stack(np.unravel_index(np.concatenate(drawn), masks[0].shape), axis=1))
    return anchors


@dataclass(frozen=True)
class Split:
    """Samples to fit and samples to judge by; `words` says how they were parted.

    `judged` is, of each sample that was split, where it belongs to the held-out part: True or
    False for all of it, or an (H, W) bool array.
    """

    train: list[Sample]
    held_out: list[Sample]
    words: str
    judged: tuple[bool | NDArray[np.bool_], ...]

    def refresh(self, samples: Sequence[Sample]) -> list[Sample]:
        """What to fit of the same samples, painted on since, and of further ones.

        Nothing of the held-out part.
        """
        fit = []
        more = len(samples) - len(self.judged)
        for sample, judged in zip(samples, self.judged + (False,) * more, strict=True):
            if isinstance(judged, np.ndarray):
                known = supervision(sample.labels, sample.complete)
                fit += _restrict(sample, known & ~judged)
            elif not judged:
                fit.append(sample)
        return fit


def split_again(
    samples: Sequence[Sample], judged: Judged, words: str, validation: Sequence[Sample]
) -> Split:
    """The split of before, of the same samples, painted on since."""
    held_out = list(validation)
    for sample, part in zip(samples, judged, strict=False):
        if isinstance(part, np.ndarray):
            known = supervision(sample.labels, sample.complete) & part
            held_out += _restrict(sample, known)
        elif part:
            held_out.append(sample)
    split = Split([], held_out, words, judged + (False,) * (len(samples) - len(judged)))
    return dataclasses.replace(split, train=split.refresh(samples))


def split_samples(
    samples: Sequence[Sample], fraction: float, seed: int, validation: Sequence[Sample] = ()
) -> Split:
    """Hold out whole images, or, of too few of them, blocks of the annotated area.

    What is held out is never seen in training: of a whole image nothing, of a block no pixel
    carries loss. Without two cells on each side and a background to learn nothing is held out.

    Parameters
    ----------
    samples : sequence of Sample
    fraction : float
        Of the images or blocks, 0 for none.
    seed : int
    validation : sequence of Sample
        Images to judge by: then nothing of the samples is held out.
    """
    if validation:
        held_out = list(validation)
        return Split(list(samples), held_out, f"{len(held_out)} images", (False,) * len(samples))
    rng = np.random.default_rng(seed)
    with_cells = [i for i, sample in enumerate(samples) if (sample.labels > 0).any()]
    count = min(round(fraction * len(samples)), len(with_cells) - 1)
    for _ in range(_DRAWS if fraction > 0 else 0):
        if count >= 1:
            split = _hold_out_images(samples, with_cells, count, rng)
        else:
            split = Split(*_hold_out_blocks(samples, fraction, rng))
        fewest = min(_count_cells(split.train), _count_cells(split.held_out))
        if fewest >= 2 and _has_background(split.train):
            return split
    return Split(list(samples), [], "", (False,) * len(samples))


def _hold_out_images(
    samples: Sequence[Sample], with_cells: Sequence[int], count: int, rng: np.random.Generator
) -> Split:
    chosen = set(rng.choice(with_cells, count, replace=False).tolist())
    train = [sample for i, sample in enumerate(samples) if i not in chosen]
    held_out = [sample for i, sample in enumerate(samples) if i in chosen]
    judged = tuple(i in chosen for i in range(len(samples)))
    return Split(train, held_out, f"{count} of {len(samples)} images", judged)


def _hold_out_blocks(
    samples: Sequence[Sample], fraction: float, rng: np.random.Generator
) -> tuple[list[Sample], list[Sample], str, Judged]:
    train, held_out, masks = [], [], []
    chosen_count = total = 0
    for sample in samples:
        known = supervision(sample.labels, sample.complete)
        # of a large frame with cells in one corner each block has some of them
        box = enclose(sample.labels > 0) or enclose(known)
        assert box is not None
        blocks = _number_blocks(*measure(box))
        with_paint = [i for i in range(1, blocks.max() + 1) if known[box][blocks == i].any()]
        count = max(1, round(fraction * len(with_paint))) if len(with_paint) > 1 else 0
        chosen = rng.choice(with_paint, count, replace=False) if count else np.empty(0, int)
        judged = np.zeros(known.shape, bool)
        judged[box] = _keep_cells_whole(np.isin(blocks, chosen), sample.labels[box])
        train += _restrict(sample, known & ~judged)
        masks.append(judged)
        held_out += _restrict(sample, known & judged)
        chosen_count += count
        total += len(with_paint)
    return train, held_out, f"{chosen_count} of {total} regions", tuple(masks)


def _number_blocks(height: int, width: int) -> NDArray[np.int64]:
    """(height, width) numbers 1 … n of blocks of about equal size."""
    edge = max(_SMALLEST_BLOCK, int(np.sqrt(height * width / _BLOCKS)))
    rows, columns = (np.arange(n) * max(1, n // edge) // n for n in (height, width))
    numbers: NDArray[np.int64] = 1 + rows[:, None] * (columns[-1] + 1) + columns
    return numbers


def _keep_cells_whole(judged: NDArray[np.bool_], labels: Labels) -> NDArray[np.bool_]:
    """Give each cell to the side that has more of it: half a cell would be judged as a whole."""
    cell, _ = name_densely(np.maximum(labels, 0))
    area = np.bincount(cell.ravel())
    inside = np.bincount(cell[judged], minlength=len(area))
    return np.where(labels > 0, (2 * inside > area)[cell], judged)


def _restrict(sample: Sample, known: NDArray[np.bool_]) -> list[Sample]:
    """The same sample with only `known` said; elsewhere a cell is as unsaid as the rest.

    None where nothing remains: a sample without any word would count as background throughout.
    """
    box = enclose(known)
    if box is None:
        return []
    labels, painted = np.zeros(known.shape, np.int32), sample.labels[box]
    labels[box] = np.where(known[box], np.where(painted > 0, painted, BACKGROUND), 0)
    return [dataclasses.replace(sample, labels=labels, complete=known)]


def _has_background(samples: Sequence[Sample]) -> bool:
    return any(
        (supervision(sample.labels, sample.complete) & (sample.labels <= 0)).any()
        for sample in samples
    )


def _count_cells(samples: Sequence[Sample]) -> int:
    return sum(len(np.unique(sample.labels[sample.labels > 0])) for sample in samples)
