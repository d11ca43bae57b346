"""A TIFF of many planes, none of which is read before it is asked for."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_unet.core.config import NormalizeConfig
from napari_unet.core.damage import DAMAGE, give_reason
from napari_unet.core.errors import InputError
from napari_unet.core.lazy_image import LazyImage, open_image
from napari_unet.core.normalize import percentiles, thinning
from napari_unet.core.pixels import find_series, name_axes

LOOKED_AT = 16
"""Planes at most, at even distances, that tell how bright a stack is."""

MEASURED = 5
"""Planes at most, at even distances, whose cells tell how large those of a stack are."""

Planes: TypeAlias = list[tuple[str, Callable[[], NDArray[Any]]]]
"""Of each plane how errors and tables call it, and what reads it."""

_Any = TypeVar("_Any")


def choose_evenly(items: Sequence[_Any], most: int) -> list[_Any]:
    """At most so many items, at even distances from the first to the last."""
    numbers = np.linspace(0, len(items) - 1, min(most, len(items))).round().astype(int)
    return [items[number] for number in numbers.tolist()]


@dataclass(frozen=True, eq=False)
class Stack:
    """Planes of one size along one axis or several.

    Attributes
    ----------
    image : LazyImage
        The first plane.
    axes : str
        A letter of each axis along which there are several planes, such as T or TZ; empty for an
        image of one plane.
    lengths : tuple of int
        How many planes there are along each of them.
    """

    image: LazyImage
    axes: str
    lengths: tuple[int, ...]

    @property
    def places(self) -> list[dict[str, int]]:
        """Where each plane lies, the last axis first, such as {"T": 0, "Z": 1}."""
        ranges = map(range, self.lengths)
        return [dict(zip(self.axes, at, strict=True)) for at in itertools.product(*ranges)]

    def read(self, place: Mapping[str, int]) -> NDArray[Any]:
        """Read the plane at a place, (C, H, W).

        Raises
        ------
        InputError
            If the file is damaged there, or compressed in a way that cannot be read.
        """
        plane = dataclasses.replace(self.image, planes={**self.image.planes, **place})
        return plane.read((slice(None), slice(None)))

    def describe(self, place: Mapping[str, int]) -> str:
        """How errors call a plane."""
        return " ".join([self.image.name, *(f"{axis}={at}" for axis, at in place.items())])

    def percentiles(self, config: NormalizeConfig) -> NDArray[np.float64]:
        """The grey values that become 0 and 1 in all planes, (C, 2), as `normalize.percentiles`.

        So no plane flickers against the next. Planes count alike; of a long stack `LOOKED_AT` are
        looked at.
        """
        chosen = choose_evenly(self.places, LOOKED_AT)
        step = thinning(len(chosen) * self.image.shape[1] * self.image.shape[2])
        looks = []
        for place in chosen:
            look = self.read(place)[:, ::step, ::step]
            looks.append(look.reshape(len(look), 1, -1))
        return percentiles(np.concatenate(looks, axis=2), config, self.image.name)


def list_planes(stack: Stack, read: Callable[[dict[str, int]], NDArray[Any]]) -> Planes:
    """The planes of a stack, which `read` reads by their places."""
    return [(stack.describe(place), partial(read, place)) for place in stack.places]


def is_stack(path: Path) -> bool:
    """Whether a file is a TIFF of several planes, or of axes that it does not name."""
    try:
        with tifffile.TiffFile(path) as tif:
            shape, axes = tif.series[0].shape, tif.series[0].axes
    except DAMAGE:
        return False  # another kind of file, or one that the reader of images will tell about
    several = [axis for axis, n in zip(name_axes(shape, axes), shape, strict=True) if n > 1]
    return _is_unnamed(shape, axes) or not set(several) <= set("CSYX")


def open_stack(path: Path, axes: str | None = None) -> Stack:
    """Open a TIFF without reading its planes.

    Parameters
    ----------
    path : Path
    axes : str, optional
        A letter of each axis, such as TYX or TCYX; by default as the file says.

    Raises
    ------
    InputError
        If it cannot be read, holds several images, does not name its axes, or `axes` are not those
        of its array.
    """
    try:
        with tifffile.TiffFile(path) as tif:
            series = find_series(tif, path)
            shape, said = series.shape, series.axes
    except InputError:
        raise
    except DAMAGE as error:
        raise InputError(f"“{path}” cannot be read as a TIFF ({give_reason(error)}).") from error
    if axes is None:
        if _is_unnamed(shape, said):
            raise InputError(
                f"“{path}” does not say what its {len(shape)} axes ({_words(shape)}) are: say it "
                "with --axes, such as TYX for time, ZYX for depth or CYX for channels."
            )
        axes = name_axes(shape, said)
    elif len(axes) != len(shape):
        raise InputError(
            f"“{path}” has {len(shape)} axes ({_words(shape)}) but --axes {axes} names "
            f"{len(axes)}: give each a letter."
        )
    planes = {axis: n for axis, n in zip(axes, shape, strict=True) if axis not in "CSYX"}
    several = {axis: n for axis, n in planes.items() if n > 1}
    image = open_image(path, dict.fromkeys(planes, 0), axes)
    return Stack(image, "".join(several), tuple(several.values()))


def _is_unnamed(shape: tuple[int, ...], axes: str) -> bool:
    """Whether the planes may be anything; a last axis of 2 to 4 is channels to all who read it."""
    unknown = any(axis in "QI" and n > 1 for axis, n in zip(axes, shape, strict=True))
    return unknown and name_axes(shape, axes) not in ("YX", "YXC")


def _words(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))
