"""Candidates for cells: each cell once, overlaps to the surest, whatever the tiles."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.core.candidates import MASK, Candidates, draw_mask
from napari_unet.core.config import InstanceConfig
from napari_unet.core.models.candidate_stitcher import CandidateStitcher
from napari_unet.core.tiling import grid

PLAIN = InstanceConfig(min_size=0, min_score=0.0)


def solid(boxes, scores, shape=(40, 60)) -> Candidates:
    """Cells that fill their boxes, given as x1, y1, x2, y2."""
    count = len(boxes)
    return Candidates(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(scores, np.float32),
        np.full((count, MASK, MASK), 255, np.uint8),
        np.arange(1, count + 1, dtype=np.uint8),
        shape,
    )


def test_a_mask_is_drawn_in_the_pixels_of_its_box():
    rows, columns = np.mgrid[:MASK, :MASK] + 0.5
    disc = np.hypot(rows - MASK / 2, columns - MASK / 2) < MASK / 2
    region, soft = draw_mask(
        np.array([10, 5, 38, 19], np.float32), (255 * disc).astype(np.uint8), (40, 60)
    )
    assert region == (slice(5, 19), slice(10, 38))
    rows, columns = np.mgrid[5:19, 10:38] + 0.5
    inside = ((rows - 12) / 7) ** 2 + ((columns - 24) / 14) ** 2 < 1
    assert np.count_nonzero((soft > 0.5) != inside) < 0.06 * inside.sum()


def test_what_lies_beyond_the_image_is_left_out():
    found = solid([(-5, -5, 5, 5), (55, 30, 70, 50)], [0.9, 0.8]).label(PLAIN)
    assert (found.labels[:5, :5] == 1).all()
    assert (found.labels[30:, 55:] == 2).all()
    assert np.count_nonzero(found.labels) == 25 + 50


def test_specks_of_a_mask_are_no_part_of_its_cell():
    mask = np.zeros((MASK, MASK), np.uint8)
    mask[4:16, 4:16] = mask[24:, 24:] = 255
    found = dataclasses.replace(solid([(0, 0, MASK, MASK)], [0.9]), masks=mask[None]).label(PLAIN)
    expected = np.zeros((40, 60), np.int32)
    expected[4:16, 4:16] = 1
    np.testing.assert_array_equal(found.labels, expected)
    assert found.instances.masks[0].sum() == 144


def test_overlaps_go_to_the_surer_cell_and_both_are_kept_whole():
    found = solid([(0, 0, 20, 20), (14, 0, 34, 20)], [0.6, 0.9]).label(PLAIN)
    assert found.scores.tolist() == pytest.approx([0.9, 0.6])
    assert found.classes.tolist() == [2, 1]
    assert (found.labels[:20, 14:34] == 1).all()
    assert (found.labels[:20, :14] == 2).all()
    assert [mask.sum() for mask in found.instances.masks] == [400, 400]
    assert found.instances.boxes.tolist() == [[0, 14, 20, 34], [0, 0, 20, 20]]


def test_a_cell_that_lies_in_a_surer_one_by_more_than_half_is_the_same():
    boxes = [(0, 0, 20, 20), (4, 0, 24, 20), (30, 0, 50, 20)]
    found = solid(boxes, [0.9, 0.8, 0.3]).label(PLAIN)
    assert found.classes.tolist() == [1, 3]
    sure = dataclasses.replace(PLAIN, min_score=0.4)
    assert solid(boxes, [0.9, 0.8, 0.3]).label(sure).classes.tolist() == [1]
    both = dataclasses.replace(sure, overlap=0.7)
    boxes[1] = (6, 0, 26, 20)  # of which just that lies in the first one
    assert solid(boxes, [0.9, 0.8, 0.3]).label(both).classes.tolist() == [1, 2]


def test_small_and_cut_cells_are_left_out_with_their_masks():
    candidates = solid([(0, 0, 20, 20), (30, 10, 34, 14)], [0.9, 0.8])
    assert candidates.label(dataclasses.replace(PLAIN, min_size=17)).classes.tolist() == [1]
    found = candidates.label(dataclasses.replace(PLAIN, drop_border=True))
    assert found.classes.tolist() == [2]
    assert found.labels.max() == len(found.scores) == len(found.instances.masks) == 1


def test_holes_are_filled_in_the_label_and_in_the_whole_cell():
    candidates = solid([(0, 0, 20, 20)], [0.9])
    candidates.masks[0, 10:18, 10:18] = 0
    found = candidates.label(PLAIN)
    assert np.count_nonzero(found.labels) == found.instances.masks[0].sum() == 400
    hollow = candidates.label(dataclasses.replace(PLAIN, fill_holes=False))
    assert np.count_nonzero(hollow.labels) == hollow.instances.masks[0].sum() < 400


def test_without_candidates_there_are_no_cells():
    found = Candidates.join([], (7, 9)).label(PLAIN)
    assert found.labels.shape == (7, 9)
    assert not found.labels.any()
    assert found.instances.boxes.shape == (0, 4)


@given(
    st.integers(0, 2**31),
    st.integers(1, 25),
    st.integers(16, 64),
    st.tuples(st.integers(20, 120), st.integers(20, 120)),
)
@settings(max_examples=60)
def test_tiles_give_the_cells_of_the_whole(seed, count, tile, shape):
    """Each tile finds, of all cells that its context shows whole, the very same candidates."""
    rng = np.random.default_rng(seed)
    origin, size = rng.uniform(0, shape[::-1], (count, 2)), rng.uniform(4, 24, (count, 2))
    # eighths of a pixel: moving a box to another origin and back rounds nothing
    boxes = np.round(np.hstack([origin, origin + size]) * 8) / 8
    everything = dataclasses.replace(
        solid(boxes, rng.uniform(0.1, 1, count), shape),
        masks=rng.integers(0, 256, (count, MASK, MASK), dtype=np.uint8),
    )
    expected = everything.label(PLAIN)
    region = (slice(0, shape[0]), slice(0, shape[1]))
    stitcher = CandidateStitcher(region)
    for part in grid(shape, tile, 32, 4, region):
        seen = tuple(slice(a, a + n) for a, n in zip(part.start, part.size, strict=True))
        stitcher.add(part, everything.within(seen))
    found = stitcher.result(PLAIN)
    np.testing.assert_array_equal(found.labels, expected.labels)
    np.testing.assert_array_equal(found.scores, expected.scores)


def test_a_box_of_it_has_the_cells_that_reach_in():
    candidates = solid([(0, 0, 20, 20), (18, 10, 34, 14), (40, 30, 50, 40)], [0.9, 0.8, 0.7])
    part = candidates.cut((slice(8, 20), slice(10, 40)), np.ones((12, 30), bool))
    assert part.shape == (12, 30)
    assert part.classes.tolist() == [1, 2]
    whole = candidates.label(PLAIN).labels[8:20, 10:40]
    np.testing.assert_array_equal(part.label(PLAIN).labels, whole)
