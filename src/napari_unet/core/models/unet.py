"""The U-Net family: what it is taught about each pixel, and what it says of a tile.

The network itself is in `unet_net`.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from napari_unet.core import parallel
from napari_unet.core.annotation import class_index, supervision
from napari_unet.core.border_weights import border_term
from napari_unet.core.class_weights import class_weight_values
from napari_unet.core.config import WeightConfig
from napari_unet.core.distances import relative_distance
from napari_unet.core.errors import InputError
from napari_unet.core.models.base import Batch, Segmenter, Stitcher, Target
from napari_unet.core.models.map_stitcher import MapStitcher
from napari_unet.core.models.unet_net import UNet, UNetConfig, trim
from napari_unet.core.models.unet_strips import run_in_strips
from napari_unet.core.models.zoom import LARGE, find_zoom, resize
from napari_unet.core.types import Region, Sample

if TYPE_CHECKING:
    from napari_unet.core.large_job import Job
    from napari_unet.core.map_store import MapStore


_LARGE = 2**20  # px


class PixelTarget(Target):
    """What one image teaches about each pixel; its maps are, in this order:

    - its class;
    - weight: how much it counts for its class, w_c and the rim of Falk et al. 2019; 0 where nothing
      was said;
    - border: how much more it counts for parting cells, the border term w0·exp(−(d1 + d2)²/2σ²); 0
      where nothing was said;
    - distance: how deep it lies in its cell, 0 to 1: `distances.relative_distance`.
    """

    @property
    def known(self) -> NDArray[np.bool_]:
        known: NDArray[np.bool_] = self.maps[1] > 0
        return known


@dataclass(frozen=True, eq=False)
class PixelBatch(Batch):
    """Tiles and the class and weights of each pixel.

    Attributes
    ----------
    index : (B, h, w) int64 tensor
    weight, border, distance : (B, h, w) float32 tensors
    recalled : (B, K + 1 …, h, w) float32 tensor, optional
        Logits of the model that training started from.
    """

    index: Tensor
    weight: Tensor
    border: Tensor
    distance: Tensor
    recalled: Tensor | None = None


class UNetSegmenter(Segmenter):
    """Pixel-wise softmax over background and K cell classes, weighted cross-entropy.

    The practical form also learns how deep each pixel lies in its cell, see `loss`.
    """

    name = "unet"
    first_weights = "down.0.0.weight"
    class_layer = "classify"
    # of what is computed twice, 0.16 of the work, a larger tile would spare half, for more memory
    tile = 1024
    config_type = UNetConfig
    config: UNetConfig
    net: UNet

    def __init__(self, config: UNetConfig) -> None:
        self.config = config
        self.net = UNet(config)
        self.maps = config.classes + config.distance
        self.pixel = 1 / config.zoom
        self.stride = round(2**config.depth * self.pixel)
        # the paper's border is 6·2^depth − 4 px; two more keep the tiles' origins aligned, and
        # make room for the interpolation back from another zoom
        self.tile_context = 6 * self.stride
        self.train_margin = self.tile_context if config.padding == "valid" else 0

    @classmethod
    def configure(
        cls, preset: str, channels: int, classes: int, diameters: NDArray[np.float64]
    ) -> UNetConfig:
        if preset == "paper":
            return UNetConfig(
                channels=channels, classes=classes, base=64, depth=4, padding="valid",
                normalization="none", dropout=0.5,
            )  # fmt: skip
        middle, large = np.percentile(diameters, (50, 90)) if len(diameters) else (20.0, 30.0)
        # large cells are seen in coarser pixels: quicker, and with more of their surroundings
        zoom = 1.0 if middle <= LARGE else find_zoom(float(middle))
        large = float(large) * zoom
        # a cell should fit into what one output pixel sees, 12·2^depth px across, several times
        depth = int(np.clip(math.ceil(math.log2(max(large, 1.0) * 4 / 12)), 3, 4))
        base = 24 if preset == "wide" else UNetConfig.base
        return UNetConfig(
            channels=channels, classes=classes, base=base, depth=depth, zoom=zoom, distance=True
        )

    def fit(self, channels: int, classes: int, zoom: float) -> Segmenter:
        """As `Segmenter.fit`; an unpadded network sees every image in its own pixels."""
        return super().fit(channels, classes, 1.0 if self.config.padding == "valid" else zoom)

    def targets(self, samples: Sequence[Sample], weights: WeightConfig) -> list[PixelTarget]:
        known = [supervision(sample.labels, sample.complete) for sample in samples]
        index = [class_index(sample.labels, sample.classes, weights) for sample in samples]
        highest = max((int(classes.max()) for classes in index), default=0)
        if highest > self.config.classes:
            raise InputError(
                f"A cell is of class {highest} and the model knows {self.config.classes}: "
                "begin a new training to learn a further class."
            )
        counts = np.zeros(1 + self.config.classes, np.int64)
        for classes, said in zip(index, known, strict=True):
            counts += np.bincount(classes[said], minlength=len(counts))[: len(counts)]
        class_weights = class_weight_values(counts, weights.class_weights)
        targets = []
        for sample, classes, said in zip(samples, index, known, strict=True):
            maps = np.empty((4, *said.shape), np.float32)  # made in place: an image may be large
            maps[0] = classes
            np.multiply(class_weights[classes], said, out=maps[1])
            np.multiply(border_term(sample.labels, weights), said, out=maps[2])
            if weights.w1:  # the rim of Falk et al. makes up for a low weight of the background
                rim = border_term(sample.labels, dataclasses.replace(weights, w0=0.0)) * said
                maps[1] += rim
                maps[2] -= rim
            maps[3] = relative_distance(sample.labels)
            targets.append(PixelTarget(maps))
        return targets

    def collate(self, image: Tensor, maps: Tensor) -> PixelBatch:
        index, weight, border, distance = maps.unbind(1)
        return PixelBatch(image, index.long(), weight, border, distance)

    def recall(self, batch: PixelBatch, start: UNetSegmenter) -> PixelBatch:
        with torch.no_grad():
            logits = start._logits(batch.image, start.train_margin).float()
        return dataclasses.replace(batch, recalled=logits)

    def loss(self, batch: PixelBatch) -> dict[str, Tensor]:
        """E = −Σ w(x) log p_l(x)(x), over the number of pixels with a weight.

        Of the distance t and its estimate p, both in 0 … 1, Σ w(x) (t log t/p + (1 − t) log
        (1 − t)/(1 − p)) over the same number: the relative entropy, 0 where they agree. Where it
        is learned it is what parts cells, so the border terms of w weigh it alone and E has w_c:
        ten times the weight on the background beside cells made them thin (the best threshold
        was 0.3, and mean AP 0.02 to 0.07 lower on held-out nuclei).

        What is recalled is kept where nothing is said: there the relative entropy to it is added,
        of the classes and of the distance (learning without forgetting, Li and Hoiem 2016), over
        the same number. So a pixel of which nothing is said holds as fast as one that is said
        pulls; as a mean of its own, each of few said pixels pulled many times as strong.
        """
        logits = self._logits(batch.image, self.train_margin).float()
        said = self._count(batch.weight > 0)
        classes = 1 + self.config.classes
        nll = functional.cross_entropy(logits[:, :classes], batch.index, reduction="none")
        whole = batch.weight + batch.border
        weight = batch.weight if self.config.distance else whole
        terms = {"cross-entropy": (weight * nll).sum() / said}
        if self.config.distance:
            t, estimate = batch.distance, logits[:, classes]
            cross = functional.binary_cross_entropy_with_logits(estimate, t, reduction="none")
            entropy = torch.special.entr(t) + torch.special.entr(1 - t)
            terms["distance"] = (whole * (cross - entropy)).sum() / said
        if batch.recalled is not None:
            entropy = _relative_entropy(batch.recalled, logits, classes)
            terms["recalled"] = ((whole == 0) * entropy).sum() / said
        return terms

    def _count(self, pixels: Tensor) -> Tensor:
        """How many there are, at least one; in training the mean of all processes."""
        count = pixels.sum()
        if self.net.training:  # one process alone judges
            count = parallel.mean(count)
        return count.clamp(min=1)

    def predict_tile(self, image: Tensor, *, average_turns: bool = False) -> Tensor:
        if not average_turns:
            return self._maps(image)
        total = torch.zeros(())
        for turns, mirrored in itertools.product(range(4), (False, True)):
            turned = torch.rot90(image, turns, (2, 3))
            found = self._maps(turned.flip(3) if mirrored else turned)
            total = total + torch.rot90(found.flip(3) if mirrored else found, -turns, (2, 3))
        return total / 8

    def _maps(self, image: Tensor) -> Tensor:
        """Probability of each cell class, and the relative distance."""
        logits = self._logits(image, self.tile_context).float()
        classes = 1 + self.config.classes
        probabilities = torch.softmax(logits[:, :classes], dim=1)[:, 1:]
        return torch.cat([probabilities, torch.sigmoid(logits[:, classes:])], dim=1)

    def _logits(self, image: Tensor, margin: int) -> Tensor:
        """Logits of the image without `margin` pixels on each side."""
        if self.config.padding == "valid":  # the network takes all of the margin but for this
            return trim(self._run(trim(image, 2), 0), 2)
        zoom = self.config.zoom
        rest = min(margin, round(max(1, 1 / zoom)))  # for the interpolation back
        inner = self._run(resize(image, zoom), round((margin - rest) * zoom))
        return trim(resize(inner, 1 / zoom), rest)

    def _run(self, image: Tensor, margin: int) -> Tensor:
        """The network; over a large image in strips, which take much less memory on a processor."""
        large = image.shape[2] * image.shape[3] > _LARGE and image.device.type == "cpu"
        if large and self.config.padding == "same" and not self.net.training:
            return run_in_strips(self.net, image, margin)
        logits: Tensor = self.net(image, margin)
        return logits

    @classmethod
    def store(cls, job: Job) -> MapStore:
        from napari_unet.core.map_store import MapStore  # zarr: only for large images

        return MapStore(job)

    def stitcher(self, region: Region, out: NDArray[np.float32] | None = None) -> Stitcher:
        return MapStitcher(region, self.config.classes, self.maps, out)


def _relative_entropy(before: Tensor, now: Tensor, classes: int) -> Tensor:
    """At each pixel, that of (B, M, h, w) logits to those before.

    The first `classes` of them are those of a softmax, a further one stands alone.
    """
    old, new = (functional.log_softmax(logits[:, :classes], dim=1) for logits in (before, now))
    entropy = functional.kl_div(new, old, reduction="none", log_target=True).sum(1)
    for old, new in zip(before[:, classes:].unbind(1), now[:, classes:].unbind(1), strict=True):
        inside = torch.sigmoid(old)
        cross = functional.binary_cross_entropy_with_logits(new, inside, reduction="none")
        entropy = entropy + cross - torch.special.entr(inside) - torch.special.entr(1 - inside)
    return entropy
