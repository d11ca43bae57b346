"""What is meant by the names of images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from napari_unet.core.errors import InputError
from napari_unet.core.image_files import find_images


def write(folder: Path) -> list[Path]:
    paths = [folder / name for name in ("a2.tif", "a10.tif")]
    for path in paths:
        tifffile.imwrite(path, np.zeros((4, 4), np.uint8))
    slide = folder / "slide.zarr"
    zarr.open_array(slide, mode="w", shape=(8, 8), dtype="uint8")
    return [*paths, slide]


def test_files_of_a_folder_and_its_zarrs_each_once(tmp_path):
    paths = write(tmp_path)
    assert find_images([tmp_path]) == paths
    assert find_images([paths[2], tmp_path, paths[0]]) == [paths[2], *paths[:2]]
    for path in paths[:2]:
        path.unlink()
    assert find_images([tmp_path]) == paths[2:]


def test_a_folder_without_images_is_a_sentence(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="No images are in the folder"):
        find_images([tmp_path])

    def refuse(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(InputError, match="Permission denied"):
        find_images([tmp_path])


@pytest.mark.parametrize(("name", "words"), [("a" * 300, "too long"), ("~nobody-here/a", "home")])
def test_a_name_that_cannot_be_one_is_a_sentence(name, words):
    with pytest.raises(InputError, match=words):
        find_images([name])
