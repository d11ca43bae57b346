"""Cells of any size brought to about one size in pixels of a network."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional

from napari_unet.core.windows import ZOOMS

COMMON = 24.0
"""Median diameter in pixels of the network that cells are brought to."""

LARGE = 36.0
"""Diameter in pixels of the largest cells that a new network sees as they are."""


def find_zoom(diameter: float) -> float:
    """The zoom with which cells of this diameter in pixels are closest to `COMMON`."""
    return nearest_zoom(COMMON / diameter)


def nearest_zoom(wanted: float) -> float:
    """The one of `ZOOMS` whose ratio to the wanted one is nearest to 1."""
    return min(ZOOMS, key=lambda zoom: abs(math.log(zoom / wanted)))


def next_zoom(zoom: float, wanted: float) -> float | None:
    """The one of `ZOOMS` beside `zoom` on the side of the wanted one; None beyond the last."""
    beyond = [other for other in ZOOMS if (other > zoom if wanted > zoom else other < zoom)]
    return min(beyond, key=lambda other: abs(math.log(other / zoom)), default=None)


def resize(maps: Tensor, factor: float) -> Tensor:
    """Average over blocks of pixels, or interpolate between them."""
    if factor == 1:
        return maps
    if factor < 1:
        return functional.avg_pool2d(maps, round(1 / factor))
    return functional.interpolate(maps, scale_factor=round(factor), mode="bilinear")
