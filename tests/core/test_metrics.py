"""Metrics against a brute-force matching, hand-computed examples and invariances."""

from __future__ import annotations

from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_unet.core.errors import InputError
from napari_unet.core.metrics import (
    THRESHOLDS,
    adapted_rand_error,
    drop_small,
    evaluate,
    score_classes,
    score_image,
)

KEYS = ["ap50", "ap75", "f1_50", "mean_ap", "pq", "seg", "iou"]

images = st.tuples(st.integers(1, 6), st.integers(1, 6)).flatmap(
    lambda shape: st.tuples(
        arrays(np.int32, shape, elements=st.integers(-1, 4)),
        arrays(np.int32, shape, elements=st.integers(0, 4)),
        arrays(np.bool_, shape),
    )
)


def brute_force_true_positives(truth, prediction, threshold):
    """The largest one-to-one matching, by trying them all, with IoU as exact fractions."""
    twentieths = round(threshold * 20)
    true_ids = [i for i in np.unique(truth) if i > 0]
    pred_ids = [i for i in np.unique(prediction) if i > 0]

    def fits(i, j):
        a, b = truth == i, prediction == j
        return 20 * np.sum(a & b) >= twentieths * np.sum(a | b)

    for size in range(min(len(true_ids), len(pred_ids)), 0, -1):
        for some in combinations(true_ids, size):
            for others in permutations(pred_ids, size):
                if all(fits(i, j) for i, j in zip(some, others, strict=True)):
                    return size
    return 0


def spread(labels, rng):
    """The same cells, each whole in any of three label images."""
    of_cell = rng.integers(0, 3, 10)
    return tuple(np.where(of_cell[labels.clip(0)] == layer, labels, 0) for layer in range(3))


def brute_force_pairs(truth, prediction, threshold):
    """The largest one-to-one matching of cells given as masks by themselves."""
    fitting = [
        (i, j)
        for i, j in np.ndindex(len(truth), len(prediction))
        if 20 * np.sum(truth[i] & prediction[j])
        >= round(threshold * 20) * np.sum(truth[i] | prediction[j])
    ]
    for size in range(min(len(truth), len(prediction)), 0, -1):
        for some in combinations(fitting, size):
            if len({i for i, _ in some}) == len({j for _, j in some}) == size:
                return size
    return 0


masks = st.lists(arrays(np.bool_, (3, 4)).filter(np.any), min_size=1, max_size=4)


def as_cells(cells):
    """Each mask as a label image of its own."""
    return tuple(np.where(mask, label, 0) for label, mask in enumerate(cells, 1))


def test_debris_is_dropped_and_nothing_else():
    labels = np.zeros((20, 20), np.int32)
    labels[0, :4], labels[5:10, 5:10], labels[15, 15] = 7, 3, -1
    kept = drop_small(labels, 5)
    assert set(np.unique(kept)) == {-1, 0, 3}
    np.testing.assert_array_equal(kept == 3, labels == 3)
    np.testing.assert_array_equal(drop_small(labels, 4), labels)


@given(images)
@settings(max_examples=150, deadline=None)
def test_matching_equals_brute_force(case):
    truth, prediction, _ = case
    scores = score_image(truth, prediction)
    expected = [brute_force_true_positives(truth, prediction, t) for t in THRESHOLDS]
    assert scores.true_positives.tolist() == expected


@given(masks, masks)
@settings(max_examples=150)
def test_matching_of_cells_that_overlap_equals_brute_force(truth, prediction):
    scores = score_image(as_cells(truth), as_cells(prediction))
    expected = [brute_force_pairs(truth, prediction, t) for t in THRESHOLDS]
    assert scores.true_positives.tolist() == expected
    assert (scores.n_true, scores.n_pred) == (len(truth), len(prediction))
    covered, found = np.any(truth, axis=0), np.any(prediction, axis=0)
    assert scores.intersection == np.sum(covered & found)
    assert scores.union == np.sum(covered | found)
    for value in (*scores.ap, scores.pq, scores.seg):
        assert 0 <= value <= 1


@given(images, st.integers(0, 2**32 - 1))
@settings(max_examples=100)
def test_it_does_not_matter_in_which_label_image_a_cell_is(case, seed):
    truth, prediction, supervision = case
    rng = np.random.default_rng(seed)
    for known in (None, supervision):
        plain = score_image(truth, prediction, known)
        layered = score_image(spread(truth, rng), spread(prediction, rng), known)
        assert layered.summary() == pytest.approx(plain.summary())
        assert layered.counts() == plain.counts()


