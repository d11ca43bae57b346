"""Label files of one plane or of a stack, plane by plane, beside what belongs to each."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_unet.core.damage import DAMAGE
from napari_unet.core.errors import InputError
from napari_unet.core.formats import FORMATS, find_format, read_one
from napari_unet.core.formats.layers import split_layers
from napari_unet.core.formats.tiff import open_planes
from napari_unet.core.lazy_image import is_zarr, open_image
from napari_unet.core.pixels import read_image
from napari_unet.core.stack import Planes, is_stack, list_planes, open_stack


def open_labels(path: Path, axes: str | None = None) -> Planes:
    """The planes of labels in any format, (H, W) int32 each; those of a TIFF are not read yet.

    `axes` are those of TIFFs that do not say it, or say it wrongly.

    Raises
    ------
    InputError
        If it cannot be opened; reading may raise it too.
    """
    if FORMATS["tif"].matches(path):
        return open_planes(path, _leave_out_channels(path, axes) if _is_tiff(path) else None)
    return _list_frames(path, [*read_one(path).frames])


def open_cells(
    path: Path,
    size: tuple[int, int] | None = None,
    axes: str | None = None,
    remark: Callable[[str], None] | None = None,
) -> Planes:
    """As `open_labels`, but each plane as (L, H, W): label images in which each cell is whole.

    L is 1 where no cells overlap.

    Parameters
    ----------
    path : Path
    size : (H, W), optional
        Of the image, for formats that do not say it.
    axes : str, optional
        As of `open_labels`.
    remark : callable, optional
        Is told what of the cells was lost on the way.
    """
    if FORMATS["tif"].matches(path):
        return [(name, partial(_add_axis, read)) for name, read in open_labels(path, axes)]
    labelled = read_one(path, size)
    if remark is not None:
        for sentence in labelled.remarks:
            remark(f"{path.name}: {sentence}")
    return _list_frames(path, split_layers(labelled))


def find_size(
    paths: Sequence[Path], image: Path | None = None, axes: str | None = None
) -> tuple[int, int] | None:
    """How large the image is that label files are of, None where each of them says it.

    Where none does and no image is given it ends with the last cell of all.

    Raises
    ------
    InputError
        As `open_labels` and `open_images`.
    """
    telling = [path for path in paths if _says_size(path)]
    if len(telling) == len(paths):
        return None
    if image is None:
        opened = [open_labels(path, axes) for path in telling[:1] or paths]
    else:
        opened = [open_images(image, axes)]
    sizes = [read().shape[-2:] for (_, read), *_ in opened]
    return max(rows for rows, _ in sizes), max(columns for _, columns in sizes)


def _is_tiff(path: Path) -> bool:
    return path.suffix.lower() in (".tif", ".tiff")


def _leave_out_channels(path: Path, axes: str | None) -> str | None:
    """Axes that are said of images too, as labels have them."""
    if axes is None:
        return None
    plain = re.sub("[CS]", "", axes)
    with contextlib.suppress(*DAMAGE), tifffile.TiffFile(path) as tif:  # opening it will say so
        if tif.series[0].ndim == len(plain):
            return plain
    return axes


def _says_size(path: Path) -> bool:
    found = find_format(path)
    return found is None or found.says_size


def _add_axis(read: Callable[[], NDArray[Any]]) -> NDArray[Any]:
    return read()[np.newaxis]


def _list_frames(path: Path, frames: Sequence[NDArray[Any]]) -> Planes:
    names = [f"{path} {at}" if len(frames) > 1 else str(path) for at in range(len(frames))]
    return [(name, partial(np.array, frame)) for name, frame in zip(names, frames, strict=True)]


def open_images(path: Path, axes: str | None = None) -> Planes:
    """The planes of an image file, (C, H, W) each, in the order of its axes; a zarr has one.

    `axes` as of `open_labels`.

    Raises
    ------
    InputError
        If it is a stack that cannot be opened; reading may raise it too.
    """
    if is_zarr(path):
        return [(str(path), partial(open_image(path).read, (slice(None), slice(None))))]
    said = axes if _is_tiff(path) else None
    if said is None and not is_stack(path):
        return [(str(path), partial(read_image, path))]
    stack = open_stack(path, said)
    return list_planes(stack, stack.read)


def side_by_side(
    one: tuple[Path, Planes], other: tuple[Path, Planes]
) -> Iterator[tuple[str, NDArray[Any], NDArray[Any]]]:
    """Read the planes of two files that belong together, and how those of the first are called.

    Those of one place, such as T=0 Z=1, belong together, whichever axis comes first; planes whose
    places are not called alike do so in their order.

    Raises
    ------
    InputError
        If they have different planes, or one cannot be read.
    """
    (path, planes), (path_of_other, planes_of_other) = one, other
    places = [_find_place(path, name) for name, _ in planes]
    at_place = {_find_place(path_of_other, name): read for name, read in planes_of_other}
    alike = {*places} == {*at_place} and len(at_place) == len(planes_of_other)
    axes, others = ({axis for place in each for axis, _ in place} for each in (places, at_place))
    if len(planes) != len(planes_of_other) or (axes and axes == others and not alike):
        raise InputError(
            f"“{path}” has {_count(planes)} and “{path_of_other}” has {_count(planes_of_other)}: "
            "give files with the same planes."
        )
    for (name, read), place, (_, beside) in zip(planes, places, planes_of_other, strict=True):
        yield name, read(), (at_place[place] if alike else beside)()


def _find_place(path: Path, name: str) -> frozenset[tuple[str, str]]:
    """Along which axis a plane lies where, by how it is called; nothing where that is not said."""
    said = (word.partition("=") for word in name.removeprefix(str(path)).split())
    return frozenset((axis, at) for axis, is_said, at in said if is_said)


def _count(planes: Planes) -> str:
    return f"{len(planes)} planes" if len(planes) > 1 else "one plane"
