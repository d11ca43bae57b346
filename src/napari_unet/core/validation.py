"""Scores on the held-out part: loss, foreground IoU, instance F1 and AP."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias
from zlib import crc32

import numpy as np
import torch
from numpy.typing import NDArray

from napari_unet.core.annotation import supervision
from napari_unet.core.config import AugmentConfig, InstanceConfig, PredictConfig, TrainConfig
from napari_unet.core.dataset import TileSampler
from napari_unet.core.device import DeviceReport
from napari_unet.core.evidence import Evidence
from napari_unet.core.matching import find_overlaps
from napari_unet.core.metrics import ImageScores, average, pool, score_image
from napari_unet.core.models.base import Segmenter
from napari_unet.core.normalize import normalize, percentiles
from napari_unet.core.prediction import autocast, stitch_tiles
from napari_unet.core.regions import cover, widen, within
from napari_unet.core.tuning import choices_for, find_margin
from napari_unet.core.types import Judging, Region, Sample
from napari_unet.core.windows import window_around

Labels: TypeAlias = NDArray[np.int32]

_PIXELS = 4_000_000  # a validation looks at no more than this, so that it stays short
_LOSS_TILES = 8
_AROUND = 16  # px of the network
_ECHO = 0.98  # intersection over union that no painted cell has with what a network draws
_STILL = AugmentConfig(elastic=0, rotate=False, flip=False, scale=1.0, intensity=0, noise=0)


class Validator:
    """Judges a segmenter by the same tiles and images every time.

    Attributes
    ----------
    margin : float
        Mean AP by which one state has to be ahead to be better by more than chance: few cells
        tell less than many.
    mark : int
        Of what it judges by: the same for the same truth.
    echoed : float
        Of the cells it judges by the share that the segmenter that was scored last draws in the
        very same pixels: a person did not paint these but accepted them.
    instances : InstanceConfig
        How it makes cells of what the network says.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        segmenter: Segmenter,
        config: TrainConfig,
        where: DeviceReport,
    ) -> None:
        self._segmenter, self._config, self._where = segmenter, config, where
        self.instances = config.instances
        self._chosen = _choose(samples, config.seed)
        self._views = [
            view
            for number, sample in enumerate(self._chosen)
            for view in _View.of(number, sample, segmenter, config)
        ]
        cells = sum(len(np.unique(view.truth)) - 1 for view in self._views)
        self.margin = find_margin(cells)
        self.mark, self.echoed = 0, 0.0
        for view in self._views:
            self.mark = crc32(view.known.tobytes(), crc32(view.truth.tobytes(), self.mark))

    @cached_property
    def _batches(self) -> list[Any]:
        """Tiles to take the loss of; made when one looks first: the first step is waited for."""
        config, segmenter = self._config, self._segmenter
        sampler = TileSampler(self._chosen, segmenter, config, self._where.device)
        edge = segmenter.tile_edge(config.tile)
        return [sampler.draw([number], edge, _STILL) for number in range(_LOSS_TILES)]

    def score(self, segmenter: Segmenter) -> Generator[Judging, None, dict[str, float]]:
        """Mean loss over fixed tiles; IoU, F1 and AP at IoU 0.5, mean AP (means over images)."""
        segmenter.net.eval()
        with torch.inference_mode(), autocast(self._where):
            losses = [
                torch.stack(list(segmenter.loss(batch).values())).sum() for batch in self._batches
            ]
        seen = yield from self._look(segmenter)
        found = yield from self._label(seen, self.instances)
        self.echoed = self._find_echoed(found)
        scores = self._evaluate(found)
        return {"loss": float(torch.stack(losses).mean()), **scores}

    def tune(
        self, segmenter: Segmenter, config: InstanceConfig, scores: dict[str, float]
    ) -> Generator[Judging, None, tuple[InstanceConfig, dict[str, float]]]:
        """Choose one of `choices_for` after the other by the mean AP on the held-out part.

        Returns the config and `scores` brought up to date; a gain within the `margin`, or nothing
        to judge by, leaves the config as it is.
        """
        if not self._views:
            return config, scores
        segmenter.net.eval()
        seen = yield from self._look(segmenter)
        base = self._evaluate((yield from self._label(seen, config)))
        for name, values in choices_for(seen[0].kind).items():
            best, best_scores = config, base
            for value in values:
                other = dataclasses.replace(config, **{name: value})
                each = base
                if other != config:
                    each = self._evaluate((yield from self._label(seen, other)))
                if each["mean_ap"] > max(best_scores["mean_ap"], base["mean_ap"] + self.margin):
                    best, best_scores = other, each
            config, base = best, best_scores
        return config, {**scores, **base}

    def _look(self, segmenter: Segmenter) -> Generator[Judging, None, list[Evidence]]:
        """What the network says of each view."""
        seen: list[Evidence] = []
        for view in self._views:
            tiles = stitch_tiles(segmenter, view.image, self._where, PredictConfig(), view.region)
            while True:  # `yield from` would relay the tiles, which say nothing of the whole
                try:
                    next(tiles)
                except StopIteration as end:
                    seen.append(end.value.evidence())
                    break
                yield Judging(len(seen), len(self._views))
        return seen

    def _label(
        self, seen: Sequence[Evidence], config: InstanceConfig
    ) -> Generator[Judging, None, list[Labels]]:
        """The cells of what was seen, made in one way."""
        found: list[Labels] = []
        for evidence in seen:
            found.append(evidence.label(config).labels)
            yield Judging(len(found), len(seen))
        return found

    def _evaluate(self, found: Sequence[Labels]) -> dict[str, float]:
        of_image: dict[int, list[ImageScores]] = defaultdict(list)
        for view, labels in zip(self._views, found, strict=True):
            of_image[view.number].append(score_image(view.truth, labels, view.known))
        scores = average([pool(parts) for parts in of_image.values()])
        return {
            "iou": scores["iou"],
            "f1": scores["f1_50"],
            "ap50": scores["ap50"],
            "mean_ap": scores["mean_ap"],
        }

    def _find_echoed(self, found: Sequence[Labels]) -> float:
        cells = echoes = 0
        for view, labels in zip(self._views, found, strict=True):
            overlaps = find_overlaps(view.truth, labels, view.known)
            cells += int(overlaps.counts_true[1:].sum())
            echoes += len(overlaps.match(_ECHO))
        return echoes / max(1, cells)


