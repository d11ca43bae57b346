from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unet.core.config import NormalizeConfig
from napari_unet.core.errors import InputError
from napari_unet.core.normalize import normalize, percentiles, settle_polarity
from napari_unet.core.types import Sample


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32, float])
def test_percentiles_become_zero_and_one(dtype):
    image = (np.random.default_rng(0).random((2, 64, 64)) * 100).astype(dtype)
    ready = normalize(image, NormalizeConfig(low=10, high=90))
    assert ready.dtype == np.float32
    np.testing.assert_allclose(np.percentile(ready, 10, axis=(1, 2)), 0, atol=0.02)
    np.testing.assert_allclose(np.percentile(ready, 90, axis=(1, 2)), 1, atol=0.02)


@given(st.floats(0.01, 1000), st.floats(-1000, 1000))
def test_gain_and_offset_of_the_camera_do_not_matter(gain, offset):
    image = np.random.default_rng(0).random((1, 16, 16))
    np.testing.assert_allclose(normalize(image), normalize(gain * image + offset), atol=1e-4)


def test_large_32_bit_values_keep_their_contrast():
    image = 2_000_000_000 + np.arange(256, dtype=np.uint32).reshape(1, 16, 16)
    assert len(np.unique(normalize(image))) == 256


def test_a_few_bright_pixels_on_a_flat_ground_are_not_constant():
    image = np.zeros((1, 100, 100), np.uint8)
    image[0, 5, 5] = 200
    assert normalize(image).max() == 1


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (np.full((1, 8, 8), 7), "constant"),
        (np.full((1, 8, 8), np.nan), "NaN"),
        (np.ones((1, 0, 8)), "empty"),
        (np.ones((8, 8)), "axes"),
        (np.ones((1, 8, 8), complex), "complex"),
        (np.full((1, 2, 2), "a"), "grey values"),
    ],
)
def test_what_cannot_be_normalised_is_said_in_a_sentence(image, said):
    with pytest.raises(InputError, match=said):
        normalize(image, name="hela.tif")


def test_the_stretch_lifts_dim_cells_and_keeps_order_black_and_white():
    image = np.linspace(0, 1, 1001).reshape(1, 7, 143)
    plain, lifted = (
        normalize(image, NormalizeConfig(low=0, high=100, stretch=stretch)).ravel()
        for stretch in (0, 10)
    )
    np.testing.assert_allclose(plain, image.ravel(), atol=1e-6)
    assert (np.diff(lifted) > 0).all()
    assert (lifted[0], lifted[-1]) == (0, 1)
    assert lifted[100] == pytest.approx(np.arcsinh(1) / np.arcsinh(10), rel=1e-5)


def test_a_constant_channel_beside_a_good_one_is_zero():
    image = np.stack([np.full((8, 8), 3.0), np.arange(64.0).reshape(8, 8)])
    assert (normalize(image)[0] == 0).all()
    assert percentiles(image).shape == (2, 2)


def nuclei(seed=0):
    """Few bright pixels on a dark, noisy ground."""
    rng = np.random.default_rng(seed)
    return rng.normal(20, 3, (2, 50, 50)) + 100 * (rng.random((2, 50, 50)) < 0.2)


def test_stained_cells_look_like_fluorescent_ones():
    image = nuclei()
    np.testing.assert_allclose(normalize(255 - image), normalize(image), atol=1e-5)
    as_is = normalize(255 - image, NormalizeConfig(polarity="bright"))
    assert abs(as_is - normalize(image)).max() > 0.5
    turned = normalize(image, NormalizeConfig(polarity="dark"))
    np.testing.assert_allclose(turned, as_is, atol=1e-5)


def test_one_polarity_of_all_images_is_that_of_the_next_ones():
    unpainted = np.zeros(nuclei().shape[1:], np.int32)
    first, second = (Sample(nuclei(seed), unpainted) for seed in (0, 1))
    dark, dark_too = (Sample(255 - each.image, unpainted) for each in (first, second))
    auto = NormalizeConfig()
    assert settle_polarity([first, second], auto).polarity == "bright"
    assert settle_polarity([dark, dark_too], auto).polarity == "dark"
    assert settle_polarity([first, dark], auto).polarity == "auto"
    fixed = NormalizeConfig(polarity="bright")
    assert settle_polarity([dark], fixed) == fixed


def test_a_part_looks_as_it_does_in_the_whole():
    image = nuclei()
    pairs = percentiles(image)
    part = normalize(image[:, 5:20, 9:30], pairs=pairs)
    np.testing.assert_array_equal(part, normalize(image)[:, 5:20, 9:30])
    holed = image.copy()
    holed[1, 7, 7] = np.nan
    with pytest.raises(InputError, match="channel 1"):
        normalize(holed, pairs=pairs)
