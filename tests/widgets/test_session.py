from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_unet.core.config import WeightConfig
from napari_unet.core.errors import InputError
from napari_unet.widgets import _cell_layers, _classes, _layers, _tools
from napari_unet.widgets._session import session


@pytest.fixture
def heard():
    """Counts what a session emits."""

    def listen(state):
        calls = {name: [] for name in ("image", "labels", "regions", "classes", "weights", "model")}
        for name, said in calls.items():
            signal = getattr(state, f"{name}_changed")
            signal.connect(lambda *args, said=said: said.append(args))
        return calls

    return listen


def test_a_viewer_has_one_session(model):
    assert session(model) is session(model)
    assert session(model) is not session(ViewerModel())


def test_the_session_dies_with_its_viewer(qapp, add_cells):
    viewer = ViewerModel()
    add_cells(viewer)
    state = session(viewer)
    state.add_regions()
    dead = weakref.ref(state)
    del viewer, state
    gc.collect()
    assert dead() is None


def test_it_finds_the_image_and_what_was_painted_on_it(model, add_cells, heard):
    state = session(model)
    calls = heard(state)
    assert state.image is None
    assert state.labels is None
    image, labels = add_cells(model)
    assert state.image is image
    assert state.labels is labels
    assert len(calls["image"]) == 1
    model.layers.remove(labels)
    assert state.labels is None
    model.layers.remove(image)
    assert state.image is None


def test_the_choice_of_the_person_stays(model, add_cells):
    first, labels = add_cells(model)
    state = session(model)
    second = model.add_image(np.zeros((32, 32), np.uint8))
    assert state.image is first
    state.image = second
    assert state.labels is None  # the labels are of another size
    state.image = first
    assert state.labels is labels


def test_own_maps_are_no_images_and_predictions_no_annotation(model):
    image = model.add_image(np.zeros((16, 16), np.uint8))
    _layers.show_weights(model, image, np.zeros((16, 16), np.float32))
    _cell_layers.show_prediction(model, image, np.zeros((16, 16), np.int32))
    state = session(model)
    assert state.image is image
    assert state.labels is None
    model.layers.remove(image)
    assert state.image is None


def test_an_annotation_of_ours_is_preferred(model, add_cells):
    image, _ = add_cells(model)
    state = session(model)
    ours = state.add_annotation()
    model.add_labels(np.zeros((64, 64), int))
    state.image = None
    state.image = image
    assert state.labels is ours


def test_the_sample_is_a_snapshot(model, add_cells):
    image, labels = add_cells(model)
    state = session(model)
    sample = state.sample_reader()()
    assert sample.image.shape == (1, 64, 64)
    assert sample.labels.dtype == np.int32
    assert sample.complete is None
    assert sample.name == "hela"
    before = sample.image.copy(), sample.labels.copy()
    labels.data[:] = 5
    image.data[:] = 0
    np.testing.assert_array_equal(sample.image, before[0])
    np.testing.assert_array_equal(sample.labels, before[1])


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.uint16, np.int64, np.uint64])
def test_labels_of_other_tools_are_taken(model, dtype):
    model.add_image(np.zeros((16, 16), np.uint8))
    model.add_labels(np.ones((16, 16), dtype))
    assert session(model).sample_reader()().labels.tolist() == np.ones((16, 16), int).tolist()


def test_the_plane_of_a_stack(model):
    stack = np.arange(5 * 16 * 24, dtype=np.uint16).reshape(5, 16, 24)
    image = model.add_image(stack, scale=(3, 1, 1))
    labels = model.add_labels((stack % 7).astype(np.uint8), scale=(3, 1, 1))
    model.dims.set_current_step(0, 4)
    state = session(model)
    sample = state.sample_reader()()
    np.testing.assert_array_equal(sample.image[0], stack[4])
    np.testing.assert_array_equal(sample.labels, stack[4] % 7)
    assert state.plane(image).base is not None
    assert state.labels is labels


