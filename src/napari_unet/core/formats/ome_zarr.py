"""A label image as OME-Zarr, with a pyramid."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path

from napari_unet.core.errors import InputError
from napari_unet.core.formats.labelled import (
    Labelled,
    remark_classes,
    remark_overlaps,
    remark_scores,
)
from napari_unet.core.label_files import as_labels
from napari_unet.core.lazy_image import is_zarr, open_image
from napari_unet.core.ngff import (
    find_level,
    is_finished,
    is_ours,
    make_labels,
    mark_finished,
    open_levels,
)

_CHUNK = 512  # px

__all__ = ["is_zarr", "read_zarr", "write_zarr"]


def read_zarr(path: Path, size: tuple[int, int] | None) -> list[Labelled]:
    """Read the finest level of a label image of one plane.

    Raises
    ------
    InputError
        It is no such image, or a prediction that was stopped in the middle.
    """
    level = find_level(path)
    if not is_finished(path):
        raise InputError(
            f"“{path}” is a prediction that was stopped: run its command again to finish it."
        )
    planes = [n for axis, n in zip(level.axes, level.array.shape, strict=True) if axis not in "YX"]
    if any(n > 1 for n in planes):
        raise InputError(f"“{path}” has several planes: give that of one.")
    pixels = open_image(path).read((slice(None), slice(None)))
    return [Labelled(as_labels(pixels[0], str(path)))]


def write_zarr(path: Path, labelled: Labelled) -> tuple[str, ...]:
    """Write labels and each second pixel of the level before; returns what was lost.

    Raises
    ------
    InputError
        For a stack, where something else is in the way, or the disk refuses.
    """
    if labelled.labels.ndim != 2:
        raise InputError("Stacks are not written as OME-Zarr: write them as TIFF.")
    if path.exists() and not is_ours(path):
        raise InputError(f"“{path}” is there already and not of ours: choose another place.")
    partial = path.with_name(f".{uuid.uuid4().hex[:12]}.zarr")
    try:
        height, width = labelled.labels.shape
        make_labels(partial, (height, width), _CHUNK, (1.0, 1.0), "", {})
        values = labelled.labels
        for level in open_levels(partial):
            level[...] = values
            values = values[::2, ::2]
        mark_finished(partial)
        if path.exists():
            shutil.rmtree(path)
        partial.replace(path)
    except OSError as error:
        raise InputError(
            f"“{path}” cannot be written ({error.strerror}); choose another place or make room."
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return (
        *remark_classes(labelled, "An OME-Zarr"),
        *remark_scores(labelled, "An OME-Zarr"),
        *remark_overlaps(labelled),
    )
