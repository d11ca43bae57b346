"""How much of an image a prediction of a part of it needs, known without the network."""

from __future__ import annotations

import math
from typing import Any

from napari_unet.core.card import ModelCard
from napari_unet.core.types import Region

LOOKED_AT = 1024
"""Edge in pixels of the middle of an image, which tells how large its cells are."""

ZOOMS = (0.25, 1 / 3, 0.5, 1.0, 2.0)
"""Pixels of a network to one of the image, with which cells of any size look alike to it."""


def reach(card: ModelCard) -> tuple[int, int]:
    """How far around a region the network looks, and where its tiles may begin.

    Returns
    -------
    margin : int
        Pixels, at least `Segmenter.tile_context` at any zoom that the model may choose.
    step : int
        Pixels, a multiple of `Segmenter.stride` at each of these zooms.
    """
    plan: dict[str, Any] = card.config
    zooms = ZOOMS if card.any_size else (float(plan.get("zoom", 1.0)),)
    stride = card.stride or 2 ** int(plan.get("depth", 4))
    context = card.context or 6 * stride
    strides = [round(stride / zoom) for zoom in zooms]
    return round(context / min(zooms)), math.lcm(*strides)


def take_window(card: ModelCard, region: Region, shape: tuple[int, int]) -> Region:
    """The part of an image that predicts `region` as the whole image would.

    It begins where tiles may begin and reaches as far as the network looks, or to the border of
    the image, where it is mirrored. So of a region of h × w pixels at most
    (h + 2·margin + 4·step) × (w + 2·margin + 4·step) are read.

    Parameters
    ----------
    region : Region
        Within the image, in pixels.
    shape : (H, W)
        Of the image.
    """
    return window_around(region, *reach(card), shape)


def window_around(region: Region, margin: int, step: int, shape: tuple[int, int]) -> Region:
    """`take_window` of a network that looks as far and whose tiles begin there: see `reach`."""

    def widen(part: slice, length: int) -> slice:
        # the last tile may end up to a stride after the region; what it reads after the end of the
        # image is mirrored, and lies as far before it
        first = max(0, (part.start - margin - 2 * step) // step * step)
        return slice(first, min(length, part.stop + margin + step))

    return widen(region[0], shape[0]), widen(region[1], shape[1])


def take_middle(shape: tuple[int, int], side: int = LOOKED_AT) -> Region:
    """The middle of an image of `shape`, at most `side` pixels long and wide."""
    starts = [max(0, (length - side) // 2) for length in shape]
    rows, columns = (
        slice(start, start + min(length, side)) for start, length in zip(starts, shape, strict=True)
    )
    return rows, columns
