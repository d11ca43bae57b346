"""The network of the U-Net (Ronneberger, Fischer & Brox 2015), exactly or in a practical form.

Contracting path of two 3×3 convolutions and a 2×2 max-pool a level, a bottom of two
convolutions, expansive path of a 2×2 up-convolution, the cropped skip and two convolutions a
level, and a 1×1 convolution to the classes. `padding="valid"`, 64 channels and no normalisation
is the paper's network (31.03 M parameters, 572 → 388 px); the practical form pads, normalises
over the batch (which, unlike a normalisation over the tile, keeps tiled and whole prediction the
same) and is narrower.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from napari_unet.core.config import option
from napari_unet.core.windows import ZOOMS


@dataclass(frozen=True)
class UNetConfig:
    """The plan of one U-Net; `classes` counts the cell classes, the background comes on top."""

    channels: int = option(1, label="Channels", why="of the images", limits=(1, 64))
    classes: int = option(1, label="Classes", why="of cells", limits=(1, 254))
    base: int = option(
        16,
        label="Width",
        unit="channels",
        why="of the first level; doubles a level",
        limits=(4, 128),
    )
    depth: int = option(
        4, label="Depth", unit="levels", why="how far it sees: 6·2^depth px", limits=(1, 6)
    )
    padding: Literal["same", "valid"] = option(
        "same", label="Padding", why="valid is the paper's", choices=("same", "valid")
    )
    normalization: Literal["batch", "none"] = option(
        "batch", label="Normalisation", why="none is the paper's", choices=("batch", "none")
    )
    dropout: float = option(
        0.0, label="Dropout", why="0.5 at the end of the contracting path is the paper's"
    )
    zoom: float = option(
        1.0,
        label="Zoom",
        why="pixels of the network to one of the image: cells of any size look alike to it",
        choices=ZOOMS,
    )
    distance: bool = option(
        False, label="Distance", why="also learns how deep a pixel lies in its cell, to part cells"
    )


class UNet(nn.Module):
    """The network: (B, C, H, W) grey values to (B, 1 + K, H', W') logits, background first.

    With `distance` one more follows, of `distances.relative_distance`.

    H and W are multiples of 2^depth for `padding="same"`, and H' = H; for "valid" they are
    16·m + 12 at depth 4, and H' = H − 184 (every max-pool sees an even size).
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        widths = [config.base * 2**level for level in range(config.depth + 1)]
        inputs = [config.channels, *widths[:-1]]
        self.down = nn.ModuleList(
            _convolve_twice(before, after, config)
            for before, after in zip(inputs, widths, strict=True)
        )
        self.drop = nn.Dropout(config.dropout)
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(2 * width, width, 2, stride=2) for width in widths[:-1]
        )
        self.merge = nn.ModuleList(
            _convolve_twice(2 * width, width, config) for width in widths[:-1]
        )
        self.classify = nn.Conv2d(config.base, 1 + config.classes, 1)
        self.measure = nn.Conv2d(config.base, 1, 1) if config.distance else None
        self.apply(_initialize)

    def forward(self, image: Tensor, margin: int = 0) -> Tensor:
        """The logits, for `padding="same"` without `margin` pixels at each side.

        What nothing inside of it depends on is not computed: of the expansive path, which is two
        thirds of the work, that is nearly all of the margin.
        """
        cuts = find_cuts(len(self.up), margin)
        skips: list[Tensor] = []
        maps = image
        for level, convolve in enumerate(self.down):
            if level:
                skips.append(maps)
                maps = functional.max_pool2d(maps, 2)
            if level == len(self.up):
                maps = trim(maps, cuts[level])
            maps = convolve(maps)
        skips[-1] = self.drop(skips[-1])
        maps = self.drop(maps)
        for level in reversed(range(len(self.up))):
            maps = trim(self.up[level](maps), cuts[level] - 2 * cuts[level + 1])
            # what is joined is held nowhere else: most memory is needed here
            maps = torch.cat([_crop(skips.pop(), maps), maps], dim=1)
            maps = self.merge[level](maps)
        return self.say(trim(maps, margin - cuts[0]))

    def say(self, maps: Tensor) -> Tensor:
        """The logits of (B, base, H, W) maps."""
        logits: Tensor = self.classify(maps)
        return logits if self.measure is None else torch.cat([logits, self.measure(maps)], dim=1)


