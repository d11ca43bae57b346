"""Cells that overlap as lines around them, and what is whole of the cells of a plane."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_unet.core.formats.labelled import Shape
from napari_unet.core.formats.polygons import fill, trace_once
from napari_unet.core.whole_cells import box_of, fill_outlines, find_at, keep_whole, outline

masks = arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))).filter(np.any)
SQUARE = np.ones((6, 6), bool)


def draw(cell, shape=(40, 40)):
    drawn = np.zeros(shape, bool)
    drawn[box_of(cell)] = cell.mask
    return drawn


@given(masks, st.integers(-3, 5), st.integers(-3, 5))
@settings(max_examples=150, deadline=None)
def test_one_ring_tells_of_holes_and_pieces(mask, row, column):
    ring = trace_once(mask, (row, column))
    filled, (top, left) = fill([ring])
    expected = np.zeros((30, 30), bool)
    expected[row + 5 : row + 5 + mask.shape[0], column + 5 : column + 5 + mask.shape[1]] = mask
    found = np.zeros_like(expected)
    found[top + 5 : top + 5 + filled.shape[0], left + 5 : left + 5 + filled.shape[1]] = filled
    np.testing.assert_array_equal(found, expected)
    steps = np.diff(np.concatenate((ring, ring[:1])), axis=0)
    # along the edges of pixels, so that no middle lies on it, and never standing still
    assert ((steps == 0).sum(axis=1) == 1).all()


@given(st.lists(masks, min_size=1, max_size=4))
@settings(max_examples=50, deadline=None)
def test_a_line_gives_the_cell_again_with_what_is_said_of_it(drawn):
    cells = [
        Shape(mask, (3 * i, 2 * i), 7 + i, 0, "long" if i else "", 0.5 if i < 2 else None)
        for i, mask in enumerate(drawn)
    ]
    outlines = outline(cells)
    for line in outlines.lines:
        np.testing.assert_array_equal(line[0], line[-1])
    for before, after in zip(cells, fill_outlines(outlines), strict=True):
        np.testing.assert_array_equal(draw(after), draw(before))
        assert (after.label, after.kind, after.score) == (before.label, before.kind, before.score)


def test_the_smallest_of_the_cells_at_a_place_is_found():
    outlines = outline([Shape(np.ones((20, 20), bool), (0, 0), 3), Shape(SQUARE, (4, 4), 8)])
    assert find_at(outlines, (5.2, 5.4)) == 8
    assert find_at(outlines, (15, 15)) == 3
    assert find_at(outlines, (25, 15)) == find_at(outline([]), (1, 1)) == 0


def test_hidden_pixels_are_kept_and_each_number_is_there_once():
    labels = np.zeros((40, 40), np.int32)
    labels[2:8, 2:8], labels[5:11, 5:11], labels[30:34, 30:34] = 1, 2, 9
    found = [Shape(SQUARE, (5, 5), 2, 0, "b", 0.5), Shape(SQUARE, (2, 2), 1, 0, "a", 0.25)]
    one, two, nine = keep_whole(labels, found)
    assert [cell.label for cell in (one, two, nine)] == [1, 2, 9]
    assert (one.kind, one.score, one.mask.sum()) == ("a", 0.25, 36)
    np.testing.assert_array_equal(draw(two), draw(found[0]))
    np.testing.assert_array_equal(draw(nine), labels == 9)  # of which labels alone are known


def test_around_a_new_region_cells_stay_whole_and_within_it_they_are_known_anew():
    """Cells 4 and 5 were there and overlap; the right half is new, and 5 reaches into it."""
    labels = np.zeros((40, 40), np.int32)
    labels[10:16, 2:8], labels[13:19, 5:26] = 4, 5
    region = slice(0, 40), slice(20, 40)
    before = [
        Shape(SQUARE, (10, 2), 4, 0, "", 0.9),
        Shape(np.ones((6, 20), bool), (13, 5), 5, 0, "", 0.8),
    ]
    new = Shape(np.ones((9, 6), bool), (13, 20), 5, 0, "", 0.7)
    four, five = keep_whole(labels, [new], before, region)
    assert draw(four).sum() == 36
    assert four.score == 0.9
    expected = draw(new)
    expected[13:19, 5:20] = True  # of what it was the part outside
    np.testing.assert_array_equal(draw(five), expected)
    assert five.score == 0.7
    gone = keep_whole(np.where(labels == 5, 0, labels), [], before, region)
    assert [cell.label for cell in gone] == [4]
