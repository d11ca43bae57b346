"""Where predictions differ, as files and as counts."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.core.disagreement import Tally, write_disagreements
from napari_unet.core.label_files import read_labels, write_labels


@pytest.fixture
def predicted(discs, tmp_path):
    """Of two images: the first lacks cell 3 and has a false one, the second lacks 4 and 5."""
    one = np.where(discs.labels == 3, 0, discs.labels)
    one[118:126, 150:158] = 99
    other = np.where(np.isin(discs.labels, (4, 5)), 0, discs.labels)
    files = {}
    for name, labels in {"one": one, "other": other, "none": np.zeros_like(one)}.items():
        files[name] = [tmp_path / name / f"{image}.tif" for image in "xy"]
        for path in files[name]:
            write_labels(path, labels)
    return files


def numbers(path):
    return np.unique(read_labels(path))[1:].tolist()


def test_each_two_differ_where_they_were_drawn_to(discs, predicted, tmp_path):
    two = {name: predicted[name] for name in ("one", "other")}
    tallies = write_disagreements([discs, discs], two, tmp_path / "found")
    assert tallies == (Tally("one", "other", 4, 2), Tally("other", "one", 2, 0))
    for image in "xy":
        assert numbers(tmp_path / f"found/one_finds_other_misses/{image}.tif") == [4, 5]
        assert numbers(tmp_path / f"found/other_finds_one_misses/{image}.tif") == [3]
        assert numbers(tmp_path / f"found/false_in_one_not_in_other/{image}.tif") == [99]
        assert numbers(tmp_path / f"found/false_in_other_not_in_one/{image}.tif") == []
    shown = read_labels(tmp_path / "found/one_finds_other_misses/x.tif")
    np.testing.assert_array_equal(shown == 4, discs.labels == 4)


def test_of_three_there_are_six_ordered_pairs(discs, predicted, tmp_path):
    tallies = write_disagreements([discs, discs], predicted, tmp_path / "found")
    assert {(t.name, t.against): t.found_alone for t in tallies} == {
        ("one", "other"): 4,
        ("one", "none"): 22,
        ("other", "one"): 2,
        ("other", "none"): 20,
        ("none", "one"): 0,
        ("none", "other"): 0,
    }
    assert len(list((tmp_path / "found").iterdir())) == 12