@given(masks)
@settings(max_examples=100)
def test_cells_that_overlap_are_perfect_themselves(truth):
    truth = list({mask.tobytes(): mask for mask in truth}.values())
    scores = score_image(as_cells(truth), as_cells(truth))
    assert set(scores.summary().values()) == {1}
    assert (scores.n_merged, scores.n_split) == (0, 0)


def test_a_cell_that_is_found_twice_is_a_match_and_a_false_positive():
    truth = np.zeros((20, 20), np.int32)
    truth[2:12, 2:12] = 5
    worse = np.roll(truth, 2, axis=0)
    scores = score_image(truth, (worse, np.where(truth, 7, 0)))
    assert scores.counts()["true_positives"] == scores.counts()["false_positives"] == 1
    assert (scores.iou_sum, scores.seg, scores.n_merged) == (1, 1, 0)


@given(images, st.permutations(range(1, 5)), st.permutations(range(1, 5)))
@settings(max_examples=60, deadline=None)
def test_ids_do_not_matter(case, true_order, pred_order):
    truth, prediction, supervision = case
    renamed_truth = np.where(truth > 0, np.array([0, *true_order])[truth.clip(0)] * 100_003, truth)
    renamed_pred = np.array([0, *pred_order])[prediction]
    one = score_image(truth, prediction, supervision).summary()
    other = score_image(renamed_truth, renamed_pred, supervision).summary()
    assert one == pytest.approx(other)


@given(images)
@settings(max_examples=60, deadline=None)
def test_flips_do_not_matter(case):
    plain = score_image(*case).summary()
    for flipped in ([a[::-1] for a in case], [a[:, ::-1] for a in case], [a.T for a in case]):
        assert score_image(*flipped).summary() == pytest.approx(plain)


@given(images)
@settings(max_examples=60, deadline=None)
def test_unsaid_pixels_do_not_matter(case):
    """Other predictions may come and go where nothing is said: every score stays."""
    truth, prediction, supervision = case
    supervision |= truth > 0
    extra = prediction.copy()
    extra[~supervision & (prediction == 0)] = 9
    assert (
        score_image(truth, extra, supervision).summary()
        == score_image(truth, prediction, supervision).summary()
    )


@given(images)
@settings(max_examples=60, deadline=None)
def test_scores_lie_between_0_and_1_and_fall_with_the_threshold(case):
    scores = score_image(*case)
    for values in (scores.precision, scores.recall, scores.f1, scores.ap):
        assert np.all((values >= 0) & (values <= 1))
        assert np.all(np.diff(values) <= 0)
    for value in (scores.pq, scores.iou, scores.dice, scores.seg):
        assert 0 <= value <= 1


@given(arrays(np.int32, (5, 6), elements=st.integers(0, 5)))
@settings(max_examples=30, deadline=None)
def test_the_truth_itself_is_perfect(truth):
    result = evaluate(truth, truth)
    assert all(result[key] == result[f"pooled_{key}"] == 1 for key in KEYS)


def row(*runs):
    """One row of pixels from (label, length) pairs."""
    return np.array([[label for label, length in runs for _ in range(length)]], np.int32)


def test_hand_computed_counts():
    # IoU of 1: 8/10, of 2: 6/10; predicted 3 is in the background, true 3 is missed.
    truth = row((1, 10), (0, 2), (2, 6), (0, 10), (3, 4))
    prediction = row((5, 8), (0, 4), (7, 10), (0, 2), (3, 4), (0, 4))
    scores = score_image(truth, prediction)
    assert (scores.n_true, scores.n_pred) == (3, 3)
    assert scores.true_positives.tolist() == [2, 2, 2, 1, 1, 1, 1, 0, 0, 0]
    assert scores.ap[0] == 2 / 4
    assert scores.precision[0] == scores.recall[0] == scores.f1[0] == 2 / 3
    assert scores.pq == pytest.approx((0.8 + 0.6) / 3)
    assert scores.seg == pytest.approx((0.8 + 0.6) / 3)
    assert scores.iou == 14 / 28
    assert scores.dice == 28 / 42


def test_counts_and_curve():
    truth = row((1, 10), (0, 2), (2, 6), (0, 10), (3, 4))
    prediction = row((5, 8), (0, 4), (7, 10), (0, 2), (3, 4), (0, 4))
    counts = score_image(truth, prediction).counts()
    assert counts == {
        "n_true": 3,
        "n_pred": 3,
        "true_positives": 2,
        "false_positives": 1,
        "false_negatives": 1,
        "merged": 0,
        "split": 0,
    }
    curve = score_image(truth, prediction).curve()
    assert list(curve) == [f"{t / 100:.2f}" for t in range(50, 100, 5)]
    assert list(curve.values()) == [2 / 4] * 3 + [1 / 5] * 4 + [0] * 3


