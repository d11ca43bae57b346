"""Random changes of a training tile: geometry in one resampling pass, then grey values.

The geometry is a mirror, a rotation, a scale, and the smooth deformation of Ronneberger et al.
2015: random displacements on a coarse 3×3 grid, interpolated bicubically to every pixel. What
lies outside the image is mirrored in. Targets are never interpolated.
"""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from napari_unet.core.config import AugmentConfig


def draw_grid(
    size: int, center: tuple[float, float], config: AugmentConfig, random: torch.Generator
) -> Tensor:
    """Where each pixel of a tile comes from.

    Parameters
    ----------
    size : int
        Edge of the square tile in pixels.
    center : (float, float)
        Row and column of the image that the tile's centre comes from.
    config : AugmentConfig
    random : torch.Generator

    Returns
    -------
    (size, size, 2) float32 tensor
        Column and row in the image, in pixels (the order of `torch.nn.functional.grid_sample`).
    """
    uniform = torch.rand(4, generator=random)
    angle = float(uniform[0]) * 2 * math.pi if config.rotate else 0.0
    scale = config.scale ** (2 * float(uniform[1]) - 1)
    flip_rows = -1.0 if config.flip and uniform[2] < 0.5 else 1.0
    flip_columns = -1.0 if config.flip and uniform[3] < 0.5 else 1.0
    axis = (torch.arange(size) - (size - 1) / 2) / scale
    row, column = torch.meshgrid(axis * flip_rows, axis * flip_columns, indexing="ij")
    cos, sin = math.cos(angle), math.sin(angle)
    grid = torch.stack([cos * column - sin * row, sin * column + cos * row], dim=-1)
    if config.elastic:
        coarse = torch.randn(2, 3, 3, generator=random) * config.elastic
        bicubic = _bicubic(size)
        grid += (bicubic @ coarse @ bicubic.T).permute(1, 2, 0)
    return grid + torch.tensor([center[1], center[0]], dtype=torch.float32)


def find_reach(size: int, config: AugmentConfig) -> int:
    """How far in pixels from the centre of a tile its pixels come from: see `draw_grid`.

    Of what lies farther, displaced by more than 3 sd, a part of an image mirrors its own.
    """
    corner = math.sqrt(2) if config.rotate else 1.0
    return math.ceil(corner * config.scale * size / 2 + 3 * config.elastic)


@cache
def _bicubic(size: int) -> Tensor:
    """(size, 3): how much each of three points counts at each pixel between the outer ones.

    Bicubic interpolation is one matrix along rows and one along columns, a tenth of the work of
    interpolating pixel by pixel.
    """
    points = torch.eye(3)[None, None]
    weights = functional.interpolate(points, (size, 3), mode="bicubic", align_corners=True)
    return weights[0, 0]


def resample(maps: Tensor, grid: Tensor, mode: str) -> Tensor:
    """Sample (C, H, W) maps at a (h, w, 2) grid of pixel positions; mirrored outside.

    `mode` is "bilinear" for grey values and "nearest" for targets.
    """
    extent = torch.tensor([maps.shape[2] - 1, maps.shape[1] - 1], device=maps.device).clamp(min=1)
    unit = grid.to(maps.device) * (2 / extent) - 1
    sampled: Tensor = functional.grid_sample(
        maps[None], unit[None], mode, padding_mode="reflection", align_corners=True
    )
    return sampled[0]


def change_grey_values(image: Tensor, config: AugmentConfig, random: torch.Generator) -> Tensor:
    """Random mixing of channels, gain, offset and gamma of each, blur, and noise, of a (C, h, w)
    tile."""
    if config.mix and len(image) > 1:
        image = _mix(image, config.mix * float(torch.rand(1, generator=random)), random)
    if config.blur:
        image = _blur(image, config.blur * (2 * float(torch.rand(1, generator=random)) - 1))
    draws = torch.randn(3, len(image), 1, 1, generator=random) * config.intensity
    strength = float(torch.rand(1, generator=random)) * config.noise
    noise = torch.randn(image.shape, generator=random) * strength
    gain, offset, gamma = (draw.to(image.device) for draw in draws)
    if config.intensity:
        positive = image.clamp(min=1e-6)
        image = torch.where(image > 0, positive ** torch.exp(gamma), image)
    changed: Tensor = image * torch.exp(gain) + 0.3 * offset + noise.to(image.device)
    return changed


def _mix(image: Tensor, share: float, random: torch.Generator) -> Tensor:
    """Bring each channel of a (C, h, w) tile by a share of the way to a random mean of all."""
    means = torch.empty(len(image), len(image)).exponential_(generator=random)
    means /= means.sum(1, keepdim=True)
    parts = torch.lerp(torch.eye(len(image)), means, share).to(image.device)
    mixed: Tensor = torch.tensordot(parts, image, dims=1)
    return mixed


def _blur(image: Tensor, sd: float) -> Tensor:
    """A Gaussian blur of a (C, h, w) tile; none where `sd` is not above 0."""
    if sd <= 0:
        return image
    reach = math.ceil(3 * sd)
    offsets = torch.arange(-reach, reach + 1, device=image.device, dtype=image.dtype)
    kernel = torch.exp(-0.5 * (offsets / sd).square())
    kernel /= kernel.sum()
    padded = functional.pad(image[:, None], (reach,) * 4, mode="replicate")
    rows = functional.conv2d(padded, kernel[None, None, :, None])
    blurred: Tensor = functional.conv2d(rows, kernel[None, None, None, :])
    return blurred[:, 0]
