"""Which images and labels belong together."""

from __future__ import annotations

from pathlib import Path

import pytest

from given_files import sentence, touch
from napari_unet.core.errors import InputError
from napari_unet.core.file_pairs import pair_by_stem
from napari_unet.core.label_files import read_labels
from napari_unet.core.listing import expand
from napari_unet.core.pixels import read_image


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


def test_real_images_and_labels_pair(shared_data: Path) -> None:
    folder = shared_data / "dsb2018_histology" / "val"
    pairs = pair_by_stem(expand(folder / "images"), expand(folder / "labels", "labels"))
    assert len(pairs) == 8
    for image, labels in pairs:
        assert read_image(image).shape[1:] == read_labels(labels).shape


def test_a_letter_with_an_accent_is_the_same_however_a_disk_spells_it():
    one, two = "z\N{LATIN SMALL LETTER E WITH ACUTE}lle.tif", "ze\N{COMBINING ACUTE ACCENT}lle.tif"
    assert one != two
    assert pair_by_stem([Path("i", one)], [Path("l", two)]) == [(Path("i", one), Path("l", two))]
