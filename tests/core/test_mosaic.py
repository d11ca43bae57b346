"""A newly predicted part takes its place without tearing or mixing up cells."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_unet.core.mosaic import fit_into, follow, median_diameter

WHOLE = arrays(np.int32, (9, 11), elements=st.integers(-1, 6))
PART = arrays(np.int32, (4, 5), elements=st.integers(0, 4))
REGION = (slice(3, 7), slice(4, 9))


@settings(max_examples=60, deadline=None)
@given(WHOLE, PART)
def test_the_cells_of_the_part_stay_apart_and_whole(whole, part):
    fitted = fit_into(whole, part, REGION)
    assert ((fitted > 0) == (part > 0)).all()
    pairs = np.unique(np.stack([part.ravel(), fitted.ravel()]), axis=1)
    assert len(np.unique(pairs[0])) == pairs.shape[1] == len(np.unique(pairs[1]))


@settings(max_examples=60, deadline=None)
@given(WHOLE, PART)
def test_a_number_from_outside_is_taken_only_where_the_cells_overlapped(whole, part):
    fitted = fit_into(whole, part, REGION)
    outside = whole.copy()
    outside[REGION] = 0
    for number in np.intersect1d(fitted[fitted > 0], outside):
        assert ((fitted == number) & (whole[REGION] == number)).any()


@settings(max_examples=50, deadline=None)
@given(WHOLE, PART)
def test_mirrored_input_gives_the_mirrored_cells(whole, part):
    there = fit_into(whole, part, REGION)
    mirrored = fit_into(whole[:, ::-1], part[:, ::-1], (REGION[0], slice(11 - 9, 11 - 4)))
    assert ((there[:, ::-1] > 0) == (mirrored > 0)).all()
    assert len(np.unique(there)) == len(np.unique(mirrored))


@given(WHOLE, PART)
def test_each_cell_is_found_again_by_its_number(whole, part):
    fitted = fit_into(whole, part, REGION)
    number = follow(part, fitted)
    assert (number[part] == fitted).all()
    gone = np.setdiff1d(np.arange(len(number)), part)
    assert not number[gone].any()


def test_a_cell_across_the_border_stays_one_cell():
    whole = np.zeros((10, 10), np.int32)
    whole[4:6, 2:8] = 3
    region = (slice(0, 10), slice(5, 10))
    part = np.zeros((10, 5), np.int32)
    part[4:6, 0:3] = 1
    part[8:10, 3:5] = 2
    fitted = fit_into(whole, part, region)
    assert (fitted[4:6, 0:3] == 3).all()
    assert (fitted[8:10, 3:5] > 3).all()


def test_input_is_not_changed():
    whole, part = np.full((4, 4), 2, np.int32), np.ones((2, 2), np.int32)
    fit_into(whole, part, (slice(0, 2), slice(0, 2)))
    assert (whole == 2).all()
    assert (part == 1).all()


def test_median_diameter():
    labels = np.zeros((40, 40), np.int32)
    labels[:10, :10] = 1
    labels[20:30, 20:30] = 5
    assert math.isclose(median_diameter(labels), 2 * math.sqrt(100 / math.pi))
    assert math.isnan(median_diameter(np.zeros((3, 3), np.int32)))
