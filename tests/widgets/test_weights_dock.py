from __future__ import annotations

import gc
import threading
import weakref

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_unet.core.annotation import weight_map
from napari_unet.core.config import WEIGHT_PRESETS, WeightConfig
from napari_unet.core.live_map import Figures, LiveMap
from napari_unet.widgets import _layers, _live_layer, _planes
from napari_unet.widgets._session import session
from napari_unet.widgets.weights_dock import WeightsDock, describe


@pytest.fixture
def open_dock(qtbot):
    """Opens the panel for a viewer."""
    docks: list[WeightsDock] = []

    def make(viewer) -> WeightsDock:
        dock = WeightsDock(viewer)
        docks.append(dock)
        qtbot.addWidget(dock)
        dock.show()
        return dock

    yield make
    docks.clear()


@pytest.fixture
def made(monkeypatch):
    """The settings for which maps were made anew."""
    configs: list[WeightConfig] = []
    make = _live_layer._make

    def count(read, complete, classes, config):
        configs.append(config)
        return make(read, complete, classes, config)

    monkeypatch.setattr(_live_layer, "_make", count)
    return configs


def shown(viewer) -> np.ndarray | None:
    state = session(viewer)
    layer = _layers.find(viewer, _layers.WEIGHTS, state.image)
    if layer is None:
        return None
    return _layers.weights_plane(layer, state.plane_index(state.image))


def is_exact(viewer) -> bool:
    state = session(viewer)
    plane = shown(viewer)
    return plane is not None and np.array_equal(
        plane, weight_map(state.sample_reader()(), state.weights)
    )


def test_the_map_comes_quietly_when_the_panel_opens(model, add_cells, open_dock, qtbot):
    image, labels = add_cells(model)
    seen: list = []
    model.layers.selection.events.active.connect(seen.append)
    dock = open_dock(model)
    qtbot.waitUntil(lambda: is_exact(model))
    layer = _layers.find(model, _layers.WEIGHTS, image)
    assert layer.name == "hela · weights"
    assert list(model.layers) == [image, layer, labels]
    assert model.layers.selection.active is labels
    assert not seen
    assert layer.contrast_limits == pytest.approx([0, shown(model).max()])
    qtbot.waitUntil(lambda: "no cells touch" in dock.figures.text())
    assert dock.state.text() == "Follows the brush."


def test_there_is_no_map_before_the_first_cell(model, open_dock, qtbot):
    session(model).weights = WeightConfig(class_weights="balanced")
    dock = open_dock(model)
    qtbot.waitUntil(lambda: "No image is open" in dock.state.text())
    model.add_image(np.zeros((48, 48), np.uint8))
    qtbot.waitUntil(lambda: "no annotation yet" in dock.state.text())
    labels = session(model).add_annotation()
    qtbot.waitUntil(lambda: "No cell is painted yet" in dock.state.text())
    assert shown(model) is None
    labels.paint((20, 20), 1)
    qtbot.waitUntil(lambda: is_exact(model))
    labels.undo()
    qtbot.waitUntil(lambda: not shown(model).any())
    assert "No cell is painted yet" in dock.state.text()


def test_strokes_and_undo_are_worked_in_at_once(model, add_cells, open_dock, made, qtbot):
    _, labels = add_cells(model)
    session(model).weights = WeightConfig(class_weights="none")
    dock = open_dock(model)
    qtbot.waitUntil(lambda: is_exact(model) and dock.live._warm)
    data = _layers.find(model, _layers.WEIGHTS, session(model).image).data
    labels.brush_size = 7
    for edit in (lambda: labels.paint((40, 30), 3), lambda: labels.paint((40, 38), 4), labels.undo):
        before = shown(model).copy()
        edit()
        qtbot.waitUntil(lambda before=before: not np.array_equal(shown(model), before))
        assert is_exact(model)
    qtbot.waitUntil(lambda: "Follows the brush · " in dock.state.text())
    assert len(made) == 1
    assert _layers.find(model, _layers.WEIGHTS, session(model).image).data is data
    assert " ms" in dock.state.text()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int64])
def test_labels_of_other_tools_are_followed(model, add_cells, open_dock, made, qtbot, dtype):
    _, labels = add_cells(model)
    labels.data = labels.data.astype(dtype)
    session(model).weights = WeightConfig(class_weights="none")
    dock = open_dock(model)
    qtbot.waitUntil(lambda: is_exact(model) and dock.live._warm)
    before = shown(model).copy()
    labels.paint((40, 30), 3)
    qtbot.waitUntil(lambda: not np.array_equal(shown(model), before))
    assert is_exact(model)
    assert len(made) == 1


