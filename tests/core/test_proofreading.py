from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage as ndi

from napari_unet.core import proofreading
from napari_unet.core.errors import InputError
from napari_unet.core.proofreading import (
    Verdict,
    accept,
    combine,
    find_cell,
    judge_cells,
    make_whole,
    merge,
    reject,
    reshape,
    split_along,
    split_by_seeds,
)
from napari_unet.core.samples import make_sample
from napari_unet.core.uncertainty import rank_cells
from proofread_cells import apply, disc, make_two


@pytest.fixture
def two():
    return make_two()


@cache
def make_cells(seed):
    """Cells of which the border of the plane cuts some."""
    return make_sample("fluorescence", (160, 160), seed=seed).labels[:128, :128]


@given(seed=st.integers(0, 9), data=st.data())
def test_an_accepted_cell_is_in_the_result_as_it_was_predicted(seed, data):
    prediction = make_cells(seed)
    annotation = np.zeros_like(prediction)
    points = np.argwhere(prediction > 0)
    point = tuple(points[data.draw(st.integers(0, len(points) - 1))])
    cell = find_cell(prediction, annotation, point)
    after = apply(annotation, accept(annotation, cell, 1))
    pieces, _ = ndi.label(prediction == prediction[point], np.ones((3, 3)))
    np.testing.assert_array_equal(after > 0, pieces == pieces[point])
    result = combine(prediction, after)
    np.testing.assert_array_equal(result > 0, prediction > 0)
    np.testing.assert_array_equal(result == 1, after == 1)


def test_a_large_cell_is_found_whole():
    prediction = np.ones((400, 300), np.int32)
    cell = find_cell(prediction, np.zeros_like(prediction), (200, 10))
    assert cell.mask.all()
    assert cell.box == (slice(0, 400), slice(0, 300))


def test_nothing_is_found_outside_of_cells(two):
    prediction, annotation = two
    assert find_cell(prediction, annotation, (0, 0)) is None
    assert find_cell(prediction, annotation, (-1, 5)) is None
    assert find_cell(prediction, annotation, (5, 90)) is None


def test_the_annotated_cell_comes_before_the_predicted_one(two):
    prediction, annotation = two
    annotation[28:33, 28:33] = 4
    assert find_cell(prediction, annotation, (30, 30)).label == 4
    assert find_cell(prediction, annotation, (30, 53)).label == 0


def test_what_another_cell_has_stays_its_own(two):
    prediction, annotation = two
    annotation[20:30, 20:30] = 9
    before = annotation.copy()
    cell = find_cell(prediction, annotation, (35, 30))
    for edit in (
        accept(annotation, cell, 10),
        reject(annotation, cell),
        reshape(annotation, cell, proofreading.grow, 10),
    ):
        after = apply(annotation, edit)
        np.testing.assert_array_equal(after == 9, before == 9)
        assert (after != before).any()


def test_a_rejected_cell_is_background_and_not_in_the_result(two):
    prediction, annotation = two
    cell = find_cell(prediction, annotation, (30, 30))
    after = apply(annotation, reject(annotation, cell))
    np.testing.assert_array_equal(after == -1, prediction == 3)
    assert judge_cells(prediction, after) == {3: Verdict.REJECTED, 7: Verdict.OPEN}
    np.testing.assert_array_equal(combine(prediction, after) > 0, prediction == 7)
    # the person may think again
    again = apply(after, accept(after, cell, 1))
    assert judge_cells(prediction, again)[3] is Verdict.ACCEPTED


def test_an_annotated_cell_can_be_taken_back(two):
    prediction, annotation = two
    annotation[prediction == 3] = 5
    after = apply(annotation, reject(annotation, find_cell(prediction, annotation, (30, 30))))
    np.testing.assert_array_equal(after == -1, prediction == 3)


def test_two_cells_become_one(two):
    prediction, annotation = two
    one, other = (find_cell(prediction, annotation, (30, column)) for column in (30, 53))
    after = apply(annotation, merge(annotation, one, other, 1))
    assert set(np.unique(after)) == {0, 1}
    assert not ((prediction > 0) & (after != 1)).any()
    assert ndi.label(after)[1] == 1


