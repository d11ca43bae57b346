"""Labels of one plane in an image file, read as they stand and written all or nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_unet.core.errors import InputError
from napari_unet.core.files import write_atomically
from napari_unet.core.pixels import read_plane


def read_labels(path: str | Path) -> NDArray[np.int32]:
    """Read a label image: > 0 a cell instance, −1 background said, 0 not said.

    Parameters
    ----------
    path : str or Path
        A TIFF, PNG or BMP of one plane with whole numbers. In a palette PNG the index counts.

    Returns
    -------
    (H, W) int32 array
        The values as they stand in the file; a black-and-white mask becomes 0 and 1.

    Raises
    ------
    InputError
        The file cannot be read, is a colour image or a stack, or holds fractions, numbers
        below −1 or numbers beyond int32.
    """
    return as_labels(read_plane(path), str(path))


def as_labels(plane: NDArray[Any], name: str) -> NDArray[np.int32]:
    """The values of a label image as int32.

    Raises
    ------
    InputError
        They are fractions, or numbers below −1 or beyond int32.
    """
    if plane.dtype.kind == "f":
        if not np.isfinite(plane).all() or (plane != np.round(plane)).any():
            raise InputError(
                f"“{name}” holds fractions or NaN, so that it is no label image; "
                "labels are whole numbers, one for each cell."
            )
    elif plane.dtype.kind not in "iub":
        raise InputError(f"“{name}” holds {plane.dtype} values; labels are whole numbers.")
    low, high = (plane.min(), plane.max()) if plane.size else (0, 0)
    if low < -1:
        raise InputError(
            f"“{name}” holds the label {int(low)}; only −1 (background), 0 and positive labels "
            "have a meaning."
        )
    if high > np.iinfo(np.int32).max:
        raise InputError(
            f"“{name}” holds the label {int(high)}, which is beyond 2147483647; relabel the cells."
        )
    return plane.astype(np.int32)


def write_labels(path: str | Path, labels: NDArray[Any]) -> None:
    """Write labels as a TIFF, deflate compressed, all or nothing.

    uint16 where all labels fit (0 … 65535), which every tool reads; else int32, as for the −1
    of background that is said.

    Parameters
    ----------
    path : str or Path
        Should end in .tif or .tiff. Missing folders are made.
    labels : (H, W) array of integers from −1 to 2147483647
        Or a stack of planes, (Z, H, W) or (T, Z, H, W).

    Raises
    ------
    InputError
        `labels` are no planes of such integers, or the file cannot be written.
    """
    labels = np.asarray(labels)
    if not 2 <= labels.ndim <= 4 or labels.dtype.kind not in "iub":
        raise InputError(
            f"Labels of shape {labels.shape} and type {labels.dtype} cannot be written to "
            f"“{path}”; planes of whole numbers are needed."
        )
    low, high = (labels.min(), labels.max()) if labels.size else (0, 0)
    if low < -1 or high > np.iinfo(np.int32).max:
        raise InputError(
            f"Labels from {low} to {high} cannot be written to “{path}”; "
            "they must lie between −1 and 2147483647."
        )
    fits = low >= 0 and high <= np.iinfo(np.uint16).max
    values = labels.astype(np.uint16 if fits else np.int32)
    axes = "TZYX"[-labels.ndim :]

    def write(target: Path) -> None:
        tifffile.imwrite(
            target,
            values,
            photometric="minisblack",
            compression="zlib",
            metadata={"axes": axes},
        )

    write_atomically(path, write)
