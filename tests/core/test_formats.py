"""Labels out in each format and in again, and what other programs make of the files."""

from __future__ import annotations

import json
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import roifile
import tifffile
import zarr
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as rle
from pycocotools.coco import COCO
from scipy import ndimage as ndi

from napari_unet.core.errors import InputError
from napari_unet.core.formats import FORMATS, Labelled, find_format, read_labelled, remark_overlaps
from napari_unet.core.formats.labelled import Shape, put_together
from napari_unet.core.formats.layers import split_layers
from napari_unet.core.formats.polygons import fill, group_rings, trace
from napari_unet.core.formats.predicted import as_labelled
from napari_unet.core.types import Instances, Prediction

PLANES = arrays(np.int32, (9, 11), elements=st.sampled_from([0, 0, 1, 2, 5, 70000]))
KINDS = {1: "round", 2: "long", 5: "round"}


SIZE = (9, 11)
WHOLE = ["roi", "geojson", "coco"]
"""The formats that have room for cells that overlap."""

ONE = np.ones((1, 1), bool)

masks = arrays(bool, st.tuples(st.integers(1, 6), st.integers(1, 6))).filter(np.any)
overlapping = st.lists(
    st.tuples(masks, st.integers(0, 3), st.integers(0, 5), st.sampled_from([0.25, 0.5, 1.0])),
    min_size=2,
    max_size=6,
)


def predict_by_hand(cells):
    """What a model would say that found these cells, one over the other."""
    labels = np.zeros(SIZE, np.int32)
    for label, (mask, row, column, _) in enumerate(cells, 1):
        labels[row : row + mask.shape[0], column : column + mask.shape[1]][mask] = label
    boxes = [(y, x, y + len(mask), x + mask.shape[1]) for mask, y, x, _ in cells]
    return Prediction(
        labels,
        np.array([1 + i % 2 for i in range(len(cells))], np.uint8),
        np.array([cell[3] for cell in cells], np.float32),
        instances=Instances(np.array(boxes, np.int32), tuple(cell[0] for cell in cells)),
    )


def draw(cells):
    """Each cell by itself in the whole image, (n, H, W)."""
    drawn = np.zeros((len(cells), *SIZE), bool)
    for one, (mask, row, column, _) in zip(drawn, cells, strict=True):
        one[row : row + mask.shape[0], column : column + mask.shape[1]] = mask
    return drawn


def fill_even_odd(rings, shape):
    """The pixels whose middle an odd number of rings encloses, by counting the edges passed."""
    rows, columns = np.mgrid[: shape[0], : shape[1]] + 0.5
    crossings = np.zeros(shape, int)
    for ring in rings:
        for (x, y), (x2, y2) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
            if x == x2 and y != y2:
                crossings += (columns > x) & (rows > min(y, y2)) & (rows < max(y, y2))
    return crossings % 2 == 1


def target(folder: Path, name: str) -> Path:
    return folder / f"cells{FORMATS[name].ending}"


def there_and_back(folder: Path, name: str, labelled: Labelled) -> Labelled:
    path = target(folder, name)
    FORMATS[name].write(path, labelled)
    assert find_format(path) is FORMATS[name]
    (read,) = read_labelled(path, labelled.labels.shape[-2:])
    return read


def renumber(labels):
    return np.searchsorted(np.unique(np.append(0, labels)), labels)


@given(arrays(bool, (7, 8)))
@settings(deadline=None, max_examples=200)
def test_a_mask_is_its_rings(mask):
    rings = trace(mask, (3, 5))
    again = np.zeros((12, 15), bool)
    if rings:
        filled, (row, column) = fill(rings)
        again[row : row + filled.shape[0], column : column + filled.shape[1]] = filled
    np.testing.assert_array_equal(again[3:10, 5:13], mask)
    assert again.sum() == mask.sum()
    for ring in rings:
        turns = np.diff(np.vstack([ring, ring[:1]]), axis=0)
        assert ((turns == 0).sum(axis=1) == 1).all()  # along edges of pixels
        assert ((turns == 0) != (np.roll(turns, 1, axis=0) == 0)).all()  # corners alone
    pieces = group_rings(rings)
    assert len(pieces) == ndi.label(mask)[1]
    assert sum(map(len, pieces)) == len(rings)