def test_a_merged_cell_keeps_the_number_of_the_annotated_one(two):
    prediction, annotation = two
    annotation[prediction == 7] = 5
    one, other = (find_cell(prediction, annotation, (30, column)) for column in (30, 53))
    after = apply(annotation, merge(annotation, one, other, 6))
    assert set(np.unique(after)) == {0, 5}


def test_cells_far_apart_and_one_with_itself_are_not_merged(two):
    prediction, annotation = two
    prediction[2:8, 2:8] = 11
    one, far = (find_cell(prediction, annotation, point) for point in ((30, 30), (4, 4)))
    with pytest.raises(InputError, match="do not touch"):
        merge(annotation, one, far, 1)
    with pytest.raises(InputError, match="same cell"):
        merge(annotation, one, one, 1)


@pytest.mark.parametrize("how", ["line", "seeds"])
@pytest.mark.parametrize("annotated", [True, False])
def test_a_cell_is_parted(two, how, annotated):
    prediction, annotation = two
    prediction[prediction > 0] = 3
    if annotated:
        annotation[prediction == 3] = 4
    cell = find_cell(prediction, annotation, (30, 30))
    if how == "line":
        edit = split_along(annotation, cell, [(10, 41), (50, 42)], (8, 9))
    else:
        edit = split_by_seeds(annotation, cell, (30, 30), (30, 53), (8, 9))
    after = apply(annotation, edit)
    np.testing.assert_array_equal(after > 0, prediction > 0)
    assert set(np.unique(after)) == ({0, 4, 8} if annotated else {0, 8, 9})
    for number in np.unique(after)[1:]:
        assert ndi.label(after == number)[1] == 1
        assert 300 < (after == number).sum() < 600


def test_a_cell_is_not_parted_by_what_does_not_part_it(two):
    prediction, annotation = two
    cell = find_cell(prediction, annotation, (30, 30))
    with pytest.raises(InputError, match="right across"):
        split_along(annotation, cell, [(30, 30), (30, 33)], (1, 2))
    with pytest.raises(InputError, match="right across"):
        split_along(annotation, cell, [(0, 80), (9, 85)], (1, 2))
    for other in ((30, 53), (30, 30)):
        with pytest.raises(InputError, match="Both clicks"):
            split_by_seeds(annotation, cell, (30, 30), other, (1, 2))


@pytest.mark.parametrize("change", ["fill", "smooth", "grow", "shrink"])
def test_a_shape_is_changed_within_its_surroundings(two, change):
    prediction, annotation = two
    annotation[prediction == 7] = 2
    prediction[29:32, 29:32] = 0
    cell = find_cell(prediction, annotation, (30, 22))
    after = apply(annotation, reshape(annotation, cell, getattr(proofreading, change), 1))
    assert ((after == 2) == (annotation == 2)).all()
    new, old = after == 1, prediction == 3
    assert new.any()
    if change == "fill":
        np.testing.assert_array_equal(new, old | disc(old.shape, (30, 30), 5))
    if change == "grow":
        assert not (old & ~new).any()
    if change == "shrink":
        assert not (new & ~old).any()
        assert (old & ~new).any()


@given(seed=st.integers(0, 1000))
def test_filling_and_smoothing_twice_is_as_once(seed):
    rng = np.random.default_rng(seed)
    mask = ndi.gaussian_filter(rng.random((40, 40)), 3) > 0.5
    mask[15:25, 15:25] = True
    for change in (proofreading.fill, proofreading.smooth):
        once = change(mask)
        np.testing.assert_array_equal(change(once), once)


def test_a_shrunken_cell_leaves_unsaid_what_it_had(two):
    prediction, annotation = two
    annotation[prediction == 3] = 1
    cell = find_cell(prediction, annotation, (30, 30))
    after = apply(annotation, reshape(annotation, cell, proofreading.shrink, 2))
    assert (after[(prediction == 3) & (after != 1)] == 0).all()
    assert (after == 1).sum() < (annotation == 1).sum()


def test_a_thin_cell_is_not_shrunk_away():
    prediction = np.zeros((20, 20), np.int32)
    prediction[10, 5:15] = 1
    annotation = np.zeros_like(prediction)
    cell = find_cell(prediction, annotation, (10, 8))
    with pytest.raises(InputError, match="too thin"):
        reshape(annotation, cell, proofreading.shrink, 1)


