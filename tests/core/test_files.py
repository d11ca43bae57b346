"""Files: what is found, what belongs together, what is read and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_unet.core.errors import InputError
from napari_unet.core.files import (
    expand,
    name_results,
    pair_by_stem,
    read_image,
    read_labels,
    write_atomically,
    write_labels,
)
from napari_unet.core.lazy_image import open_image
from napari_unet.core.stack import open_stack

RNG = np.random.default_rng(0)
in_one_folder = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def touch(folder: Path, *names: str) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / name for name in names]
    for path in paths:
        path.touch()
    return paths


def sentence(error: pytest.ExceptionInfo[InputError]) -> str:
    text = str(error.value)
    assert text.endswith(".")
    assert "\n" not in text
    return text


def read_or_refuse(path: Path) -> np.ndarray | None:
    """The image, or None where reading ends in a sentence; any other error is the test's."""
    try:
        return read_image(path)
    except InputError as error:
        if str(path) not in str(error):
            raise
        return None


# --- which files are meant -------------------------------------------------------------------


def test_a_folder_stands_for_its_images_in_natural_order(tmp_path: Path) -> None:
    touch(tmp_path, "cell10.tif", "cell2.TIF", "cell1.ome.tif", "notes.txt", ".cell0.tif")
    (tmp_path / "folder.tif").mkdir()
    assert [path.name for path in expand(tmp_path)] == ["cell1.ome.tif", "cell2.TIF", "cell10.tif"]


def test_a_pattern_crosses_folders_and_each_file_comes_once(tmp_path: Path) -> None:
    touch(tmp_path / "a", "x.png")
    touch(tmp_path / "b" / "c", "y.png")
    found = expand([tmp_path / "b" / "c" / "y.png", str(tmp_path / "**" / "*.png")])
    assert [path.name for path in found] == ["y.png", "x.png"]


def test_a_name_with_brackets_is_a_file_before_it_is_a_pattern(tmp_path: Path) -> None:
    (path,) = touch(tmp_path, "cell[1].tif")
    assert expand(path) == [path]


@pytest.mark.parametrize(
    ("entry", "words"),
    [("missing.tif", "does not exist"), ("*.tif", "No labels match"), ("", "No labels are in")],
)
def test_nothing_found_is_one_sentence(tmp_path: Path, entry: str, words: str) -> None:
    with pytest.raises(InputError) as error:
        expand(tmp_path / entry, "labels")
    assert words in sentence(error)
    assert str(tmp_path) in str(error.value)


def test_what_nobody_may_look_into_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for entry, words in ((tmp_path / ("a" * 300), "too long"), ("~nobody-here/a.tif", "home")):
        with pytest.raises(InputError) as error:
            expand(entry)
        assert words in sentence(error)

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(InputError) as error:
        expand(tmp_path)
    assert f"“{tmp_path}” cannot be looked into (Permission denied)" in sentence(error)


def test_a_zarr_of_labels_stands_for_itself(tmp_path: Path) -> None:
    touch(tmp_path / "a.zarr", "zarr.json")
    assert expand(tmp_path / "a.zarr", "labels") == [tmp_path / "a.zarr"]
    with pytest.raises(InputError, match="No images are in"):
        expand(tmp_path / "a.zarr")


def test_no_paths_at_all_is_a_sentence() -> None:
    with pytest.raises(InputError) as error:
        expand([], "images")
    assert "No images were given" in sentence(error)


# --- which files belong together ---------------------------------------------------------------


def test_pairs_by_stem_whatever_the_ending() -> None:
    images = [Path("i/b.ome.tif"), Path("i/a.png"), Path("i/c_mask.tif"), Path("i/d.tif")]
    labels = [
        Path("l/a_cp_masks.tif"),
        Path("l/c_mask.png"),
        Path("l/b.tif"),
        Path("l/d-labels.tif"),
    ]
    assert pair_by_stem(images, labels) == [
        (Path("i/b.ome.tif"), Path("l/b.tif")),
        (Path("i/a.png"), Path("l/a_cp_masks.tif")),
        (Path("i/c_mask.tif"), Path("l/c_mask.png")),
        (Path("i/d.tif"), Path("l/d-labels.tif")),
    ]


def test_pairing_names_what_is_missing_on_each_side() -> None:
    images = [Path(f"{name}.tif") for name in "abcdef"]
    with pytest.raises(InputError) as error:
        pair_by_stem(images, [Path("l/a.tif"), Path("z.tif")])
    text = sentence(error)
    assert "“b.tif”, “c.tif”, “d.tif” and 2 more have no labels" in text
    assert "“z.tif” has no image" in text


