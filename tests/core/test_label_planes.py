"""Label files plane by plane: how large their image is, and cells that overlap."""

from __future__ import annotations

import imageio.v3 as imageio
import numpy as np
import pytest
import tifffile

from napari_unet.core.errors import InputError
from napari_unet.core.formats import FORMATS, Labelled
from napari_unet.core.formats.labelled import Shape, put_together
from napari_unet.core.label_planes import (
    find_size,
    open_cells,
    open_images,
    open_labels,
    side_by_side,
)

SIZE = (20, 30)
SQUARE = np.ones((6, 6), bool)


@pytest.fixture
def files(tmp_path):
    """Two squares, one over the other, in each format; each file goes by its format."""
    shapes = [Shape(SQUARE, (2, 2), 1), Shape(SQUARE, (5, 5), 2)]
    for name, kind in FORMATS.items():
        kind.write(tmp_path / f"{name}{kind.ending}", put_together(shapes, SIZE, "cells"))
    return {name: tmp_path / f"{name}{kind.ending}" for name, kind in FORMATS.items()}


@pytest.mark.parametrize("name", list(FORMATS))
def test_cells_are_whole_where_the_format_has_room(name, files):
    ((called, read),) = open_cells(files[name], SIZE)
    layers = read()
    assert called == str(files[name])
    whole = name in ("roi", "coco", "geojson")
    assert layers.shape == (1 + whole, *SIZE)
    assert [(layers == label).sum() for label in (1, 2)] == [36 if whole else 27, 36]
    ((_, read),) = open_labels(files["coco"])
    assert [(read() == label).sum() for label in (1, 2)] == [27, 36]


def test_the_size_is_that_of_the_image_or_of_what_says_it(files, tmp_path):
    image = tmp_path / "image.png"
    imageio.imwrite(image, np.zeros((40, 50), np.uint8))
    roi, geojson = files["roi"], files["geojson"]
    assert find_size([files["tif"], files["coco"]]) is None
    assert find_size([files["tif"]], image) is None
    assert find_size([roi], image) == (40, 50)
    assert find_size([roi, files["tif"]]) == find_size([files["seg"], geojson]) == SIZE
    assert find_size([roi, geojson]) == (11, 11)
    far = Labelled(np.pad(np.ones((1, 1), np.int32), ((3, 0), (35, 0))))
    FORMATS["geojson"].write(geojson, far)
    assert find_size([geojson, roi]) == (11, 36)
    assert find_size([geojson, files["tif"]]) == SIZE


def write_stack(path, axes, lengths):
    """Of each plane T, Z all pixels are 1 + 10·T + Z."""
    numbers = 1 + 10 * np.arange(lengths["T"])[:, None] + np.arange(lengths["Z"])
    numbers = numbers if axes == "TZYX" else numbers.T
    planes = np.broadcast_to(numbers[..., None, None], (*numbers.shape, *SIZE)).astype(np.uint16)
    tifffile.imwrite(path, planes, metadata={"axes": axes}, photometric="minisblack", ome=True)


def test_planes_belong_together_by_their_place_not_their_order(tmp_path):
    lengths = {"T": 2, "Z": 3}
    write_stack(tmp_path / "labels.ome.tif", "TZYX", lengths)
    write_stack(tmp_path / "image.ome.tif", "ZTYX", lengths)
    labels, image = tmp_path / "labels.ome.tif", tmp_path / "image.ome.tif"
    pairs = list(side_by_side((labels, open_cells(labels)), (image, open_images(image))))
    assert [one.max() for _, one, _ in pairs] == [1, 2, 3, 11, 12, 13]
    assert [other.max() for _, _, other in pairs] == [1, 2, 3, 11, 12, 13]
    write_stack(tmp_path / "image.ome.tif", "TZYX", {"T": 3, "Z": 2})
    with pytest.raises(InputError, match="give files with the same planes"):
        list(side_by_side((labels, open_cells(labels)), (image, open_images(image))))


def test_planes_without_a_place_belong_together_in_their_order(tmp_path):
    frames = np.stack([np.full(SIZE, label, np.int32) for label in (1, 2)])
    for name in ("roi", "geojson"):
        FORMATS[name].write(tmp_path / f"a{FORMATS[name].ending}", Labelled(frames))
    one, other = tmp_path / "a.zip", tmp_path / "a.geojson"
    for files in ((one, other), (other, one)):
        first, second = files
        opened = [(file, open_cells(file, SIZE)) for file in (first, second)]
        pairs = list(side_by_side(*opened))
        assert len(pairs) == 2
        assert [left.max() for _, left, _ in pairs] == [right.max() for _, _, right in pairs]
