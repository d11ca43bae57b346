"""The formats in which people bring labels and take them away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from napari_unet.core.errors import InputError
from napari_unet.core.formats.cellpose_seg import is_seg, read_seg, write_seg
from napari_unet.core.formats.coco import read_coco, stream_coco, write_coco
from napari_unet.core.formats.geojson import read_geojson, stream_geojson, write_geojson
from napari_unet.core.formats.imagej_roi import read_rois, stream_rois, write_rois
from napari_unet.core.formats.labelled import Extent, Labelled, WriteShapes, remark_overlaps
from napari_unet.core.formats.ome_zarr import is_zarr, read_zarr, write_zarr
from napari_unet.core.formats.tiff import read_tiff, write_tiff
from napari_unet.core.listing import IMAGE_SUFFIXES

__all__ = [
    "FORMATS",
    "Format",
    "Labelled",
    "find_format",
    "read_labelled",
    "read_one",
    "remark_overlaps",
]

_HEAD = 65536  # bytes of a JSON that tell what it is


@dataclass(frozen=True)
class Format:
    """One way to write labels down.

    Attributes
    ----------
    title : str
        For the person.
    ending : str
        Of the files that are written.
    matches : callable
        Whether a file is of this format, by its name and its first bytes.
    read : callable of (path, size of the image or None)
        The cells of each image that the file tells of.
    write : callable of (path, cells)
        All or nothing; returns a sentence for each thing that was lost.
    stream : callable of (path, extent), optional
        Where a file has room for cells that overlap: gives what writes them one after the other,
        all or nothing, so that there may be any number of them. What is too large for the format
        it refuses at once, before anybody works for it.
    says_size : bool
        Whether a file tells how large the image is.
    """

    title: str
    ending: str
    matches: Callable[[Path], bool]
    read: Callable[[Path, tuple[int, int] | None], list[Labelled]]
    write: Callable[[Path, Labelled], tuple[str, ...]]
    stream: Callable[[Path, Extent], WriteShapes] | None = None
    says_size: bool = True


def _ends_in(*suffixes: str) -> Callable[[Path], bool]:
    return lambda path: path.suffix.lower() in suffixes


def _is_json_with(*words: str) -> Callable[[Path], bool]:
    def matches(path: Path) -> bool:
        if path.suffix.lower() not in (".json", ".geojson"):
            return False
        try:
            with path.open("rb") as file:
                head = file.read(_HEAD).decode("utf-8", "replace")
        except OSError:
            return False
        return any(f'"{word}"' in head for word in words)

    return matches


FORMATS = {
    "tif": Format("TIFF", ".tif", _ends_in(*IMAGE_SUFFIXES), read_tiff, write_tiff),
    "roi": Format(
        "ImageJ ROIs",
        ".zip",
        _ends_in(".zip", ".roi"),
        read_rois,
        write_rois,
        stream_rois,
        says_size=False,
    ),
    "seg": Format("Cellpose masks", "_seg.npy", is_seg, read_seg, write_seg),
    "geojson": Format(
        "GeoJSON (QuPath)",
        ".geojson",
        _is_json_with("Feature", "FeatureCollection"),
        read_geojson,
        write_geojson,
        stream_geojson,
        says_size=False,
    ),
    "coco": Format(
        "COCO annotations",
        ".json",
        _is_json_with("annotations", "images", "categories"),
        read_coco,
        write_coco,
        stream_coco,
    ),
    "zarr": Format("OME-Zarr labels", ".zarr", is_zarr, read_zarr, write_zarr),
}
"""By the name that the command line gives them."""


def find_format(path: Path) -> Format | None:
    """The format of a file, None for one that is none of labels."""
    return next((each for each in FORMATS.values() if each.matches(path)), None)


def read_labelled(path: Path, size: tuple[int, int] | None = None) -> list[Labelled]:
    """Read the cells of each image that a file tells of.

    Parameters
    ----------
    path : Path
    size : (H, W), optional
        Of the image, which ROIs and GeoJSON do not say.

    Raises
    ------
    InputError
        The file is of no format that is known, or damaged.
    """
    found = find_format(path)
    if found is None:
        titles = ", ".join(each.title for each in FORMATS.values())
        raise InputError(f"“{path}” is none of: {titles}; convert it to one of them.")
    return found.read(path, size)


def read_one(path: Path, size: tuple[int, int] | None = None) -> Labelled:
    """Read a file that tells of one image, as `read_labelled`.

    Raises
    ------
    InputError
        It tells of none or of several, or as `read_labelled`.
    """
    found = read_labelled(path, size)
    if len(found) != 1:
        raise InputError(
            f"“{path}” tells of {len(found)} images, and that of one is needed: “napari-unet "
            "convert” writes a file for each."
        )
    return found[0]
