"""Image files to arrays: one plane with its channels, in the file's own grey values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_unet.core.damage import DAMAGE, give_reason
from napari_unet.core.errors import InputError

_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def read_image(path: str | Path) -> NDArray[Any]:
    """Read an image file as channels of one plane.

    Parameters
    ----------
    path : str or Path
        TIFF (also OME, ImageJ, LSM), PNG, JPEG or BMP; the content decides, not the ending.

    Returns
    -------
    (C, H, W) array
        In the file's own dtype; a black-and-white image becomes uint8 of 0 and 1. Grey gives
        C = 1, colour C = 3 even where the three are alike; an alpha channel is left out.

    Raises
    ------
    InputError
        The file is missing, damaged or of another kind, or holds several images or a stack of
        planes.

    Notes
    -----
    Where the file names its axes, they count: C and S (samples) are channels, and more than one
    plane along T, Z or any other named axis is a stack. Where a TIFF does not name the axes of
    an array of three dimensions, a last axis of 2 to 4 is taken as channels, else a first axis
    of 2 to 4; anything else is a stack.
    """
    return _read(Path(path), palette=False)


def read_plane(path: str | Path) -> NDArray[Any]:
    """Read a file of one channel, (H, W); in a palette PNG the index counts, not the colour.

    Raises
    ------
    InputError
        As `read_image`, and for a colour image or several channels.
    """
    image = _read(Path(path), palette=True)
    if len(image) != 1:
        raise InputError(
            f"“{path}” has {len(image)} channels, so that it is no label image; "
            "save the labels as one channel of whole numbers."
        )
    plane: NDArray[Any] = image[0]
    return plane


def _read(path: Path, *, palette: bool) -> NDArray[Any]:
    if not path.is_file():
        kind = "is a folder, not an image file" if path.is_dir() else "does not exist"
        raise InputError(f"“{path}” {kind}; check the path.")
    try:
        with path.open("rb") as file:
            start = file.read(26)
        if start.startswith(_TIFF_STARTS):
            image = _read_tiff(path)
        else:
            _refuse_deep_colour(path, start)
            image = _read_picture(path, palette=palette)
    except InputError:
        raise
    except DAMAGE as error:
        raise InputError(
            f"“{path}” cannot be read as an image ({give_reason(error)}); "
            "it may be damaged, half copied or of another format."
        ) from error
    if image.size == 0:
        raise InputError(f"“{path}” has no pixels; save the image again.")
    if image.dtype.kind == "b":
        image = image.astype(np.uint8)
    if image.dtype.kind not in "iuf":
        raise InputError(f"“{path}” holds {image.dtype} values; save it as integers or floats.")
    return np.ascontiguousarray(image)


def _read_tiff(path: Path) -> NDArray[Any]:
    with tifffile.TiffFile(path) as tif:
        series = find_series(tif, path)
        page = series.keyframe
        axes = _name_axes(series.shape, series.axes, path)
        try:
            array = series.asarray()
        except ValueError as error:
            if "imagecodecs" not in str(error):
                raise
            # tifffile leaves LZW and JPEG to imagecodecs; Pillow reads the simple cases.
            simple = page.bitspersample <= 8 or page.samplesperpixel == 1
            if len(series.pages) == 1 and simple:
                return _read_picture(path, palette=True)
            compression = getattr(page.compression, "name", page.compression)
            raise InputError(
                f"“{path}” is compressed with {compression}; "
                "run “pip install imagecodecs”, or save it with deflate or no compression."
            ) from error
        return _channels_first(array, axes, alpha=has_alpha(page))


def find_series(tif: Any, path: Path) -> Any:
    """The image of an open TIFF, with its coarser levels; what goes along with it is left out.

    Raises
    ------
    InputError
        If there are further images.
    """
    series = tif.series[0]
    further = [other for other in tif.series[1:] if _is_image(other, series)]
    if further:
        sizes = ", ".join(" × ".join(map(str, other.shape)) for other in (series, *further)[:3])
        raise InputError(
            f"“{path}” holds {1 + len(further)} images ({sizes}{' …' * (len(further) > 2)}), and "
            "one is needed; save each as a file of its own."
        )
    return series


def _is_image(other: Any, series: Any) -> bool:
    """Whether a further series of a TIFF is an image of its own and would be missed.

    Slide scanners and OME add pictures of the glass, its label and the whole at a glance, which
    are smaller; to refuse these would close the door on every slide. Where the format does not
    say what its pages are, only those that are marked as reduced or as masks are taken so.
    """
    page = other.keyframe
    if page.is_reduced or page.is_mask:
        return False
    if series.kind in ("generic", "shaped"):
        return True
    first = series.keyframe
    return bool(page.imagelength * page.imagewidth >= first.imagelength * first.imagewidth)


def has_alpha(page: Any) -> bool:
    if page.photometric == tifffile.PHOTOMETRIC.RGB:
        return bool(page.samplesperpixel == 4)
    return page.samplesperpixel == 2 and any(
        extra in (tifffile.EXTRASAMPLE.ASSOCALPHA, tifffile.EXTRASAMPLE.UNASSALPHA)
        for extra in page.extrasamples
    )


def _name_axes(shape: tuple[int, ...], axes: str, path: Path) -> str:
    """The axes with each of more than one entry in C, S, Y or X, else the stack is refused."""
    axes = name_axes(shape, axes)
    planes = [i for i, axis in enumerate(axes) if axis not in "CSYX" and shape[i] > 1]
    if planes or "Y" not in axes or "X" not in axes:
        n = int(np.prod([shape[i] for i in planes], dtype=int))
        _refuse_stack(path, n, "".join(axes[i] for i in planes))
    return axes


def name_axes(shape: tuple[int, ...], axes: str) -> str:
    """The axes of a TIFF as it calls them, or where it does not as `read_image` takes them."""
    unnamed = len(shape) == 3 and axes[0] in "QI" and "S" not in axes
    if unnamed and 2 <= shape[2] <= 4 < min(shape[:2]):
        axes = "YXC"
    elif unnamed and 2 <= shape[0] <= 4:
        axes = "CYX"
    elif len(shape) == 2:
        axes = "YX"
    return axes


def _channels_first(array: NDArray[Any], axes: str, *, alpha: bool) -> NDArray[Any]:
    """Order the axes of `_name_axes` as (C, H, W)."""
    if alpha and "S" in axes:
        array = array.take(range(array.shape[axes.index("S")] - 1), axis=axes.index("S"))
    # An axis of another name has one entry: it may go first.
    array = array.transpose(sorted(range(array.ndim), key=lambda i: "CSYX".find(axes[i])))
    return array.reshape(-1, *array.shape[-2:])


def _refuse_stack(path: Path, planes: int, axes: str) -> None:
    raise InputError(
        f"“{path}” is a stack of {planes} planes (axes {axes or 'unknown'}), and one plane is "
        "needed; save the plane as a file of its own, open the stack in napari, or name the axes "
        "CYX if the planes are channels."
    )


def _read_picture(path: Path, *, palette: bool) -> NDArray[Any]:
    options: dict[str, Any] = {}
    if palette and iio.immeta(path, plugin="pillow", exclude_applied=False).get("mode") == "P":
        options["mode"] = "P"
    array: NDArray[Any] = np.asarray(iio.imread(path, plugin="pillow", **options))
    if array.ndim == 4 or (array.ndim == 3 and array.shape[2] > 4):
        if array.shape[0] > 1:
            _refuse_stack(path, array.shape[0], "")
        array = array[0]
    if array.ndim == 2:
        return array[np.newaxis]
    if array.shape[2] == 4 and iio.immeta(path, plugin="pillow").get("mode") == "CMYK":
        array = np.asarray(iio.imread(path, plugin="pillow", mode="RGB"))  # its last is black ink
    elif array.shape[2] in (2, 4):
        array = array[:, :, :-1]
    return array.transpose(2, 0, 1)


def _refuse_deep_colour(path: Path, start: bytes) -> None:
    """Pillow reads a 16-bit colour PNG as 8 bits without a word."""
    if start.startswith(b"\x89PNG") and len(start) == 26 and start[24] == 16 and start[25] != 0:
        raise InputError(
            f"“{path}” is a colour PNG of 16 bits, which cannot be read in full depth; "
            "save it as TIFF."
        )