def test_verdicts_follow_most_of_the_pixels(two):
    prediction, annotation = two
    assert judge_cells(np.zeros_like(prediction), annotation) == {}
    annotation[:, :30] = -1
    assert judge_cells(prediction, annotation)[3] is Verdict.OPEN
    annotation[:, :33] = -1
    assert judge_cells(prediction, annotation)[3] is Verdict.REJECTED
    annotation[20:40, 22:50] = 6
    assert judge_cells(prediction, annotation)[3] is Verdict.ACCEPTED


def test_odd_and_unsure_cells_come_first():
    labels = np.zeros((200, 200), np.int32)
    for number, centre in enumerate(np.ndindex(3, 3), 1):
        labels[disc(labels.shape, (30 + 60 * centre[0], 30 + 60 * centre[1]), 12)] = number
    labels[labels == 5] = 0
    labels[disc(labels.shape, (90, 90), 5)] = 5  # a fragment
    labels[disc(labels.shape, (30, 48), 12) & (labels == 0)] = 1  # two in one
    ranked = rank_cells(labels)
    assert {number for number, _ in ranked[:2]} == {1, 5}
    assert len(ranked) == 9
    assert rank_cells(labels, {8: 0.05})[0][0] == 8
    assert rank_cells(np.zeros((9, 9), np.int32)) == []


def test_a_cell_that_the_border_cuts_is_no_fragment():
    labels = np.zeros((80, 80), np.int32)
    for number, (row, column) in enumerate([(20, 20), (20, 50), (50, 20), (50, 50), (78, 50)], 1):
        labels[disc(labels.shape, (row, column), 8)] = number
    labels[disc(labels.shape, (35, 35), 2)] = 6
    ranked = dict(rank_cells(labels))
    assert ranked[6] > 0.5
    assert ranked[5] < 0.2


def whole_at(prediction, annotation, point, whole):
    """The cell at a point with what is hidden of it."""
    cell = find_cell(prediction, annotation, point)
    box = ndi.find_objects(whole.astype(int))[0]
    return make_whole(cell, whole[box], box, point, prediction, annotation)


def test_a_whole_cell_takes_what_was_rejected_and_leaves_what_is_open(two):
    prediction, annotation = two
    whole = disc(prediction.shape, (30, 30), 16)
    hidden = whole & (prediction == 7)
    assert hidden.sum() > 20
    point = (30, 30)
    after = apply(annotation, accept(annotation, whole_at(*two, point, whole), 1))
    np.testing.assert_array_equal(after == 1, whole & ~hidden)
    assert judge_cells(prediction, after)[7] is Verdict.OPEN
    rejected = apply(annotation, reject(annotation, find_cell(*two, (30, 53))))
    after = apply(rejected, accept(rejected, whole_at(prediction, rejected, point, whole), 1))
    np.testing.assert_array_equal(after == 1, whole)
    accepted = apply(annotation, accept(annotation, find_cell(*two, (30, 53)), 2))
    after = apply(accepted, accept(accepted, whole_at(prediction, accepted, point, whole), 1))
    np.testing.assert_array_equal(after == 1, whole & ~hidden)
    np.testing.assert_array_equal(after == 2, prediction == 7)


def test_a_whole_cell_of_another_prediction_is_left_out(two):
    elsewhere = disc(two[0].shape, (30, 48), 10)
    cell = whole_at(*two, (30, 30), elsewhere)
    np.testing.assert_array_equal(cell.mask, find_cell(*two, (30, 30)).mask)


def test_a_whole_cell_may_end_at_the_edge_of_the_plane():
    prediction = np.zeros((20, 20), np.int32)
    prediction[:6, :6] = 4
    whole = np.zeros((20, 20), bool)
    whole[:9, :7] = True
    cell = whole_at(prediction, np.zeros_like(prediction), (2, 2), whole)
    annotation = np.zeros_like(prediction)
    np.testing.assert_array_equal(apply(annotation, accept(annotation, cell, 1)) == 1, whole)