def test_when_the_hand_rests_the_class_weights_are_those_of_now(
    model, add_cells, open_dock, made, qtbot
):
    _, labels = add_cells(model)
    session(model).weights = WeightConfig(class_weights="balanced")
    dock = open_dock(model)
    qtbot.waitUntil(lambda: is_exact(model) and dock.live._warm)
    labels.brush_size = 15
    labels.paint((45, 30), 3)
    qtbot.waitUntil(lambda: shown(model)[45, 30] != 1 and len(made) == 2)
    qtbot.waitUntil(lambda: is_exact(model))


def test_the_first_background_and_regions_change_what_is_known(model, add_cells, open_dock, qtbot):
    _, labels = add_cells(model)
    open_dock(model)
    qtbot.waitUntil(lambda: is_exact(model))
    labels.brush_size = 5
    labels.paint((50, 50), -1)
    qtbot.waitUntil(lambda: shown(model)[0, 0] == 0 and is_exact(model))
    corners = [[4, 4], [4, 40], [30, 40], [30, 4]]
    session(model).add_regions().add([corners], shape_type="rectangle")
    qtbot.waitUntil(lambda: shown(model)[5, 5] > 0 and is_exact(model))


def test_strokes_made_while_a_map_is_made_are_worked_in(
    model, add_cells, open_dock, monkeypatch, qtbot
):
    _, labels = add_cells(model)
    state = session(model)
    state.weights = WeightConfig(class_weights="none")
    dock = open_dock(model)
    qtbot.waitUntil(lambda: is_exact(model) and dock.live._warm)
    make, started, go = _live_layer._make, threading.Event(), threading.Event()

    def make_slowly(*args):
        started.set()
        assert go.wait(10)
        return make(*args)

    monkeypatch.setattr(_live_layer, "_make", make_slowly)
    state.weights = WeightConfig(class_weights="none", w0=20)
    qtbot.waitUntil(started.is_set)
    labels.brush_size = 5
    for place in ((40, 30), (40, 34)):
        labels.paint(place, place[1])
        qtbot.wait(60)
    go.set()
    qtbot.waitUntil(lambda: is_exact(model))
    assert not dock.live._strokes


def test_a_large_change_takes_a_thread(model, add_cells, open_dock, made, monkeypatch, qtbot):
    _, labels = add_cells(model)
    dock = open_dock(model)
    qtbot.waitUntil(lambda: is_exact(model) and dock.live._warm)
    monkeypatch.setattr(_live_layer, "AT_ONCE", 100)
    monkeypatch.setattr(LiveMap, "paint", None)
    said: list[str] = []
    dock.live.said.connect(said.append)
    labels.fill((40, 40), 5)
    qtbot.waitUntil(lambda: len(made) == 2 and is_exact(model))
    assert said[0] == "Stale: much was painted at once. A new map is on its way …"
    assert said[-1] == "Follows the brush."


def test_presets_and_own_values(model, add_cells, open_dock, qtbot):
    add_cells(model)
    dock = open_dock(model)
    assert dock.presets["measured"].isChecked()
    dock.presets["falk-2019"].click()
    assert session(model).weights == WEIGHT_PRESETS["falk-2019"]
    assert dock.form.value() == WEIGHT_PRESETS["falk-2019"]
    qtbot.waitUntil(lambda: is_exact(model))
    dock.form.input("w0").value = 7
    assert session(model).weights.w0 == 7
    assert session(model).weights.ridge == "half"
    assert dock.presets["own"].isChecked()
    qtbot.waitUntil(lambda: is_exact(model))
    session(model).weights = WeightConfig()  # another panel, or a model file
    assert dock.presets["measured"].isChecked()
    assert dock.form.input("w0").value == 10


def test_of_a_dragged_slider_the_last_value_counts(model, add_cells, open_dock, made, qtbot):
    add_cells(model)
    dock = open_dock(model)
    qtbot.waitUntil(lambda: is_exact(model))
    for w0 in range(11, 40):
        dock.form.input("w0").value = w0
    qtbot.waitUntil(lambda: is_exact(model))
    assert made[-1].w0 == 39
    assert len(made) < 10


def test_classes_count(model, add_cells, open_dock, qtbot):
    _, labels = add_cells(model)
    session(model).weights = WeightConfig(class_weights="balanced")
    open_dock(model)
    qtbot.waitUntil(lambda: is_exact(model))
    before = shown(model).copy()
    labels.features = {"index": [1, 2], "class": ["a", "b"]}
    qtbot.waitUntil(lambda: not np.array_equal(before, shown(model)))
    qtbot.waitUntil(lambda: is_exact(model))


