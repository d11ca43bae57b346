"""The border weight map against brute force, in all its options."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_unet.core import _nearest, border_weights_torch
from napari_unet.core.border_weights import (
    border_term,
    border_weight_map,
    cut_ridge,
    nearest_two,
    update,
    warm_up,
)
from napari_unet.core.config import WEIGHT_PRESETS, WeightConfig
from napari_unet.core.errors import InputError

quick = settings(max_examples=30, deadline=None)
thorough = settings(max_examples=400, deadline=None)


@pytest.fixture(scope="module", autouse=True)
def _compiled():
    warm_up()


def brute_distances(labels, spacing=None):
    """Float64 d1, d2 from a table of all pixels and all foreground pixels."""
    steps = np.ones(labels.ndim) if spacing is None else np.asarray(spacing, float)
    points = np.argwhere(np.ones(labels.shape, bool)) * steps
    rows = [np.full(len(points), np.inf)] * 2
    for label in np.unique(labels[labels > 0]):
        cell = np.argwhere(labels == label) * steps
        rows.append(np.sqrt(((points[:, None] - cell[None]) ** 2).sum(-1)).min(1))
    d1, d2 = np.sort(np.stack(rows), axis=0)[:2]
    return d1.reshape(labels.shape), d2.reshape(labels.shape)


def brute_cut(labels, ridge):
    out = np.zeros(labels.shape, bool)
    offsets = [o for o in itertools.product((-1, 0, 1), repeat=labels.ndim) if any(o)]
    if ridge == "half":
        offsets = [o for o in offsets if o < (0,) * labels.ndim]
    for place in np.argwhere(labels > 0) if ridge else ():
        for offset in offsets:
            other = tuple(place + offset)
            inside = all(0 <= i < n for i, n in zip(other, labels.shape, strict=True))
            if inside and labels[other] > 0 and labels[other] != labels[tuple(place)]:
                out[tuple(place)] = True
    return out


def brute_term(labels, config, spacing=None):
    d1, d2 = brute_distances(labels, spacing)
    term = config.w0 * np.exp(-((d1 + d2) ** 2) / (2 * config.sigma**2))
    term += config.w1 * np.exp(-(d1**2) / (2 * config.sigma1**2))
    body = (labels > 0) & ~brute_cut(labels, config.ridge)
    return term if config.inside else np.where(body, 0.0, term)


def brute_map(labels, config, spacing=None, supervision=None):
    said = np.ones(labels.shape, bool) if supervision is None else supervision
    body = (labels > 0) & ~brute_cut(labels, config.ridge)
    cells, total = (body & said).sum(), said.sum()
    background, cell = 1.0, 1.0
    if config.class_weights == "balanced":
        background = total / (2 * (total - cells)) if total > cells else 1.0
        cell = total / (2 * cells) if cells else 1.0
    elif config.class_weights != "none":
        background, cell = config.class_weights
    return np.where(said, np.where(body, cell, background) + brute_term(labels, config, spacing), 0)


def boxes(ndim, longest):
    """Label images of overlapping boxes, so that cells touch, and of a few stray pixels."""
    shape = st.tuples(*[st.integers(1, longest)] * ndim)
    corner = st.tuples(*[st.integers(0, longest - 1)] * ndim)
    size = st.tuples(*[st.integers(1, 6)] * ndim)
    cells = st.lists(st.tuples(corner, size, st.integers(-1, 5)), max_size=8)

    def paint(shape, cells):
        labels = np.zeros(shape, np.int32)
        for corner, size, label in cells:
            labels[tuple(slice(c, c + s) for c, s in zip(corner, size, strict=True))] = label
        return labels

    return st.builds(paint, shape, cells)


configs = st.builds(
    WeightConfig,
    w0=st.sampled_from([0.0, 1.0, 10.0]),
    sigma=st.sampled_from([0.7, 2.0, 5.0, 9.0]),
    class_weights=st.sampled_from(["balanced", "none", (0.1, 1.0)]),
    ridge=st.sampled_from([True, "half", False]),
    inside=st.booleans(),
    w1=st.sampled_from([0.0, 0.9]),
    sigma1=st.sampled_from([1.5, 10.0]),
)


def options(config):
    return {name: getattr(config, name) for name in config.__dataclass_fields__}


@given(boxes(2, 26), configs)
@thorough
def test_map_is_that_of_the_formula(labels, config):
    got = border_weight_map(labels, **options(config))
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, brute_map(labels, config), rtol=2e-7, atol=1e-6)


@given(boxes(3, 9), configs, st.sampled_from([None, (1.0, 1.0, 1.0), (2.5, 0.5, 1.3)]))
@thorough
def test_volumes(labels, config, spacing):
    got = border_weight_map(labels, spacing=spacing, **options(config))
    np.testing.assert_allclose(got, brute_map(labels, config, spacing), rtol=2e-7, atol=1e-6)


@given(boxes(2, 20), configs, st.tuples(st.floats(0.2, 4), st.floats(0.2, 4)))
@thorough
def test_anisotropic_spacing(labels, config, spacing):
    got = border_term(labels, config, spacing)
    np.testing.assert_allclose(got, brute_term(labels, config, spacing), rtol=2e-7, atol=1e-6)


@given(st.data(), boxes(2, 16), configs)
@thorough
def test_unsaid_pixels_weigh_nothing_and_do_not_count(data, labels, config):
    said = data.draw(arrays(bool, labels.shape))
    got = border_weight_map(labels, supervision=said, **options(config))
    np.testing.assert_allclose(
        got, brute_map(labels, config, supervision=said), rtol=2e-7, atol=1e-6
    )
    assert not got[~said].any()


@given(boxes(2, 24), st.sampled_from([None, (2.0, 0.7)]))
@thorough
def test_nearest_two(labels, spacing):
    for got, expected in zip(
        nearest_two(labels, spacing), brute_distances(labels, spacing), strict=True
    ):
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, expected, rtol=2e-7)


@given(boxes(3, 8))
@quick
def test_nearest_two_in_volumes(labels):
    for got, expected in zip(nearest_two(labels), brute_distances(labels), strict=True):
        np.testing.assert_allclose(got, expected, rtol=2e-7)


@given(st.one_of(boxes(2, 16), boxes(3, 7)), st.sampled_from([True, "half", False]))
@thorough
def test_cut_ridge(labels, ridge):
    np.testing.assert_array_equal(cut_ridge(labels, ridge), brute_cut(labels, ridge))


def cells(shape, count, seed=0):
    """A larger image with discs of 4 to 9 px, many of them touching."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.int32)
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    for label in range(1, count + 1):
        y, x, radius = rng.uniform(0, shape[0]), rng.uniform(0, shape[1]), rng.uniform(4, 9)
        disc = (rows - y) ** 2 + (columns - x) ** 2 <= radius**2
        labels[disc & (labels == 0)] = label
    return labels