def test_a_ring_of_fractions_encloses_the_pixels_whose_middle_it_does():
    mask, origin = fill([np.array([[1.2, 2.6], [4.6, 2.6], [4.6, 5.4], [1.2, 5.4]])])
    whole = np.zeros((8, 8), bool)
    rows, columns = np.nonzero(mask)
    whole[rows + origin[0], columns + origin[1]] = True
    expected = np.zeros((8, 8), bool)
    expected[3:5, 1:5] = True
    np.testing.assert_array_equal(whole, expected)


@pytest.mark.parametrize("name", list(FORMATS))
@settings(deadline=None, max_examples=15)
@given(labels=PLANES)
def test_what_is_written_is_read_again(name, labels, tmp_path_factory):
    scores = {1: 0.5, 70000: 0.25}
    read = there_and_back(tmp_path_factory.mktemp(name), name, Labelled(labels, KINDS, scores))
    expected = renumber(labels) if name == "seg" else labels
    np.testing.assert_array_equal(read.labels, expected)
    assert read.labels.dtype == np.int32
    assert not read.remarks
    present = set(np.unique(labels[labels > 0]).tolist())
    if name in ("roi", "geojson", "coco"):
        kinds = {label: kind for label, kind in read.classes.items() if kind != "cell"}
        assert kinds == {label: kind for label, kind in KINDS.items() if label in present}
        assert read.scores == {label: s for label, s in scores.items() if label in present}


@pytest.mark.parametrize("name", ["tif", "roi", "seg", "geojson"])
def test_stacks_keep_their_frames(name, tmp_path):
    stack = np.zeros((3, 8, 9), np.int32)
    stack[0, 1:4, 1:4], stack[1, 2:5, 1:4], stack[2, 5:8, 5:9] = 1, 1, 2
    np.testing.assert_array_equal(there_and_back(tmp_path, name, Labelled(stack)).labels, stack)


def test_frames_are_the_images_of_coco(tmp_path):
    stack = np.zeros((2, 8, 9), np.int32)
    stack[0, 1:4, 1:4], stack[1, 2:5, 1:4] = 1, 1
    path = target(tmp_path, "coco")
    FORMATS["coco"].write(path, Labelled(stack))
    read = read_labelled(path)
    assert [each.image for each in read] == ["cells_0001", "cells_0002"]
    for each, plane in zip(read, stack, strict=True):
        np.testing.assert_array_equal(each.labels, plane)


@pytest.mark.parametrize("name", ["roi", "seg", "geojson", "coco"])
def test_painted_background_is_not_lost_silently(name, tmp_path):
    labels = np.array([[-1, 0, 3], [-1, 3, 3]], np.int32)
    remark, *_ = FORMATS[name].write(target(tmp_path, name), Labelled(labels))
    assert "TIFF only" in remark
    (read,) = read_labelled(target(tmp_path, name), (2, 3))
    assert ((read.labels > 0) == (labels > 0)).all()


@pytest.mark.parametrize("name", ["tif", "seg", "zarr"])
def test_classes_are_not_lost_silently(name, tmp_path):
    remarks = FORMATS[name].write(
        target(tmp_path, name), Labelled(np.eye(4, dtype=np.int32), {1: "round"})
    )
    assert "classes" in remarks[0]


def test_where_cells_overlap_the_smaller_one_wins_and_it_is_said():
    large = Shape(np.ones((6, 6), bool), (0, 0), 1)
    small = Shape(np.ones((2, 2), bool), (2, 2), 2)
    labelled = put_together([small, large], (8, 5), "cells.json")
    assert (labelled.labels[2:4, 2:4] == 2).all()
    assert (labelled.labels == 1).sum() == 30 - 4
    (remark,) = labelled.remarks
    assert "were cut" in remark
    (remark,) = remark_overlaps(labelled)
    assert remark.startswith("1 cells are overlapped by others in 4 pixels")


@pytest.mark.parametrize("name", WHOLE)
@settings(max_examples=40)
@given(cells=overlapping)
def test_cells_that_overlap_are_read_as_they_were_written(name, cells, tmp_path_factory):
    labelled = as_labelled(predict_by_hand(cells), ("round", "long"), "image.png")
    read = there_and_back(tmp_path_factory.mktemp(name), name, labelled)
    (layers,) = split_layers(read)
    for label, expected in enumerate(draw(cells), 1):
        assert (layers == label).any(axis=(1, 2)).sum() == 1
        np.testing.assert_array_equal((layers == label).any(axis=0), expected)
    assert layers.any(axis=(1, 2)).all()
    assert read.scores == {label: cell[3] for label, cell in enumerate(cells, 1)}
    assert read.classes == {label: ("long", "round")[label % 2] for label in read.scores}
    np.testing.assert_array_equal(read.labels > 0, draw(cells).any(axis=0))
    assert bool(read.wholes) == (draw(cells).sum(axis=0).max() > 1)