def test_rgb_is_three_channels(model):
    pixels = np.random.default_rng(0).integers(0, 255, (16, 24, 4), dtype=np.uint8)
    model.add_image(pixels, rgb=True)
    array = session(model).image_reader()()
    np.testing.assert_array_equal(array, np.moveaxis(pixels[..., :3], -1, 0))


def test_multiscale_is_taken_at_full_resolution(model):
    levels = [np.ones((64, 96), np.uint8), np.zeros((32, 48), np.uint8)]
    model.add_image(levels, multiscale=True)
    state = session(model)
    assert state.image_reader()().shape == (1, 64, 96)
    assert state.add_annotation().data.shape == (64, 96)


def test_regions_and_classes_are_part_of_the_sample(model, add_cells, heard):
    _, labels = add_cells(model)
    state = session(model)
    calls = heard(state)
    regions = state.add_regions()
    assert state.add_regions() is regions
    regions.add([[[4, 4], [4, 30], [30, 30], [30, 4]]], shape_type="rectangle")
    _classes.set_class(labels, 2, "dividing")
    sample = state.sample_reader()()
    assert sample.complete is not None
    assert sample.complete.sum() == 27**2
    assert state.complete() is state.complete()
    assert sample.classes == {2: 2}
    assert state.class_names == ("cell", "dividing")
    assert calls["regions"]
    assert calls["classes"]
    regions.remove([0])
    assert state.sample_reader()().complete is None


def test_regions_belong_to_their_plane(model):
    model.add_image(np.zeros((3, 16, 16), np.uint8))
    state = session(model)
    model.dims.set_current_step(0, 1)
    corners = [[1, 0, 0], [1, 0, 8], [1, 8, 8], [1, 8, 0]]
    state.add_regions().add([corners], shape_type="rectangle")
    assert state.complete() is not None
    model.dims.set_current_step(0, 2)
    assert state.complete() is None


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (lambda viewer: None, "No image is open"),
        (lambda viewer: viewer.add_image(np.zeros((8, 8))), "no annotation yet"),
    ],
)
def test_what_is_missing_is_said(model, prepare, words):
    prepare(model)
    with pytest.raises(InputError, match=words):
        session(model).sample_reader()()


def test_labels_of_another_size_are_refused(model):
    model.add_image(np.zeros((8, 8)), name="hela")
    state = session(model)
    state.labels = model.add_labels(np.zeros((9, 8), int), name="other")
    with pytest.raises(InputError, match=r"“other” is 9 × 8 px and “hela” is 8 × 8 px"):
        state.sample_reader()()


def test_values_that_are_no_labels_are_refused(model):
    model.add_image(np.zeros((8, 8)))
    model.add_labels(np.full((8, 8), -5), name="other")
    with pytest.raises(InputError, match="other"):
        session(model).sample_reader()()


def test_strokes_are_heard_once_and_another_plane_is_anything(model, qtbot):
    model.add_image(np.zeros((3, 40, 40), np.uint8))
    labels = model.add_labels(np.zeros((3, 40, 40), np.int32))
    labels.brush_size = 1
    heard: list = []
    session(model).painted.connect(heard.append)
    labels.paint((1, 5, 6), 1)
    qtbot.waitUntil(lambda: len(heard) == 1)
    assert heard == [(slice(5, 6), slice(6, 7))]
    model.dims.set_current_step(0, 2)
    qtbot.waitUntil(lambda: len(heard) == 2)
    assert heard[1] is None


def test_settings_are_told_only_when_they_change(model, heard):
    state = session(model)
    calls = heard(state)
    state.weights = WeightConfig()
    state.weights = WeightConfig(w0=3)
    state.model = Path("a.model")
    state.model = Path("a.model")
    assert len(calls["weights"]) == 1
    assert len(calls["model"]) == 1


def test_the_visible_region_is_clipped(model, add_cells):
    add_cells(model)
    state = session(model)
    assert state.visible_region() == (slice(0, 64), slice(0, 64))


