"""Windows of images on disk: as NumPy would have cut them."""

from __future__ import annotations

import pickle

import dask.array as da
import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.core import lazy_image
from napari_unet.core.config import NormalizeConfig
from napari_unet.core.errors import InputError
from napari_unet.core.lazy_image import find_percentiles, is_large, is_zarr, open_image
from napari_unet.core.normalize import normalize, percentiles, scale
from napari_unet.core.tiling import read

IMAGE = np.random.default_rng(0).integers(0, 4000, (3, 70, 90)).astype(np.uint16)


def ngff(path, array, axes, version, scale=None):
    """A minimal OME-Zarr of one level, written without our own code."""
    group = zarr.open_group(path, mode="w", zarr_format=3 if version == "0.5" else 2)
    group.create_array("full", data=array, chunks=tuple(min(n, 32) for n in array.shape))
    kinds = {"t": "time", "c": "channel"}
    named = [{"name": axis, "type": kinds.get(axis, "space")} for axis in axes]
    for axis in named:
        if axis["type"] == "space":
            axis["unit"] = "micrometer"
    steps = [{"type": "scale", "scale": scale or [1.0] * len(axes)}]
    multiscale = {
        "version": version,
        "axes": named,
        "datasets": [{"path": "full", "coordinateTransformations": steps}],
    }
    if version == "0.5":
        group.attrs["ome"] = {"version": "0.5", "multiscales": [multiscale]}
    else:
        group.attrs["multiscales"] = [multiscale]
    return path


def kinds(folder):
    """The same image in every form."""
    tifffile.imwrite(
        folder / "plain.tif", IMAGE, metadata={"axes": "CYX"}, photometric="minisblack"
    )
    tifffile.imwrite(
        folder / "tiled.tif", IMAGE, metadata={"axes": "CYX"}, photometric="minisblack",
        tile=(32, 32), compression="zlib",
    )  # fmt: skip
    tifffile.imwrite(
        folder / "strips.tif", IMAGE, metadata={"axes": "CYX"}, photometric="minisblack",
        rowsperstrip=8, compression="zlib",
    )  # fmt: skip
    tifffile.imwrite(folder / "last.ome.tif", np.moveaxis(IMAGE, 0, -1), photometric="rgb")
    with_alpha = np.concatenate([IMAGE, np.ones_like(IMAGE[:1])])
    tifffile.imwrite(
        folder / "alpha.tif", np.moveaxis(with_alpha, 0, -1), photometric="rgb",
        extrasamples=["unassalpha"],
    )  # fmt: skip
    zarr.create_array(folder / "bare.zarr", data=IMAGE, chunks=(1, 16, 16))
    ngff(folder / "v4.zarr", IMAGE, "cyx", "0.4")
    ngff(folder / "v5.zarr", IMAGE[None, :, None], "tczyx", "0.5")
    yield from (open_image(path) for path in sorted(folder.iterdir()))
    yield open_image(IMAGE)
    yield open_image(da.from_array(IMAGE, chunks=(1, 20, 20)))


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return list(kinds(tmp_path_factory.mktemp("images")))


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_every_kind_gives_the_same_windows(images, data):
    start = data.draw(st.tuples(st.integers(-30, 60), st.integers(-30, 80)))
    size = data.draw(st.tuples(st.integers(1, 120), st.integers(1, 120)))
    for image in images:
        assert image.shape == IMAGE.shape, image.name
        found = image.read_mirrored(start, size)
        assert found.dtype == IMAGE.dtype
        np.testing.assert_array_equal(found, read(IMAGE, start, size), err_msg=image.name)


def test_a_grey_image_and_a_plane_of_a_stack(tmp_path):
    stack = np.arange(2 * 3 * 8 * 9).reshape(2, 3, 8, 9).astype(np.float32)
    path = ngff(tmp_path / "stack.zarr", stack, "tzyx", "0.5")
    image = open_image(path, {"t": 1, "Z": 2})
    assert image.shape == (1, 8, 9)
    region = slice(2, 5), slice(0, 4)
    np.testing.assert_array_equal(image.read(region), stack[1, 2][region][None])
    for planes, said in (({"T": 1}, "3 planes along Z"), ({"T": 2, "Z": 0}, "no plane 2")):
        with pytest.raises(InputError, match=said):
            open_image(path, planes)
    tifffile.imwrite(
        tmp_path / "stack.tif", stack[0], metadata={"axes": "ZYX"}, photometric="minisblack"
    )
    np.testing.assert_array_equal(
        open_image(tmp_path / "stack.tif", {"Z": 1}).read(region), stack[0, 1][region][None]
    )


