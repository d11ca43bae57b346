"""Label files of one plane or of a stack, plane by plane, beside what belongs to each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.errors import InputError
from napari_unet.core.files import as_labels, read_image, read_labels
from napari_unet.core.stack import Stack, is_stack, open_stack

Planes: TypeAlias = list[tuple[str, Callable[[], NDArray[Any]]]]
"""Of each plane how errors and tables call it, and what reads it."""


def open_labels(path: Path) -> Planes:
    """The planes of a label file, (H, W) int32 each, in the order of its axes.

    Raises
    ------
    InputError
        If it is a stack that cannot be opened, or of several channels; reading may raise it too.
    """
    if not is_stack(path):
        return [(str(path), partial(read_labels, path))]
    stack = open_stack(path)
    if stack.image.shape[0] > 1:
        raise InputError(f"“{path}” has {stack.image.shape[0]} channels; labels have one.")

    def read(place: dict[str, int]) -> NDArray[np.int32]:
        return as_labels(stack.read(place)[0], stack.describe(place))

    return _planes_of(stack, read)


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
    return _planes_of(stack, stack.read)


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


def _planes_of(stack: Stack, read: Callable[[dict[str, int]], NDArray[Any]]) -> Planes:
    return [(stack.describe(place), partial(read, place)) for place in stack.places]


def _count(planes: Planes) -> str:
    return f"{len(planes)} planes" if len(planes) > 1 else "one plane"
