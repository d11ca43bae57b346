"""Stacks on disk: their planes as NumPy would have cut them, their axes never guessed."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from napari_unet.core.config import NormalizeConfig
from napari_unet.core.errors import InputError
from napari_unet.core.label_planes import open_labels
from napari_unet.core.lazy_image import LazyImage, is_large
from napari_unet.core.normalize import percentiles
from napari_unet.core.stack import LOOKED_AT, is_stack, open_stack
from napari_unet.core.stack_scale import read_scale

RNG = np.random.default_rng(0)


def write(path, shape, axes, **options):
    """A stack of that shape, and its pixels."""
    data = RNG.integers(0, 4000, shape).astype(np.uint16)
    tifffile.imwrite(path, data, metadata={"axes": axes}, photometric="minisblack", **options)
    return data


@given(
    order=st.permutations("TZCYX"),
    lengths=st.lists(st.integers(1, 3), min_size=3, max_size=3),
    packed=st.booleans(),
)
def test_each_plane_is_that_of_the_array(tmp_path_factory, order, lengths, packed):
    size = dict(zip("TZC", lengths, strict=True)) | {"Y": 9, "X": 7}
    axes = "".join(order)
    if packed:  # tifffile's store reads no other order where there are axes of one entry
        axes = axes.replace("Y", "").replace("X", "") + "YX"
    path = tmp_path_factory.mktemp("any") / "stack.tif"
    data = write(path, [size[axis] for axis in axes], axes, compression="zlib" if packed else None)
    several = [axis for axis in axes if axis in "TZ" and size[axis] > 1]
    assert is_stack(path) == bool(several)
    stack = open_stack(path)
    assert stack.axes == "".join(several)
    assert len(stack.places) == np.prod(stack.lengths, dtype=int)
    array = np.moveaxis(data, [axes.index(axis) for axis in "TZCYX"], range(5))
    for place in stack.places:
        expected = array[place.get("T", 0), place.get("Z", 0)]
        np.testing.assert_array_equal(stack.read(place), expected)


@pytest.mark.parametrize(
    ("shape", "metadata", "axes"),
    [
        ((3, 40, 50), None, "TYX"),
        ((9, 40, 50), None, "TYX"),
        ((3, 40, 50), {}, "TYX"),
        ((5, 2, 40, 50), {}, "TCYX"),
    ],
)
def test_axes_that_a_file_does_not_name_are_asked_for(tmp_path, shape, metadata, axes):
    path = tmp_path / "plain.tif"
    tifffile.imwrite(path, np.zeros(shape, np.uint16), photometric="minisblack", metadata=metadata)
    assert is_stack(path)
    with pytest.raises(InputError, match=r"does not say what its . axes .* with --axes, such as"):
        open_stack(path)
    stack = open_stack(path, axes)
    assert (stack.axes, stack.lengths) == ("T", shape[:1])


def test_said_axes_go_before_those_of_the_file(tmp_path):
    path = tmp_path / "stack.tif"
    data = write(path, (3, 20, 30), "TYX")
    stack = open_stack(path, "CYX")
    assert stack.axes == ""
    np.testing.assert_array_equal(stack.read({}), data)
    with pytest.raises(InputError, match=r"has 3 axes .* names 4"):
        open_stack(path, "TCYX")


def test_images_and_other_files_are_no_stacks(tmp_path):
    (tmp_path / "text.tif").write_text("no image")
    write(tmp_path / "plane.tif", (20, 30), "YX")
    write(tmp_path / "channels.tif", (2, 20, 30), "CYX")
    tifffile.imwrite(tmp_path / "rgb.tif", np.zeros((20, 30, 3), np.uint8), photometric="rgb")
    assert not any(is_stack(path) for path in tmp_path.iterdir())
    with pytest.raises(InputError, match="cannot be read as a TIFF"):
        open_stack(tmp_path / "text.tif")


def test_only_the_planes_that_are_asked_for_are_read(tmp_path, monkeypatch):
    path = tmp_path / "stack.tif"
    write(path, (50, 20, 30), "TYX")
    stack, seen = open_stack(path), []
    read = LazyImage.read
    monkeypatch.setattr(
        LazyImage, "read", lambda plane, part: seen.append(plane.planes["T"]) or read(plane, part)
    )
    stack.read({"T": 7})
    assert seen == [7]
    stack.percentiles(NormalizeConfig())
    assert len(seen) == 1 + LOOKED_AT
    assert {0, 49} <= set(seen)


def test_one_brightness_is_that_of_all_planes(tmp_path):
    path = tmp_path / "stack.tif"
    data = write(path, (5, 20, 30), "TYX")
    config = NormalizeConfig()
    expected = percentiles(data.reshape(1, 1, -1), config)
    np.testing.assert_array_equal(open_stack(path).percentiles(config), expected)


def test_a_damaged_plane_is_a_sentence(tmp_path):
    path = tmp_path / "stack.tif"
    write(path, (4, 64, 64), "TYX", compression="zlib")
    with tifffile.TiffFile(path) as tif:
        offset = tif.pages[2].dataoffsets[0]
    content = bytearray(path.read_bytes())
    content[offset : offset + 40] = b"\0" * 40
    path.write_bytes(content)
    stack = open_stack(path)
    stack.read({"T": 1})
    with pytest.raises(InputError, match="T=2” cannot be read"):
        stack.read({"T": 2})


def test_the_scale_is_that_of_ome_and_of_imagej(tmp_path):
    data = np.zeros((3, 20, 30), np.uint16)
    ome = {
        "PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.25,
        "PhysicalSizeYUnit": "µm", "TimeIncrement": 20.0, "TimeIncrementUnit": "s",
    }  # fmt: skip
    tifffile.imwrite(tmp_path / "a.ome.tif", data, metadata={"axes": "TYX", **ome})
    assert read_scale(tmp_path / "a.ome.tif") == ome
    tifffile.imwrite(
        tmp_path / "b.tif", data, imagej=True, resolution=(2, 4),
        metadata={"axes": "ZYX", "unit": "um", "spacing": 1.5},
    )  # fmt: skip
    assert read_scale(tmp_path / "b.tif") == {
        "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.25, "PhysicalSizeZ": 1.5,
        "PhysicalSizeXUnit": "µm", "PhysicalSizeYUnit": "µm", "PhysicalSizeZUnit": "µm",
    }  # fmt: skip
    tifffile.imwrite(tmp_path / "c.tif", data, photometric="minisblack", metadata={"axes": "TYX"})
    assert read_scale(tmp_path / "c.tif") == {}


@pytest.mark.parametrize("content", [b"", b"II*\0", b"II*\0abc", b"II*\0" * 9, b"MM\0*\0\0\0\x08"])
def test_a_file_that_is_half_copied_is_no_stack_and_not_large(tmp_path, content):
    path = tmp_path / "a.tif"
    path.write_bytes(content)
    assert not is_stack(path)
    assert not is_large(path)
    with pytest.raises(InputError, match="cannot be read"):
        open_stack(path)


def test_labels_of_said_axes_are_whole_numbers_of_one_channel(tmp_path):
    path = tmp_path / "labels.tif"
    tifffile.imwrite(path, np.zeros((6, 20, 30), np.uint8), metadata=None)
    planes = open_labels(path, "TYX")
    assert [name for name, _ in planes][5] == f"{path} T=5"
    assert [read().shape for _, read in planes] == [(20, 30)] * 6
    assert planes[0][1]().dtype == np.int32
    with pytest.raises(InputError, match="has 6 channels; labels have one"):
        open_labels(path, "CYX")
