"""What cells measure, held against shapes that are known and against the plain definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_unet.core.errors import InputError
from napari_unet.core.label_files import read_labels
from napari_unet.core.listing import expand
from napari_unet.core.measuring import measure, measure_layers, spell_unit, summarise

planes = arrays(
    np.int32, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(-1, 5)
)
few = settings(deadline=None, max_examples=50)

SHAPE = ["eccentricity", "solidity"]


def ellipse(height, width, shape=(90, 90)):
    """Half axes in pixels, drawn around the middle."""
    rows, cols = np.indices(shape)
    middle = (np.array(shape) - 1) / 2
    return (((rows - middle[0]) / height) ** 2 + ((cols - middle[1]) / width) ** 2 <= 1).astype(int)


def test_the_columns_stand_in_the_documented_order():
    image = np.zeros((2, 90, 90))
    table = measure(
        ellipse(9, 9), image, (0.5, 0.5), "µm", {}, {}, channel_names=["DAPI", "Alexa 488"]
    )
    assert list(table) == [
        *("label", "class", "score", "area_um2", "equivalent_diameter_um"),
        *("axis_major_um", "axis_minor_um", "perimeter_um", "eccentricity", "solidity"),
        *("centroid_y_um", "centroid_x_um"),
        *(f"intensity_{what}_DAPI" for what in ("mean", "min", "max", "std")),
        *(f"intensity_{what}_Alexa_488" for what in ("mean", "min", "max", "std")),
        "touches_border",
    ]
    assert all(name.isidentifier() and name.isascii() for name in table)


def test_a_circle_measures_what_a_circle_measures():
    table = measure(ellipse(20, 20), scale=(0.5, 0.5), unit="um")
    assert table["area_um2"] == pytest.approx(np.pi * 10**2, rel=0.01)
    for name in ("equivalent_diameter_um", "axis_major_um", "axis_minor_um"):
        assert table[name] == pytest.approx(20, rel=0.01)
    assert table["perimeter_um"] == pytest.approx(2 * np.pi * 10, rel=0.06)
    assert table["centroid_y_um"] == table["centroid_x_um"] == pytest.approx(44.5 / 2)
    assert table["eccentricity"] < 0.05
    assert table["solidity"] > 0.97


@pytest.mark.parametrize(("scale", "half_axes"), [((2.0, 1.0), (10, 20)), ((0.5, 1.5), (30, 10))])
def test_pixels_that_are_not_square(scale, half_axes):
    """An ellipse in pixels that is a circle in the world, up to its raster."""
    radius = half_axes[0] * scale[0]
    table = measure(ellipse(*half_axes), scale=scale, unit="um")
    assert table["area_um2"] == pytest.approx(np.pi * radius**2, rel=0.01)
    assert table["axis_major_um"] == pytest.approx(2 * radius, rel=0.01)
    assert table["axis_minor_um"] == pytest.approx(2 * radius, rel=0.01)
    assert table["perimeter_um"] == pytest.approx(2 * np.pi * radius, rel=0.06)
    assert table["eccentricity"] < 0.15


def test_the_perimeter_is_the_same_whichever_side_of_a_pixel_is_longer():
    labels = ellipse(12, 25)
    upright = measure(labels, scale=(2.0, 1.0), unit="um")["perimeter_um"]
    lying = measure(labels.T, scale=(1.0, 2.0), unit="um")["perimeter_um"]
    nearly_square = measure(labels, scale=(1.0, 1.0 + 1e-9), unit="um")["perimeter_um"]
    assert upright == pytest.approx(lying)
    assert nearly_square == pytest.approx(measure(labels)["perimeter_px"])


@few
@given(planes, st.integers(0, 2**32 - 1))
def test_areas_grey_values_and_borders_are_those_of_the_definition(labels, seed):
    image = np.random.default_rng(seed).integers(0, 999, (2, *labels.shape))
    table = measure(labels, image)
    present = np.unique(labels[labels > 0])
    np.testing.assert_array_equal(table["label"], present)
    for row, label in enumerate(present):
        mask = labels == label
        assert table["area_px2"][row] == mask.sum()
        np.testing.assert_allclose(
            (table["centroid_y_px"][row], table["centroid_x_px"][row]),
            np.argwhere(mask).mean(axis=0),
        )
        edge = mask.copy()
        edge[1:-1, 1:-1] = False
        assert table["touches_border"][row] == edge.any()
        for channel in (0, 1):
            for what in ("mean", "min", "max", "std"):
                expected = getattr(image[channel][mask], what)()
                assert table[f"intensity_{what}_ch{channel + 1}"][row] == pytest.approx(expected)


@few
@given(planes, st.floats(0.1, 50))
def test_lengths_scale_with_the_pixel_and_ratios_do_not(labels, size):
    plain, scaled = measure(labels), measure(labels, scale=(size, size), unit="um")
    np.testing.assert_allclose(scaled["area_um2"], plain["area_px2"] * size**2)
    for name in ("equivalent_diameter", "axis_major", "axis_minor", "perimeter", "centroid_y"):
        np.testing.assert_allclose(
            scaled[f"{name}_um"], plain[f"{name}_px"] * size, atol=1e-6 * size
        )
    np.testing.assert_allclose(scaled["solidity"], plain["solidity"])


@few
@given(planes)
def test_a_mirrored_plane_measures_the_same(labels):
    here, there = measure(labels), measure(labels[::-1, ::-1])
    for name in here:
        if not name.startswith(("centroid", "eccentricity")):  # of tiny cells a ratio of noise
            np.testing.assert_allclose(here[name], there[name], atol=1e-6, err_msg=name)


@few
@given(planes, st.integers(10**6, 2**31 - 10))
def test_labels_of_any_size_are_kept(labels, much):
    large = np.where(labels > 0, labels.astype(np.int64) + much, labels)
    there, here = measure(large), measure(labels)
    np.testing.assert_array_equal(there.pop("label"), here.pop("label") + much)
    for name in here:
        np.testing.assert_array_equal(there[name], here[name])


def test_a_stack_is_measured_frame_by_frame():
    stack = np.stack([ellipse(9, 9), np.zeros((90, 90), int), 7 * ellipse(5, 9)])
    image = np.arange(3)[:, None, None] * np.ones(stack.shape)
    table = measure(stack, image, (0.5, 0.25), "um")
    np.testing.assert_array_equal(table["frame"], [0, 2])
    np.testing.assert_array_equal(table["label"], [1, 7])
    np.testing.assert_array_equal(table["intensity_mean"], [0, 2])
    alone = measure(stack[2], image[2], (0.5, 0.25), "um")
    for name in alone:
        assert table[name][1] == alone[name][0]
    channels = measure(stack, np.stack([image, -image], axis=1))
    np.testing.assert_array_equal(channels["intensity_mean_ch2"], [0, -2])


@given(arrays(bool, (3, 7, 8)), arrays(np.uint8, (7, 8)))
@few
def test_cells_that_overlap_are_measured_over_all_their_pixels(cells, image):
    numbers = (7, 2, 5)
    layers = [mask * number for number, mask in zip(numbers, cells, strict=True)]
    said = {2: "B", 5: "A"}, {7: 0.25}
    table = measure_layers(layers, image, (0.5, 0.25), "um", *said)
    present = [(n, cells[numbers.index(n)]) for n in (2, 5, 7) if cells[numbers.index(n)].any()]
    assert table["label"].tolist() == [number for number, _ in present]
    for row, (number, mask) in enumerate(present):
        alone = measure(mask * number, image, (0.5, 0.25), "um", *said)
        assert list(table) == list(alone)
        for name, values in alone.items():
            np.testing.assert_array_equal(table[name][row], values[0])
        assert table["area_um2"][row] == mask.sum() / 8
        assert table["intensity_mean"][row] == pytest.approx(image[mask].mean())


def test_classes_and_scores_belong_to_labels():
    labels = np.array([[4, 4, 0, 9, 9, 0, 2]])
    table = measure(labels, classes={9: "B", 4: "A", 77: "C"}, scores={2: 0.25})
    np.testing.assert_array_equal(table["label"], [2, 4, 9])
    np.testing.assert_array_equal(table["class"], ["", "A", "B"])
    np.testing.assert_array_equal(table["score"], [0.25, np.nan, np.nan])


def test_summary():
    labels = np.zeros((30, 30), int)
    labels[:4, :4], labels[10:20, 10:20], labels[25:, 5:8] = 1, 2, 3
    summary = summarise(measure(labels, scale=(2, 2), unit="µm"), "µm")
    assert summary.cells == 3
    assert summary.diameter == pytest.approx(2 * 2 * np.sqrt(16 / np.pi))
    assert summary.at_border == 2
    nothing = summarise(measure(np.zeros((5, 5), int)))
    assert (nothing.cells, nothing.at_border) == (0, 0)
    assert np.isnan(nothing.diameter)


def test_names_of_channels_stay_apart():
    image = np.zeros((3, 90, 90))
    table = measure(ellipse(9, 9), image, channel_names=["a b", "a-b", "–"])
    assert [name for name in table if name.startswith("intensity_mean")] == [
        "intensity_mean_a_b_1",
        "intensity_mean_a_b_2",
        "intensity_mean_ch",
    ]


@pytest.mark.parametrize("word", ["µm", "μm", "um", "Micron", "micrometer"])
def test_micrometres_are_spelt_in_one_way(word):
    assert spell_unit(word) == "um"


@pytest.mark.parametrize(
    ("given_", "words"),
    [
        ({"labels": np.zeros((2, 2))}, "whole numbers"),
        ({"labels": np.zeros(4, int)}, "whole numbers"),
        ({"labels": np.zeros((0, 4), int)}, "shape"),
        ({"image": np.zeros((3, 3))}, "3 × 3"),
        ({"image": np.zeros((1, 2, 2, 2))}, "1 × 2 × 2 × 2"),
        ({"scale": (0.5, 0.5)}, "need a unit"),
        ({"scale": (0.0, 1.0), "unit": "um"}, "above 0"),
        ({"scale": (1.0,), "unit": "um"}, "above 0"),
        ({"unit": "m/s"}, "no unit of length"),
        ({"image": np.zeros((2, 2, 2)), "channel_names": ["one"]}, "1 names are given"),
    ],
)
def test_what_cannot_be_measured_is_said(given_, words):
    with pytest.raises(InputError, match=words):
        measure(**{"labels": np.ones((2, 2), int), **given_})


def test_real_nuclei(shared_data):
    """Counts and sizes of BBBC039 are those that its description states."""
    tables = [measure(read_labels(path)) for path in expand(shared_data / "bbbc039/val/labels")]
    diameters = np.concatenate([table["equivalent_diameter_px"] for table in tables])
    assert len(diameters) == 698
    assert np.median(diameters) == pytest.approx(28.9, abs=0.05)
    assert np.percentile(diameters, (5, 95)) == pytest.approx((7.4, 36.5), abs=0.05)
    assert all((table["axis_major_px"] >= table["axis_minor_px"]).all() for table in tables)
    assert all(((table["solidity"] > 0) & (table["solidity"] <= 1)).all() for table in tables)


def test_grey_values_of_half_precision_are_measured_in_single():
    """Their squares are beyond its range."""
    labels = np.ones((8, 8), np.int32)
    table = measure(labels, np.full((8, 8), 60000, np.float16))
    assert table["intensity_std"].tolist() == [0]
