"""The warping error counts topology and forgives where a border runs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage as ndi

from napari_unet.core.errors import InputError
from napari_unet.core.warping import _simple_points, warping_error


def euler_number(inside):
    """4-connected cells minus the holes in them."""
    _, cells = ndi.label(np.pad(inside, 1))
    _, outsides = ndi.label(np.pad(~inside, 1, constant_values=True), np.ones((3, 3)))
    return cells - (outsides - 1)


@pytest.mark.parametrize("code", range(256))
def test_a_simple_point_changes_no_count(code):
    bits = [bool(code >> bit & 1) for bit in range(8)]
    with_it = np.array([*bits[:4], True, *bits[4:]]).reshape(3, 3)
    without = with_it.copy()
    without[1, 1] = False
    if _simple_points()[code]:
        assert euler_number(with_it) == euler_number(without)
        assert ndi.label(with_it)[1] == ndi.label(without)[1]


def test_a_moved_border_is_no_error():
    truth, moved = np.zeros((20, 40), bool), np.zeros((20, 40), bool)
    truth[3:17, 3:30] = True
    moved[5:19, 8:37] = True
    assert np.mean(truth != moved) > 0.1
    assert warping_error(truth, moved) == 0


def test_a_merger_costs_the_length_of_the_break_and_a_split_one_pixel():
    truth = np.ones((21, 21), bool)
    truth[:, 10] = False
    merged = truth.copy()
    merged[8:12, 10] = True
    assert warping_error(truth, merged) == 4 / truth.size
    assert warping_error(merged, truth) == 1 / truth.size


def test_a_missing_cell_is_one_pixel():
    truth = np.zeros((20, 20), bool)
    truth[5:12, 5:12] = True
    assert warping_error(truth, np.zeros_like(truth)) == 1 / truth.size


pairs = st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(
    lambda shape: st.tuples(arrays(np.bool_, shape), arrays(np.bool_, shape))
)


@given(pairs)
@settings(max_examples=80, deadline=None)
def test_it_is_at_most_the_pixel_error_and_sees_every_topology(pair):
    truth, prediction = pair
    error = warping_error(truth, prediction)
    assert 0 <= error <= np.mean(truth != prediction)
    assert warping_error(truth, truth) == 0
    if error == 0:
        assert euler_number(truth) == euler_number(prediction)


def test_bad_input():
    with pytest.raises(InputError, match="same size"):
        warping_error(np.zeros((3, 4)), np.zeros((4, 3)))
