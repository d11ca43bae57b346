"""Pixels: what is read and what is refused."""

from __future__ import annotations

from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from given_files import sentence
from napari_unet.core.errors import InputError
from napari_unet.core.label_files import read_labels
from napari_unet.core.lazy_image import open_image
from napari_unet.core.pixels import read_image
from napari_unet.core.stack import open_stack

RNG = np.random.default_rng(0)


in_one_folder = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def read_or_refuse(path: Path) -> np.ndarray | None:
    """The image, or None where reading ends in a sentence; any other error is the test's."""
    try:
        return read_image(path)
    except InputError as error:
        if str(path) not in str(error):
            raise
        return None


@pytest.mark.parametrize(
    ("dtype", "ending"),
    [("u1", "png"), ("u2", "png"), ("u1", "tif"), ("u2", "tif"), ("i4", "tif"), ("f4", "tif")],
)
def test_grey_values_come_back_as_they_are(tmp_path: Path, dtype: str, ending: str) -> None:
    plane = RNG.integers(0, 200, (20, 30)).astype(dtype) * np.dtype(dtype).type(1)
    path = tmp_path / f"a.{ending}"
    iio.imwrite(path, plane)
    image = read_image(path)
    assert image.dtype == np.dtype(dtype)
    assert image.shape == (1, 20, 30)
    np.testing.assert_array_equal(image[0], plane)


@pytest.mark.parametrize("ending", ["png", "tif", "bmp"])
@pytest.mark.parametrize("channels", [3, 4])
def test_colour_stays_colour_and_alpha_is_left_out(
    tmp_path: Path, ending: str, channels: int
) -> None:
    grey = RNG.integers(0, 256, (20, 30, 1)).astype("u1")
    colour = np.concatenate([grey, grey, grey, 255 - grey], axis=2)[:, :, :channels]
    path = tmp_path / f"a.{ending}"
    iio.imwrite(path, colour)
    image = read_image(path)
    np.testing.assert_array_equal(image, colour[:, :, :3].transpose(2, 0, 1))


def test_grey_with_alpha_is_grey(tmp_path: Path) -> None:
    pixels = RNG.integers(0, 256, (20, 30, 2)).astype("u1")
    iio.imwrite(tmp_path / "a.png", pixels, mode="LA")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), pixels[None, :, :, 0])


def test_jpeg_is_read(tmp_path: Path) -> None:
    iio.imwrite(tmp_path / "a.jpg", np.full((16, 24, 3), 90, np.uint8))
    assert read_image(tmp_path / "a.jpg").shape == (3, 16, 24)


def test_black_ink_is_no_alpha(tmp_path: Path) -> None:
    from PIL import Image

    inks = np.zeros((16, 24, 4), np.uint8)
    inks[:, 12:, 3] = 255  # the right half is black by its last ink alone
    Image.fromarray(inks, "CMYK").save(tmp_path / "a.jpg", quality=100)
    image = read_image(tmp_path / "a.jpg")
    assert image.shape == (3, 16, 24)
    assert image[:, :, :8].min() > 240
    assert image[:, :, 16:].max() < 15