def test_merged_holds_more_than_half_of_each():
    truth = row((1, 4), (0, 2), (2, 4), (3, 4))
    assert score_image(truth, row((9, 9), (0, 5))).n_merged == 1  # all of 1, 3 of 4 of 2
    assert score_image(truth, row((9, 8), (0, 6))).n_merged == 0  # half of 2 is not more
    assert score_image(truth, row((9, 14))).n_merged == 1  # three cells, one prediction
    assert score_image(truth, row((9, 6), (8, 8))).n_merged == 1
    assert score_image(truth, row((9, 14)), truth == 1).n_merged == 0  # it is unsaid area


def test_split_covers_more_than_half_by_cells_that_lie_in_it():
    truth = row((1, 10), (0, 4))
    assert score_image(truth, row((1, 5), (2, 5), (0, 4))).n_split == 1
    assert score_image(truth, row((1, 4), (2, 2), (0, 8))).n_split == 1
    assert score_image(truth, row((1, 3), (2, 2), (0, 9))).n_split == 0  # half is not more
    assert score_image(truth, row((1, 7), (2, 7))).n_split == 0  # 3 of 7 pixels lie in the cell
    assert score_image(truth, row((1, 10), (0, 4))).n_split == 0


@given(images)
@settings(max_examples=60, deadline=None)
def test_merged_and_split_are_as_many_under_other_ids_and_flips(case):
    truth, prediction, supervision = case
    counts = score_image(truth, prediction, supervision).counts()
    turned = score_image(truth[::-1], np.where(prediction > 0, 50 - prediction, 0)[::-1])
    if supervision.all():
        assert turned.counts() == counts
    assert counts["merged"] <= counts["n_true"] // 2
    assert counts["split"] <= counts["n_pred"] // 2


def test_classes_are_scored_apart():
    truth = row((1, 4), (0, 2), (2, 4), (0, 2), (3, 4))
    prediction = row((7, 4), (0, 2), (8, 4), (0, 6))
    scores = score_classes(truth, prediction, {1: 1, 2: 2, 3: 2}, {8: 1})
    assert list(scores) == [1, 2]
    assert scores[1].ap[0] == 1 / 2  # 7 is right, 8 should be of class 2
    assert scores[1].iou == 4 / 8
    assert (scores[2].n_true, scores[2].n_pred, scores[2].ap[0]) == (2, 0, 0)


@given(images)
@settings(max_examples=40, deadline=None)
def test_a_single_class_is_all_cells(case):
    truth, prediction, supervision = case
    by_class = score_classes(truth, prediction, {}, {}, supervision)
    whole = score_image(truth, prediction, supervision)
    assert set(by_class) <= {1}
    for scores in by_class.values():
        assert scores.counts() == whole.counts()
        assert scores.summary() == whole.summary()


def test_two_halves_are_one_match_at_exactly_a_half():
    truth, halves = row((1, 4)), row((1, 2), (2, 2))
    assert score_image(truth, halves).true_positives[0] == 1
    assert score_image(halves, truth).true_positives[0] == 1
    assert score_image(truth, halves).pq == 0  # panoptic quality asks for more than a half
    assert score_image(truth, halves).seg == 0


def test_eleven_twentieths_count_at_0_55():
    scores = score_image(row((1, 20)), row((1, 11), (0, 9)))
    assert scores.true_positives.tolist() == [1, 1, 0, 0, 0, 0, 0, 0, 0, 0]


def test_means_and_pools_differ():
    one_cell, four_cells = row((1, 4)), row((1, 2), (2, 2), (3, 2), (4, 2))
    half_found = row((1, 2), (2, 2), (0, 4))
    result = evaluate([one_cell, four_cells], [one_cell, half_found])
    assert result["ap50"] == (1 + 1 / 2) / 2
    assert result["pooled_ap50"] == 3 / 5
    assert result["f1_50"] == pytest.approx((1 + 2 / 3) / 2)
    assert result["pooled_f1_50"] == 3 / 4
    assert result["iou"] == (1 + 1 / 2) / 2
    assert result["pooled_iou"] == 8 / 12
    assert (result["images"], result["n_true"], result["n_pred"]) == (2, 5, 3)


