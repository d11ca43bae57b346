"""The line around a cell."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.core.label_boxes import find_boxes
from napari_unet.core.outlines import find_outline


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 9))
def test_a_line_goes_around_each_cell_half_a_pixel_outside(seed, height, width):
    top, left = np.random.default_rng(seed).integers(0, 6, 2)
    labels = np.ones((16, 16), np.int32)
    labels[top : top + height, left : left + width] = 7
    boxes = dict(find_boxes(labels))
    line = find_outline(labels, 7, boxes[7])
    np.testing.assert_array_equal(line[0], line[-1])
    np.testing.assert_array_equal(line.min(axis=0), (top - 0.5, left - 0.5))
    np.testing.assert_array_equal(line.max(axis=0), (top + height - 0.5, left + width - 0.5))
    y, x = line.T
    area = abs(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1])) / 2
    assert area == pytest.approx(height * width - 0.5)  # each corner is cut by an eighth


def test_a_cell_that_is_there_no_more():
    assert find_outline(np.zeros((5, 5), int), 3, (slice(1, 4), slice(1, 4))) is None


def test_of_two_parts_the_larger_has_the_line():
    labels = np.zeros((20, 20), int)
    labels[1, 1], labels[10:18, 10:18] = 4, 4
    line = find_outline(labels, 4, (slice(1, 18), slice(1, 18)))
    assert line.min() == 9.5


@pytest.mark.parametrize("kind", ["?", "<i2", ">i2", ">u4", "<i8", ">i8"])
def test_boxes_of_labels_of_any_numbers(kind):
    labels = np.zeros((9, 9), kind)
    labels[2:4, 3:8] = 1
    assert dict(find_boxes(labels)) == {1: (slice(2, 4), slice(3, 8))}
