"""What is said of each cell: it adds up to the scores, and constructed cases come out as drawn.

And where two predictions differ.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_unet.core.comparison import (
    Difference,
    Pair,
    Verdict,
    differ,
    explain,
    explain_sample,
)
from napari_unet.core.errors import InputError
from napari_unet.core.metrics import THRESHOLDS, score_image
from napari_unet.core.types import Sample

images = st.tuples(st.integers(1, 6), st.integers(1, 7)).flatmap(
    lambda shape: st.tuples(
        arrays(np.int32, shape, elements=st.integers(-1, 4)),
        arrays(np.int32, shape, elements=st.integers(0, 4)),
        st.one_of(st.none(), arrays(np.bool_, shape)),
    )
)


def numbers(labels):
    return [int(one) for one in np.unique(labels) if one > 0]


def row(*runs):
    """One row of pixels from (label, length) pairs."""
    return np.array([[label for label, length in runs for _ in range(length)]], np.int32)


@given(images, st.sampled_from(range(len(THRESHOLDS))))
@settings(max_examples=150, deadline=None)
def test_the_cells_add_up_to_the_scores(case, at):
    found = explain(*case, threshold=float(THRESHOLDS[at]))
    scores = score_image(*case)
    counts = {verdict: len(numbers(labels)) for verdict, labels in found.labels.items()}
    matched = int(scores.true_positives[at])
    assert len(found.pairs) == counts[Verdict.TRUE_POSITIVE] == matched
    assert counts[Verdict.FALSE_POSITIVE] == scores.n_pred - matched
    assert counts[Verdict.FALSE_NEGATIVE] == scores.n_true - matched
    assert counts[Verdict.MERGED] == scores.n_merged
    assert counts[Verdict.SPLIT] == scores.n_split
    assert found.scores.summary() == scores.summary()
    assert {verdict: len(boxes) for verdict, boxes in found.places.items()} == counts


@given(images)
@settings(max_examples=80, deadline=None)
def test_cells_keep_their_number_and_outline(case):
    truth, prediction, _ = case
    found = explain(*case)
    in_prediction = (Verdict.TRUE_POSITIVE, Verdict.FALSE_POSITIVE, Verdict.MERGED)
    for verdict, labels in found.labels.items():
        assert labels.dtype == np.int32
        whole = prediction if verdict in in_prediction else truth
        for number in numbers(labels):
            assert not np.any((labels == number) & (whole != number))
            if verdict in in_prediction:
                np.testing.assert_array_equal(labels == number, whole == number)
        boxes = found.places[verdict]
        for number, box in zip(numbers(labels), boxes, strict=True):
            assert np.count_nonzero(labels[box] == number) == np.count_nonzero(labels == number)


@given(images)
@settings(max_examples=60, deadline=None)
def test_pairs_are_one_to_one_and_have_their_iou(case):
    truth, prediction, _ = case
    pairs = explain(truth, prediction).pairs
    assert len({pair.true for pair in pairs}) == len({pair.predicted for pair in pairs})
    assert [pair.true for pair in pairs] == sorted({pair.true for pair in pairs})
    for pair in pairs:
        one, other = truth == pair.true, prediction == pair.predicted
        assert pair.iou == np.sum(one & other) / np.sum(one | other) >= 0.5


@given(images)
@settings(max_examples=60, deadline=None)
def test_flips_flip_the_map(case):
    truth, prediction, supervision = case
    plain = explain(truth, prediction, supervision)
    mask = None if supervision is None else supervision[:, ::-1]
    flipped = explain(truth[:, ::-1], prediction[:, ::-1], mask)
    assert flipped.pairs == plain.pairs
    for verdict in Verdict:
        np.testing.assert_array_equal(flipped.labels[verdict][:, ::-1], plain.labels[verdict])


@given(images)
@settings(max_examples=60, deadline=None)
def test_other_numbers_in_the_same_order_change_numbers_alone(case):
    truth, prediction, supervision = case
    plain = explain(truth, prediction, supervision)
    other = explain(
        np.where(truth > 0, truth * 1000, truth), prediction.astype(np.uint16) * 7, supervision
    )
    assert other.places == plain.places
    assert [(p.true // 1000, p.predicted // 7, p.iou) for p in other.pairs] == [
        (p.true, p.predicted, p.iou) for p in plain.pairs
    ]


def test_one_of_each():
    truth = row((1, 10), (0, 2), (2, 6), (3, 6), (0, 4), (4, 8), (0, 2), (5, 3), (0, 4))
    prediction = row(
        *((11, 9), (0, 3)),  # finds 1
        *((12, 12), (0, 4)),  # joins 2 and 3
        *((13, 4), (14, 4), (0, 2)),  # two halves of 4: one is the match
        *((0, 3), (15, 4)),  # 5 is missed, 15 is nothing
    )
    found = explain(truth, prediction)
    assert {verdict: numbers(labels) for verdict, labels in found.labels.items()} == {
        Verdict.TRUE_POSITIVE: [11, 12, 13],
        Verdict.FALSE_POSITIVE: [14, 15],
        Verdict.FALSE_NEGATIVE: [3, 5],
        Verdict.MERGED: [12],
        Verdict.SPLIT: [4],
    }
    assert found.pairs == (Pair(1, 11, 0.9), Pair(2, 12, 0.5), Pair(4, 13, 0.5))
    assert found.places[Verdict.SPLIT] == ((slice(0, 1), slice(28, 36)),)
    stricter = explain(truth, prediction, threshold=0.55)
    assert stricter.pairs == (Pair(1, 11, 0.9),)


def test_what_is_unsaid_stands_in_no_label_image():
    truth = row((1, 4), (0, 8))
    prediction = row((5, 4), (0, 2), (6, 4), (0, 2))
    found = explain(truth, prediction, row((1, 6), (0, 6)).astype(bool))
    assert numbers(found.labels[Verdict.FALSE_POSITIVE]) == []
    assert numbers(explain(truth, prediction).labels[Verdict.FALSE_POSITIVE]) == [6]


two_of_one = st.tuples(st.integers(1, 6), st.integers(1, 7)).flatmap(
    lambda shape: st.tuples(
        arrays(np.int32, shape, elements=st.integers(-1, 4)),
        arrays(np.int32, shape, elements=st.integers(0, 4)),
        arrays(np.int32, shape, elements=st.integers(0, 4)),
        st.one_of(st.none(), arrays(np.bool_, shape)),
    )
)
MIRRORED = {
    Difference.FIRST_FINDS: Difference.SECOND_FINDS,
    Difference.SECOND_FINDS: Difference.FIRST_FINDS,
    Difference.FIRST_INVENTS: Difference.SECOND_INVENTS,
    Difference.SECOND_INVENTS: Difference.FIRST_INVENTS,
}


@given(two_of_one)
@settings(max_examples=100)
def test_what_one_finds_more_is_the_difference_of_the_scores(case):
    truth, one, other, known = case
    first, second = explain(truth, one, known), explain(truth, other, known)
    found = differ(first, second)
    alone = [len(found.places[kind]) for kind in (Difference.FIRST_FINDS, Difference.SECOND_FINDS)]
    assert len(first.pairs) - len(second.pairs) == alone[0] - alone[1]
    for kind, labels in found.labels.items():
        assert labels.dtype == np.int32
        assert len(numbers(labels)) == len(found.places[kind])
    for kind, source in (
        (Difference.FIRST_FINDS, second.labels[Verdict.FALSE_NEGATIVE]),
        (Difference.SECOND_FINDS, first.labels[Verdict.FALSE_NEGATIVE]),
        (Difference.FIRST_INVENTS, first.labels[Verdict.FALSE_POSITIVE]),
        (Difference.SECOND_INVENTS, second.labels[Verdict.FALSE_POSITIVE]),
    ):
        shown = found.labels[kind]
        np.testing.assert_array_equal(shown, np.where(np.isin(source, numbers(shown)), source, 0))


@given(two_of_one)
@settings(max_examples=60)
def test_differences_change_sides_with_the_predictions(case):
    truth, one, other, known = case
    first, second = explain(truth, one, known), explain(truth, other, known)
    found, back = differ(first, second), differ(second, first)
    for kind, mirrored in MIRRORED.items():
        np.testing.assert_array_equal(found.labels[kind], back.labels[mirrored])
    assert not any(places for places in differ(first, first).places.values())


def test_one_difference_of_each_kind():
    truth = row((1, 10), (0, 2), (2, 6), (0, 2), (3, 6), (0, 20))
    one = row((1, 10), (0, 10), (2, 6), (0, 2), (5, 4), (0, 4), (6, 4), (0, 6))
    # of the cell 6 of the first it has all but a pixel, the cell 5 of the first it has not
    other = row((1, 10), (0, 2), (2, 5), (0, 20), (6, 3), (0, 2), (7, 4))
    found = differ(explain(truth, one), explain(truth, other))
    assert {kind: numbers(labels) for kind, labels in found.labels.items()} == {
        Difference.FIRST_FINDS: [3],
        Difference.SECOND_FINDS: [2],
        Difference.FIRST_INVENTS: [5],
        Difference.SECOND_INVENTS: [7],
    }
    assert found.places[Difference.FIRST_FINDS] == ((slice(0, 1), slice(20, 26)),)


def test_a_cell_that_is_right_in_one_and_just_false_in_the_other_is_found_by_one_and_no_more():
    truth = row((1, 10), (0, 10))
    right, false = row((4, 6), (0, 14)), row((8, 4), (0, 16))
    found = differ(explain(truth, right), explain(truth, false))
    assert {kind: numbers(labels) for kind, labels in found.labels.items()} == {
        Difference.FIRST_FINDS: [1],
        Difference.SECOND_FINDS: [],
        Difference.FIRST_INVENTS: [],
        Difference.SECOND_INVENTS: [],
    }


def test_predictions_of_two_images_have_no_difference():
    small, large = row((1, 4)), row((1, 5))
    with pytest.raises(InputError, match="same size"):
        differ(explain(small, small), explain(large, large))


def test_bad_input_is_a_sentence():
    labels = row((1, 4))
    with pytest.raises(InputError, match=r"IoU of 0.4 makes no pairs: choose 0.5 to 1"):
        explain(labels, labels, threshold=0.4)
    with pytest.raises(InputError, match="go up to 3000000000"):
        explain(labels, labels.astype(np.int64) * 3_000_000_000)
    with pytest.raises(InputError, match="same size"):
        explain(labels, row((1, 5)))


def test_cells_that_overlap_are_matched_and_placed_as_wholes():
    """Two bars that cross; a speck of the prediction lies wholly under another of its cells."""
    one, two = np.zeros((2, 20, 20), np.int32)
    one[8:12, 2:18], two[2:18, 8:12] = 1, 2
    found = explain((one, two), (3 * two, 3 * one, np.where(one * two, 9, 0)))
    assert {pair.true: pair.predicted for pair in found.pairs} == {1: 3, 2: 6}
    assert [pair.iou for pair in found.pairs] == [1, 1]
    assert found.places[Verdict.TRUE_POSITIVE] == (
        (slice(8, 12), slice(2, 18)),
        (slice(2, 18), slice(8, 12)),
    )
    assert found.places[Verdict.FALSE_POSITIVE] == ((slice(8, 12), slice(8, 12)),)
    assert found.scores.n_pred == 3


def test_wholes_of_a_sample_count_and_their_classes_too():
    one, two = np.zeros((2, 20, 20), np.int32)
    one[8:12, 2:18], two[2:18, 8:12] = 1, 2
    sample = Sample(one[None], np.maximum(one, two), None, {1: 1, 2: 2}, "bars")
    flat = explain_sample(sample, (one, two), {1: 1, 2: 2})
    assert min(pair.iou for pair in flat.pairs) < 1
    found = explain_sample(sample, (one, two), {1: 1, 2: 1}, (one, two))
    assert [pair.iou for pair in found.pairs] == [1, 1]
    assert {kind: (s.n_true, s.n_pred) for kind, s in found.by_class.items()} == {
        1: (1, 2),
        2: (1, 0),
    }