def test_the_map_of_a_stack_is_that_of_its_plane(model, open_dock, qtbot):
    image = model.add_image(np.zeros((3, 40, 40), np.uint8), scale=(2, 1, 1))
    data = np.zeros((3, 40, 40), np.int32)
    data[:, 5:15, 5:15] = 1
    data[2, 5:15, 18:28] = 2
    labels = model.add_labels(data, scale=(2, 1, 1))
    dock = open_dock(model)
    qtbot.waitUntil(lambda: is_exact(model) and dock.live._warm)
    first = shown(model).copy()
    model.dims.set_current_step(0, 2)
    qtbot.waitUntil(lambda: is_exact(model) and not np.array_equal(shown(model), first))
    layer = _layers.find(model, _layers.WEIGHTS, image)
    assert layer.data_to_world((0, 0, 0))[0] == 4
    labels.brush_size = 5
    labels.paint((2, 30, 10), 3)
    qtbot.waitUntil(lambda: shown(model)[30, 10] > 0 and is_exact(model))


def test_hidden_shown_and_removed(model, add_cells, open_dock, made, qtbot):
    image, labels = add_cells(model)
    dock = open_dock(model)
    qtbot.waitUntil(lambda: is_exact(model))
    layer = _layers.find(model, _layers.WEIGHTS, image)
    dock.show_map.setChecked(False)
    assert not layer.visible
    labels.paint((40, 40), 3)
    qtbot.wait(400)
    assert len(made) == 1
    layer.visible = True  # the eye in the layer list
    assert dock.show_map.isChecked()
    qtbot.waitUntil(lambda: is_exact(model))
    layer.visible = False
    assert not dock.show_map.isChecked()
    dock.show_map.setChecked(True)
    model.layers.remove(layer)
    assert not dock.show_map.isChecked()
    dock.show_map.setChecked(True)
    qtbot.waitUntil(lambda: is_exact(model))


def test_the_map_of_another_image_is_put_away(model, add_cells, open_dock, qtbot):
    image, _ = add_cells(model)
    open_dock(model)
    qtbot.waitUntil(lambda: is_exact(model))
    first = _layers.find(model, _layers.WEIGHTS, image)
    other = model.add_image(np.zeros((64, 64), np.uint8), name="other")
    session(model).image = other
    assert not first.visible
    qtbot.waitUntil(lambda: is_exact(model))
    second = _layers.find(model, _layers.WEIGHTS, other)
    assert second is not first
    session(model).image = image
    qtbot.waitUntil(lambda: first.visible and not second.visible)


def test_labels_that_do_not_fit_are_said(model, add_cells, open_dock, qtbot):
    add_cells(model)
    dock = open_dock(model)
    qtbot.waitUntil(lambda: is_exact(model))
    session(model).labels = model.add_labels(np.ones((8, 8), int), name="other")
    qtbot.waitUntil(lambda: "“other” is 8 × 8 px" in dock.state.text())
    assert not shown(model).any()


def test_the_pixel_under_the_mouse_is_explained(model, add_cells, open_dock, qtbot):
    image, _ = add_cells(model)
    dock = open_dock(model)
    qtbot.waitUntil(lambda: is_exact(model) and dock.live._warm)
    model.cursor.position = tuple(image.data_to_world((15, 20)))
    qtbot.waitUntil(lambda: dock.here.text() != "")
    weight = shown(model)[15, 20]
    words = f"here: d1 1.0 px · d2 3.0 px · w {weight:.3g}"
    assert dock.here.text() == words
    assert str(model.status).count(words) == 1
    model.status = "what napari says next"
    assert model.status == f"what napari says next · {words}"
    model.cursor.position = (1000, 1000)
    qtbot.waitUntil(lambda: dock.here.text() == "")
    assert "d1" not in str(model.status)


def test_sigma_is_suggested_from_the_gaps(model, open_dock, qtbot):
    model.add_image(np.zeros((64, 64), np.uint8))
    labels = np.zeros((64, 64), np.int32)
    labels[10:50, 10:20], labels[10:50, 23:33] = 1, 2
    model.add_labels(labels)
    dock = open_dock(model)
    qtbot.waitUntil(lambda: dock.gaps.isVisible())
    assert dock.gaps.text() == "Gaps are 3 px wide: σ 4 fits."
    dock.use.click()
    assert session(model).weights.sigma == 4
    assert not dock.use.isVisible()


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        ((10.92, 0.04, 12, 0.0), "max 10.9 · 4 % above 1 · 12 cells touch"),
        ((1.0, 0.0, 0, 0.62), "max 1 · 0 % above 1 · no cells touch · 62 % unlabelled"),
        ((1.0, 0.001, 2, 0.001), "max 1 · < 1 % above 1 · 2 cells touch · < 1 % unlabelled"),
    ],
)
def test_figures_in_words(figures, words):
    assert describe(Figures(*figures, np.zeros(4, int))) == words