def test_the_size_of_a_pixel_comes_along(tmp_path):
    path = ngff(tmp_path / "a.zarr", IMAGE, "cyx", "0.4", [1.0, 0.5, 0.25])
    image = open_image(path)
    assert (image.pixel_size, image.unit) == ((0.5, 0.25), "micrometer")


def test_another_process_opens_it_anew(images):
    for image in images:
        again = pickle.loads(pickle.dumps(image))
        region = slice(3, 20), slice(5, 9)
        np.testing.assert_array_equal(again.read(region), image.read(region))
        if image.origin is not None:
            assert len(pickle.dumps(image)) < 1000


@pytest.mark.parametrize("shape", [(1, 40, 50), (2, 1500, 1601)])
def test_percentiles_are_those_of_the_image_in_memory(shape):
    array = np.random.default_rng(1).gamma(2, 100, shape).astype(np.float32)
    config = NormalizeConfig()
    pairs = find_percentiles(open_image(array), config)
    np.testing.assert_array_equal(pairs, percentiles(array, config))
    part = np.s_[:, 3:20, 30:40]
    np.testing.assert_array_equal(scale(array[part], pairs, config), normalize(array)[part])


def test_percentiles_of_what_is_too_large_to_read(monkeypatch):
    """From a grid of blocks, and from the extremes where those show nothing."""
    monkeypatch.setattr(lazy_image, "READ_WHOLE", 1000)
    array = np.random.default_rng(1).gamma(2, 100, (1, 2000, 2000)).astype(np.float32)
    config = NormalizeConfig()
    found, exact = find_percentiles(open_image(array), config), percentiles(array, config)
    np.testing.assert_allclose(found, exact, rtol=0.05)
    empty = np.zeros((1, 3000, 3000), np.uint8)
    empty[0, 70, 80] = 9
    np.testing.assert_array_equal(find_percentiles(open_image(empty), config), [[0, 9]])
    with pytest.raises(InputError, match="constant"):
        find_percentiles(open_image(np.zeros((1, 100, 100))), config)


def test_what_is_not_finite_is_named_with_its_place():
    array = np.ones((1, 200, 200), np.float32)
    array[0, 150, 160] = np.nan
    image = open_image(array)
    image.read_mirrored((0, 0), (100, 100))
    with pytest.raises(InputError, match="near row 100, column 100"):
        image.read_mirrored((100, 100), (100, 100))


def test_what_is_predicted_lazily(tmp_path, monkeypatch):
    monkeypatch.setattr(lazy_image, "READ_WHOLE", 70 * 90)
    for name, rows in (("fits.tif", 70), ("large.tif", 71)):
        tifffile.imwrite(tmp_path / name, np.zeros((rows, 90), np.uint8))
    (tmp_path / "text.tif").write_text("no image")
    ngff(tmp_path / "v4.zarr", IMAGE, "cyx", "0.4")
    (tmp_path / "folder").mkdir()
    names = ("fits.tif", "text.tif", "folder", "large.tif", "v4.zarr")
    assert [is_large(tmp_path / name) for name in names] == [False, False, False, True, True]


def test_what_cannot_be_opened_is_one_sentence(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.tif").write_text("no image")
    zarr.open_group(tmp_path / "group.zarr", mode="w")
    for path, said in (
        (tmp_path / "empty", "no zarr"),
        (tmp_path / "text.tif", "cannot be read as a large image"),
        (tmp_path / "group.zarr", "no image that OME-Zarr"),
        (tmp_path / "missing.zarr", "missing.zarr"),
        (np.ones((2, 2, 2, 2)), "4 axes"),
        (np.ones((3, 4), complex), "complex"),
    ):
        with pytest.raises(InputError, match=said) as error:
            open_image(path)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("axis", ["Y", "Z", "C"])
def test_planes_along_an_axis_that_is_none_of_a_stack_are_refused(axis):
    with pytest.raises(InputError, match=f"no planes along {axis}: it has some along T"):
        open_image(np.zeros((2, 5, 6), np.uint8), {"T": 1, axis: 0}, "TYX")


def test_a_plane_that_is_not_there_is_said_as_it_is(tmp_path):
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, np.zeros((5, 8, 9), np.uint8), metadata={"axes": "TYX"})
    with pytest.raises(InputError, match=r"no plane 7: choose T=0 to T=4\.$"):
        open_image(path, {"T": 7})


def test_a_folder_that_nobody_may_look_into_is_no_zarr(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(tmp_path), "is_file", refuse)
    assert not is_zarr(tmp_path)
