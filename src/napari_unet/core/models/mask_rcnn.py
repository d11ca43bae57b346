"""Mask R-CNN of He, Gkioxari, Dollár & Girshick 2017, made for cells.

It finds a box around each cell and draws the cell in it, so cells may overlap. Of torchvision's
defaults, made for photographs, none of those that fail on cells is left: images are not rescaled
behind anybody's back, anchors are as large as the painted cells, and as many boxes are looked at
as cells may lie in a tile.

torchvision is imported where a network is made, and only then.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from napari_unet.core.annotation import class_index, supervision
from napari_unet.core.candidate_store import CandidateStore
from napari_unet.core.candidates import Candidates
from napari_unet.core.config import WeightConfig, option
from napari_unet.core.errors import InputError
from napari_unet.core.label_boxes import name_densely
from napari_unet.core.models.base import Segmenter, Stitcher
from napari_unet.core.models.candidate_stitcher import CandidateStitcher
from napari_unet.core.models.mask_rcnn_targets import CellBatch, CellTarget, find_cells
from napari_unet.core.models.zoom import find_zoom, resize
from napari_unet.core.tiling import round_to_stride
from napari_unet.core.types import Region, Sample
from napari_unet.core.windows import ZOOMS

if TYPE_CHECKING:
    from napari_unet.core.large_job import Job
    from napari_unet.core.models.mask_rcnn_net import MaskRCNN

_TRUNKS = ("light", "resnet18", "resnet34", "resnet50")
_ROOM = 2.0  # × as many boxes as cells of the median size that lie side by side
_LEAST_ROOM = 64  # boxes
_LEAST_SURE = 0.05  # cells that are less sure are not kept
_CONTEXT = 64  # px of the network, at least


@dataclass(frozen=True)
class MaskRCNNConfig:
    """The plan of one network; `classes` counts the cell classes, the background comes on top."""

    channels: int = option(1, label="Channels", why="of the images", limits=(1, 64))
    classes: int = option(1, label="Classes", why="of cells", limits=(1, 254))
    trunk: str = option(
        "light", label="Trunk", why="light trains on a laptop; others need a GPU", choices=_TRUNKS
    )
    width: int = option(
        64, label="Width", unit="channels", why="of the feature pyramid; 256 is the paper's"
    )
    neurons: int = option(256, label="Neurons", why="that rate a box; 1024 is the paper's")
    small: float = option(
        16.0, label="Small cells", unit="px", why="the smallest anchor, in pixels of the network"
    )
    median: float = option(
        24.0, label="Median cell", unit="px", why="how many boxes there is room for in a tile"
    )
    zoom: float = option(
        1.0,
        label="Zoom",
        why="pixels of the network to one of the image: cells of any size look alike to it",
        choices=ZOOMS,
    )


class MaskRCNNSegmenter(Segmenter):
    """Boxes around cells, each with a class, a score and a soft mask."""

    name = "mask-rcnn"
    first_weights = "stem.0.weight"
    class_layer = "boxes.box_predictor.cls_score"
    tile = 512  # no slower than larger ones, with half the memory
    config_type = MaskRCNNConfig
    config: MaskRCNNConfig
    net: MaskRCNN

    def __init__(self, config: MaskRCNNConfig) -> None:
        from napari_unet.core.models.mask_rcnn_net import MaskRCNN

        self.config = config
        self.net = MaskRCNN(
            config.channels, config.classes, config.trunk, config.width, config.neurons,
            config.small,
        )  # fmt: skip
        self.maps = 0
        self.pixel = 1 / config.zoom
        coarsest = 4 * 2 ** (len(self.net.trunk) - 1)
        self.stride = round(coarsest * self.pixel)
        # a cell at the border of a tile is whole in it, with its surroundings
        seen = max(_CONTEXT, 2 * config.median)
        self.tile_context = round_to_stride(math.ceil(seen * self.pixel), self.stride)
        self.train_margin = 0

    @classmethod
    def configure(
        cls, preset: str, channels: int, classes: int, diameters: NDArray[np.float64]
    ) -> MaskRCNNConfig:
        small, median = np.percentile(diameters, (10, 50)) if len(diameters) else (16.0, 24.0)
        zoom = find_zoom(float(median))
        config = MaskRCNNConfig(
            channels=channels,
            classes=classes,
            small=max(4.0, round(float(small) * zoom, 1)),
            median=max(6.0, round(float(median) * zoom, 1)),
            zoom=zoom,
        )
        if preset == "default":
            return config
        trunk = preset.partition("-")[0]
        return dataclasses.replace(config, trunk=trunk, width=256, neurons=1024)

    @classmethod
    def begin(cls, preset: str, config: MaskRCNNConfig) -> MaskRCNNSegmenter:
        segmenter = cls(config)
        if "-" in preset:  # what its trunk has learned from
            from napari_unet.core.models.pretrained import load_trunk

            segmenter.net.take_trunk(load_trunk(preset))
        return segmenter

    def targets(self, samples: Sequence[Sample], weights: WeightConfig) -> list[CellTarget]:
        """The cells as they are painted; a detector has no use for weights of pixels."""
        whole = dataclasses.replace(weights, ridge=False)
        targets = []
        for sample in samples:
            known = supervision(sample.labels, sample.complete)
            kind = class_index(sample.labels, sample.classes, whole)
            if kind.max(initial=0) > self.config.classes:
                raise InputError(
                    f"A cell is of class {kind.max()} and the model knows {self.config.classes}: "
                    "begin a new training to learn a further class."
                )
            cell = name_densely(np.maximum(sample.labels, 0))[0]
            maps = np.stack([np.where(known, cell, -1), kind]).astype(np.float32)
            targets.append(CellTarget(maps))
        return targets

    def collate(self, image: Tensor, maps: Tensor) -> CellBatch:
        zoom = self.config.zoom
        image = resize(image, zoom)
        if zoom != 1:
            maps = functional.interpolate(maps, image.shape[-2:], mode="nearest-exact")
        return CellBatch(image, tuple(find_cells(each, self.config.small) for each in maps))

    def loss(self, batch: CellBatch) -> dict[str, Tensor]:
        """Of proposals, boxes, classes and masks, see `mask_rcnn_losses`."""
        from napari_unet.core.models.mask_rcnn_losses import losses

        return losses(self.net, batch, self._room(batch.image))

    def predict_tile(self, image: Tensor, *, average_turns: bool = False) -> list[Candidates]:
        """The cells of each tile in pixels of the image; there is no mean of boxes over turns."""
        seen = image.shape[2], image.shape[3]
        image = resize(image, self.config.zoom)
        size, most = (image.shape[2], image.shape[3]), 2 * self._room(image)
        levels = self.net(image)
        proposed = self.net.propose(size, *self.net.rate_anchors(image, levels), most)
        logits, deltas = self.net.rate_boxes(levels, proposed, size)
        probabilities = torch.softmax(logits, dim=1)
        found = self.net.choose(proposed, deltas, 1 - probabilities[:, 0], size, _LEAST_SURE)
        drawn = self.net.draw_masks(levels, [boxes for boxes, _, _ in found], size)
        masks = torch.round(torch.sigmoid(drawn) * 255).byte()
        kinds = (probabilities[:, 1:].argmax(1) + 1).byte()
        return [
            Candidates(
                (boxes * self.pixel).cpu().numpy(),
                scores.cpu().numpy(),
                mask.cpu().numpy(),
                kinds[places].cpu().numpy(),
                seen,
            )
            for (boxes, scores, places), mask in zip(
                found, masks.split([len(boxes) for boxes, _, _ in found]), strict=True
            )
        ]

    def _room(self, image: Tensor) -> int:
        """How many cells of a tile are looked for.

        From the size of the cells, not from how many are painted: of a sparsely painted image
        that tells nothing.
        """
        cells = image.shape[2] * image.shape[3] / self.config.median**2
        return max(_LEAST_ROOM, math.ceil(_ROOM * cells))

    @classmethod
    def store(cls, job: Job) -> CandidateStore:
        return CandidateStore(job)

    def stitcher(self, region: Region, out: NDArray[np.float32] | None = None) -> Stitcher:
        return CandidateStitcher(region)
