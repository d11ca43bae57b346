"""Measurements beside what others wrote into the features of a labels layer."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.layers import Labels

from napari_unet.widgets._classes import classes_of_cells, set_class
from napari_unet.widgets._features import read_feature, write_measurements, write_predicted


def table_of(*labels, name="area_px2"):
    return {"label": np.array(labels, int), name: np.array(labels, float) * 10}


def make_layer(features=None):
    return Labels(np.zeros((9, 9), np.int32), features=features)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.sets(st.integers(1, 9)), min_size=1, max_size=4),
    st.dictionaries(st.integers(1, 12), st.sampled_from(["a", "b"]), max_size=5),
)
def test_whatever_is_measured_in_turn_the_persons_words_stay(rounds, words):
    layer = make_layer({"index": list(words), "word": list(words.values())} if words else None)
    for labels in rounds:
        write_measurements(layer, table_of(*sorted(labels)))
        assert (read_feature(layer, "word") or {}) == words
        assert read_feature(layer, "area_px2") == {label: 10.0 * label for label in labels}
        assert set(layer.features["index"]) == labels | set(words)
        assert layer.features["index"].is_unique


def test_other_columns_take_the_place_of_ours():
    layer = make_layer()
    write_measurements(layer, table_of(1, 2))
    write_measurements(layer, table_of(1, 2, name="area_um2"))
    assert list(layer.features) == ["index", "area_um2"]


def test_rows_without_index_are_about_their_number():
    layer = make_layer({"word": [None, "one", "two"]})
    write_measurements(layer, table_of(2, 7))
    assert read_feature(layer, "word") == {1: "one", 2: "two"}
    assert read_feature(layer, "area_px2") == {2: 20.0, 7: 70.0}


def test_classes_are_set_before_and_after():
    layer = make_layer()
    set_class(layer, 5, "round")
    write_measurements(layer, table_of(4, 5))
    set_class(layer, 4, "long")
    set_class(layer, 6, "round")
    write_measurements(layer, table_of(4, 6))
    assert read_feature(layer, "class") == {4: "long", 5: "round", 6: "round"}
    assert set(classes_of_cells(layer)) == {4, 5, 6}
    assert read_feature(layer, "area_px2") == {4: 40.0, 6: 60.0}


@pytest.mark.parametrize("index", [["a", "b"], [1.5, np.nan]])
def test_a_table_of_another_kind_stays(index):
    features = pd.DataFrame({"index": index, "word": ["x", "y"]})
    layer = make_layer(features)
    write_measurements(layer, table_of(1))
    assert layer.features["word"].dropna().tolist() == ["x", "y"]


def test_napari_shows_the_figures_of_a_cell_under_the_mouse():
    layer = make_layer()
    layer.data[2:4, 2:4] = 3
    write_measurements(layer, table_of(3))
    assert "area_px2: 30" in str(layer.get_status((2, 2)))


SCORED = {"label": np.array([2, 5]), "score": np.array([0.5, 0.9])}


def test_a_prediction_takes_the_place_of_the_one_before_and_of_what_was_measured():
    layer = make_layer({"index": [2, 3], "word": ["two", None]})
    write_predicted(layer, {"label": np.array([2, 3]), "score": np.array([0.1, 0.2])}, np.array([]))
    write_measurements(layer, table_of(2, 3))
    write_predicted(layer, SCORED, np.array([]))
    assert list(layer.features) == ["index", "word", "score"]
    assert read_feature(layer, "score") == {2: 0.5, 5: 0.9}
    assert read_feature(layer, "word") == {2: "two"}
    assert layer.features["index"].tolist() == [2, 5]


def test_cells_that_are_still_there_keep_what_was_said_of_them():
    layer = make_layer()
    write_predicted(layer, SCORED, np.array([], int))
    again = {"label": np.array([2, 7]), "score": np.array([0.3, 0.4])}
    write_predicted(layer, again, np.array([2, 5, 6]))
    assert read_feature(layer, "score") == {2: 0.3, 5: 0.9, 7: 0.4}


def test_a_measured_cell_that_is_gone_takes_its_score_with_it():
    layer = make_layer()
    write_predicted(layer, SCORED, np.array([], int))
    write_measurements(layer, table_of(5))
    assert read_feature(layer, "score") == {5: 0.9}
    assert read_feature(layer, "area_px2") == {5: 50.0}


def test_a_column_of_the_persons_with_the_name_of_ours_stays():
    layer = make_layer({"index": [5], "score": ["good"]})
    write_predicted(layer, SCORED, np.array([], int))
    assert read_feature(layer, "score") == {5: "good"}
