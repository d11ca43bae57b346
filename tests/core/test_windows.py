from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unet.core.card import ModelCard
from napari_unet.core.config import to_dict
from napari_unet.core.models.unet import UNetConfig, UNetSegmenter
from napari_unet.core.regions import shift
from napari_unet.core.tiling import grid, mirror
from napari_unet.core.windows import LOOKED_AT, ZOOMS, reach, take_middle, take_window


def card(any_size=False, **plan):
    plan = UNetConfig(**plan)
    return ModelCard("unet", to_dict(plan), channels=1, any_size=any_size)


@pytest.mark.parametrize("zoom", ZOOMS)
@pytest.mark.parametrize("depth", [1, 3, 4, 6])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_the_network_looks_no_further(zoom, depth, padding):
    segmenter = UNetSegmenter(UNetConfig(base=4, depth=depth, zoom=zoom, padding=padding))
    for any_size in (False, True):
        own = card(any_size, depth=depth, zoom=zoom if not any_size else 1.0, padding=padding)
        margin, step = reach(own)
        assert margin >= segmenter.tile_context
        assert step % segmenter.stride == 0


@given(st.data())
def test_the_tiles_of_a_window_are_those_of_the_image(data):
    shape = data.draw(st.tuples(st.integers(20, 900), st.integers(20, 900)))
    bounds = [sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n)))) for n in shape]
    if any(a == b for a, b in bounds):
        return
    region = tuple(slice(a, b) for a, b in bounds)
    own = card(depth=3)
    window = take_window(own, region, shape)
    rows, columns = window[0].start, window[1].start
    size = [part.stop - part.start for part in window]
    inside = grid(size, 64, 48, 8, shift(region, -rows, -columns))
    for tile, part in zip(grid(shape, 64, 48, 8, region), inside, strict=True):
        assert shift(part.write, rows, columns) == tile.write
        for axis, first in enumerate((rows, columns)):
            start, length = tile.start[axis], tile.size[axis]
            whole = mirror(np.arange(start, start + length), shape[axis])
            read = mirror(np.arange(start - first, start - first + length), size[axis])
            np.testing.assert_array_equal(read + first, whole)


@given(st.integers(1, 3000), st.integers(1, 3000))
def test_the_middle_is_in_the_middle(height, width):
    for part, length in zip(take_middle((height, width)), (height, width), strict=True):
        assert part.stop - part.start == min(length, LOOKED_AT)
        assert abs(part.start - (length - part.stop)) <= 1
