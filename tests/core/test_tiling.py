from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_unet.core.tiling import divide, grid, mirror, read


@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 50), st.sampled_from([1, 8, 16]))
def test_tiles_cover_the_image_exactly_once(height, width, tile, stride):
    covered = np.zeros((height, width), int)
    for part in grid((height, width), tile, 2 * stride, stride):
        covered[part.write] += 1
        assert part.start[0] % stride == 0
        assert part.start[1] % stride == 0
        assert part.size[0] % stride == 0
    assert (covered == 1).all()


@given(st.data())
def test_tiles_cover_a_region_exactly_once_with_context_on_each_side(data):
    shape = data.draw(st.tuples(st.integers(2, 90), st.integers(2, 90)))
    bounds = [sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n)))) for n in shape]
    if any(a == b for a, b in bounds):
        return
    region = tuple(slice(a, b) for a, b in bounds)
    covered = np.zeros(shape, int)
    for part in grid(shape, 32, 16, 8, region):
        covered[part.write] += 1
        for axis in (0, 1):
            assert part.write[axis].start - part.start[axis] >= 16
            assert part.start[axis] + part.size[axis] - part.write[axis].stop >= 16
    expected = np.zeros(shape, int)
    expected[region] = 1
    np.testing.assert_array_equal(covered, expected)


@given(st.data())
def test_from_a_point_outward_are_the_same_tiles_in_rings(data):
    shape = data.draw(st.tuples(st.integers(1, 200), st.integers(1, 200)))
    centre = data.draw(st.tuples(st.floats(-50, 250), st.floats(-50, 250)))
    tiles = grid(shape, 24, 8, 8)
    ordered = grid(shape, 24, 8, 8, centre=centre)
    assert sorted(map(str, ordered)) == sorted(map(str, tiles))
    starts = [sorted({tile.start[axis] for tile in tiles}) for axis in (0, 1)]
    places = np.array([[starts[a].index(tile.start[a]) for a in (0, 1)] for tile in ordered])
    assert (np.diff(np.abs(places - places[0]).max(axis=1)) >= 0).all()


@given(st.integers(0, 99), st.integers(0, 149))
def test_the_first_tile_is_the_nearest(row, column):
    first = grid((100, 150), 32, 16, 8, centre=(row + 0.5, column + 0.5))[0]
    middle = [(part.start + part.stop) / 2 for part in first.write]
    for other in grid((100, 150), 32, 16, 8):
        away = [(part.start + part.stop) / 2 for part in other.write]
        nearer = np.hypot(*np.subtract(middle, (row + 0.5, column + 0.5)))
        assert nearer <= np.hypot(*np.subtract(away, (row + 0.5, column + 0.5)))


@given(st.integers(1, 12), st.integers(0, 40), st.integers(0, 40))
def test_mirror_is_numpys_reflect(length, before, after):
    axis = np.arange(length)
    expected = np.pad(axis, (before, after), mode="reflect" if length > 1 else "edge")
    np.testing.assert_array_equal(mirror(np.arange(-before, length + after), length), expected)


@given(st.integers(-30, 30), st.integers(-30, 30), st.integers(1, 40), st.integers(1, 40))
def test_read_equals_padding_the_whole_image(row, column, height, width):
    image = np.arange(2 * 11 * 7).reshape(2, 11, 7)
    padded = np.pad(image, ((0, 0), (80, 80), (80, 80)), mode="reflect")
    expected = padded[:, 80 + row : 80 + row + height, 80 + column : 80 + column + width]
    np.testing.assert_array_equal(read(image, (row, column), (height, width)), expected)


@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 60), st.integers(1, 5))
def test_a_tile_divided_sees_and_decides_what_the_whole_does(height, width, tile, edge):
    stride, context = 8, 16
    for whole in grid((height, width), tile, context, stride):
        decided = np.zeros((height, width), int)
        seen = np.zeros((2, height + 200, width + 200), bool)
        parts = divide(whole, edge * stride, context)
        for number, part in enumerate([whole, *parts]):
            top, left = (start + 100 for start in part.start)
            seen[min(number, 1), top : top + part.size[0], left : left + part.size[1]] = True
        for part in parts:
            decided[part.write] += 1
            for side, start, size in zip(part.write, part.start, part.size, strict=True):
                assert side.start - start == context
                assert side.stop <= start + size - context
                assert size <= edge * stride + 2 * context
                assert size % stride == 0
        expected = np.zeros((height, width), int)
        expected[whole.write] = 1
        np.testing.assert_array_equal(decided, expected)
        np.testing.assert_array_equal(seen[0], seen[1])