@dataclass(frozen=True, eq=False)
class _View:
    """A part of a held-out image that is looked at: a region and what the network sees around it.

    `truth` and `known` are of the region; `number` tells the images apart.
    """

    number: int
    image: NDArray[np.float32]
    region: Region
    truth: Labels
    known: NDArray[np.bool_]

    @classmethod
    def of(
        cls, number: int, sample: Sample, segmenter: Segmenter, config: TrainConfig
    ) -> Iterator[_View]:
        known = supervision(sample.labels, sample.complete)
        height, width = known.shape
        grey = percentiles(sample.image, config.normalize, sample.name)
        margin = segmenter.tile_context
        for said in cover(known, margin):
            # as far as the cells at its border may reach: cut ones would not be found
            region = widen(said, round(_AROUND * segmenter.pixel), (height, width))
            seen = window_around(region, margin, segmenter.stride, (height, width))
            image = normalize(sample.image[:, *seen], config.normalize, sample.name, grey)
            truth = np.maximum(sample.labels[region], 0)
            yield cls(number, image, within(region, seen), truth, known[region].copy())


def _choose(samples: Sequence[Sample], seed: int) -> list[Sample]:
    """A seeded subset of at most `_PIXELS`, but at least one sample where there is any."""
    chosen: list[Sample] = []
    pixels = 0
    for i in np.random.default_rng(seed).permutation(len(samples)):
        known = supervision(samples[i].labels, samples[i].complete)
        pixels += int(np.count_nonzero(known))
        if chosen and pixels > _PIXELS:
            break
        chosen.append(samples[i])
    return chosen