@pytest.mark.parametrize("kind", ["shaped", "generic", "positions"])
def test_further_images_of_a_tiff_are_not_left_out_silently(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.tif"
    sizes = [(40, 50), (40, 50)] if kind == "positions" else [(40, 50), (30, 35)]
    options = {"metadata": None} if kind == "generic" else {}
    with tifffile.TiffWriter(path, ome=kind == "positions") as writer:
        for size in sizes:
            writer.write(np.ones(size, "u1"), **options)
    for read in (read_image, open_image, open_stack):
        with pytest.raises(InputError) as error:
            read(path)
        assert f"“{path}” holds 2 images (40 × 50, " in sentence(error)


def test_pyramids_and_what_goes_along_with_a_slide_do_not_close_it(tmp_path: Path) -> None:
    slide = RNG.integers(0, 256, (256, 320, 3)).astype("u1")
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as writer:
        writer.write(slide, photometric="rgb", subifds=1, tile=(64, 64))
        writer.write(slide[::2, ::2], photometric="rgb", subfiletype=1, tile=(64, 64))
        writer.write(slide[:50, :70], photometric="rgb", metadata={"Name": "macro"})
    options = {"photometric": "rgb", "metadata": None}
    with tifffile.TiffWriter(tmp_path / "b.svs") as writer:
        said = "Aperio Image Library v12.0.0\r\n320x256"
        writer.write(slide, tile=(64, 64), description=said, **options)
        writer.write(slide[:60, :90], description=said, **options)
        writer.write(slide[::4, ::4], tile=(64, 64), description=said, **options)
        writer.write(slide[:50, :70], subfiletype=1, description="label", **options)
        writer.write(slide[:40, :90], subfiletype=9, description="macro", **options)
    with tifffile.TiffWriter(tmp_path / "c.tif") as writer:
        writer.write(slide, **options)
        writer.write(slide[::2, ::2], **options)  # a pyramid that does not say that it is one
        writer.write(slide[:50, :70], subfiletype=1, **options)
    for path in sorted(tmp_path.iterdir()):
        np.testing.assert_array_equal(read_image(path), slide.transpose(2, 0, 1))
        assert open_image(path).shape == (3, 256, 320)


def test_black_and_white_becomes_0_and_1(tmp_path: Path) -> None:
    mask = RNG.random((16, 24)) > 0.5
    tifffile.imwrite(tmp_path / "a.tif", mask)
    image = read_image(tmp_path / "a.tif")
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image[0], mask)


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((5, 20, 30), {"ome": True, "metadata": {"axes": "CYX"}}),
        ((2, 20, 30), {"imagej": True, "metadata": {"axes": "CYX"}}),
        ((1, 2, 20, 30), {"ome": True, "metadata": {"axes": "TCYX"}}),
        ((1, 20, 30), {"ome": True, "metadata": {"axes": "ZYX"}}),
        ((2, 20, 30), {"photometric": "minisblack"}),
        ((4, 20, 30), {"photometric": "minisblack"}),
        ((3, 20, 30), {"photometric": "rgb", "planarconfig": "separate"}),
    ],
)
def test_channels_of_a_tiff_come_first(
    tmp_path: Path, shape: tuple[int, ...], options: dict[str, object]
) -> None:
    array = RNG.integers(0, 4000, shape).astype("u2")
    tifffile.imwrite(tmp_path / "a.tif", array, **options)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), array.reshape(-1, 20, 30))


@pytest.mark.parametrize("channels", [2, 3, 4, 5])
def test_samples_of_a_tiff_are_channels(tmp_path: Path, channels: int) -> None:
    array = RNG.integers(0, 4000, (20, 30, channels)).astype("u2")
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="minisblack", planarconfig="contig")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), array.transpose(2, 0, 1))


def test_a_short_last_axis_without_a_name_is_taken_as_channels(tmp_path: Path) -> None:
    array = RNG.integers(0, 4000, (20, 30, 2)).astype("u2")
    tifffile.imwrite(tmp_path / "a.tif", array)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), array.transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("shape", "options", "planes"),
    [
        ((7, 20, 30), {"ome": True, "metadata": {"axes": "TYX"}}, 7),
        ((2, 20, 30), {"ome": True, "metadata": {"axes": "ZYX"}}, 2),
        ((7, 20, 30), {"imagej": True, "metadata": {"axes": "ZYX"}}, 7),
        ((3, 2, 20, 30), {"ome": True, "metadata": {"axes": "ZCYX"}}, 3),
        ((7, 20, 30), {"photometric": "minisblack"}, 7),
        ((2, 3, 20, 30), {"photometric": "minisblack"}, 6),
    ],
)
def test_a_stack_is_refused_with_its_number_of_planes(
    tmp_path: Path, shape: tuple[int, ...], options: dict[str, object], planes: int
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros(shape, "u2"), **options)
    for read in (read_image, read_labels):
        with pytest.raises(InputError) as error:
            read(tmp_path / "a.tif")
        assert f"“{tmp_path / 'a.tif'}” is a stack of {planes} planes" in sentence(error)


