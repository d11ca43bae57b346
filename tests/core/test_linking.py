"""One number for a cell through the planes of a stack."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.optimize import linear_sum_assignment

from napari_unet.core.errors import InputError
from napari_unet.core.linking import LEAST_IOU, Tracks, link_plane

PLANES = hnp.arrays(np.int32, (9, 11), elements=st.integers(0, 6))


def compact(labels):
    """Numbers 1 … n."""
    ids = np.unique(labels[labels > 0])
    return np.searchsorted(ids, labels, side="left").astype(np.int32) * (labels > 0) + (labels > 0)


def iou(a, b):
    return np.logical_and(a, b).sum() / np.logical_or(a, b).sum()


@given(PLANES)
def test_the_same_plane_keeps_its_numbers(labels):
    linked, highest = link_plane(labels, compact(labels), 6)
    np.testing.assert_array_equal(linked, labels)
    assert highest == 6


@given(PLANES, PLANES.map(compact), st.randoms(use_true_random=False))
def test_numbers_of_the_plane_do_not_matter_and_the_sum_of_iou_is_largest(before, labels, random):
    linked, highest = link_plane(before, labels, 6)
    cells = [labels == i for i in range(1, labels.max() + 1)]
    old = [i for i in range(1, 7) if (before == i).any()]
    table = np.array([[iou(cell, before == i) for i in old] for cell in cells])
    table = np.where(table >= LEAST_IOU, table, 0).reshape(len(cells), len(old))
    best = table[linear_sum_assignment(table, maximize=True)].sum()
    got = [int(linked[cell][0]) for cell in cells]
    assert all((linked[cell] == number).all() for cell, number in zip(cells, got, strict=True))
    assert len(set(got)) == len(got)
    found = sum(table[i, old.index(n)] for i, n in enumerate(got) if n in old)
    assert found == pytest.approx(best)
    assert highest == max([6, *got])

    mixed = list(range(1, len(cells) + 1))
    random.shuffle(mixed)
    shuffled = np.array([0, *mixed], np.int32)[labels]
    again, _ = link_plane(before, shuffled, 6)
    same = [int(again[cell][0]) for cell in cells]
    assert sum(table[i, old.index(n)] for i, n in enumerate(same) if n in old) == pytest.approx(
        best
    )


def test_of_a_cell_that_divided_the_larger_part_keeps_the_number():
    before = np.zeros((10, 20), np.int32)
    before[2:8, 2:16] = 7
    labels = np.zeros_like(before)
    labels[2:8, 2:6], labels[2:8, 7:16] = 1, 2
    linked, highest = link_plane(before, labels, 9)
    assert linked[4, 3] == 10
    assert linked[4, 10] == 7
    assert highest == 10


def test_a_cell_that_is_elsewhere_is_another_one():
    before, labels = np.zeros((2, 10, 20), np.int32)
    before[:, :5], labels[:, 10:15] = 3, 1
    linked, highest = link_plane(before, labels, 3)
    assert linked.max() == highest == 4


def test_planes_of_two_sizes_are_refused():
    with pytest.raises(InputError, match="one size"):
        link_plane(np.zeros((4, 4), np.int32), np.zeros((5, 4), np.int32), 0)


@given(st.lists(PLANES.map(compact), min_size=1, max_size=5))
def test_tracks_number_their_cells_without_a_gap(planes):
    tracks = Tracks()
    linked = [tracks.link(plane) for plane in planes]
    np.testing.assert_array_equal(linked[0], planes[0])
    for plane, numbered in zip(planes, linked, strict=True):
        np.testing.assert_array_equal(numbered > 0, plane > 0)
        assert len(np.unique(numbered)) == len(np.unique(plane))
    used = np.unique(np.stack(linked))
    np.testing.assert_array_equal(used[used > 0], range(1, tracks.highest + 1))
