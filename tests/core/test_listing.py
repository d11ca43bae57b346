"""What is meant by the names of files, folders and patterns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from given_files import sentence, touch
from napari_unet.core.errors import InputError
from napari_unet.core.listing import expand, find_images


def test_a_folder_stands_for_its_images_in_natural_order(tmp_path: Path) -> None:
    touch(tmp_path, "cell10.tif", "cell2.TIF", "cell1.ome.tif", "notes.txt", ".cell0.tif")
    (tmp_path / "folder.tif").mkdir()
    assert [path.name for path in expand(tmp_path)] == ["cell1.ome.tif", "cell2.TIF", "cell10.tif"]


def test_a_pattern_crosses_folders_and_each_file_comes_once(tmp_path: Path) -> None:
    touch(tmp_path / "a", "x.png")
    touch(tmp_path / "b" / "c", "y.png")
    found = expand([tmp_path / "b" / "c" / "y.png", str(tmp_path / "**" / "*.png")])
    assert [path.name for path in found] == ["y.png", "x.png"]


def test_a_name_with_brackets_is_a_file_before_it_is_a_pattern(tmp_path: Path) -> None:
    (path,) = touch(tmp_path, "cell[1].tif")
    assert expand(path) == [path]


@pytest.mark.parametrize(
    ("entry", "words"),
    [("missing.tif", "does not exist"), ("*.tif", "No labels match"), ("", "No labels are in")],
)
def test_nothing_found_is_one_sentence(tmp_path: Path, entry: str, words: str) -> None:
    with pytest.raises(InputError) as error:
        expand(tmp_path / entry, "labels")
    assert words in sentence(error)
    assert str(tmp_path) in str(error.value)


def test_what_nobody_may_look_into_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for entry, words in ((tmp_path / ("a" * 300), "too long"), ("~nobody-here/a.tif", "home")):
        with pytest.raises(InputError) as error:
            expand(entry)
        assert words in sentence(error)

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(InputError) as error:
        expand(tmp_path)
    assert f"“{tmp_path}” cannot be looked into (Permission denied)" in sentence(error)


def test_a_zarr_of_labels_stands_for_itself(tmp_path: Path) -> None:
    touch(tmp_path / "a.zarr", "zarr.json")
    assert expand(tmp_path / "a.zarr", "labels") == [tmp_path / "a.zarr"]
    assert expand(tmp_path, "labels") == [tmp_path / "a.zarr"]
    for images in (tmp_path / "a.zarr", tmp_path):
        with pytest.raises(InputError, match="No images are in"):
            expand(images)


def test_no_paths_at_all_is_a_sentence() -> None:
    with pytest.raises(InputError) as error:
        expand([], "images")
    assert "No images were given" in sentence(error)


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