def find_cuts(depth: int, margin: int) -> list[int]:
    """How much of each level, from the finest to the bottom, the logits do not depend on.

    Pixels of the level at each side, where `margin` of the finest are not asked for: before the two
    convolutions of its expansive path or, of the bottom, before its own. What they give is right
    from 2 px further in.
    """
    cuts = []
    for _ in range(depth + 1):
        cuts.append(max(0, margin - 2))
        margin = cuts[-1] // 2
    return cuts


def trim(maps: Tensor, pixels: int) -> Tensor:
    """The maps without so many pixels at each side."""
    height, width = maps.shape[-2:]
    return maps[..., pixels : height - pixels, pixels : width - pixels]


class Convolutions(nn.Sequential):
    """Convolutions, each with its normalisation, if any, and its ReLU."""

    def forward(self, maps: Tensor) -> Tensor:
        for convolve, normalize in self.stages():
            if normalize is None or not self.training:
                weight, bias = fold(convolve, normalize)
                maps = functional.conv2d(maps, weight, bias, padding=convolve.padding)
            else:
                maps = normalize(convolve(maps))
            maps = maps.relu_()
        return maps

    def stages(self) -> Iterator[tuple[nn.Conv2d, _BatchNorm | None]]:
        """Each convolution and what normalises its maps."""
        for before, after in itertools.pairwise(self):
            if isinstance(before, nn.Conv2d):
                yield (
                    before,
                    after if isinstance(after, _BatchNorm) else None,
                )  # one for several GPUs too


def fold(convolve: nn.Conv2d, normalize: _BatchNorm | None) -> tuple[Tensor, Tensor | None]:
    """Weight and bias of a convolution that also normalises its maps by the running statistics.

    As that is linear, it need not be a pass over memory of its own, and a copy of the maps.
    """
    if normalize is None:
        return convolve.weight, convolve.bias
    mean, variance = normalize.running_mean, normalize.running_var
    assert mean is not None
    assert variance is not None
    factor = normalize.weight * torch.rsqrt(variance + normalize.eps)
    bias = -mean if convolve.bias is None else convolve.bias - mean
    return convolve.weight * factor[:, None, None, None], normalize.bias + bias * factor


def _convolve_twice(before: int, after: int, config: UNetConfig) -> Convolutions:
    normalize = config.normalization == "batch"
    layers: list[nn.Module] = []
    for width in (before, after):
        layers.append(
            nn.Conv2d(
                width, after, 3, padding=1 if config.padding == "same" else 0, bias=not normalize
            )
        )
        if normalize:
            layers.append(nn.BatchNorm2d(after))
        layers.append(nn.ReLU(inplace=True))
    return Convolutions(*layers)


def _initialize(layer: nn.Module) -> None:
    """Gaussian weights with sd √(2/N), N the incoming nodes of a neuron (the paper, section 3)."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        # each output pixel of a 2×2 up-convolution with stride 2 sees one input pixel
        area = 1 if isinstance(layer, nn.ConvTranspose2d) else math.prod(layer.kernel_size)
        nn.init.normal_(layer.weight, std=math.sqrt(2 / (layer.in_channels * area)))
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def _crop(skip: Tensor, like: Tensor) -> Tensor:
    rows = (skip.shape[-2] - like.shape[-2]) // 2
    columns = (skip.shape[-1] - like.shape[-1]) // 2
    return skip[..., rows : rows + like.shape[-2], columns : columns + like.shape[-1]]
