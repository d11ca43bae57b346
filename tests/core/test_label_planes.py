"""Label files plane by plane: how large their image is, and cells that overlap."""

from __future__ import annotations

import imageio.v3 as imageio
import numpy as np
import pytest

from napari_unet.core.formats import FORMATS, Labelled
from napari_unet.core.formats.labelled import Shape, put_together
from napari_unet.core.label_planes import find_size, open_cells, open_labels

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
