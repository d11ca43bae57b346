"""The files that are meant by files, folders and patterns."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable
from pathlib import Path

from napari_unet.core.errors import InputError
from napari_unet.core.file_pairs import leave_out_shown
from napari_unet.core.files import find_home
from napari_unet.core.lazy_image import is_zarr

IMAGE_SUFFIXES = frozenset({".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp", ".lsm"})

_OF_CELLPOSE = re.compile(r"_seg\.npy$", re.IGNORECASE)
_OF_OTHERS = re.compile(r"\.(zip|roi|json|geojson)$", re.IGNORECASE)


def expand(paths: str | Path | Iterable[str | Path], what: str = "images") -> list[Path]:
    """The files that are meant by files, folders and glob patterns.

    Parameters
    ----------
    paths : one or several of: a file, a folder, a glob pattern (`**` crosses folders)
        A folder stands for the image files directly in it. Hidden files are left out.
    what : str
        What is looked for, for the message: "images", "labels". Of anything but images a folder
        stands for Cellpose's masks, which lie beside the images; else for its image files, of
        `a.tif` and `a_masks.tif` for the latter; else for zarrs in it; else for ROIs, COCO and
        GeoJSON; and one that is a zarr stands for itself.

    Returns
    -------
    list of Path
        Each file once, in the order of `paths`; within a folder or pattern in natural order
        (cell2 before cell10).

    Raises
    ------
    InputError
        A path does not exist or cannot be looked into, or a folder or pattern holds no image.
    """
    entries = [paths] if isinstance(paths, str | Path) else list(paths)
    if not entries:
        raise InputError(f"No {what} were given; name a file, a folder or a pattern.")
    found: dict[Path, None] = {}
    for entry in entries:
        path = find_home(entry)
        try:
            found.update(dict.fromkeys(_expand_one(path, what)))
        except OSError as error:
            raise InputError(
                f"“{path}” cannot be looked into ({error.strerror}); check its name and who may "
                "read it."
            ) from error
    return list(found)


def find_images(names: Iterable[str | Path]) -> list[Path]:
    """Each image file and OME-Zarr once, as `expand`; of a folder those directly in it.

    Raises
    ------
    InputError
        A path does not exist or cannot be looked into, or a folder or pattern holds no image.
    """
    found: dict[Path, None] = {}
    for name in names:
        path = find_home(name)
        if is_zarr(path):
            found[path] = None
            continue
        try:
            inside = path.iterdir() if path.is_dir() else map(Path, glob.iglob(str(path)))
            zarrs = [child for child in sorted(inside) if child.is_dir() and is_zarr(child)]
            files = expand(name)
        except InputError:
            if not zarrs:
                raise
            files = []
        except OSError as error:
            raise InputError(
                f"“{path}” cannot be looked into ({error.strerror}): choose another folder."
            ) from error
        found.update(dict.fromkeys([*files, *zarrs]))
    return list(found)


def _expand_one(path: Path, what: str) -> list[Path]:
    if path.is_file() or (what != "images" and is_zarr(path)):
        return [path]
    if path.is_dir():
        inside = _choose(path.iterdir(), what)
        if not inside:
            endings = " ".join(sorted(IMAGE_SUFFIXES))
            raise InputError(
                f"No {what} are in the folder “{path}”; it should hold files that end in {endings}."
            )
        return inside
    if glob.has_magic(str(path)):
        inside = _choose(map(Path, glob.iglob(str(path), recursive=True)), what)
        if not inside:
            raise InputError(f"No {what} match “{path}”; check the folder and the pattern.")
        return inside
    raise InputError(f"“{path}” does not exist; check the path to the {what}.")


def _choose(paths: Iterable[Path], what: str) -> list[Path]:
    seen = [path for path in paths if not path.name.startswith(".")]
    files = [path for path in seen if path.is_file()]
    images = [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES]
    if what != "images":
        masks = [path for path in files if _OF_CELLPOSE.search(path.name)]
        zarrs = [path for path in seen if path.is_dir() and is_zarr(path)]
        images = (
            masks
            or leave_out_shown(images)
            or zarrs
            or [path for path in files if _OF_OTHERS.search(path.name)]
        )
    return sorted(images, key=_natural)


def _natural(path: Path) -> list[tuple[int, int, str]]:
    """Sort key in which digits count as numbers."""
    pieces = filter(None, re.split(r"([0-9]+)", str(path).lower()))
    return [(0, int(piece), "") if piece.isdecimal() else (1, 0, piece) for piece in pieces]
