"""Labels of other programs through napari's own File ▸ Open and Save."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from npe2 import PluginManifest

import napari_unet
from napari_unet.core.formats import FORMATS, Labelled, read_labelled
from napari_unet.core.formats.labelled import Shape, put_together
from napari_unet.core.whole_cells import fill_outlines, outline
from napari_unet.io import write_annotation
from napari_unet.widgets._features import read_feature, write_predicted
from napari_unet.widgets._layers import KEY, REGIONS
from napari_unet.widgets._whole_cells import read_wholes, show_wholes

PLUGIN = "napari-unet-cells"
CELLS = np.zeros((64, 64), np.int32)
CELLS[10:20, 10:20], CELLS[10:20, 20:28], CELLS[40:50, 33:60] = 1, 2, 5


@pytest.fixture
def napari_with_us(make_napari_viewer, npe2pm):
    npe2pm.register(PluginManifest.from_file(Path(napari_unet.__file__).parent / "napari.yaml"))
    return make_napari_viewer()


@pytest.mark.parametrize("name", ["roi", "seg", "coco", "geojson"])
def test_saved_and_opened_again_over_the_image(napari_with_us, name, tmp_path):
    viewer = napari_with_us
    image = viewer.add_image(np.zeros((64, 64)), name="hela", scale=(0.5, 0.5), translate=(3, 4))
    layer = viewer.add_labels(CELLS, name="cells")
    kinds = np.array(["round", "long", "round"], object)
    table = {"label": np.array([1, 2, 5]), "class": kinds, "score": np.array([0.5, 0.25, 0.75])}
    write_predicted(layer, table, np.array([], int))
    ending = FORMATS[name].ending
    asked = tmp_path / (f"cells{ending}" if name != "seg" else "cells.npy")
    layer.save(str(asked), plugin=PLUGIN)
    path = tmp_path / f"cells{ending}"
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    (opened,) = viewer.open(str(path), plugin=PLUGIN)
    expected = CELLS if name != "seg" else np.searchsorted([0, 1, 2, 5], CELLS)
    np.testing.assert_array_equal(opened.data, expected)
    assert opened.name.endswith("· cells")
    np.testing.assert_array_equal(opened.scale, image.scale)
    np.testing.assert_array_equal(opened.translate, image.translate)
    if name != "seg":
        assert read_feature(opened, "class") == {1: "round", 2: "long", 5: "round"}
        assert read_feature(opened, "score") == {1: 0.5, 2: 0.25, 5: 0.75}


def test_without_an_image_the_cells_say_how_large_it_is(napari_with_us, tmp_path):
    FORMATS["roi"].write(tmp_path / "cells.zip", Labelled(CELLS))
    (opened,) = napari_with_us.open(str(tmp_path / "cells.zip"), plugin=PLUGIN)
    np.testing.assert_array_equal(opened.data, CELLS[:50, :60])


def test_cells_of_another_image_are_not_stretched_over_this_one(napari_with_us, tmp_path):
    viewer = napari_with_us
    viewer.add_image(np.zeros((30, 30)), scale=(0.5, 0.5))
    FORMATS["coco"].write(tmp_path / "cells.json", Labelled(CELLS))
    (opened,) = viewer.open(str(tmp_path / "cells.json"), plugin=PLUGIN)
    assert opened.data.shape == CELLS.shape
    np.testing.assert_array_equal(opened.scale, (1, 1))


def overlapping(size=(64, 64)):
    square = np.ones((8, 8), bool)
    shapes = [
        Shape(square, (2, 2), 1, 0, "round", 0.5),
        Shape(square[:6], (4, 4), 2, 0, "long", 0.25),
    ]
    return put_together(shapes, size, "cells")


def test_cells_that_overlap_are_opened_flat_and_whole(napari_with_us, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr("napari_unet.label_io.show_info", said.append)
    viewer = napari_with_us
    image = viewer.add_image(np.zeros((64, 64)), name="hela", scale=(0.5, 0.5), translate=(3, 4))
    FORMATS["coco"].write(tmp_path / "cells.json", overlapping())
    flat, wholes = viewer.open(str(tmp_path / "cells.json"), plugin=PLUGIN)
    assert [(flat.data == label).sum() for label in (1, 2)] == [64 - 36, 48]
    assert "overlapped by others in 36 pixels" in said[0]
    assert said[1] == "Each cell is whole in “cells · whole cells”."
    np.testing.assert_array_equal(wholes.scale, image.scale)
    cells = fill_outlines(read_wholes(wholes, (None, None)))
    assert [(cell.mask.sum(), cell.kind, cell.score) for cell in cells] == [
        (64, "round", 0.5),
        (48, "long", 0.25),
    ]


@pytest.mark.parametrize("name", ["roi", "coco", "geojson"])
@pytest.mark.parametrize("frames", [1, 3])
def test_whole_cells_are_saved_as_wholes(napari_with_us, name, frames, tmp_path):
    viewer = napari_with_us
    image = viewer.add_image(np.zeros((64, 64) if frames == 1 else (frames, 64, 64)), name="hela")
    for frame in range(0, frames, 2):
        index = (None, None) if frames == 1 else (frame, None, None)
        layer = show_wholes(viewer, image, outline(overlapping().wholes), index)
    path = tmp_path / f"cells{FORMATS[name].ending}"
    layer.save(str(path), plugin=PLUGIN)
    read = read_labelled(path, (64, 64))
    read = [one for one in read if one.wholes]
    cells = [cell for one in read for cell in one.wholes]
    assert read[0].labels.shape[-2:] == (64, 64)
    expected = [(1, 64, "round", 0.5), (2, 48, "long", 0.25)] * len(range(0, frames, 2))
    found = [(cell.label, cell.mask.sum(), cell.kind, cell.score) for cell in cells]
    assert sorted(found) == sorted(expected)


def test_a_layer_without_a_cell_is_not_saved(napari_with_us, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr("napari_unet.label_io.show_warning", said.append)
    layer = napari_with_us.add_shapes([[[0, 0], [5, 5]]], shape_type="line")
    with pytest.warns(UserWarning, match="did not return any written paths"):
        layer.save(str(tmp_path / "cells.zip"), plugin=PLUGIN)
    assert "No shape encloses a cell" in said[0]
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("shape", "name", "words"),
    [((2, 2, 8, 8), "cells.zip", "of 4 axes"), ((2, 2, 2, 2, 2), "cells.tif", "cannot be written")],
)
def test_what_cannot_be_saved_is_a_sentence(
    napari_with_us, tmp_path, monkeypatch, shape, name, words
):
    said = []
    for module in ("io", "label_io"):
        monkeypatch.setattr(f"napari_unet.{module}.show_warning", said.append)
    layer = napari_with_us.add_labels(np.zeros(shape, np.int32))
    with pytest.warns(UserWarning, match="did not return any written paths"):
        layer.save(str(tmp_path / name), plugin=PLUGIN)
    assert words in said[0]
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["cells.zip", "cells.json", "cells_seg.npy", "cells.tif"])
def test_labels_beyond_int32_are_refused_not_mixed_up(napari_with_us, tmp_path, monkeypatch, name):
    said = []
    for module in ("io", "label_io"):
        monkeypatch.setattr(f"napari_unet.{module}.show_warning", said.append)
    labels = np.zeros((64, 64), np.int64)
    labels[3:9, 3:9], labels[20:25, 20:25] = 5, 2**32 + 5
    layer = napari_with_us.add_labels(labels)
    with pytest.warns(UserWarning, match="did not return any written paths"):
        layer.save(str(tmp_path / name), plugin=PLUGIN)
    assert "2147483647" in said[0]
    square = np.array([[0, 0], [0, 30], [30, 30], [30, 0]])
    regions = {"shape_type": ["polygon"], "metadata": {KEY: {"role": REGIONS}}}
    along = [(labels, {"name": "cells"}, "labels"), ([square], regions, "shapes")]
    assert write_annotation(str(tmp_path / "cells.tif"), along) == []
    assert "2147483647" in said[1]
    assert not any(tmp_path.iterdir())


def test_stacks_are_saved_too(napari_with_us, tmp_path):
    stack = np.stack([CELLS, np.roll(CELLS, 3, axis=0)])
    layer = napari_with_us.add_labels(stack)
    layer.save(str(tmp_path / "cells.zip"), plugin=PLUGIN)
    (read,) = read_labelled(tmp_path / "cells.zip", (64, 64))
    np.testing.assert_array_equal(read.labels, stack)


@pytest.mark.parametrize("name", ["a.tif", "a_seg.npy", "a.geojson"])
def test_of_a_pyramid_the_finest_level_is_saved(napari_with_us, name, tmp_path):
    full = np.zeros((64, 64), np.int32)
    full[10:20, 30:50] = 1
    layer = napari_with_us.add_labels([full, full[::2, ::2], full[::4, ::4]], multiscale=True)
    (path,) = layer.save(str(tmp_path / name), plugin="napari-unet-cells")
    np.testing.assert_array_equal(read_labelled(Path(path), (64, 64))[0].labels, full)
