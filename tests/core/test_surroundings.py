"""The rim of background around cells that are taken over."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage as ndi

from napari_unet.core import proofreading
from napari_unet.core.annotation import supervision
from napari_unet.core.proofreading import accept, find_cell, reshape, split_along
from napari_unet.core.surroundings import surround
from proofread_cells import apply, make_two


@pytest.fixture
def two():
    return make_two()


def test_beside_an_accepted_cell_is_background_and_no_other_cell(two):
    prediction, annotation = two
    cell = find_cell(prediction, annotation, (30, 30))
    edit = surround(accept(annotation, cell, 1), prediction, annotation)
    after = apply(annotation, edit)
    np.testing.assert_array_equal(after == 1, prediction == 3)
    near = ndi.binary_dilation(prediction == 3, np.ones((3, 3)), 2)
    np.testing.assert_array_equal(after == -1, near & (prediction == 0))
    assert supervision(after).sum() < 0.2 * after.size  # all else is as unsaid as before

    other = find_cell(prediction, after, (30, 53))
    both = apply(after, surround(accept(after, other, 2), prediction, after))
    np.testing.assert_array_equal(both == 1, prediction == 3)
    np.testing.assert_array_equal(both == 2, prediction == 7)


def test_a_frame_that_counts_as_painted_stays_one(two):
    prediction, annotation = two
    annotation[50:55, 5:10] = 4
    edit = accept(annotation, find_cell(prediction, annotation, (30, 30)), 5)
    assert surround(edit, prediction, annotation) is edit
    unsigned = np.zeros(annotation.shape, np.uint8)  # has no -1
    edit = accept(unsigned, find_cell(prediction, unsigned, (30, 30)), 5)
    assert surround(edit, prediction, unsigned) is edit


def test_amid_a_cluster_the_nearest_ground_is_background():
    prediction = np.kron(np.arange(1, 26).reshape(5, 5), np.ones((12, 12), int)).astype(np.int32)
    prediction = np.pad(prediction, 20)
    prediction[:8, :8] = 26
    annotation = np.zeros_like(prediction)
    point = (50, 50)  # with cells all around
    cell = find_cell(prediction, annotation, point)
    after = apply(annotation, surround(accept(annotation, cell, 1), prediction, annotation))
    assert (after == -1).sum() == 1
    assert not prediction[after == -1].any()
    assert (supervision(after) == (after != 0)).all()
    lone = find_cell(prediction, after, (4, 4))
    later = apply(after, surround(accept(after, lone, 2), prediction, after))
    assert (later == -1).sum() > 10

    full = prediction[20:80, 20:80]  # nothing but cells: there is no ground to name
    said = np.zeros_like(full)
    edit = accept(said, find_cell(full, said, (30, 30)), 1)
    assert surround(edit, full, said) is edit


def test_nothing_is_said_where_the_network_has_not_looked(two):
    prediction, annotation = two
    seen = np.zeros(prediction.shape, bool)
    seen[:, :30] = True
    prediction[~seen] = 0
    cell = find_cell(prediction, annotation, (30, 25))
    after = apply(annotation, surround(accept(annotation, cell, 1), prediction, annotation, seen))
    assert (after[:, :30] == -1).any()
    assert not after[:, 30:].any()


def test_what_is_shrunk_off_a_predicted_cell_is_background(two):
    prediction, annotation = two
    cell = find_cell(prediction, annotation, (30, 30))
    edit = reshape(annotation, cell, proofreading.shrink, 1)
    after = apply(annotation, surround(edit, prediction, annotation))
    assert (after[(prediction == 3) & (after != 1)] == -1).all()
    assert not (after[prediction == 7]).any()


def test_painted_cells_get_no_rim_and_a_region_takes_none_away(two):
    prediction, annotation = two
    annotation[2:12, 2:12] = 4
    annotation[59, 89] = -1
    painted = find_cell(prediction, annotation, (5, 5))
    for edit in (
        reshape(annotation, painted, proofreading.grow, 5),
        split_along(annotation, painted, [(0, 7), (14, 7)], (5, 6)),
    ):
        after = apply(annotation, surround(edit, prediction, annotation))
        np.testing.assert_array_equal(after == -1, annotation == -1)
    annotation[59, 89] = 0
    edit = accept(annotation, find_cell(prediction, annotation, (30, 30)), 5)
    assert surround(edit, prediction, annotation) is edit
    assert (surround(edit, prediction, annotation, regions=True).labels == -1).any()