def test_cells_of_frames_overlap_in_their_frame_alone(tmp_path):
    square = np.ones((4, 4), bool)
    cells = [Shape(square, (1, 1), 1, 0), Shape(square, (2, 2), 2, 0), Shape(square, (1, 1), 1, 1)]
    labelled = put_together(cells, SIZE, "cells.zip")
    for name in ("roi", "geojson"):
        first, second = split_layers(there_and_back(tmp_path, name, labelled))
        assert [first.shape, second.shape] == [(2, *SIZE), (1, *SIZE)]
        assert [(first == 1).sum(), (first == 2).sum(), (second == 1).sum()] == [16, 16, 16]


def test_labels_without_overlaps_are_their_own_layer():
    labels = np.array([[-1, 0, 3], [-1, 3, 3]], np.int32)
    (layers,) = split_layers(Labelled(labels))
    np.testing.assert_array_equal(layers, labels[None])


def test_of_a_model_whose_cells_cannot_overlap_the_flat_ones_are_written(tmp_path):
    flat = Prediction(np.eye(9, 11, dtype=np.int32), np.ones(1, np.uint8), np.ones(1, np.float32))
    labelled = as_labelled(flat, ("cell",), "image.png")
    assert not labelled.classes
    read = there_and_back(tmp_path, "coco", labelled)
    np.testing.assert_array_equal(read.labels, flat.labels)
    assert (read.scores, read.image) == ({1: 1.0}, "image.png")


@pytest.mark.parametrize("name", ["tif", "seg", "zarr"])
def test_overlaps_are_not_lost_silently(name, tmp_path):
    square = np.ones((4, 4), bool)
    shapes = [Shape(square, (1, 1)), Shape(square, (2, 3))]
    (remark,) = FORMATS[name].write(
        target(tmp_path, name), put_together(shapes, SIZE, "cells.json")
    )
    assert "overlapped by others in 6 pixels" in remark


def test_without_a_size_the_image_ends_with_the_last_cell(tmp_path):
    labels = np.zeros((20, 20), np.int32)
    labels[3:6, 4:9] = 1
    for name in ("roi", "geojson"):
        FORMATS[name].write(target(tmp_path, name), Labelled(labels))
        (read,) = read_labelled(target(tmp_path, name))
        assert read.labels.shape == (6, 9)
        assert "how large the image is" in read.remarks[0]


def test_cells_that_reach_out_of_any_image_need_its_size():
    far = Shape(np.ones((2, 2), bool), (10**6, 10**6))
    with pytest.raises(InputError, match="give the size"):
        put_together([far], None, "cells.geojson")
    assert not put_together([far], (9, 9), "cells.geojson").labels.any()


@pytest.mark.parametrize(
    ("shape", "size", "words"),
    [
        (Shape(ONE, (0, 0), 1), (-20, 5), "has no pixels"),
        (Shape(ONE, (0, 0), 1), (0, 0), "has no pixels"),
        (Shape(ONE, (0, 0), 1), (10**9, 10**9), "are the most"),
        (Shape(ONE, (0, 0), 1, frame=10**9), SIZE, "are the most"),
    ],
)
def test_an_image_that_no_memory_holds_is_a_sentence(shape, size, words):
    with pytest.raises(InputError, match=words):
        put_together([shape], size, "cells.json")


def test_labels_beyond_int32_are_numbered_anew_and_it_is_said():
    cells = [Shape(ONE, (0, 0), 2**31, 0), Shape(ONE, (4, 4), 7, 0), Shape(ONE, (1, 1), 2**31, 1)]
    labelled = put_together(cells, SIZE, "cells.json")
    assert labelled.labels[0, 0, 0] == labelled.labels[1, 1, 1] == 1  # the same cell as before
    assert labelled.labels[0, 4, 4] == 2
    assert "numbered anew" in labelled.remarks[0]


def test_a_label_of_several_classes_is_several_cells(tmp_path):
    cells = [Shape(ONE, (0, 0), 1, frame, kind) for frame, kind in enumerate(("A", "B", "A"))]
    labelled = put_together(cells, SIZE, "cells.geojson")
    read = there_and_back(tmp_path, "geojson", labelled)
    kinds = [read.classes[int(frame[0, 0])] for frame in read.labels]
    assert kinds == ["A", "B", "A"]
    assert "numbered anew" in labelled.remarks[0]