def test_keys():
    counts = ["images", "n_true", "n_pred", "true_positives", "false_positives"]
    counts += ["false_negatives", "merged", "split"]
    pooled = [f"pooled_{key}" for key in KEYS]
    assert list(evaluate(row((1, 2)), row((1, 2)))) == KEYS + pooled + counts


def test_an_image_without_cells():
    nothing, something = row((0, 4)), row((1, 2), (0, 2))
    assert all(evaluate(nothing, nothing)[key] == 1 for key in KEYS)
    false = evaluate(nothing, something)
    assert all(false[key] == 0 for key in KEYS if key != "seg")
    assert false["seg"] == 1  # it asks the true cells alone
    assert all(evaluate(something, nothing)[key] == 0 for key in KEYS)


def test_a_stack_is_a_sequence_of_images():
    stack = np.stack([row((1, 4)), row((0, 4))])
    assert evaluate(stack, stack) == evaluate(list(stack), list(stack))
    assert evaluate(stack, stack)["images"] == 2


def test_painted_background_is_background():
    assert evaluate(row((1, 2), (-1, 2)), row((1, 2), (0, 2)))["pq"] == 1


def test_a_prediction_in_unsaid_area_is_left_out():
    truth = row((1, 4), (0, 6))
    prediction = row((1, 4), (0, 1), (2, 5))
    everything = score_image(truth, prediction)
    assert (everything.n_pred, everything.ap[0]) == (2, 0.5)
    mostly_unsaid = score_image(truth, prediction, row((1, 7), (0, 3)).astype(bool))
    assert (mostly_unsaid.n_pred, mostly_unsaid.ap[0]) == (1, 1.0)
    mostly_said = score_image(truth, prediction, row((1, 8), (0, 2)).astype(bool))
    assert (mostly_said.n_pred, mostly_said.ap[0]) == (2, 0.5)


def test_a_blob_over_unsaid_area_is_no_match():
    """A net that calls everything a cell must not score on sparse paint."""
    truth = row((0, 8), (1, 4), (0, 8))
    scores = score_image(truth, np.ones_like(truth), truth > 0)
    assert (scores.n_true, scores.n_pred, scores.true_positives[0]) == (1, 0, 0)


def test_a_cell_on_the_edge_of_a_region_is_in_or_out_as_a_whole():
    truth = row((0, 2), (1, 10), (0, 2))
    supervision = row((1, 7), (0, 7)).astype(bool)  # half of the cell
    assert score_image(truth, truth, supervision).ap.tolist() == [1.0] * 10
    assert score_image(truth, row((0, 2), (1, 5), (0, 7)), supervision).ap[1] == 0
    less = row((1, 6), (0, 8)).astype(bool)
    outside = score_image(truth, truth, less)
    assert (outside.n_true, outside.n_pred, outside.union) == (0, 0, 0)


def test_unsupervised_images_are_left_out():
    cell, nothing = row((1, 2), (0, 2)), row((0, 4))
    result = evaluate([cell, cell], [cell, nothing], [None, np.zeros((1, 4), bool)])
    assert (result["images"], result["ap50"]) == (1, 1)
    with pytest.raises(InputError, match="nothing to score"):
        evaluate(cell, cell, np.zeros((1, 4), bool))


def test_adapted_rand_error():
    truth = np.repeat([[1, 2], [1, 2]], 4, axis=1).astype(np.int32)
    assert adapted_rand_error(truth, truth * 7) == pytest.approx(0)
    # 16 pixels in one segment: 120 pairs, of which the 2 × 28 within the two cells are right
    assert adapted_rand_error(truth, np.ones_like(truth)) == pytest.approx(1 - 2 * 56 / (56 + 120))
    with pytest.raises(InputError, match="no cell"):
        adapted_rand_error(np.zeros_like(truth), truth)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((np.zeros((4, 4), int), np.zeros((4, 5), int)), "4 × 4 pixels but"),
        ((np.zeros((4, 4)), np.zeros((4, 4), int)), "truth are of type float64"),
        ((np.zeros((4, 4), int), np.zeros((4, 4), int), np.ones((2, 2), bool)), "mask is 2 × 2"),
        (([np.zeros((4, 4), int)], []), "1 true label images but 0"),
        (([], []), "nothing to score"),
    ],
)
def test_bad_input_is_one_sentence(arguments, sentence):
    with pytest.raises(InputError, match=sentence) as caught:
        evaluate(*arguments)
    assert str(caught.value).count(".") == 1