@pytest.fixture(scope="module")
def large():
    """Larger than a tile in both directions."""
    return cells((230, 420), 90)


@pytest.mark.parametrize("name", ["paper-2015", "falk-2019"])
def test_tiles_have_no_seams(large, name):
    config = WEIGHT_PRESETS[name]
    d1, d2 = (d.astype(np.float64) for d in nearest_two(large))
    term = config.w0 * np.exp(-((d1 + d2) ** 2) / (2 * config.sigma**2))
    term += config.w1 * np.exp(-(d1**2) / (2 * config.sigma1**2))
    term[(large > 0) & ~cut_ridge(large, config.ridge)] = 0
    np.testing.assert_allclose(border_term(large, config), term, rtol=2e-7, atol=1e-6)


@pytest.mark.parametrize("sigma", [19.0, 30.0, 80.0])
def test_wide_sigma_leaves_the_short_types_and_the_tiles(large, sigma):
    config = WeightConfig(sigma=sigma)
    d1, d2 = (d.astype(np.float64) for d in nearest_two(large))
    term = config.w0 * np.exp(-((d1 + d2) ** 2) / (2 * sigma**2))
    term[(large > 0) & ~cut_ridge(large)] = 0
    np.testing.assert_allclose(border_term(large, config), term, rtol=2e-7, atol=1e-6)


