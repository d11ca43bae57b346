"""What paint means: supervision, targets, weights, and the linter."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_unet.core.annotation import (
    check_labels,
    check_trainable,
    class_index,
    count_cells,
    findings,
    summarize,
    supervision,
    weight_map,
)
from napari_unet.core.border_weights import border_term, border_weight_map, cut_ridge
from napari_unet.core.config import WEIGHT_PRESETS, WeightConfig
from napari_unet.core.errors import InputError
from napari_unet.core.types import Sample

quick = settings(max_examples=40, deadline=None)
paint = arrays(
    np.int32, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(-1, 3)
)


def sample(labels, complete=None, classes=None, name="hela"):
    labels = np.asarray(labels, np.int32)
    image = np.zeros((1, *labels.shape), np.uint8)
    return Sample(image, labels, complete, classes or {}, name)


def test_labels_pass_without_a_copy():
    labels = np.array([[0, 5], [-1, 2]], np.int32)
    assert check_labels(labels, (2, 2)) is labels


@pytest.mark.parametrize("dtype", ["u1", "i2", "u4", "i8", "u8", "f4", "f8", "?"])
def test_labels_of_other_types(dtype):
    got = check_labels(np.array([[0, 1]], dtype))
    assert got.dtype == np.int32
    assert got.tolist() == [[0, 1]]


@pytest.mark.parametrize(
    ("labels", "shape", "word"),
    [
        (np.zeros((2, 3, 4), int), None, "dimensions"),
        (np.zeros((3, 4), int), (4, 3), "3 × 4"),
        (np.full((2, 2), 0.5), None, "fractions"),
        (np.full((2, 2), np.nan), None, "NaN"),
        (np.full((2, 2), -2), None, "-2"),
        (np.full((2, 2), -2.0), None, "-2"),
        (np.full((2, 2), 2**31), None, "2147483648"),
        (np.full((2, 2), "a"), None, "whole numbers"),
        (np.zeros((0, 2), int), None, "empty"),
    ],
)
def test_bad_labels_are_one_sentence_with_the_name(labels, shape, word):
    with pytest.raises(InputError, match=word) as caught:
        check_labels(labels, shape, "hela")
    assert str(caught.value).startswith("hela: ")
    assert str(caught.value).endswith(".")


@given(paint, st.data())
@quick
def test_supervision(labels, data):
    complete = data.draw(st.one_of(st.none(), arrays(bool, labels.shape)))
    said = supervision(labels, complete)
    region = complete is not None and complete.any()
    if region:
        expected = (labels != 0) | complete
    elif (labels == -1).any():
        expected = labels != 0
    else:
        expected = np.ones(labels.shape, bool)
    np.testing.assert_array_equal(said, expected)


def test_supervision_leaves_its_input_alone():
    labels, complete = np.array([[0, 1, -1]], np.int32), np.array([[True, False, False]])
    supervision(labels, complete)
    assert labels.tolist() == [[0, 1, -1]]
    assert complete.tolist() == [[True, False, False]]


@given(paint, st.dictionaries(st.integers(1, 4), st.integers(1, 3)), st.sampled_from([True, False]))
@quick
def test_class_index(labels, classes, ridge):
    config = WeightConfig(ridge=ridge)
    got = class_index(labels, classes, config)
    expected = np.array([[classes.get(int(v), 1) if v > 0 else 0 for v in row] for row in labels])
    expected[cut_ridge(labels, ridge)] = 0
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("kind", [0, -1, 256])
def test_impossible_class(kind):
    with pytest.raises(InputError, match=f"Cell 7 is of class {kind}"):
        class_index(np.array([[7]], np.int32), {7: kind}, WeightConfig())


@given(paint, st.data(), st.sampled_from([*WEIGHT_PRESETS.values(), WeightConfig(inside=True)]))
@quick
def test_weight_map_of_one_class_is_that_of_border_weights(labels, data, config):
    complete = data.draw(st.one_of(st.none(), arrays(bool, labels.shape)))
    options = {name: getattr(config, name) for name in config.__dataclass_fields__}
    expected = border_weight_map(labels, supervision=supervision(labels, complete), **options)
    np.testing.assert_array_equal(weight_map(sample(labels, complete), config), expected)


def test_weight_map_with_two_classes():
    labels = np.zeros((10, 30), np.int32)
    labels[2:4, 2:6], labels[2:6, 12:18], labels[9] = 4, 9, -1
    made = weight_map(sample(labels, classes={9: 2}), WeightConfig(class_weights="balanced"))
    total = 8 + 24 + 30
    assert made[2, 2] == pytest.approx(total / (3 * 8))
    assert made[2, 12] == pytest.approx(total / (3 * 24))
    term = border_term(labels, WeightConfig())
    assert made[9, 8] == pytest.approx(total / (3 * 30) + term[9, 8])
    assert not made[labels == 0].any()


def test_unsaid_pixels_do_not_count():
    small = np.zeros((6, 6), np.int32)
    small[1:3, 1:3], small[5] = 1, -1
    large = np.zeros((60, 60), np.int32)
    large[:6, :6] = small
    config = WeightConfig()
    np.testing.assert_array_equal(
        weight_map(sample(large), config)[:6, :6], weight_map(sample(small), config)
    )


def test_summary():
    labels = np.zeros((10, 10), np.int32)
    labels[0:2, 0:2], labels[0:2, 2:4], labels[6:8, 6:8] = 1, 2, 3
    found = summarize(labels)
    assert (found.cells, found.touching) == (3, 2)
    assert (found.background_said, found.unsaid, found.whole_frame) == (False, 0.0, True)
    labels[9] = -1
    found = summarize(labels)
    assert (found.background_said, found.whole_frame) == (True, False)
    assert found.unsaid == pytest.approx(1 - 22 / 100)
    region = np.zeros(labels.shape, bool)
    region[:5] = True
    found = summarize(np.maximum(labels, 0), region)
    assert (found.background_said, found.whole_frame) == (False, False)
    assert found.unsaid == pytest.approx(1 - 54 / 100)


def test_summary_of_nothing():
    assert summarize(np.zeros((4, 4), np.int32)).cells == 0


@quick
@given(paint, st.sampled_from([1, 10**6]))
def test_cells_that_touch_are_those_a_ridge_is_cut_in(labels, times):
    cut = np.unique(labels[cut_ridge(labels)])
    assert count_cells(np.where(labels > 0, labels * times, labels)) == (
        len(np.unique(labels[labels > 0])),
        len(cut),
    )


def test_clean_paint_has_no_findings():
    labels = np.zeros((30, 30), np.int32)
    labels[2:10, 2:10], labels[2:10, 10:20], labels[20:28, 5:12] = 1, 2, 3
    assert findings(labels) == []


def test_one_id_in_two_places():
    labels = np.zeros((30, 40), np.int32)
    labels[2:8, 2:8], labels[20:26, 30:37], labels[12:18, 2:8] = 5, 5, 6
    (found,) = findings(labels)
    assert found.label == 5
    assert found.sentence == "Cell 5 is in 2 places; give each its own number."
    assert found.region == (slice(2, 26), slice(2, 37))


def test_a_cell_across_a_hairline_is_one_place():
    labels = np.zeros((20, 20), np.int32)
    labels[2:8, 2:8], labels[9:15, 2:8] = 5, 5
    assert findings(labels) == []
    labels[8:10, 2:8] = 0
    assert len(findings(labels)) == 1
    labels[9, 2:8] = 5
    assert len(findings(labels, max_gap=0)) == 1


def test_touching_cells_under_one_number():
    rows, columns = np.ogrid[:60, :80]
    discs = [(rows - 30) ** 2 + (columns - x) ** 2 < 15**2 for x in (25, 50)]
    one = (discs[0] | discs[1]).astype(np.int32) * 7
    (found,) = findings(one)
    assert found.label == 7
    assert found.sentence == "Cell 7 looks like 2 cells that touch; give each its own number."
    assert found.region == (slice(16, 45), slice(11, 65))
    assert findings(np.where(discs[1], 8, one).astype(np.int32)) == []
    long = ((rows - 30) ** 2 / 10**2 + (columns - 40) ** 2 / 35**2 < 1).astype(np.int32)
    assert findings(long) == []


def test_specks():
    labels = np.zeros((30, 40), np.int32)
    labels[2:8, 2:8], labels[20, 30:33], labels[28, 1] = 5, 5, 8
    apart, alone = findings(labels)
    assert apart.sentence == "A speck of 3 pixels of cell 5 lies apart from it."
    assert apart.region == (slice(20, 21), slice(30, 33))
    assert alone.sentence == "Cell 8 has only 1 pixel."
    assert alone.region == (slice(28, 29), slice(1, 2))
    (places,) = findings(labels, min_size=1)
    assert places.sentence == "Cell 5 is in 2 places; give each its own number."


def test_a_cell_of_nothing_but_specks():
    labels = np.zeros((9, 9), np.int32)
    labels[1, 1:3], labels[7, 7] = 4, 4
    (found,) = findings(labels)
    assert found.sentence == "Cell 4 is 2 specks of at most 2 pixels."
    assert found.region == (slice(1, 8), slice(1, 8))


def test_a_binary_mask_is_one_finding():
    labels = np.zeros((400, 400), np.int32)
    labels.reshape(20, 20, 20, 20)[:, 2:12, :, 2:12] = 1
    (found,) = findings(labels)
    assert found.sentence.startswith("Cell 1 is in 400 places")


@given(paint)
@quick
def test_findings_do_not_depend_on_how_large_the_numbers_are(labels):
    large = np.where(labels > 0, labels + 1_000_000, labels)
    for a, b in zip(findings(labels, min_size=3), findings(large, min_size=3), strict=True):
        assert (a.label + 1_000_000, a.region) == (b.label, b.region)


@given(paint)
@quick
def test_findings_turn_with_the_image(labels):
    def seen(labels, turn=lambda region: region):
        return sorted((f.label, *map(str, turn(f.region))) for f in findings(labels, min_size=3))

    assert seen(labels.T) == seen(labels, lambda region: region[::-1])


CELL = np.pad(np.full((3, 3), 2), 3)


@pytest.mark.parametrize(
    ("samples", "word"),
    [
        ([], "no image"),
        ([sample(np.zeros((5, 5)))], "Nothing is painted on hela"),
        ([sample(np.zeros((5, 5)), np.zeros((5, 5), bool))], "Nothing is painted"),
        ([sample(np.zeros((5, 5)), np.ones((5, 5), bool))], "background"),
        ([sample(np.full((5, 5), -1))], "All paint on hela is background"),
        ([sample(np.full((5, 5), 1))], "All paint on hela is cell"),
        ([sample(CELL, np.zeros((5, 5), bool))], "complete region"),
        ([sample(CELL), Sample(np.zeros((1, 4, 4)), CELL.astype(np.int32), name="b")], "b: "),
        ([sample(np.zeros((5, 5))), sample(np.full((5, 5), -1))], "the 2 images"),
    ],
)
def test_not_trainable(samples, word):
    with pytest.raises(InputError, match=word) as caught:
        check_trainable(samples)
    assert str(caught.value).endswith(".")


def test_trainable():
    check_trainable([sample(CELL)])
    check_trainable([sample(np.full((5, 5), 1)), sample(np.full((5, 5), -1))])
    check_trainable(iter([sample(np.zeros((5, 5))), sample(CELL)]))
