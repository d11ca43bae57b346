"""Overlap-tile prediction as a generator of events; knows `Segmenter` only."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from napari_unet.core.card import ModelCard
from napari_unet.core.checkpoint import Model
from napari_unet.core.config import PredictConfig
from napari_unet.core.device import (
    DeviceReport,
    free_memory,
    is_out_of_memory,
    resolve_device,
)
from napari_unet.core.errors import InputError
from napari_unet.core.events import relay
from napari_unet.core.models.base import Segmenter, Stitcher
from napari_unet.core.models.zoom import nearest_zoom, next_zoom
from napari_unet.core.mosaic import diameters
from napari_unet.core.normalize import normalize
from napari_unet.core.regions import shift
from napari_unet.core.tiling import grid, read
from napari_unet.core.types import Looking, PredictEvent, Prediction, Region, TileDone, Warned
from napari_unet.core.windows import take_middle

_SMALLEST_TILE = 64
_LOOKS = 3
_GLANCE = 512  # px: one tile, a quarter of the time of a look
_ENOUGH = 20  # cells whose median size is sure enough to stay with a zoom
_LEANS = 1.15  # × or ÷ the wanted size: beyond it the next zoom is looked with too


def predict(
    model: Model,
    image: NDArray[Any],
    config: PredictConfig | None = None,
    *,
    region: Region | None = None,
    out: NDArray[np.float32] | None = None,
    name: str = "image",
    centre: tuple[float, float] | None = None,
    grey: NDArray[np.float64] | None = None,
    zoom: float | None = None,
) -> Generator[PredictEvent, None, Prediction]:
    """Predict the cells of one image, tile by tile.

    Parameters
    ----------
    model : Model
    image : (C, H, W) array of any integer or float dtype
        Normalised as a whole, whatever the region.
    config : PredictConfig, optional
    region : Region, optional
        The part to predict, in pixels; the whole image by default.
    out : (M, h, w) float32 array, optional
        Filled with the region's maps, tile by tile, where the model has any: M is `Segmenter.maps`,
        the first K of them are the probabilities of the classes.
    name : str
        How errors call the image.
    centre : (row, column), optional
        The tiles are predicted from this point outward; row by row by default.
    grey : (C, 2) float64 array, optional
        What `normalize.percentiles` says, where `image` is a part of a larger one, cut out by
        `windows.take_window`; by default that of `image`.
    zoom : float, optional
        What `look_for_zoom` found for a model for cells of any size.

    Yields
    ------
    Looking
        With a model for cells of any size whose `zoom` is not given, first.
    TileDone
        After each tile.

    Returns
    -------
    Prediction
        Of the region.

    Raises
    ------
    InputError
        If the image does not fit the model or cannot be normalised.
    """
    stitcher = yield from gather(
        model, image, config, region=region, out=out, name=name, centre=centre, grey=grey, zoom=zoom
    )
    return stitcher.result((config and config.instances) or model.card.instances)


def gather(
    model: Model,
    image: NDArray[Any],
    config: PredictConfig | None = None,
    *,
    region: Region | None = None,
    out: NDArray[np.float32] | None = None,
    name: str = "image",
    centre: tuple[float, float] | None = None,
    grey: NDArray[np.float64] | None = None,
    zoom: float | None = None,
) -> Generator[PredictEvent, None, Stitcher]:
    """What the network says of one image, of which cells can be made in one way or another.

    All is as for `predict`, but that the cells are still to be made.
    """
    config = config or PredictConfig()
    if image.ndim != 3:
        raise InputError(f"{name} has {image.ndim} axes: give (channels, rows, columns).")
    segmenter = fit_channels(model, len(image), name)
    where = resolve_device(config.device, config.precision)
    ready = normalize(image, model.card.normalize, name, grey)
    shape = image.shape[1], image.shape[2]
    region = _clip(region, shape, name)
    place(segmenter.net, where).eval()
    card = dataclasses.replace(model.card, instances=config.instances or model.card.instances)
    if card.any_size:
        if zoom is None:
            middle = take_middle(shape)
            zoom = yield from _look_for_zoom(segmenter, card, ready, middle, where, config)
        segmenter = segmenter.fit(len(image), len(card.classes), zoom)
        place(segmenter.net, where).eval()
    return (yield from stitch_tiles(segmenter, ready, where, config, region, out, centre))


def look_for_zoom(
    model: Model,
    image: NDArray[Any],
    region: Region,
    config: PredictConfig | None = None,
    *,
    grey: NDArray[np.float64] | None = None,
    name: str = "image",
) -> Generator[PredictEvent, None, float]:
    """Find the zoom at which the cells of an image look like those that the model knows.

    Parameters
    ----------
    model : Model
        For cells of any size.
    image : (C, H, W) array
        The middle of an image with what is around it.
    region : Region
        The part of `image` to look at, `windows.take_middle` of the whole.
    config, grey, name
        As `predict`.

    Yields
    ------
    Looking
        After each tile.

    Returns
    -------
    float
        Pixels of the network to one of the image.
    """
    config = config or PredictConfig()
    segmenter = fit_channels(model, len(image), name)
    where = resolve_device(config.device, config.precision)
    ready = normalize(image, model.card.normalize, name, grey)
    card = dataclasses.replace(model.card, instances=config.instances or model.card.instances)
    return (yield from _look_for_zoom(segmenter, card, ready, region, where, config))


def _look_for_zoom(
    segmenter: Segmenter,
    card: ModelCard,
    image: NDArray[np.float32],
    region: Region,
    where: DeviceReport,
    config: PredictConfig,
) -> Generator[PredictEvent, None, float]:
    """As `look_for_zoom`, of a normalised image.

    The middle of the image tells, whatever region of it is asked for: so all regions are seen
    alike. The first look is with the zoom that the model was trained with last; a zoom that is
    found is looked with again, as cells much too large fall into pieces. Where a glance at what is
    in its midst shows many cells of the size that is expected, that is all of the look.
    """

    def look(part: Region, zoom: float) -> Generator[PredictEvent, None, Prediction]:
        fitted = segmenter.fit(len(image), len(card.classes), zoom)
        place(fitted.net, where).eval()
        tiles = stitch_tiles(fitted, image, where, config, part)
        stitcher = yield from relay(tiles, _tell_looking)
        return stitcher.result(card.instances)

    height, width = (part.stop - part.start for part in region)
    glance = shift(take_middle((height, width), _GLANCE), region[0].start, region[1].start)
    parts = [(region, 1)] if glance == region else [(glance, _ENOUGH), (region, 1)]
    zoom = nearest_zoom(1 / segmenter.pixel)
    for _ in range(_LOOKS):
        for part, enough in parts:
            seen = yield from look(part, zoom)
            sizes = diameters(seen.labels)
            if sizes.size < enough:
                continue
            wanted = card.diameter / float(np.median(sizes))
            if nearest_zoom(wanted) != zoom:
                continue
            other = next_zoom(zoom, wanted) if card.evidence == "maps" else None
            if other is None or max(wanted / zoom, zoom / wanted) < _LEANS:
                return zoom
            # between two zooms the median errs: small cells that maps join or miss are not in it
            seen_so = yield from look(part, other)
            return other if _sure_area(seen_so) > _sure_area(seen) else zoom
        if not sizes.size:
            if zoom == 1:
                break
            wanted = 1.0  # an image of other cells than those it was trained on last
        zoom = nearest_zoom(wanted)
    return zoom


def _tell_looking(event: PredictEvent) -> PredictEvent:
    return Looking(event.done, event.total) if isinstance(event, TileDone) else event


def _sure_area(seen: Prediction) -> float:
    """Pixels of all cells, each as often as it is sure."""
    return float(np.bincount(seen.labels.ravel())[1:] @ seen.scores)


def _clip(region: Region | None, shape: tuple[int, int], name: str) -> Region:
    if region is None:
        return slice(0, shape[0]), slice(0, shape[1])
    (top, bottom, _), (left, right, _) = (
        part.indices(size) for part, size in zip(region, shape, strict=True)
    )
    if bottom <= top or right <= left:
        raise InputError(f"The region of {name} is empty: choose one that shows some of it.")
    return slice(top, bottom), slice(left, right)


def fit_channels(model: Model, channels: int, name: str = "image") -> Segmenter:
    """The model's segmenter for images of so many channels, or an `InputError`."""
    card, segmenter = model.card, model.segmenter
    if channels == card.channels:
        return segmenter
    if card.any_channels:
        return segmenter.fit(channels, len(card.classes), 1 / segmenter.pixel)
    kind = {1: "grey (1 channel)", 3: "of 3 channels, such as RGB"}
    raise InputError(
        f"{name} is {kind.get(channels, f'of {channels} channels')}, but the model was trained on "
        f"images {kind.get(card.channels, f'of {card.channels} channels')}: "
        "choose another model or convert the image."
    )


