"""Tables joined, filtered, and written so that pandas and the standard library read them back."""

from __future__ import annotations

import csv
import os

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_unet.core.errors import InputError
from napari_unet.core.tables import choose_rows, join_tables, take_rows, write_table

few = settings(deadline=None, max_examples=50)
numbers = arrays(np.float64, st.integers(1, 20), elements=st.floats(allow_infinity=False, width=64))
texts = st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"])), min_size=1, max_size=10)


def read(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


@few
@given(numbers)
def test_numbers_come_back_to_the_last_bit(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("t") / "a.csv"
    single = np.clip(values, -1e38, 1e38).astype(np.float32)
    write_table(path, {"label": np.arange(len(values)), "x": values, "y": single})
    header, *rows = read(path)
    assert header == ["label", "x", "y"]
    read_back = np.array([[float(cell or "nan") for cell in row] for row in rows])
    np.testing.assert_array_equal(read_back[:, 0], np.arange(len(values)))
    np.testing.assert_array_equal(read_back[:, 1], values)
    np.testing.assert_array_equal(read_back[:, 2].astype(np.float32), single)


@few
@given(texts)
def test_any_text_comes_back(tmp_path_factory, words):
    path = tmp_path_factory.mktemp("t") / "a.csv"
    write_table(path, {"name": np.array(words), "n": np.arange(len(words))})
    assert read(path) == [["name", "n"], *([str(word), str(i)] for i, word in enumerate(words))]


def test_the_file_is_plain(tmp_path):
    path = tmp_path / "new" / "a.csv"
    write_table(
        path,
        {
            "label": np.array([1, 2]),
            "score": np.array([0.1, np.nan], np.float32),
            "class": np.array(["Zelle, µ", ""]),
            "touches_border": np.array([True, False]),
        },
    )
    assert path.read_bytes().decode("utf-8") == (
        'label,score,class,touches_border\n1,0.1,"Zelle, µ",True\n2,,,False\n'
    )
    table = pd.read_csv(path)
    assert table["touches_border"].dtype == bool
    assert table["score"].isna().tolist() == [False, True]


def test_a_file_name_that_is_no_utf8_keeps_its_bytes(tmp_path):
    write_table(tmp_path / "a.csv", {"file": np.array([os.fsdecode(b"\xff.tif")])})
    assert (tmp_path / "a.csv").read_bytes() == b"file\n\xff.tif\n"


def test_a_table_without_rows_has_its_header(tmp_path):
    write_table(tmp_path / "a.csv", {"label": np.array([], int)})
    assert (tmp_path / "a.csv").read_text() == "label\n"


def test_the_old_file_stays_where_the_disk_refuses(tmp_path):
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        write_table(tmp_path / "a.csv", {"label": np.array([1])})
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


@few
@given(numbers, st.floats(-9, 9), st.floats(-9, 9))
def test_the_rows_within_limits(values, low, high):
    table = {"x": values, "n": np.arange(len(values))}
    chosen = choose_rows(table, {"x": (low, high), "gone": (1, 2)})
    expected = [low <= value <= high for value in values]
    np.testing.assert_array_equal(chosen, expected)
    np.testing.assert_array_equal(take_rows(table, chosen)["n"], np.flatnonzero(expected))
    assert choose_rows(table, {"x": (None, None)}).all()


def test_joining():
    first, second = {"a": np.array([1, 2])}, {"a": np.array([3])}
    joined = join_tables("file", ["one.tif", "two.tif"], [first, second])
    assert {name: values.tolist() for name, values in joined.items()} == {
        "file": ["one.tif", "one.tif", "two.tif"],
        "a": [1, 2, 3],
    }
    with pytest.raises(InputError, match=r"different columns \(b\)"):
        join_tables("file", ["1", "2"], [first, {"a": np.array([1]), "b": np.array([1])}])
    with pytest.raises(InputError, match="at least one file"):
        join_tables("file", [], [])