@pytest.mark.parametrize("name", WHOLE)
@settings(deadline=None, max_examples=60)
@example(kind="1.50")
@example(kind="0010")
@example(kind="1e5")
@example(kind="true")
@example(kind="x\ny")
@example(kind='"x"')
@example(kind=" 😀")
@given(kind=st.text(min_size=1))
def test_classes_are_kept_to_the_letter(name, kind, tmp_path_factory):
    labelled = Labelled(np.eye(4, dtype=np.int32), {1: kind})
    read = there_and_back(tmp_path_factory.mktemp(name), name, labelled)
    assert read.classes == ({} if (name, kind) == ("coco", "cell") else {1: kind})


@pytest.mark.parametrize("kind", ["round", "1.50", '"x', "größe: 5"])
def test_classes_of_earlier_regions_are_read(kind, tmp_path):
    roi = roifile.ImagejRoi(roitype=roifile.ROI_TYPE.RECT, left=2, top=3, right=6, bottom=8)
    roi.properties = {"label": 3, "class": kind}
    roi.tofile(tmp_path / "one.roi")
    assert read_labelled(tmp_path / "one.roi", SIZE)[0].classes == {3: kind}


@pytest.mark.parametrize("name", WHOLE)
def test_cells_without_a_class_stay_so(name, tmp_path):
    labels = np.diag([1, 2, 3]).astype(np.int32)
    read = there_and_back(tmp_path, name, Labelled(labels, {1: "round", 3: "cell"}))
    assert read.classes == {1: "round", 3: "cell"}


@pytest.mark.parametrize("name", ["tif", "seg", "zarr"])
def test_scores_are_not_lost_silently(name, tmp_path):
    (remark,) = FORMATS[name].write(
        target(tmp_path, name), Labelled(np.eye(4, dtype=np.int32), {}, {1: 0.5})
    )
    assert "scores" in remark


