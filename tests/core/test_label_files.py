"""Labels in files: what comes back, and what is no labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from given_files import sentence
from napari_unet.core.errors import InputError
from napari_unet.core.label_files import read_labels, write_labels

RNG = np.random.default_rng(0)


in_one_folder = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@in_one_folder
@given(
    labels=hnp.arrays(
        np.int32,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=20),
        elements=st.integers(-1, 2**31 - 1),
    )
)
def test_labels_come_back_the_same(tmp_path: Path, labels: np.ndarray) -> None:
    write_labels(tmp_path / "a.tif", labels)
    back = read_labels(tmp_path / "a.tif")
    assert back.dtype == np.int32
    np.testing.assert_array_equal(back, labels)


@pytest.mark.parametrize(
    ("values", "dtype"), [([0, 65535], "u2"), ([-1, 5], "i4"), ([0, 65536], "i4"), ([0, 0], "u2")]
)
def test_labels_are_written_as_uint16_where_they_fit(
    tmp_path: Path, values: list[int], dtype: str
) -> None:
    write_labels(tmp_path / "deep" / "a.tif", np.array([values] * 2))
    assert tifffile.imread(tmp_path / "deep" / "a.tif").dtype == np.dtype(dtype)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["a.tif"]


def test_written_labels_are_compressed(tmp_path: Path) -> None:
    write_labels(tmp_path / "a.tif", np.zeros((512, 512), np.int32))
    assert (tmp_path / "a.tif").stat().st_size < 10_000


def test_a_stack_of_labels_is_written_with_its_axes(tmp_path: Path) -> None:
    labels = RNG.integers(-1, 9, (3, 20, 30))
    write_labels(tmp_path / "a.tif", labels)
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        assert tif.series[0].axes == "ZYX"
        np.testing.assert_array_equal(tif.asarray(), labels)


@pytest.mark.parametrize(
    "labels",
    [np.zeros((4, 4)), np.zeros(4, int), np.full((4, 4), -2), np.full((4, 4), 2**31, np.int64)],
)
def test_what_are_no_planes_of_labels_is_not_written(tmp_path: Path, labels: np.ndarray) -> None:
    with pytest.raises(InputError) as error:
        write_labels(tmp_path / "a.tif", labels)
    assert "cannot be written" in sentence(error)
    assert not list(tmp_path.iterdir())


def test_whole_numbers_in_a_float_tiff_are_labels(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.array([[-1.0, 0], [1, 7]], "f4"))
    np.testing.assert_array_equal(read_labels(tmp_path / "a.tif"), [[-1, 0], [1, 7]])


def test_the_index_of_a_palette_png_is_the_label(tmp_path: Path) -> None:
    from PIL import Image

    labels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    picture = Image.fromarray(labels, "L").convert("P")
    picture.putdata(list(range(12)))
    picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, *range(30)])
    picture.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "a.png"), labels)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.full((4, 4), 0.5, "f4"), "fractions"),
        (np.full((4, 4), np.nan, "f4"), "fractions or NaN"),
        (np.full((4, 4), -2, "i2"), "the label -2"),
        (np.full((4, 4), 2**31, "u4"), "beyond 2147483647"),
        (np.zeros((16, 16, 3), "u1"), "has 3 channels"),
        (np.zeros((4, 4), "c8"), "complex64"),
    ],
)
def test_what_is_no_label_image_is_refused(tmp_path: Path, array: np.ndarray, words: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", array)
    with pytest.raises(InputError) as error:
        read_labels(tmp_path / "a.tif")
    assert words in sentence(error)
    assert str(tmp_path / "a.tif") in str(error.value)