def test_two_files_of_one_name_are_refused() -> None:
    with pytest.raises(InputError) as error:
        pair_by_stem([Path("a.tif"), Path("a.png")], [Path("l/a.tif")])
    assert "Several images have the name “a”" in sentence(error)
    with pytest.raises(InputError) as error:
        pair_by_stem([Path("a.tif")], [Path("l/a.tif"), Path("l/a_mask.tif")])
    assert "Several labels have the name “a”" in sentence(error)


def test_images_and_labels_in_one_folder(tmp_path: Path) -> None:
    a, a_masks, b, b_masks = touch(tmp_path, "a.tif", "a_masks.tif", "b.tif", "b_cp_masks.png")
    pairs = [(a, a_masks), (b, b_masks)]
    assert expand(tmp_path, "labels") == [a_masks, b_masks]
    for labels in ([a, a_masks, b, b_masks], [a_masks, b_masks]):
        assert pair_by_stem(expand(tmp_path), labels) == pairs
    touch(tmp_path, "c.tif")
    with pytest.raises(InputError, match=r"“c.tif” has no labels"):
        pair_by_stem(expand(tmp_path), expand(tmp_path, "labels"))
    (seg,) = touch(tmp_path, "a_seg.npy")
    assert pair_by_stem([a, a_masks], expand(tmp_path, "labels")) == [(a, seg)]


def test_no_image_is_its_own_labels(tmp_path: Path) -> None:
    (path,) = touch(tmp_path, "a.tif")
    (tmp_path / "link").symlink_to(tmp_path)
    for same in (path, tmp_path / "link" / "a.tif"):
        with pytest.raises(InputError) as error:
            pair_by_stem([path], [same])
        assert "an image and as its labels" in sentence(error)


def test_an_image_that_is_called_as_labels_stays_one_where_it_has_some() -> None:
    images = [Path("i/c.tif"), Path("i/c_mask.tif")]
    labels = [Path("l/c.tif"), Path("l/c_mask.tif")]
    assert pair_by_stem(images, labels) == list(zip(images, labels, strict=True))


# --- images ------------------------------------------------------------------------------------


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


# --- labels ------------------------------------------------------------------------------------


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


# --- all or nothing ------------------------------------------------------------------------------


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail(target: Path) -> None:
        target.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, fail)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_a_sentence(tmp_path: Path) -> None:
    def fail(target: Path) -> None:
        target.write_text("half")
        raise OSError(28, os.strerror(28))

    with pytest.raises(InputError) as error:
        write_atomically(tmp_path / "a.tif", fail)
    assert os.strerror(28) in sentence(error)
    assert not list(tmp_path.iterdir())


def test_a_file_in_the_way_of_the_folder_is_a_sentence(tmp_path: Path) -> None:
    touch(tmp_path, "results")
    with pytest.raises(InputError) as error:
        write_labels(tmp_path / "results" / "a.tif", np.zeros((4, 4), int))
    assert "cannot be written" in sentence(error)


def test_the_writer_gets_the_same_folder_and_ending(tmp_path: Path) -> None:
    seen: list[Path] = []

    def write(target: Path) -> None:
        seen.append(target)
        target.write_text("new")

    write_atomically(tmp_path / "model.safetensors", write)
    assert seen[0].parent == tmp_path
    assert seen[0].suffix == ".safetensors"
    assert (tmp_path / "model.safetensors").read_text() == "new"


# --- real files ---------------------------------------------------------------------------------


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


def test_real_images_and_labels_pair(shared_data: Path) -> None:
    folder = shared_data / "dsb2018_histology" / "val"
    pairs = pair_by_stem(expand(folder / "images"), expand(folder / "labels", "labels"))
    assert len(pairs) == 8
    for image, labels in pairs:
        assert read_image(image).shape[1:] == read_labels(labels).shape


class _Compared(type(Path())):
    """A path that counts how often it is compared."""

    times = 0

    def __eq__(self, other):
        _Compared.times += 1
        return super().__eq__(other)

    __hash__ = type(Path()).__hash__


def test_the_results_of_many_files_are_not_compared_each_with_all(tmp_path):
    paths = [Path(f"cell{number}.tif") for number in range(300)]
    _Compared.times = 0
    targets = name_results(paths, _Compared(tmp_path))
    assert [target.name for target in targets] == [path.name for path in paths]
    assert _Compared.times < 3 * len(paths)
    with pytest.raises(InputError, match="Two files are called 'cell7'"):
        name_results([*paths, Path("cell7.png")], _Compared(tmp_path))


@pytest.mark.skipif(os.name == "nt", reason="links need a right there")
def test_a_link_stays_one_and_its_file_is_written(tmp_path):
    (tmp_path / "other").mkdir()
    file, link = tmp_path / "other" / "a.csv", tmp_path / "link.csv"
    file.write_text("old")
    link.symlink_to(file)
    write_atomically(link, lambda path: path.write_text("new"))
    assert link.is_symlink()
    assert file.read_text() == "new"