def test_an_animation_is_a_stack(tmp_path: Path) -> None:
    frames = RNG.integers(0, 256, (3, 20, 30)).astype("u1")
    iio.imwrite(tmp_path / "a.gif", frames)
    with pytest.raises(InputError) as error:
        read_image(tmp_path / "a.gif")
    assert "stack of 3 planes" in sentence(error)


def test_colour_png_of_16_bits_is_refused_rather_than_cut(tmp_path: Path) -> None:
    header = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + b"\0\0\0\x08" * 2 + bytes([16, 2])
    (tmp_path / "a.png").write_bytes(header + bytes(40))
    with pytest.raises(InputError) as error:
        read_image(tmp_path / "a.png")
    assert "16 bits" in sentence(error)


def test_lzw_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    plane = RNG.integers(0, 256, (20, 30)).astype("u1")
    iio.imwrite(path, plane, plugin="pillow", extension=".tif", compression="tiff_lzw")
    np.testing.assert_array_equal(read_image(path)[0], plane)


def test_the_content_decides_not_the_ending(tmp_path: Path) -> None:
    plane = RNG.integers(0, 4000, (20, 30)).astype("u2")
    tifffile.imwrite(tmp_path / "a.png", plane)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png")[0], plane)


def test_a_missing_file_and_a_folder_are_sentences(tmp_path: Path) -> None:
    for path, words in ((tmp_path / "a.tif", "does not exist"), (tmp_path, "is a folder")):
        with pytest.raises(InputError) as error:
            read_image(path)
        assert words in sentence(error)


@pytest.mark.parametrize(
    "content", [b"", b"no image", b"II*\0", b"\x89PNG\r\n\x1a\n", b"II*\0" * 9]
)
def test_a_foreign_file_is_a_sentence_with_its_path(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(InputError) as error:
        read_image(tmp_path / "a.tif")
    assert str(tmp_path / "a.tif") in sentence(error)


@pytest.mark.parametrize("kind", ["tif", "deflate.tif", "png", "jpg"])
@in_one_folder
@given(part=st.floats(0, 0.999))
def test_a_truncated_file_is_a_sentence(tmp_path: Path, kind: str, part: float) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (40, 50)).astype("u1")
    path = tmp_path / f"a.{kind}"
    if kind == "deflate.tif":
        tifffile.imwrite(path, pixels, compression="zlib", rowsperstrip=8)
    else:
        iio.imwrite(path, pixels)
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    image = read_or_refuse(path)
    if image is not None:  # only what stands behind the pixels is missing
        np.testing.assert_array_equal(image[0], iio.imread(content))


@in_one_folder
@given(data=st.data())
def test_a_damaged_tiff_is_a_sentence_or_an_image(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((16, 16), "u1"), compression="zlib")
    content = bytearray(path.read_bytes())
    for at in data.draw(st.lists(st.integers(4, len(content) - 1), min_size=1, max_size=4)):
        content[at] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    image = read_or_refuse(path)
    assert image is None or image.ndim == 3


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cyx_hela_3ch.ome.tif", (3, 512, 672)),
        ("yx_bacteria_caulo_15.tif", (1, 281, 310)),
        ("tyx_mitocheck.ome.tif", "stack of 30 planes"),
        ("zyx_chromosomes.ome.tif", "stack of 40 planes"),
    ],
)
def test_microscope_files(shared_data: Path, name: str, expected: tuple[int, ...] | str) -> None:
    path = shared_data / "samples" / name
    if isinstance(expected, str):
        with pytest.raises(InputError, match=expected):
            read_image(path)
    else:
        assert read_image(path).shape == expected
