"""Label files of one plane or of a stack, plane by plane, beside what belongs to each."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.errors import InputError
from napari_unet.core.files import read_image
from napari_unet.core.formats import FORMATS, read_one
from napari_unet.core.formats.tiff import open_planes
from napari_unet.core.stack import Planes, is_stack, list_planes, open_stack


def open_labels(path: Path) -> Planes:
    """The planes of labels in any format, (H, W) int32 each; those of a TIFF are not read yet.

    Raises
    ------
    InputError
        If it cannot be opened; reading may raise it too.
    """
    if FORMATS["tif"].matches(path):
        return open_planes(path)
    frames = read_one(path).frames
    names = [f"{path} {at}" if len(frames) > 1 else str(path) for at in range(len(frames))]
    return [(name, partial(np.array, frame)) for name, frame in zip(names, frames, strict=True)]


def open_images(path: Path) -> Planes:
    """The planes of an image file, (C, H, W) each, in the order of its axes.

    Raises
    ------
    InputError
        If it is a stack that cannot be opened; reading may raise it too.
    """
    if not is_stack(path):
        return [(str(path), partial(read_image, path))]
    stack = open_stack(path)
    return list_planes(stack, stack.read)


def side_by_side(
    one: tuple[Path, Planes], other: tuple[Path, Planes]
) -> Iterator[tuple[str, NDArray[Any], NDArray[Any]]]:
    """Read the planes of two files that belong together, and how those of the first are called.

    Raises
    ------
    InputError
        If they have different numbers of planes, or one cannot be read.
    """
    (path, planes), (path_of_other, planes_of_other) = one, other
    if len(planes) != len(planes_of_other):
        raise InputError(
            f"“{path}” has {_count(planes)} and “{path_of_other}” has {_count(planes_of_other)}: "
            "give files with the same planes."
        )
    for (name, read), (_, read_other) in zip(planes, planes_of_other, strict=True):
        yield name, read(), read_other()


def _count(planes: Planes) -> str:
    return f"{len(planes)} planes" if len(planes) > 1 else "one plane"
