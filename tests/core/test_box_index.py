"""Boxes that have much in common are found wherever they are, and only these."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.core.box_index import BoxIndex, share_boxes


def test_what_two_boxes_have_in_common():
    others = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30], [2, 2, 2, 8]], np.float32)
    assert share_boxes(others[0], others).tolist() == pytest.approx([1, 1 / 3, 0, 0])
    assert share_boxes(others[3], others[3:]).tolist() == [0]  # of nothing nothing is in common
    assert share_boxes(others[0], others[:0]).shape == (0,)


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.floats(0.1, 0.7))
@settings(max_examples=50)
def test_the_index_finds_what_a_look_at_all_finds(seed, count, share):
    rng = np.random.default_rng(seed)
    corners, sizes = rng.uniform(-80, 200, (count, 2)), rng.uniform(1, 150, (count, 2))
    boxes = np.hstack([corners, corners + sizes]).astype(np.float32)
    index = BoxIndex(boxes)
    for number, box in enumerate(boxes):
        assert index.is_shared(number, share) == (share_boxes(box, boxes[:number]) > share).any()
        index.add(number)
