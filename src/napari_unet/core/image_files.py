"""The images that are meant by files, folders and patterns, of any kind that can be predicted."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from napari_unet.core.errors import InputError
from napari_unet.core.files import expand, find_home
from napari_unet.core.lazy_image import is_zarr


def find_images(names: Iterable[str | Path]) -> list[Path]:
    """Each image file and OME-Zarr once, as `files.expand`; of a folder those directly in it.

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
            inside = sorted(path.iterdir()) if path.is_dir() else []
            zarrs = [child for child in inside if child.is_dir() and is_zarr(child)]
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