@pytest.mark.parametrize("config", [*WEIGHT_PRESETS.values(), WeightConfig(inside=True)])
def test_equivariance(large, config):
    if config.ridge == "half":
        config = WeightConfig(w0=config.w0, sigma=config.sigma, w1=config.w1)
    term = border_term(large, config)
    for change in (np.flipud, np.fliplr, np.transpose):
        np.testing.assert_array_equal(border_term(change(large), config), change(term))


def test_names_of_labels_do_not_matter(large):
    names = np.random.default_rng(1).permutation(91)
    expected = border_term(large, WeightConfig())
    for spread in (1, 400, 7_000_003):
        renamed = np.where(large > 0, (names[large] + 1) * np.int64(spread), -large.max())
        np.testing.assert_array_equal(border_term(renamed, WeightConfig()), expected)
    huge = np.where(large > 0, large.astype(np.uint64) + np.uint64(2**63), np.uint64(0))
    np.testing.assert_array_equal(border_term(huge, WeightConfig()), expected)


def test_more_labels_in_a_tile_than_the_short_type_names():
    labels = np.arange(1, 200 * 400 + 1, dtype=np.int32).reshape(200, 400)
    labels[5:9, 5:9] = 0
    d1, d2 = nearest_two(labels)
    expected = np.where(labels > 0, 0, 10 * np.exp(-((d1 + d2) ** 2) / 50))
    got = border_term(labels, WeightConfig(ridge=False))
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", ">i4", "?"])
def test_dtypes(dtype):
    labels = cells((60, 50), 1 if dtype == "?" else 9)
    expected = border_weight_map(labels)
    np.testing.assert_array_equal(border_weight_map(labels.astype(dtype)), expected)


def test_strides_and_read_only(large):
    expected = border_weight_map(large)
    wide = np.zeros((large.shape[0], 2 * large.shape[1]), np.int32)
    wide[:, ::2] = large
    frozen = large.copy()
    frozen.setflags(write=False)
    for labels in (wide[:, ::2], np.asfortranarray(large), frozen, large[::-1][::-1]):
        np.testing.assert_array_equal(border_weight_map(labels), expected)
    assert large.flags.writeable


def test_threads_do_not_change_the_map(large):
    np.testing.assert_array_equal(border_weight_map(large, threads=3), border_weight_map(large))


@pytest.mark.parametrize("config", [*WEIGHT_PRESETS.values(), WeightConfig(sigma=80.0)])
def test_update_is_bitwise_equal_to_anew(large, config):
    rng = np.random.default_rng(3)
    labels = large.copy()
    term = border_term(labels, config)
    for _ in range(12):
        y, x = rng.integers(0, labels.shape[0]), rng.integers(0, labels.shape[1])
        region = (slice(y, y + rng.integers(1, 40)), slice(x, x + rng.integers(1, 40)))
        labels[region] = rng.choice([0, -1, 7, 95, 2_000_000])
        rows, columns = update(term, labels, region, config)
        assert rows.start <= y < rows.stop
        assert columns.start <= x < columns.stop
        np.testing.assert_array_equal(
            term.view(np.int32), border_term(labels, config).view(np.int32)
        )


@given(st.data(), boxes(3, 12), configs, st.sampled_from([None, (2.5, 0.5, 1.3)]))
@quick
def test_update_of_a_volume(data, labels, config, spacing):
    term = border_term(labels, config, spacing)
    region = []
    for size in labels.shape:
        start = data.draw(st.integers(0, size - 1))
        region.append(slice(start, data.draw(st.integers(start + 1, size))))
    labels[tuple(region)] = data.draw(st.integers(-1, 6))
    update(term, labels, region, config, spacing)
    np.testing.assert_array_equal(term, border_term(labels, config, spacing))


