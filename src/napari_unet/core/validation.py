"""Scores on the held-out part: loss, foreground IoU, instance F1 and AP."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Sequence

import numpy as np
import torch

from napari_unet.core.annotation import supervision
from napari_unet.core.config import AugmentConfig, InstanceConfig, PredictConfig, TrainConfig
from napari_unet.core.dataset import TileSampler
from napari_unet.core.device import DeviceReport
from napari_unet.core.metrics import evaluate
from napari_unet.core.models.base import Segmenter, Stitcher
from napari_unet.core.normalize import normalize
from napari_unet.core.prediction import autocast, stitch_tiles
from napari_unet.core.tiling import round_to_stride
from napari_unet.core.types import Judging, Sample

_PIXELS = 4_000_000  # a validation looks at no more than this, so that it stays short
_LOSS_TILES = 8
_THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7)
_STILL = AugmentConfig(elastic=0, rotate=False, flip=False, scale=1.0, intensity=0, noise=0)


class Validator:
    """Judges a segmenter by the same tiles and images every time."""

    def __init__(
        self,
        samples: Sequence[Sample],
        segmenter: Segmenter,
        config: TrainConfig,
        where: DeviceReport,
    ) -> None:
        self._where, self._config = where, config
        chosen = _choose(samples, config.seed)
        self._known = [supervision(sample.labels, sample.complete) for sample in chosen]
        self._truth = [np.maximum(sample.labels, 0) for sample in chosen]
        self._images = [normalize(s.image, config.normalize, s.name) for s in chosen]
        self._batches = []
        if chosen:
            sampler = TileSampler(
                chosen, segmenter, config.weights, config.normalize, where.device, config.seed
            )
            self._batches = [
                sampler.draw(1, round_to_stride(config.tile, segmenter.stride), _STILL)
                for _ in range(_LOSS_TILES)
            ]

    def score(self, segmenter: Segmenter) -> Generator[Judging, None, dict[str, float]]:
        """Mean loss over fixed tiles; IoU, F1 and AP at IoU 0.5 over images (means over images)."""
        segmenter.net.eval()
        with torch.inference_mode(), autocast(self._where):
            losses = [
                torch.stack(list(segmenter.loss(batch).values())).sum() for batch in self._batches
            ]
        stitchers = yield from self._predict(segmenter)
        scores = self._evaluate(stitchers, self._config.instances)
        return {
            "loss": float(torch.stack(losses).mean()),
            "iou": scores["iou"],
            "f1": scores["f1_50"],
            "ap50": scores["ap50"],
        }

    def tune(
        self, segmenter: Segmenter, config: InstanceConfig
    ) -> Generator[Judging, None, InstanceConfig]:
        """The threshold with the highest mean AP (0.5 … 0.95) on the held-out part."""
        if not self._truth:
            return config
        segmenter.net.eval()
        stitchers = yield from self._predict(segmenter)
        candidates = [dataclasses.replace(config, threshold=value) for value in _THRESHOLDS]
        return max(candidates, key=lambda each: self._evaluate(stitchers, each)["mean_ap"])

    def _predict(self, segmenter: Segmenter) -> Generator[Judging, None, list[Stitcher]]:
        stitchers: list[Stitcher] = []
        for image in self._images:
            region = slice(0, image.shape[1]), slice(0, image.shape[2])
            tiles = stitch_tiles(segmenter, image, self._where, PredictConfig.tile, region)
            while True:  # `yield from` would relay the tiles, which say nothing of the whole
                try:
                    next(tiles)
                except StopIteration as end:
                    stitchers.append(end.value)
                    break
                yield Judging(len(stitchers), len(self._images))
        return stitchers

    def _evaluate(self, stitchers: list[Stitcher], config: InstanceConfig) -> dict[str, float]:
        predicted = [stitcher.result(config).labels for stitcher in stitchers]
        return evaluate(self._truth, predicted, self._known)


def _choose(samples: Sequence[Sample], seed: int) -> list[Sample]:
    """A seeded subset of at most `_PIXELS`, but at least one sample where there is any."""
    chosen: list[Sample] = []
    pixels = 0
    for i in np.random.default_rng(seed).permutation(len(samples)):
        pixels += samples[i].labels.size
        if chosen and pixels > _PIXELS:
            break
        chosen.append(samples[i])
    return chosen
