"""Reading by parts: no more than is asked for, and the channels in the order that was chosen."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fake_compute import write_model
from napari_unet.core.card import ModelCard
from napari_unet.core.normalize import percentiles
from napari_unet.core.windows import reach
from napari_unet.shared_arrays import attach
from napari_unet.widgets._jobs import prediction
from napari_unet.widgets._pixels import OVERVIEW, Pixels, Source, stack_overview

BOX = (slice(3, 9), slice(2, 13))


class Counting:
    """An array that is no NumPy array and counts the pixels that are read of it."""

    def __init__(self, data):
        self.data, self.shape, self.read = data, data.shape, 0

    def __getitem__(self, index):
        part = self.data[index]
        self.read += part.size
        return part


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_layout_reads_as_numpy_does(data):
    order = data.draw(st.permutations("zcyx"))
    sizes = {"z": 3, "c": 4, "y": 10, "x": 14}
    image = np.random.default_rng(0).integers(0, 999, [sizes[axis] for axis in order])
    channels = tuple(sorted(data.draw(st.sets(st.integers(0, 3), min_size=1))))
    place = tuple({"z": 1, "c": 0}.get(axis) for axis in order)
    together = data.draw(st.booleans())
    lazy = data.draw(st.sampled_from([np.asarray, da.from_array, Counting]))
    source = Source([lazy(image)], place, order.index("c"), channels, together)
    plane = "".join(axis for axis in order if axis in "yx")
    expected = np.moveaxis(image, [order.index(axis) for axis in f"zc{plane}"], range(4))[1]
    pixels = Pixels([source])
    assert pixels.shape == expected[list(channels)].shape
    np.testing.assert_array_equal(pixels(), expected[list(channels)])
    np.testing.assert_array_equal(pixels.read(BOX), expected[(list(channels), *BOX)])


def test_what_is_read_is_a_copy():
    image = np.zeros((8, 9), np.uint8)
    pixels = Pixels([Source([image], (None, None))])
    part = pixels.read((slice(0, 4), slice(0, 4)))
    image[:] = 7
    assert not part.any()
    assert pixels.overview().base is not None  # of what is in memory no copy is made


def test_several_layers_are_channels():
    one, two = np.zeros((6, 5)), np.ones((6, 5))
    pixels = Pixels([Source([one], (None, None)), Source([two], (None, None))])
    assert pixels.shape == (2, 6, 5)
    assert pixels()[:, 0, 0].tolist() == [0, 1]


def test_a_field_reads_its_own_pixels_alone():
    image = Counting(np.zeros((5, 4000, 4000), np.uint8))
    pixels = Pixels([Source([image], (2, None, None))])
    pixels.read((slice(0, 100), slice(50, 250)))
    assert image.read == 100 * 200
    image.read = 0
    assert pixels.overview()[0].size == image.read <= OVERVIEW
    assert image.read > OVERVIEW / 2


@pytest.mark.parametrize("any_size", [False, True])
def test_a_field_of_a_lazy_image_costs_no_more_than_its_surroundings(tmp_path, any_size):
    card = ModelCard("unet", {"depth": 4, "zoom": 1.0}, channels=1, any_size=any_size)
    path = write_model(tmp_path / "a.safetensors", card)
    rows, columns = np.ogrid[:6000, :7000]
    data = (rows + 3 * columns).astype(np.float32)
    image = Counting(data)
    region = (slice(2000, 2500), slice(3000, 3600))
    pixels = Pixels([Source([image], (None, None))])
    job = prediction(1, path, pixels, None, region, "slide", (2250.0, 3300.0))
    request = job.make(job)
    margin, step = reach(card)
    around = 2 * margin + 4 * step
    bound = (500 + around) * (600 + around) + OVERVIEW + any_size * (1024 + around) ** 2
    assert image.read <= bound < image.data.size / 2
    top, left = request.origin
    part = attach(request.image)[0][request.region]
    np.testing.assert_array_equal(part, data[region])
    assert request.centre == (2250.0 - top, 3300.0 - left)
    assert len(request.middles) == any_size
    if any_size:
        middle = attach(request.middles[0])[0][request.looked_at]
        np.testing.assert_array_equal(middle, data[2488:3512, 2988:4012])
    job.arrays.let_go()


def test_a_file_that_is_mapped_is_not_read_through(tmp_path):
    path = tmp_path / "large.npy"
    np.save(path, np.zeros((4000, 4000), np.uint8))
    mapped = np.load(path, mmap_mode="r")
    assert Pixels([Source([mapped], (None, None))]).overview().size <= OVERVIEW


def test_the_brightness_comes_from_a_coarse_level_where_there_is_one():
    levels = [Counting(np.full((4096 // n, 4096 // n), n)) for n in (1, 4, 64)]
    found = Pixels([Source(levels, (None, None))]).overview()
    assert found.shape == (1, 1024, 1024)
    assert levels[0].read == levels[2].read == 0


@pytest.mark.parametrize("size", [300, 5000])
def test_blocks_tell_about_the_percentiles_of_all(size):
    rng = np.random.default_rng(1)
    image = rng.gamma(2.0, 50.0, (size, size)).astype(np.float32)
    image += 40 * np.sin(np.arange(size) / 200)  # uneven light
    whole = percentiles(image[None])
    part = percentiles(Pixels([Source([Counting(image)], (None, None))]).overview())
    np.testing.assert_allclose(part, whole, rtol=0.05)


def test_a_stack_is_as_bright_as_all_its_planes():
    rng = np.random.default_rng(1)
    stack = rng.random((40, 64, 80)) * np.linspace(1, 3, 40)[:, None, None]
    planes = [Pixels([Source([stack], (z, None, None))]) for z in range(40)]
    found = percentiles(stack_overview(planes)())
    expected = percentiles(stack.reshape(1, -1, 80))
    np.testing.assert_allclose(found, expected, rtol=0.1)


def test_the_levels_of_a_stack_may_have_fewer_planes():
    levels = [np.zeros((8, 64, 64)), np.arange(4)[:, None, None] * np.ones((4, 32, 32))]
    source = Source(levels, (6, None, None))
    assert (source.read(level=1) == 3).all()