def test_a_closed_panel_leaves_no_stale_map(model, add_cells, open_dock, made, qtbot):
    image, labels = add_cells(model)
    dock = open_dock(model)
    qtbot.waitUntil(lambda: is_exact(model))
    dock.close()
    assert not _layers.find(model, _layers.WEIGHTS, image).visible
    labels.paint((40, 40), 3)
    session(model).weights = WeightConfig(w0=1)
    qtbot.wait(400)
    assert len(made) == 1


def test_a_panel_that_is_deleted_lets_go(model, add_cells, qtbot):
    image, labels = add_cells(model)
    dock = WeightsDock(model)
    qtbot.waitUntil(lambda: is_exact(model))
    sip_delete = pytest.importorskip("PyQt6.sip").delete
    sip_delete(dock)
    assert not _layers.find(model, _layers.WEIGHTS, image).visible
    labels.paint((40, 40), 3)
    session(model).weights = WeightConfig(w0=1)
    qtbot.wait(400)


def test_two_viewers_have_their_own_maps(model, add_cells, open_dock, qtbot):
    other = ViewerModel()
    for viewer in (model, other):
        add_cells(viewer)
        open_dock(viewer)
    session(other).weights = WeightConfig(w0=1)
    qtbot.waitUntil(lambda: is_exact(model) and is_exact(other))
    assert shown(model)[15, 21] > shown(other)[15, 21]


def test_a_stroke_sends_its_box_to_the_canvas(
    make_napari_viewer, add_cells, open_dock, monkeypatch, qtbot
):
    viewer = make_napari_viewer(show=True)
    _, labels = add_cells(viewer, (200, 300))
    session(viewer).weights = WeightConfig(class_weights="none")
    dock = open_dock(viewer)
    qtbot.waitUntil(lambda: is_exact(viewer) and dock.live._warm)
    layer = _layers.find(viewer, _layers.WEIGHTS, session(viewer).image)
    labels.visible = False
    before = viewer.screenshot(flash=False)
    refreshed: list = []
    monkeypatch.setattr(type(layer), "refresh", lambda *_, **__: refreshed.append(1))
    labels.paint((60, 200), 3)
    labels.paint((60, 212), 4)
    monkeypatch.undo()
    assert not refreshed
    followed = viewer.screenshot(flash=False)
    layer.refresh()
    np.testing.assert_array_equal(followed, viewer.screenshot(flash=False))
    assert not np.array_equal(followed, before)


def test_a_transposed_view_follows(make_napari_viewer, add_cells, open_dock, qtbot):
    viewer = make_napari_viewer(show=True)
    _, labels = add_cells(viewer)
    session(viewer).weights = WeightConfig(class_weights="none")
    dock = open_dock(viewer)
    qtbot.waitUntil(lambda: is_exact(viewer) and dock.live._warm)
    viewer.dims.order = (1, 0)
    layer = _layers.find(viewer, _layers.WEIGHTS, session(viewer).image)
    labels.paint((50, 10), 3)
    qtbot.waitUntil(lambda: is_exact(viewer))
    followed = viewer.screenshot(flash=False)
    assert followed.any()
    layer.refresh()
    np.testing.assert_array_equal(followed, viewer.screenshot(flash=False))


def test_a_dock_of_a_window_follows_and_dies(viewer, add_cells, qtbot):
    _, labels = add_cells(viewer)
    dock = WeightsDock(viewer)
    wrapper = viewer.window.add_dock_widget(dock, name="Weight map")
    live = weakref.ref(dock.live)
    qtbot.waitUntil(lambda: is_exact(viewer) and live()._warm)
    camera = _planes.find_camera(viewer)
    before = camera.center, camera.zoom
    labels.paint((45, 30), 3)
    qtbot.waitUntil(lambda: is_exact(viewer))
    assert (camera.center, camera.zoom) == before
    viewer.window.remove_dock_widget(wrapper)
    dead = weakref.ref(dock)
    del dock, wrapper
    qtbot.wait(300)
    gc.collect()
    assert dead() is None
    labels.paint((20, 45), 4)
    qtbot.wait(50)