def test_update_leaves_the_rest_alone(large):
    term = np.full(large.shape, np.float32(-5))
    box = update(term, large, (slice(100, 110), slice(200, 210)), WeightConfig())
    assert (term[box] >= 0).all()
    term[box] = -5
    assert (term == -5).all()


def test_update_of_an_empty_region(large):
    term = border_term(large, WeightConfig())
    before = term.copy()
    box = update(term, large, (slice(500, 600), slice(0, 5)), WeightConfig())
    assert term[box].size == 0
    np.testing.assert_array_equal(term, before)


@pytest.mark.parametrize("label", [0, -1, 3])
def test_fewer_than_two_cells_have_no_border(label):
    labels = np.zeros((20, 30), np.int32)
    labels[4:9, 4:9] = label
    assert not border_term(labels, WeightConfig()).any()
    assert np.isinf(nearest_two(labels)[1]).all()


def test_empty_image():
    assert border_weight_map(np.zeros((0, 5), np.int32)).shape == (0, 5)
    assert nearest_two(np.zeros((0, 5), np.int32))[0].shape == (0, 5)


def test_float_passes_agree_with_the_short_ones(large):
    """Spacing a hair off 1 takes the float64 passes through the same tiles."""
    near = border_term(large, WeightConfig(), spacing=(1.0, 1.0 + 1e-12))
    np.testing.assert_allclose(near, border_term(large, WeightConfig()), rtol=2e-7, atol=1e-6)


def test_renaming_gives_up_past_its_limit():
    labels = np.array([[[5, 5, 9, 0, 7, -3, 5]]], np.int64)
    renamed = np.zeros(labels.shape, np.int16)
    assert _nearest.rename_labels(labels, 3, renamed)
    assert renamed[0, 0].tolist() == [1, 1, 2, 0, 3, 0, 1]
    assert not _nearest.rename_labels(labels, 2, renamed)


@pytest.mark.parametrize(
    "call",
    [
        lambda: border_weight_map(np.zeros((4, 4))),
        lambda: border_weight_map(np.zeros(4, int)),
        lambda: border_weight_map(np.zeros((4, 4), int), sigma=0),
        lambda: border_weight_map(np.zeros((4, 4), int), w0=-1),
        lambda: border_weight_map(np.zeros((4, 4), int), w0=np.nan),
        lambda: border_weight_map(np.zeros((4, 4), int), spacing=(1, 1, 1)),
        lambda: border_weight_map(np.zeros((4, 4), int), spacing=(1, 0)),
        lambda: border_weight_map(np.zeros((4, 4), int), class_weights="even"),
        lambda: border_weight_map(np.zeros((4, 4), int), class_weights=(1.0, 2.0, 3.0)),
        lambda: border_weight_map(np.zeros((4, 4), int), supervision=np.ones((3, 4), bool)),
        lambda: update(
            np.zeros((4, 4)), np.zeros((4, 4), int), (slice(0, 1), slice(0, 1)), WeightConfig()
        ),
    ],
)
def test_bad_input_is_one_sentence(call):
    with pytest.raises(InputError) as caught:
        call()
    assert str(caught.value).endswith(".")


@given(st.lists(boxes(2, 24), min_size=1, max_size=3), configs)
@thorough
def test_the_torch_version_is_the_same_map(images, config):
    shape = np.max([labels.shape for labels in images], axis=0)
    batch = np.stack(
        [
            np.pad(labels, [(0, n - m) for n, m in zip(shape, labels.shape, strict=True)])
            for labels in images
        ]
    )
    got = border_weights_torch.border_term(torch.from_numpy(batch), config).numpy()
    expected = np.stack([border_term(labels, config) for labels in batch])
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, rtol=0, atol=4e-6)


def test_the_torch_version_of_a_large_image(large):
    got = border_weights_torch.border_term(torch.from_numpy(large)[None], WeightConfig())
    np.testing.assert_allclose(got[0], border_term(large, WeightConfig()), rtol=0, atol=4e-6)