def test_numbers_are_not_lost_silently(tmp_path):
    labels = np.diag([7, 14, 21]).astype(np.int32)
    (remark,) = FORMATS["seg"].write(target(tmp_path, "seg"), Labelled(labels))
    assert "became 1 … 3" in remark
    assert not FORMATS["seg"].write(target(tmp_path, "seg"), Labelled(labels // 7))


@pytest.mark.parametrize("name", ["roi", "geojson"])
def test_frames_without_cells_at_the_end_are_kept(name, tmp_path):
    stack = np.zeros((5, *SIZE), np.int32)
    stack[1, 2:5, 3:6] = 4
    np.testing.assert_array_equal(there_and_back(tmp_path, name, Labelled(stack)).labels, stack)


def test_frames_of_a_stack_without_cells_are_kept_or_not_lost_silently(tmp_path):
    empty = Labelled(np.zeros((5, *SIZE), np.int32))
    assert there_and_back(tmp_path, "geojson", empty).labels.shape == (5, *SIZE)
    (remark,) = FORMATS["roi"].write(target(tmp_path, "roi"), empty)
    assert "5 frames" in remark


# --- other programs ------------------------------------------------------------------------------

CELLS = np.zeros((24, 30), np.int32)
CELLS[2:9, 3:10] = 1
CELLS[4:6, 5:7] = 0  # a hole
CELLS[2:9, 10:15] = 4
CELLS[20:24, 25:30] = 7
CELLS[12:14, 2:4] = CELLS[16:18, 6:9] = 9  # two pieces


def test_imagej_has_the_same_pixels(tmp_path):
    """Its regions hold the pixels whose middle lies in the outline, by the even-odd rule."""
    FORMATS["roi"].write(tmp_path / "cells.zip", Labelled(CELLS))
    rois = roifile.roiread(tmp_path / "cells.zip")
    assert [roi.name for roi in rois] == ["0001", "0004", "0007", "0009"]
    for roi in rois:
        found = fill_even_odd(roi.coordinates(multi=True), CELLS.shape)
        np.testing.assert_array_equal(found, int(roi.name) == CELLS)


def test_regions_drawn_in_imagej_are_read(tmp_path):
    box = roifile.ImagejRoi(roitype=roifile.ROI_TYPE.RECT, left=2, top=3, right=6, bottom=8)
    oval = roifile.ImagejRoi(roitype=roifile.ROI_TYPE.OVAL, left=10, top=3, right=20, bottom=13)
    line = roifile.ImagejRoi(roitype=roifile.ROI_TYPE.LINE, x1=0, y1=0, x2=5, y2=5)
    oval.group, box.name, oval.name, line.name = 2, "a", "b", "c"
    roifile.roiwrite(tmp_path / "drawn.zip", [box, oval, line])
    (read,) = read_labelled(tmp_path / "drawn.zip", (24, 30))
    assert (read.labels[3:8, 2:6] == 1).all()
    assert (read.labels == 1).sum() == 20
    assert abs((read.labels == 2).sum() - np.pi * 25) < 5
    assert read.classes == {2: "group 2"}
    assert "lines or points" in read.remarks[0]
    box.tofile(tmp_path / "one.roi")
    assert (read_labelled(tmp_path / "one.roi", (24, 30))[0].labels[3:8, 2:6] == 1).all()


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_cocos_own_reader_has_the_same_pixels(tmp_path):
    FORMATS["coco"].write(tmp_path / "cells.json", Labelled(CELLS, KINDS))
    coco = COCO(tmp_path / "cells.json")
    (image,) = coco.loadImgs(coco.getImgIds())
    assert (image["height"], image["width"]) == CELLS.shape
    found = np.zeros(CELLS.shape, int)
    for annotation in coco.loadAnns(coco.getAnnIds()):
        found[coco.annToMask(annotation) > 0] = annotation["label"]
        assert annotation["area"] == (annotation["label"] == CELLS).sum()
    np.testing.assert_array_equal(found, CELLS)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@settings(max_examples=20)
@given(cells=overlapping)
def test_other_programs_see_each_cell_whole(cells, tmp_path_factory):
    """pycocotools, roifile, and the even-odd rule of GeoJSON's rings."""
    folder, expected = tmp_path_factory.mktemp("whole"), draw(cells)
    for name in WHOLE:
        FORMATS[name].write(target(folder, name), as_labelled(predict_by_hand(cells), ("cell",)))
    coco = COCO(target(folder, "coco"))
    rois = roifile.roiread(target(folder, "roi"))
    features = json.loads(target(folder, "geojson").read_text())["features"]
    annotations = coco.loadAnns(coco.getAnnIds())
    assert len(annotations) == len(rois) == len(features) == len(cells)
    for i, (annotation, roi, feature) in enumerate(zip(annotations, rois, features, strict=True)):
        np.testing.assert_array_equal(coco.annToMask(annotation) > 0, expected[i])
        assert annotation["score"] == cells[i][3]
        found = fill_even_odd(roi.coordinates(multi=True), SIZE)
        np.testing.assert_array_equal(found, expected[i])
        pieces = feature["geometry"]["coordinates"]
        pieces = [pieces] if feature["geometry"]["type"] == "Polygon" else pieces
        rings = [ring[:-1] for piece in pieces for ring in piece]
        np.testing.assert_array_equal(fill_even_odd(rings, SIZE), expected[i])


def test_coco_of_others_is_read(tmp_path):
    crowd = {"size": [24, 30], "counts": [0, 24 * 30]}
    runs = rle.encode(np.asfortranarray(CELLS == 4, np.uint8))
    rle_text = {"size": [24, 30], "counts": runs["counts"].decode()}
    polygon = [[2.0, 3.0, 6.0, 3.0, 6.0, 8.0, 2.0, 8.0], [5.0, 3.0, 8.0, 3.0, 8.0, 5.0, 5.0, 5.0]]
    segmentations = [polygon, rle_text, crowd]
    said = {
        "images": [{"id": 7, "height": 24, "width": 30, "file_name": "a.png"}],
        "categories": [{"id": 3, "name": "nucleus"}],
        "annotations": [
            {"id": i, "image_id": 7, "category_id": 3, "segmentation": each, "iscrowd": int(i == 2)}
            for i, each in enumerate(segmentations)
        ],
    }
    (tmp_path / "a.json").write_text(json.dumps(said))
    (read,) = read_labelled(tmp_path / "a.json")
    assert read.image == "a.png"
    assert read.classes == {1: "nucleus", 2: "nucleus"}
    np.testing.assert_array_equal(read.labels == 2, CELLS == 4)
    assert (read.labels == 1).sum() == 20 + 4
    assert "crowds" in read.remarks[0]


def test_coco_without_outlines_is_read_without_them(tmp_path):
    outlines = [[[2, 3, 6, 3, 6, 8, 2, 8]], [], [[]], None]
    said = {
        "images": [{"id": 7, "height": 24, "width": 30}],
        "annotations": [{"image_id": 7, "segmentation": outline} for outline in outlines],
    }
    (tmp_path / "a.json").write_text(json.dumps(said))
    (read,) = read_labelled(tmp_path / "a.json")
    assert np.unique(read.labels).tolist() == [0, 1]
    assert read.remarks == ("3 annotations of “a.json” have no outline: left out.",)


def test_features_without_a_shape_are_left_out(tmp_path):
    square = {"type": "Polygon", "coordinates": [[[2, 3], [6, 3], [6, 8], [2, 8], [2, 3]]]}
    shapes = [None, square, {"type": "Polygon", "coordinates": []}]
    said = [{"type": "Feature", "geometry": shape, "properties": None} for shape in shapes]
    text = json.dumps({"type": "FeatureCollection", "frames": "none of ours", "features": said})
    (tmp_path / "a.geojson").write_text(text)
    (read,) = read_labelled(tmp_path / "a.geojson", (24, 30))
    assert np.unique(read.labels).tolist() == [0, 1]
    assert "2 features" in read.remarks[0]


def test_cells_without_a_pixel_are_left_out_and_it_is_said(tmp_path):
    """Too small for one, or without a corner: the rest is read."""
    whole = [[[0, 0], [4, 0], [4, 4], [0, 4], [0, 0]]]
    shapes = [whole, [[[5, 5], [5.2, 5], [5.2, 5.2], [5, 5]]], [[]]]
    features = [
        {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": rings}}
        for rings in shapes
    ]
    path = tmp_path / "cells.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    (found,) = read_labelled(path, (9, 11))
    assert np.unique(found.labels).tolist() == [0, 1]
    assert any("1 features" in remark for remark in found.remarks)
    assert any("1 cells of “cells.geojson” enclose no pixel" in remark for remark in found.remarks)
    rois = [
        roifile.ImagejRoi.frompoints([[0, 0], [4, 0], [4, 4], [0, 4]], name="a"),
        roifile.ImagejRoi.frompoints([[6, 6], [7, 7]], name="b"),
    ]
    roifile.roiwrite(tmp_path / "cells.zip", rois)
    (found,) = read_labelled(tmp_path / "cells.zip", (9, 11))
    assert np.unique(found.labels).tolist() == [0, 1]
    assert any("enclose no pixel" in remark for remark in found.remarks)


@pytest.mark.parametrize(
    ("properties", "kind", "score"),
    [
        ({"measurements": [{"name": "score", "value": 0.5}]}, "", 0.5),
        ({"measurements": [{"name": "Nucleus: Area", "value": 12.5}]}, "", None),
        ({"classification": {"names": ["Tumor", "Positive"]}}, "Tumor: Positive", None),
        ({"classification": {"name": None}}, "", None),
    ],
)
def test_features_as_any_qupath_writes_them(properties, kind, score, tmp_path):
    """Lists of measurements before 0.4, classes of several parts; a mark of UTF-8 in front."""
    geometry = {"type": "Polygon", "coordinates": [[[0, 0], [4, 0], [4, 4], [0, 0]]]}
    feature = {"type": "Feature", "geometry": geometry, "properties": properties}
    said = {"type": "FeatureCollection", "features": [feature], "frames": -3}
    path = tmp_path / "cells.geojson"
    path.write_text(json.dumps(said), encoding="utf-8-sig")
    (found,) = read_labelled(path, (9, 11))
    assert found.labels.shape == (9, 11)
    assert dict(found.classes) == ({1: kind} if kind else {})
    assert dict(found.scores) == ({1: score} if score else {})


def test_features_of_times_and_depths_are_refused(tmp_path):
    ring = [[[0, 0], [4, 0], [4, 4], [0, 0]]]
    features = [
        {"geometry": {"type": "Polygon", "coordinates": ring, "plane": {"z": z, "t": t}}}
        for z, t in ((1, 0), (0, 1))
    ]
    path = tmp_path / "cells.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    with pytest.raises(InputError, match="several depths and several times"):
        read_labelled(path, (9, 11))


def test_a_zarr_is_read_by_the_names_of_its_axes(tmp_path):
    labels = np.arange(12, dtype=np.int32).reshape(3, 4)
    turned = zarr.create_array(tmp_path / "xy.zarr", data=labels.T, dimension_names=("x", "y"))
    (found,) = read_labelled(tmp_path / "xy.zarr")
    np.testing.assert_array_equal(found.labels, labels)
    zarr.create_array(tmp_path / "c.zarr", data=labels[..., None], dimension_names=("y", "x", "c"))
    (found,) = read_labelled(tmp_path / "c.zarr")
    np.testing.assert_array_equal(found.labels, labels)
    chunk = next(path for path in (tmp_path / "xy.zarr" / "c").rglob("*") if path.is_file())
    chunk.write_bytes(b"half of it")
    with pytest.raises(InputError, match=r"xy.zarr” cannot be read .*damaged"):
        read_labelled(tmp_path / "xy.zarr")
    assert turned.shape == (4, 3)


def test_of_several_images_of_a_microscope_one_is_to_be_named(tmp_path):
    for name in "01":
        write_labelled = FORMATS["zarr"].write
        write_labelled(tmp_path / "scan.zarr" / name, Labelled(np.full((4, 5), int(name) + 1)))
    zarr.open_group(tmp_path / "scan.zarr", mode="a").attrs["bioformats2raw.layout"] = 3
    with pytest.raises(InputError, match="several images: name the folder of one"):
        read_labelled(tmp_path / "scan.zarr")
    (found,) = read_labelled(tmp_path / "scan.zarr" / "1")
    assert (found.labels == 2).all()


def test_cellpose_finds_what_it_loads(tmp_path):
    """Its own reader: `numpy.load(file, allow_pickle=True).item()`, then by name."""
    FORMATS["seg"].write(tmp_path / "a_seg.npy", Labelled(CELLS))
    said = np.load(tmp_path / "a_seg.npy", allow_pickle=True).item()
    np.testing.assert_array_equal(said["masks"], renumber(CELLS))
    assert said["masks"].dtype == np.uint16
    assert set(np.unique(said["outlines"])) == {0, 1, 2, 3, 4}
    assert ((said["outlines"] == 0) | (said["outlines"] == said["masks"])).all()
    assert len(said["ismanual"]) == said["masks"].max() == 4
    assert said["filename"] == "a"
    assert len(said["flows"]) == 5


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_masks_of_any_pickle_are_read(tmp_path, protocol):
    said = {
        "masks": CELLS.astype(np.uint16),
        "filename": Path("/data/a.tif"),
        "est_diam": np.float64(20.5),
        "colors": [np.array([1, 2, 3], np.uint8)],
        "flows": [np.zeros((4, 4), np.float32), None, b"bytes"],
        "ismanual": np.zeros(4, bool),
    }
    with (tmp_path / "a_seg.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "|O", "fortran_order": False, "shape": ()}
        )
        pickle.dump(np.array(said, object), file, protocol)
    (read,) = read_labelled(tmp_path / "a_seg.npy", CELLS.shape)
    np.testing.assert_array_equal(read.labels, CELLS)


class _Harm:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def test_a_pickle_that_would_run_something_is_refused(tmp_path):
    harm = tmp_path / "harm"
    np.save(tmp_path / "a_seg.npy", np.array({"masks": CELLS, "x": _Harm(str(harm))}, object))
    with pytest.raises(InputError, match=r"it would run (io|_io).open"):
        read_labelled(tmp_path / "a_seg.npy")
    assert not harm.exists()


def test_geojson_is_as_its_rules_say(tmp_path):
    """RFC 7946: rings are closed; QuPath: `plane`, `classification`, holes after the outline."""
    FORMATS["geojson"].write(tmp_path / "cells.geojson", Labelled(CELLS, KINDS, {4: 0.5}))
    said = json.loads((tmp_path / "cells.geojson").read_text())
    assert said["type"] == "FeatureCollection"
    kinds = [feature["geometry"]["type"] for feature in said["features"]]
    assert kinds == ["Polygon", "Polygon", "Polygon", "MultiPolygon"]
    holed = said["features"][0]["geometry"]["coordinates"]
    assert len(holed) == 2
    assert all(ring[0] == ring[-1] for ring in holed)
    assert said["features"][0]["properties"]["classification"] == {"name": "round"}
    assert said["features"][1]["properties"]["measurements"] == {"score": 0.5}


def test_other_programs_read_the_tiff(tmp_path):
    FORMATS["tif"].write(tmp_path / "cells.tif", Labelled(CELLS))
    with tifffile.TiffFile(tmp_path / "cells.tif") as file:
        assert file.series[0].axes == "YX"
        np.testing.assert_array_equal(file.asarray(), CELLS)


def test_ome_zarrs_own_reader_finds_the_pyramid(tmp_path):
    reader = pytest.importorskip("ome_zarr.reader")
    from ome_zarr.io import parse_url

    labels = np.zeros((1500, 1200), np.int32)
    labels[100:200, 100:300] = 3
    FORMATS["zarr"].write(tmp_path / "cells.zarr", Labelled(labels))
    (node, *_) = reader.Reader(parse_url(tmp_path / "cells.zarr"))()
    assert [level.shape for level in node.data] == [(1500, 1200), (750, 600)]
    np.testing.assert_array_equal(np.asarray(node.data[0]), labels)


# --- bad files -----------------------------------------------------------------------------------


def write_coco_by_hand(size, outline):
    said = {
        "images": [{"id": 1, "height": size[0], "width": size[1]}],
        "annotations": [{"image_id": 1, "segmentation": outline}],
    }
    return lambda path: path.write_text(json.dumps(said))


def write_truncated_zip(path):
    FORMATS["roi"].write(path, Labelled(CELLS))
    path.write_bytes(path.read_bytes()[:-40])


def write_wrong_roi(path):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a.roi", b"Iout" + struct.pack(">h", 227))


@pytest.mark.parametrize(
    ("name", "write", "words"),
    [
        ("a.zip", write_truncated_zip, "regions of ImageJ"),
        ("a.zip", write_wrong_roi, "regions of ImageJ"),
        ("a.json", lambda path: path.write_text('{"images": [{"id": 1}]'), "COCO"),
        ("a.json", lambda path: path.write_text('{"images": 3, "annotations": []}'), "COCO"),
        ("a.json", lambda path: path.write_text('{"weather": "fine"}'), "none of"),
        ("a.json", lambda path: path.write_text('{"images": [], "annotations": []}'), "no image"),
        (
            "a.json",
            write_coco_by_hand((10**9, 10**9), {"size": [10**9, 10**9], "counts": [0, 10**9]}),
            "are the most",
        ),
        (
            "a.json",
            write_coco_by_hand(SIZE, {"size": [10**9, 10**9], "counts": [0, 10**9]}),
            "run lengths of",
        ),
        ("a.jpg", lambda path: path.write_bytes(b"\xff\xd8"), "a JPEG, which does not keep labels"),
        ("a.geojson", lambda path: path.write_text('{"type": "Feature"}'), "GeoJSON"),
        ("a_seg.npy", lambda path: path.write_bytes(b"\x93NUMPY"), "Cellpose"),
        ("a_seg.npy", lambda path: np.save(path, np.array({"x": 1}, object)), "no masks"),
        ("a.txt", lambda path: path.write_text("cells"), "none of"),
    ],
)
def test_what_cannot_be_read_is_a_sentence(tmp_path, name, write, words):
    write(tmp_path / name)
    with pytest.raises(InputError, match=words) as caught:
        read_labelled(tmp_path / name)
    assert len(str(caught.value).splitlines()) == 1


def test_regions_of_times_and_depths_are_refused(tmp_path):
    rois = []
    for at in (1, 2):
        roi = roifile.ImagejRoi(roitype=roifile.ROI_TYPE.RECT, left=2, top=3, right=6, bottom=8)
        roi.t_position = roi.z_position = at
        roi.name = str(at)
        rois.append(roi)
    roifile.roiwrite(tmp_path / "a.zip", rois)
    with pytest.raises(InputError, match="several depths and several times"):
        read_labelled(tmp_path / "a.zip")


@pytest.mark.parametrize("name", list(FORMATS))
def test_a_failed_write_leaves_what_was_there(name, tmp_path):
    path = target(tmp_path, name)
    FORMATS[name].write(path, Labelled(CELLS))
    before = read_labelled(path, CELLS.shape)[0].labels
    with pytest.raises((InputError, AttributeError, TypeError, ValueError)):
        FORMATS[name].write(path, Labelled(np.array("cells")))
    np.testing.assert_array_equal(read_labelled(path, CELLS.shape)[0].labels, before)
    assert sorted(each.name for each in tmp_path.iterdir()) == [path.name]


def test_a_zarr_that_is_not_ours_stays(tmp_path):
    (tmp_path / "cells.zarr").mkdir()
    (tmp_path / "cells.zarr" / "mine").write_text("a year of work")
    with pytest.raises(InputError, match="not of ours"):
        FORMATS["zarr"].write(tmp_path / "cells.zarr", Labelled(CELLS))
    assert (tmp_path / "cells.zarr" / "mine").exists()
