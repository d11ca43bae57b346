"""One normalisation for every skin: grey values to about 0 … 1, the same for all tiles."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.config import NormalizeConfig
from napari_unet.core.errors import InputError
from napari_unet.core.types import Sample

_SAMPLED_PIXELS = 2_000_000  # percentiles of a larger image come from a regular grid of these


def percentiles(
    image: NDArray[Any], config: NormalizeConfig | None = None, name: str = "image"
) -> NDArray[np.float64]:
    """The grey values that become 0 and 1, one pair a channel.

    Parameters
    ----------
    image : (C, H, W) array of any integer or float dtype
    config : NormalizeConfig, optional
    name : str
        How an error calls the image.

    Returns
    -------
    (C, 2) float64 array
        Black and white of each channel; of an image with dark cells on a bright ground black is
        the brighter one. Where the percentiles coincide (a few bright cells on a flat ground)
        minimum and maximum take their place.

    Raises
    ------
    InputError
        If the image is empty, holds NaN or infinity, or has no contrast in any channel.
    """
    config = config or NormalizeConfig()
    if image.ndim != 3:
        raise InputError(
            f"{name} has {image.ndim} axes where (channels, rows, columns) are needed: "
            "choose one plane."
        )
    if image.size == 0:
        raise InputError(f"{name} is empty ({_shape(image)}): choose an image with pixels.")
    if not (np.issubdtype(image.dtype, np.number) or image.dtype == np.bool_):
        raise InputError(f"{name} holds {image.dtype}, not grey values: choose an image.")
    if np.issubdtype(image.dtype, np.complexfloating):
        raise InputError(f"{name} is complex: take its modulus or one of its parts first.")
    stride = thinning(image.shape[1] * image.shape[2])
    if image.dtype == np.bool_:
        image = image.view(np.uint8)
    _check_finite(image, name)
    sample = image[:, ::stride, ::stride]
    return sample_percentiles(sample, lambda c: (image[c].min(), image[c].max()), config, name)


def thinning(pixels: int) -> int:
    """Every so many-th row and column of an image of so many pixels tells its percentiles."""
    return max(1, int(np.ceil(np.sqrt(pixels / _SAMPLED_PIXELS))))


def sample_percentiles(
    sample: NDArray[Any],
    extremes: Callable[[int], tuple[float, float]],
    config: NormalizeConfig,
    name: str = "image",
) -> NDArray[np.float64]:
    """`percentiles` of an image of which only some pixels are at hand.

    Parameters
    ----------
    sample : (C, h, w) array, finite
    extremes : callable
        From a channel to the least and the largest value in the whole image; asked for only where
        the percentiles of the sample coincide.
    config, name
        As `percentiles`.
    """
    pairs, turned = np.empty((2, len(sample), 2))
    ranks = [config.low, config.high, 100 - config.high, 50, 100 - config.low]
    middles = np.empty(len(sample))
    for channel, plane in enumerate(sample):
        low, high, dark, middle, bright = np.percentile(plane, ranks)
        if high <= low or bright <= dark:
            low, high = dark, bright = extremes(channel)
        pairs[channel], turned[channel] = (low, high), (bright, dark)
        middles[channel] = (middle - low) / ((high - low) or 1.0)
    if (pairs[:, 1] <= pairs[:, 0]).all():
        raise InputError(
            f"{name} is constant (every pixel is {pairs[0, 0]:g}): there is nothing to see in it."
        )
    is_dark = config.polarity == "dark" or (config.polarity == "auto" and middles.mean() > 0.5)
    return turned if is_dark else pairs


def settle_polarity(samples: Iterable[Sample], config: NormalizeConfig) -> NormalizeConfig:
    """Where all images are of one polarity, say so for those to come."""
    if config.polarity != "auto":
        return config
    pairs = (percentiles(sample.image, config, sample.name) for sample in samples)
    dark = {bool((np.diff(pair) < 0).any()) for pair in pairs}
    if len(dark) != 1:
        return config
    return dataclasses.replace(config, polarity="dark" if dark.pop() else "bright")


def normalize(
    image: NDArray[Any],
    config: NormalizeConfig | None = None,
    name: str = "image",
    pairs: NDArray[np.float64] | None = None,
) -> NDArray[np.float32]:
    """Scale each channel so that its low percentile is 0 and its high percentile is 1.

    An image with dark cells on a bright ground is turned first, see `NormalizeConfig.polarity`.

    Between them asinh(s·x)/asinh(s) with the stretch s lifts what is dim (Lupton et al. 1999, for
    stars beside galaxies). Values outside are kept, not clipped. A constant channel becomes 0.

    Parameters, errors
        As `percentiles`.
    pairs : (C, 2) float64 array, optional
        The grey values that become 0 and 1, where `image` is a part of what they are known of; by
        default the percentiles of `image`.

    Returns
    -------
    (C, H, W) float32 array
    """
    config = config or NormalizeConfig()
    if pairs is None:
        pairs = percentiles(image, config, name)
    else:
        _check_finite(image, name)
    return scale(image, pairs, config)


def scale(
    image: NDArray[Any], pairs: NDArray[np.float64], config: NormalizeConfig
) -> NDArray[np.float32]:
    """`normalize` a (C, h, w) image, or a part of one, of which the `percentiles` are known."""
    out = np.empty(image.shape, np.float32)
    for plane, (black, white), target in zip(image, pairs, out, strict=True):
        # subtract in float64 row by row: 32-bit integers do not fit into float32
        np.subtract(plane, black, out=target, casting="unsafe")
        target /= (white - black) or 1.0
        if config.stretch:
            target *= config.stretch
            np.arcsinh(target, out=target)
            target /= np.arcsinh(config.stretch)
    return out


def _check_finite(image: NDArray[Any], name: str) -> None:
    for channel, plane in enumerate(image):
        if np.issubdtype(plane.dtype, np.floating) and not np.isfinite(plane).all():
            raise InputError(
                f"{name} holds NaN or infinite values in channel {channel}: replace them first."
            )


def _shape(image: NDArray[Any]) -> str:
    return " × ".join(map(str, image.shape))
