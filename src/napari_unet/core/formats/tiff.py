"""A label image as TIFF: the one format that also keeps where background was painted."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.errors import InputError
from napari_unet.core.formats.labelled import (
    Labelled,
    remark_classes,
    remark_overlaps,
    remark_scores,
)
from napari_unet.core.label_files import as_labels, read_labels, write_labels
from napari_unet.core.stack import Planes, is_stack, list_planes, open_stack

_LOSSY = (".jpg", ".jpeg")


def open_planes(path: Path, axes: str | None = None) -> Planes:
    """The planes of a TIFF, PNG or BMP, (H, W) int32 each, in the order of its axes.

    `axes` are those of a TIFF that does not say it, or says it wrongly.

    Raises
    ------
    InputError
        If it is a JPEG, a stack that cannot be opened, or of several channels; reading may raise it
        too.
    """
    if path.suffix.lower() in _LOSSY:
        raise InputError(
            f"“{path}” is a JPEG, which does not keep labels as they were painted: save them as "
            "TIFF or PNG."
        )
    if axes is None and not is_stack(path):
        return [(str(path), partial(read_labels, path))]
    stack = open_stack(path, axes)
    if stack.image.shape[0] > 1:
        raise InputError(f"“{path}” has {stack.image.shape[0]} channels; labels have one.")

    def read(place: dict[str, int]) -> NDArray[np.int32]:
        return as_labels(stack.read(place)[0], stack.describe(place))

    return list_planes(stack, read)


def read_tiff(path: Path, size: tuple[int, int] | None = None) -> list[Labelled]:
    """Read a plane, or all planes of a stack, (N, H, W).

    Raises
    ------
    InputError
        As `open_planes`, or it holds no labels.
    """
    planes = [read() for _, read in open_planes(path)]
    return [Labelled(np.stack(planes) if len(planes) > 1 else planes[0])]


def write_tiff(path: Path, labelled: Labelled) -> tuple[str, ...]:
    """Write labels; returns what was lost."""
    write_labels(path, labelled.labels)
    return (
        *remark_classes(labelled, "A TIFF"),
        *remark_scores(labelled, "A TIFF"),
        *remark_overlaps(labelled),
    )
