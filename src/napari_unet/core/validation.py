"""Scores on the held-out part: loss, foreground IoU, instance F1 and AP."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TypeAlias
from zlib import crc32

import numpy as np
import torch
from numpy.typing import NDArray

from napari_unet.core.annotation import supervision
from napari_unet.core.config import AugmentConfig, InstanceConfig, PredictConfig, TrainConfig
from napari_unet.core.dataset import TileSampler
from napari_unet.core.device import DeviceReport
from napari_unet.core.metrics import evaluate
from napari_unet.core.models.base import Segmenter, Stitcher
from napari_unet.core.normalize import normalize
from napari_unet.core.prediction import autocast, stitch_tiles
from napari_unet.core.types import Judging, Region, Sample

Labels: TypeAlias = NDArray[np.int32]

_PIXELS = 4_000_000  # a validation looks at no more than this, so that it stays short
_LOSS_TILES = 8
_DOUBT = 0.3  # about the standard error of an AP near 0.6, of two states judged by the same cells
_THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7)
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
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        segmenter: Segmenter,
        config: TrainConfig,
        where: DeviceReport,
    ) -> None:
        self._where, self._config = where, config
        chosen = _choose(samples, config.seed)
        self._views = [_View.of(sample, config) for sample in chosen]
        cells = sum(len(np.unique(view.truth)) - 1 for view in self._views)
        self.margin = _DOUBT / np.sqrt(max(1, cells))
        self.mark = 0
        for view in self._views:
            self.mark = crc32(view.known.tobytes(), crc32(view.truth.tobytes(), self.mark))
        self._batches = []
        if chosen:
            sampler = TileSampler(
                chosen, segmenter, config.weights, config.normalize, where.device, config.seed
            )
            self._batches = [
                sampler.draw([number], segmenter.training_tile(config.tile), _STILL)
                for number in range(_LOSS_TILES)
            ]

    def score(self, segmenter: Segmenter) -> Generator[Judging, None, dict[str, float]]:
        """Mean loss over fixed tiles; IoU, F1 and AP at IoU 0.5, mean AP (means over images)."""
        segmenter.net.eval()
        with torch.inference_mode(), autocast(self._where):
            losses = [
                torch.stack(list(segmenter.loss(batch).values())).sum() for batch in self._batches
            ]
        (scores,) = yield from self._evaluate(segmenter, [self._config.instances])
        return {"loss": float(torch.stack(losses).mean()), **scores}

    def tune(
        self, segmenter: Segmenter, config: InstanceConfig, scores: dict[str, float]
    ) -> Generator[Judging, None, tuple[InstanceConfig, dict[str, float]]]:
        """Choose the threshold with the highest mean AP (0.5 … 0.95) on the held-out part.

        Returns the config and `scores` brought up to date; a gain within the `margin`, or nothing
        to judge by, leaves both as they are.
        """
        if not self._views:
            return config, scores
        segmenter.net.eval()
        candidates = [dataclasses.replace(config, threshold=value) for value in _THRESHOLDS]
        candidates = [config, *(each for each in candidates if each != config)]
        each_scores = yield from self._evaluate(segmenter, candidates)
        best = max(range(len(candidates)), key=lambda i: each_scores[i]["mean_ap"])
        if each_scores[best]["mean_ap"] <= each_scores[0]["mean_ap"] + self.margin:
            best = 0
        return candidates[best], {**scores, **each_scores[best]}

    def _evaluate(
        self, segmenter: Segmenter, configs: Sequence[InstanceConfig]
    ) -> Generator[Judging, None, list[dict[str, float]]]:
        """Run the network once over each image and score each way of labelling what it says."""
        found: list[list[Labels]] = [[] for _ in configs]
        for done, view in enumerate(self._views):
            tiles = stitch_tiles(segmenter, view.image, self._where, PredictConfig(), view.region)
            while True:  # `yield from` would relay the tiles, which say nothing of the whole
                try:
                    next(tiles)
                except StopIteration as end:
                    stitcher: Stitcher = end.value
                    break
                yield Judging(done, len(self._views))
            for config, labels in zip(configs, found, strict=True):
                labels.append(stitcher.result(config).labels)
                yield Judging(done + 1, len(self._views))
        truth, known = [view.truth for view in self._views], [view.known for view in self._views]
        scores = [evaluate(truth, labels, known) for labels in found]
        return [
            {"iou": s["iou"], "f1": s["f1_50"], "ap50": s["ap50"], "mean_ap": s["mean_ap"]}
            for s in scores
        ]


@dataclass(frozen=True, eq=False)
class _View:
    """One held-out image and the box of it that is looked at; truth and known are of the box."""

    image: NDArray[np.float32]
    region: Region
    truth: Labels
    known: NDArray[np.bool_]

    @classmethod
    def of(cls, sample: Sample, config: TrainConfig) -> _View:
        known = supervision(sample.labels, sample.complete)
        rows, columns = np.flatnonzero(known.any(1)), np.flatnonzero(known.any(0))
        region = (
            slice(int(rows[0]), int(rows[-1]) + 1),
            slice(int(columns[0]), int(columns[-1]) + 1),
        )
        image = normalize(sample.image, config.normalize, sample.name)
        return cls(image, region, np.maximum(sample.labels, 0)[region], known[region])


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