class _Compute:
    """Stands for the bridge to the compute process."""

    made: ClassVar[list[_Compute]] = []

    def __init__(self) -> None:
        self.closed = 0
        self.made.append(self)

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def computes(monkeypatch):
    from napari_unet.widgets import _compute

    monkeypatch.setattr(_compute, "Compute", _Compute)
    monkeypatch.setattr(_Compute, "made", [])
    return _Compute.made


def test_compute_is_made_when_asked_for_and_closed_with_the_viewer(qapp, computes):
    viewer = ViewerModel()
    state = session(viewer)
    assert not computes
    assert state.compute is state.compute
    assert len(computes) == 1
    del viewer, state
    gc.collect()
    assert computes[0].closed


def test_compute_is_closed_with_the_window(viewer, computes, qtbot):
    compute = session(viewer).compute
    viewer.close()
    qtbot.waitUntil(lambda: compute.closed)


@pytest.mark.parametrize("values", [["cell", "dividing"], [1, 2], [1.0, 2.0]])
def test_class_tables_of_other_tools_are_read(model, add_cells, values):
    _, labels = add_cells(model)
    labels.features = {"index": [1, 2], "class": values, "area": [100, 100]}
    assert _classes.classes_of_cells(labels) == {1: 1, 2: 2}
    assert len(_classes.class_names(labels)) == 2
    _classes.set_class(labels, 7, _classes.class_names(labels)[1])
    assert _classes.classes_of_cells(labels) == {1: 1, 2: 2, 7: 2}
    assert labels.features["area"].tolist()[:2] == [100, 100]


def test_a_table_without_index_goes_by_rows(model, add_cells):
    _, labels = add_cells(model)
    labels.features = {"class": [0, 1, 2]}
    assert _classes.classes_of_cells(labels) == {1: 1, 2: 2}
    _classes.set_class(labels, 1, "class 2")
    assert _classes.classes_of_cells(labels) == {1: 2, 2: 2}


def test_a_class_gets_another_name(model, add_cells):
    _, labels = add_cells(model)
    _classes.set_class(labels, 1, "cell")
    _classes.set_class(labels, 2, "dividing")
    _classes.rename_classes(labels, ["cell", "mitotic"])
    assert _classes.class_names(labels) == ("cell", "mitotic")
    assert _classes.classes_of_cells(labels) == {1: 1, 2: 2}


@pytest.mark.parametrize("values", [["a", "b"], [1, 2]])
def test_classes_exchange_their_names(model, add_cells, values):
    _, labels = add_cells(model)
    labels.features = {"index": [1, 2], "class": values}
    _classes.set_class_names(labels, ["a", "b"])
    _classes.rename_classes(labels, ["b", "a", "c"])
    assert _classes.class_names(labels) == ("b", "a", "c")
    assert _classes.classes_of_cells(labels) == {1: 1, 2: 2}


def test_in_a_large_stack_a_new_cell_takes_no_number_of_which_a_class_is_said(model, monkeypatch):
    """One table has the classes of the cells of all planes, which are not looked through."""
    monkeypatch.setattr(_tools, "_LARGE", 10)
    model.add_image(np.zeros((2, 8, 8), np.uint8), name="movie")
    labels = model.add_labels(np.zeros((2, 8, 8), np.int32))
    labels.data[0, :2, :2] = 1
    _classes.set_class(labels, 1, "live")
    known = session(model)
    known.labels = labels
    model.dims.set_point(0, 1)
    assert _tools.find_free_label(known, labels) == 2


def test_labels_that_end_sooner_than_the_image_are_not_read_from_another_plane(model):
    model.add_image(np.zeros((10, 64, 64), np.uint8), name="movie")
    first = np.zeros((5, 64, 64), np.int32)
    first[4, 5:9, 5:9] = 1
    known = session(model)
    known.labels = model.add_labels(first, name="first five")
    model.dims.set_point(0, 4)
    assert known.labels_reader()().max() == 1
    model.dims.set_point(0, 8)
    with pytest.raises(InputError, match="“first five” has no plane where you look at “movie”"):
        known.labels_reader()


def test_the_session_brings_no_torch():
    code = "import napari_unet.widgets._session, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