def stitch_tiles(
    segmenter: Segmenter,
    image: NDArray[np.float32],
    where: DeviceReport,
    config: PredictConfig,
    region: Region,
    out: NDArray[np.float32] | None = None,
    centre: tuple[float, float] | None = None,
) -> Generator[PredictEvent, None, Stitcher]:
    """Run the network over a normalised (C, H, W) image and collect what it says of `region`.

    Begins anew with smaller tiles, and says so, where the memory of the device runs out: the
    result is the same.
    """
    try:
        return (yield from _stitch(segmenter, image, where, config, region, out, centre))
    except RuntimeError as error:
        tile = config.tile or segmenter.tile
        if not is_out_of_memory(error) or tile <= _SMALLEST_TILE:
            raise
    free_memory(where)
    tile = max(_SMALLEST_TILE, tile // 2)
    config = dataclasses.replace(config, tile=tile)
    yield Warned(f"The memory of {where.name} ran out: predicting goes on in tiles of {tile} px.")
    return (yield from stitch_tiles(segmenter, image, where, config, region, out, centre))


def _stitch(
    segmenter: Segmenter,
    image: NDArray[np.float32],
    where: DeviceReport,
    config: PredictConfig,
    region: Region,
    out: NDArray[np.float32] | None,
    centre: tuple[float, float] | None,
) -> Generator[TileDone, None, Stitcher]:
    context, stride = segmenter.tile_context, segmenter.stride
    edge = segmenter.tile_edge(config.tile or segmenter.tile)
    tiles = grid((image.shape[1], image.shape[2]), edge, context, stride, region, centre)
    stitcher = segmenter.stitcher(region, out)
    for done, part in enumerate(tiles, 1):
        surroundings = torch.from_numpy(np.ascontiguousarray(read(image, part.start, part.size)))
        batch = surroundings[None].to(where.device).contiguous(memory_format=torch.channels_last)
        with torch.inference_mode(), autocast(where):
            output = segmenter.predict_tile(batch, average_turns=config.tta)
        yield TileDone(done, len(tiles), part.write, stitcher.add(part, output[0]))
    return stitcher


def place(net: nn.Module, where: DeviceReport) -> nn.Module:
    """Move a network to its device, laid out as convolutions there are fastest."""
    return net.to(where.device).to(memory_format=torch.channels_last)


def autocast(where: DeviceReport) -> AbstractContextManager[Any]:
    """The context in which networks run on this device."""
    if where.precision == "float32":
        return nullcontext()
    return torch.autocast(where.device, torch.bfloat16)
