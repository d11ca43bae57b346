"""Images of any size, of which only windows are read."""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_unet.core.config import NormalizeConfig
from napari_unet.core.damage import DAMAGE, give_reason
from napari_unet.core.errors import InputError
from napari_unet.core.normalize import sample_percentiles, thinning
from napari_unet.core.tiling import mirror
from napari_unet.core.types import Region

READ_WHOLE = 64 * 2**20
"""Pixels up to which all of an image is read for its percentiles, as when it is in memory."""

_BAND = 512  # rows read at a time
_BLOCKS, _BLOCK = 22, 64  # a grid of so many² blocks of so many² px: 2 million pixels


@dataclass(frozen=True, eq=False)
class LazyImage:
    """An array that is sliced like NumPy's, and which of its axes are what.

    Attributes
    ----------
    array : NumPy array or memmap, zarr array, or dask array
    axes : str
        A letter of each axis: Y, X, channels C or S, and others such as T and Z.
    planes : mapping of axis to index
        The plane along each of the others.
    alpha : bool
        Whether the last of the samples S is an alpha channel, which is left out.
    name : str
        How errors call it.
    pixel_size : (float, float)
        Rows and columns, in `unit`.
    unit : str
        As NGFF calls it, such as "micrometer"; empty for pixels.
    origin : tuple, optional
        What `open_image` was called with, where it can be opened anew in another process.
    """

    array: Any
    axes: str
    planes: Mapping[str, int] = field(default_factory=dict)
    alpha: bool = False
    name: str = "image"
    pixel_size: tuple[float, float] = (1.0, 1.0)
    unit: str = ""
    origin: tuple[Any, ...] | None = None

    def __post_init__(self) -> None:
        if len(self.axes) != self.array.ndim or len(set(self.axes)) != len(self.axes):
            raise InputError(
                f"{self.name} has {self.array.ndim} axes and cannot have those of {self.axes}: "
                "give each a letter of its own, such as TYX."
            )
        for axis, length in zip(self.axes, self.array.shape, strict=True):
            if axis in "CSYX":
                continue
            plane = self.planes.get(axis, 0 if length == 1 else None)
            if plane is None or not 0 <= plane < length:
                said = "no plane is chosen" if plane is None else f"there is no plane {plane}"
                raise InputError(
                    f"{self.name} is a stack of {length} planes along {axis} and {said}: "
                    f"choose {axis}=0 to {axis}={length - 1}."
                )
        strange = [axis for axis in self.planes if axis in "CSYX" or axis not in self.axes]
        if strange:
            others = ", ".join(axis for axis in self.axes if axis not in "CSYX")
            known = f"it has some along {others}" if others else "it is no stack"
            raise InputError(f"{self.name} has no planes along {strange[0]}: {known}.")
        if not {"Y", "X"} <= set(self.axes) or 0 in self.array.shape:
            raise InputError(
                f"{self.name} has the axes {self.axes or 'none'} of {self.array.shape} entries: "
                "give an image with rows (Y) and columns (X)."
            )
        if self.array.dtype.kind not in "iufb":
            raise InputError(f"{self.name} holds {self.array.dtype}, not grey values.")

    def __reduce__(self) -> Any:
        if self.origin is None:
            return LazyImage, tuple(getattr(self, item.name) for item in dataclasses.fields(self))
        return open_image, self.origin

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, rows and columns."""
        size = dict(zip(self.axes, self.array.shape, strict=True))
        count = size.get("C", 1)
        return count * (size.get("S", 1) - self.alpha), size["Y"], size["X"]

    def read(self, region: Region) -> NDArray[Any]:
        """The (C, h, w) grey values of a region.

        Raises
        ------
        InputError
            If they cannot be read.
        """
        chosen: dict[str, Any] = {"Y": region[0], "X": region[1], "C": slice(None)}
        chosen["S"] = slice(-1 if self.alpha else None)
        selection = tuple(chosen.get(axis, self.planes.get(axis, 0)) for axis in self.axes)
        try:
            part = np.asarray(self.array[selection])
        except InputError:
            raise
        except DAMAGE as error:
            where = " ".join([self.name, *(f"{axis}={at}" for axis, at in self.planes.items())])
            raise InputError(
                f"“{where}” cannot be read ({give_reason(error)}); it may be damaged, half copied, "
                "or compressed in a way that is not known here."
            ) from error
        left = [axis for axis in self.axes if axis in "CSYX"]
        part = part.transpose(sorted(range(part.ndim), key=lambda i: "CSYX".index(left[i])))
        part = part.reshape(-1, *part.shape[-2:])
        return part.view(np.uint8) if part.dtype == np.bool_ else part

    def read_mirrored(self, start: tuple[int, int], size: tuple[int, int]) -> NDArray[Any]:
        """As `tiling.read`: what lies outside of the image is mirrored.

        Raises
        ------
        InputError
            If there are NaN or infinite values.
        """
        rows, columns = (
            mirror(np.arange(begin, begin + length), most)
            for begin, length, most in zip(start, size, self.shape[1:], strict=True)
        )
        top, left = int(rows.min()), int(columns.min())
        part = self.read((slice(top, int(rows.max()) + 1), slice(left, int(columns.max()) + 1)))
        if part.dtype.kind == "f" and not np.isfinite(part).all():
            raise InputError(
                f"{self.name} holds NaN or infinite values near row {max(start[0], 0)}, "
                f"column {max(start[1], 0)}: replace them first."
            )
        if all(axis[-1] - axis[0] == len(axis) - 1 for axis in (rows, columns)):
            return part
        mirrored: NDArray[Any] = part[:, (rows - top)[:, None], (columns - left)[None]]
        return mirrored


def find_percentiles(
    image: LazyImage, config: NormalizeConfig, sample: NDArray[Any] | None = None
) -> NDArray[np.float64]:
    """`normalize.percentiles` of an image of any size, (C, 2), as its sample has them."""
    sample = take_sample(image) if sample is None else sample
    return sample_percentiles(sample, lambda c: _extremes(image, c), config, image.name)


def take_sample(image: LazyImage) -> NDArray[Any]:
    """Pixels that stand for all of an image, (C, h, w).

    Up to `READ_WHOLE` pixels those that are looked at when it is in memory. Beyond, a regular grid
    of blocks of it, in full resolution: coarser levels are averages, which have other percentiles.
    """
    _, height, width = image.shape
    if height * width <= READ_WHOLE:
        step = thinning(height * width)
        return np.concatenate(
            [
                image.read_mirrored((top, 0), (min(_BAND, height - top), width))[
                    :, -top % step :: step, ::step
                ]
                for top in range(0, height, _BAND)
            ],
            axis=1,
        )
    tops, lefts = (
        np.linspace(0, length - min(_BLOCK, length), _BLOCKS).astype(int)
        for length in (height, width)
    )
    edges = min(_BLOCK, height), min(_BLOCK, width)
    blocks = [
        np.concatenate([image.read_mirrored((y, x), edges) for x in lefts.tolist()], axis=2)
        for y in tops.tolist()
    ]
    return np.concatenate(blocks, axis=1)


def _extremes(image: LazyImage, channel: int) -> tuple[float, float]:
    """The least and the largest value of a channel, read in windows."""
    _, height, width = image.shape
    edge = 4 * _BAND
    low, high = np.inf, -np.inf
    for top in range(0, height, edge):
        for left in range(0, width, edge):
            part = image.read((slice(top, top + edge), slice(left, left + edge)))[channel]
            low, high = min(low, float(part.min())), max(high, float(part.max()))
    return low, high


def open_image(
    image: Any, planes: Mapping[str, int] | None = None, axes: str | None = None
) -> LazyImage:
    """Open an image without reading it.

    Parameters
    ----------
    image : path or array
        An OME-Zarr of one image (NGFF 0.4 or 0.5; its finest level), a zarr array, a TIFF, or a
        NumPy, zarr or dask array. A TIFF is read in windows where it is not compressed or is
        compressed in tiles; compressed strips are read in their whole width.
    planes : mapping of axis to index, optional
        The plane of a stack, such as {"T": 3}.
    axes : str, optional
        Of an array: by default YX or CYX.

    Raises
    ------
    InputError
        If it is missing, of another kind, or a stack of which no plane is chosen.
    """
    planes = {axis.upper(): index for axis, index in (planes or {}).items()}
    if not isinstance(image, str | Path):
        named = axes or {2: "YX", 3: "CYX"}.get(image.ndim)
        if named is None or len(named) != image.ndim:
            raise InputError(f"The image has {image.ndim} axes: name them, such as TCYX.")
        return LazyImage(image, named.upper(), planes)
    path = Path(image)
    origin = (str(path.absolute()), planes, axes)
    if path.is_dir():
        from napari_unet.core.ngff import find_level

        level = find_level(path)
        return LazyImage(
            level.array, axes or level.axes, planes, name=str(path),
            pixel_size=level.pixel_size, unit=level.unit, origin=origin,
        )  # fmt: skip
    return _open_tiff(path, planes, axes, origin)


def is_large(path: Path) -> bool:
    """Whether an image is to be predicted in windows: a zarr, or a TIFF beyond `READ_WHOLE`."""
    if path.is_dir():
        return is_zarr(path)
    try:
        with tifffile.TiffFile(path) as tif:
            series = tif.series[0]
            sizes = dict(zip(series.axes, series.shape, strict=True))
            return sizes.get("Y", 0) * sizes.get("X", 0) > READ_WHOLE
    except DAMAGE:
        return False  # another kind of file, or one that the reader of images will tell about


def is_zarr(path: Path) -> bool:
    """Whether a folder is a zarr group or array; one that nobody may look into is none."""
    try:
        return any((path / name).is_file() for name in ("zarr.json", ".zgroup", ".zarray"))
    except OSError:
        return False  # what reads the folder will tell about it


def _open_tiff(
    path: Path, planes: Mapping[str, int], axes: str | None, origin: tuple[Any, ...]
) -> LazyImage:
    import zarr

    from napari_unet.core.pixels import find_series, has_alpha, name_axes

    try:
        with tifffile.TiffFile(path) as tif:
            series = find_series(tif, path)
            named = axes or name_axes(series.shape, series.axes)
            alpha = "S" in named and has_alpha(series.keyframe)
            contiguous = series.dataoffset is not None
        if contiguous:
            return LazyImage(
                tifffile.memmap(path, mode="r"), named, planes, alpha, str(path), origin=origin
            )
        store = tifffile.imread(path, aszarr=True, level=0)
        array: Any = zarr.open(store, mode="r")
    except InputError:
        raise
    except DAMAGE as error:
        raise InputError(
            f"“{path}” cannot be read as a large image ({give_reason(error)}); give an OME-Zarr "
            "or a TIFF."
        ) from error
    try:
        image = LazyImage(array, named, planes, alpha, str(path), origin=origin)
    except InputError:
        store.close()
        raise
    weakref.finalize(image, store.close)
    return image
