"""Files: written all or nothing, and what results are called."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from given_files import sentence, touch
from napari_unet.core.errors import InputError
from napari_unet.core.files import name_results, write_atomically
from napari_unet.core.label_files import write_labels


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail(target: Path) -> None:
        target.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, fail)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_a_sentence(tmp_path: Path) -> None:
    def fail(target: Path) -> None:
        target.write_text("half")
        raise OSError(28, os.strerror(28))

    with pytest.raises(InputError) as error:
        write_atomically(tmp_path / "a.tif", fail)
    assert os.strerror(28) in sentence(error)
    assert not list(tmp_path.iterdir())


def test_a_file_in_the_way_of_the_folder_is_a_sentence(tmp_path: Path) -> None:
    touch(tmp_path, "results")
    with pytest.raises(InputError) as error:
        write_labels(tmp_path / "results" / "a.tif", np.zeros((4, 4), int))
    assert "cannot be written" in sentence(error)


def test_the_writer_gets_the_same_folder_and_ending(tmp_path: Path) -> None:
    seen: list[Path] = []

    def write(target: Path) -> None:
        seen.append(target)
        target.write_text("new")

    write_atomically(tmp_path / "model.safetensors", write)
    assert seen[0].parent == tmp_path
    assert seen[0].suffix == ".safetensors"
    assert (tmp_path / "model.safetensors").read_text() == "new"


class _Compared(type(Path())):
    """A path that counts how often it is compared."""

    times = 0

    def __eq__(self, other):
        _Compared.times += 1
        return super().__eq__(other)

    __hash__ = type(Path()).__hash__


def test_the_results_of_many_files_are_not_compared_each_with_all(tmp_path):
    paths = [Path(f"cell{number}.tif") for number in range(300)]
    _Compared.times = 0
    targets = name_results(paths, _Compared(tmp_path))
    assert [target.name for target in targets] == [path.name for path in paths]
    assert _Compared.times < 3 * len(paths)
    with pytest.raises(InputError, match="Two files are called 'cell7'"):
        name_results([*paths, Path("cell7.png")], _Compared(tmp_path))


@pytest.mark.skipif(os.name == "nt", reason="links need a right there")
def test_a_link_stays_one_and_its_file_is_written(tmp_path):
    (tmp_path / "other").mkdir()
    file, link = tmp_path / "other" / "a.csv", tmp_path / "link.csv"
    file.write_text("old")
    link.symlink_to(file)
    write_atomically(link, lambda path: path.write_text("new"))
    assert link.is_symlink()
    assert file.read_text() == "new"
