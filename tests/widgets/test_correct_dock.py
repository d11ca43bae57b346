"""The Correct panel: what is said of predicted cells becomes annotation, one undo step each."""

from __future__ import annotations

import gc
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_unet.core.formats.labelled import Shape
from napari_unet.core.whole_cells import outline
from napari_unet.widgets import _cell_layers, _layers, _planes, _whole_cells, correct_dock
from napari_unet.widgets._classes import set_class
from napari_unet.widgets._features import read_feature, write_predicted
from napari_unet.widgets._session import session
from napari_unet.widgets.correct_dock import CorrectDock


def predicted(shape=(64, 64)):
    """Three squares, two of them touching, and a speck."""
    labels = np.zeros(shape, np.int32)
    labels[10:20, 5:15] = 1
    labels[10:20, 15:25] = 2
    labels[40:52, 40:52] = 3
    labels[40:50, 10:20] = 4
    labels[30:40, 50:60] = 5
    labels[2:4, 58:60] = 8
    return labels


@pytest.fixture
def warnings_shown(monkeypatch):
    shown: list[str] = []
    monkeypatch.setattr(correct_dock, "show_warning", shown.append)
    return shown


@pytest.fixture
def dock(qtbot, model, warnings_shown):
    image = model.add_image(np.zeros((64, 64), np.uint8), name="hela")
    _cell_layers.show_prediction(model, image, predicted())
    dock = CorrectDock(model)
    qtbot.addWidget(dock)
    dock.resize(320, 640)
    with qtbot.waitSignal(dock._surveyor.surveyed):
        dock.show()
    return dock


def open_on_stack(qtbot, model, plane):
    """The panel beside a stack of three planes, one of which is predicted and in view."""
    image = model.add_image(np.zeros((3, 64, 64), np.uint8), name="movie")
    model.dims.set_point(0, plane)
    _cell_layers.show_prediction(model, image, predicted())
    dock = CorrectDock(model)
    qtbot.addWidget(dock)
    dock.show()
    return dock


def drag(viewer, *places):
    """What napari calls for a press, moves and a release at places of the world."""
    for callback in list(viewer.mouse_drag_callbacks):
        event = SimpleNamespace(
            type="mouse_press", button=1, modifiers=(), position=places[0], pos=np.zeros(2)
        )
        follow = callback(viewer, event)
        next(follow, None)
        for number, place in enumerate(places[1:], 1):
            event.type, event.position, event.pos = "mouse_move", place, np.full(2, 9.0 * number)
            next(follow, None)
        event.type = "mouse_release"
        next(follow, None)


def press(qtbot, button):
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def test_an_accepted_cell_is_annotation_and_can_be_undone(qtbot, dock, model):
    before = session(model).labels
    assert before is None
    drag(model, (12, 7))
    press(qtbot, dock.accepting)
    labels = session(model).labels
    np.testing.assert_array_equal(labels.data > 0, predicted() == 1)
    drag(model, (12, 17))
    press(qtbot, dock.accepting)
    assert set(np.unique(labels.data)) == {-1, 0, 1, 2}
    assert not (predicted()[labels.data == -1]).any()  # the rim of what was accepted
    (marker,) = (layer for layer in model.layers if _layers.role_of(layer) == _layers.MARKER)
    corners = marker.data[0]
    np.testing.assert_array_equal(corners.min(axis=0), (9.5, 14.5))
    np.testing.assert_array_equal(corners.max(axis=0), (19.5, 24.5))
    press(qtbot, dock.undoing)
    assert set(np.unique(labels.data)) == {-1, 0, 1}
    labels.redo()
    np.testing.assert_array_equal(labels.data == 2, predicted() == 2)
    prediction = _layers.find(model, _layers.PREDICTION, session(model).image)
    np.testing.assert_array_equal(prediction.data, predicted())


def test_progress_is_said_and_the_queue_walks_on(qtbot, dock, model):
    assert dock.progress.text() == "6 cells · 0 accepted · 0 rejected · 6 open"
    model.layers.selection.active = session(model).image
    press(qtbot, dock.next)
    assert dock._chosen is not None
    assert predicted()[dock._chosen[1]] == 8  # far smaller than the others
    with qtbot.waitSignal(dock._surveyor.surveyed):
        press(qtbot, dock.rejecting)
    assert dock.progress.text() == "6 cells · 0 accepted · 1 rejected · 5 open"
    assert dock._chosen is not None
    assert predicted()[dock._chosen[1]] != 8
    for _ in range(5):
        with qtbot.waitSignal(dock._surveyor.surveyed):
            press(qtbot, dock.accepting)
    assert dock.progress.text() == "6 cells · 5 accepted · 1 rejected · 0 open"
    press(qtbot, dock.next)
    assert dock.state.text() == "Something was said of every cell."


def test_open_cells_are_outlined_while_the_panel_is_seen(qtbot, dock, model):
    prediction = _layers.find(model, _layers.PREDICTION, session(model).image)
    assert prediction.contour > 0  # accepted ones are filled
    dock.hide()
    assert prediction.contour == 0
    with qtbot.waitSignal(dock._surveyor.surveyed):
        dock.show()
    assert prediction.contour > 0
    dock.close()
    assert prediction.contour == 0


def test_the_view_moves_only_to_cells_that_are_not_in_it(qtbot, viewer):
    labels = np.zeros((256, 256), np.int32)
    labels[20:40, 20:40], labels[100:120, 100:120] = 1, 2
    image = viewer.add_image(np.zeros((256, 256), np.uint8), name="hela")
    _cell_layers.show_prediction(viewer, image, labels)
    dock = CorrectDock(viewer)
    qtbot.addWidget(dock)
    with qtbot.waitSignal(dock._surveyor.surveyed):
        dock.show()
    camera = _planes.find_camera(viewer)
    before = camera.center
    press(qtbot, dock.next)
    assert camera.center == before
    camera.zoom, camera.center = 20, (0, 250, 250)
    press(qtbot, dock.next)
    assert camera.center[-2:] != (250, 250)


def test_a_click_accepts_or_rejects_where_that_is_chosen(dock, model):
    dock.click.setCurrentText("accepts the cell")
    drag(model, (45, 45))
    dock.click.setCurrentText("rejects the cell")
    drag(model, (45, 15))
    drag(model, (60, 30))  # nothing is there
    labels = session(model).labels.data
    np.testing.assert_array_equal(labels > 0, predicted() == 3)
    np.testing.assert_array_equal((labels == -1) & (predicted() > 0), predicted() == 4)


def test_two_cells_are_merged(qtbot, dock, model):
    drag(model, (12, 7))
    press(qtbot, dock.merging)
    assert dock.merging.isChecked()
    drag(model, (12, 20))
    assert not dock.merging.isChecked()
    assert dock.state.text() == "Merged."
    labels = session(model).labels
    np.testing.assert_array_equal(labels.data == 1, np.isin(predicted(), (1, 2)))
    labels.undo()
    assert not labels.data.any()


def test_what_does_not_touch_is_not_merged(qtbot, dock, model, warnings_shown):
    drag(model, (12, 7))
    press(qtbot, dock.merging)
    drag(model, (45, 45))
    assert "do not touch" in warnings_shown[-1]
    assert session(model).labels is None


@pytest.mark.parametrize("how", ["line", "seeds"])
def test_a_cell_is_split_and_the_view_stands_still(qtbot, dock, model, how):
    camera = _planes.find_camera(model)
    drag(model, (45, 45))
    press(qtbot, dock.splitting)
    assert not camera.mouse_pan
    if how == "line":
        drag(model, (38, 46), (45, 46), (54, 46))
    else:
        drag(model, (45, 41))
        assert dock.state.text() == "Now click the other part."
        drag(model, (45, 51))
    assert camera.mouse_pan
    assert dock.state.text() == "Split in two."
    labels = session(model).labels
    assert set(np.unique(labels.data)) == {-1, 0, 1, 2}
    np.testing.assert_array_equal(labels.data > 0, predicted() == 3)
    labels.undo()
    assert not labels.data.any()


def test_a_brush_is_put_away_before_one_splits(qtbot, dock, model):
    labels = session(model).add_annotation()
    drag(model, (45, 45))
    model.layers.selection.active = labels
    labels.mode = "paint"
    press(qtbot, dock.splitting)
    assert labels.mode == "pan_zoom"
    press(qtbot, dock.splitting)  # again: leave it
    assert not dock.splitting.isChecked()
    assert _planes.find_camera(model).mouse_pan


def test_shapes_change_by_keys(dock, model):
    drag(model, (45, 45))
    model.keymap[_key("Shift-G")](model)
    labels = session(model).labels
    assert (labels.data == 1).sum() == 144 + 4 * 12
    model.keymap[_key("Shift-K")](model)
    assert (labels.data == 1).sum() == 144
    labels.data_setitem((np.array([45]), np.array([45])), 0)
    model.keymap[_key("Shift-F")](model)
    assert "No cell" not in dock.state.text()


def _key(key):
    from napari.utils.key_bindings import coerce_keybinding

    return coerce_keybinding(key)


def test_an_accepted_cell_is_of_the_class_that_was_predicted(qtbot, dock, model):
    prediction = _layers.find(model, _layers.PREDICTION, session(model).image)
    table = {"label": np.array([1, 2]), "class": np.array(["long", "round"], object)}
    write_predicted(prediction, table, np.array([], int))
    for place in ((12, 7), (12, 17)):
        drag(model, place)
        press(qtbot, dock.accepting)
    labels = session(model).labels
    assert read_feature(labels, "class") == {1: "long", 2: "round"}
    set_class(labels, 1, "round")
    drag(model, (12, 7))
    dock.grow()
    assert read_feature(labels, "class")[1] == "round"  # what the person said stays


def test_parts_and_wholes_are_of_the_class_that_they_were_made_of(qtbot, dock, model):
    prediction = _layers.find(model, _layers.PREDICTION, session(model).image)
    table = {"label": np.arange(1, 4), "class": np.array(["dead", "dead", "live"], object)}
    write_predicted(prediction, table, np.array([], int))

    def split():
        press(qtbot, dock.splitting)
        drag(model, (38, 46), (45, 46), (54, 46))

    drag(model, (12, 7))
    press(qtbot, dock.merging)
    drag(model, (12, 17))  # both are predicted
    labels = session(model).labels
    assert read_feature(labels, "class") == {1: "dead"}
    drag(model, (45, 41))
    split()  # of a cell that is predicted
    assert read_feature(labels, "class") == {1: "dead", 2: "live", 3: "live"}
    set_class(labels, int(labels.data[45, 41]), "dead")
    drag(model, (45, 41))
    press(qtbot, dock.splitting)
    drag(model, (43, 38), (43, 44), (43, 50))  # of one that is annotated, of another class
    said = read_feature(labels, "class")
    assert {said[label] for label in np.unique(labels.data[40:52, 40:46]) if label > 0} == {"dead"}
    assert len(said) == 4


def test_the_line_around_a_cell_goes_with_the_panel(qtbot, dock, model):
    drag(model, (12, 7))
    (marker,) = (layer for layer in model.layers if _layers.role_of(layer) == _layers.MARKER)
    assert len(marker.data) == 1
    dock.hide()
    assert not len(marker.data)


def test_a_new_prediction_leaves_what_was_accepted(qtbot, dock, model):
    drag(model, (12, 7))
    press(qtbot, dock.accepting)
    labels = session(model).labels.data.copy()
    other = np.roll(predicted(), 3, axis=1)
    with qtbot.waitSignal(dock._surveyor.surveyed):
        _cell_layers.show_prediction(model, session(model).image, other)
    np.testing.assert_array_equal(session(model).labels.data, labels)
    assert dock.progress.text() == "6 cells · 1 accepted · 0 rejected · 5 open"


def test_the_corrected_cells_are_a_layer(qtbot, dock, model):
    drag(model, (12, 7))
    press(qtbot, dock.accepting)
    drag(model, (45, 45))
    press(qtbot, dock.rejecting)
    press(qtbot, dock.corrected)
    image = session(model).image
    qtbot.waitUntil(lambda: _layers.find(model, _layers.CORRECTED, image) is not None)
    layer = _layers.find(model, _layers.CORRECTED, image)
    assert layer.name == "hela · corrected cells"
    np.testing.assert_array_equal(layer.data > 0, (predicted() > 0) & (predicted() != 3))
    assert dock.state.text() == "5 cells are shown."
    assert session(model).labels is not layer


def test_without_cells_or_choice_there_is_a_sentence(qtbot, model, warnings_shown):
    dock = CorrectDock(model)
    qtbot.addWidget(dock)
    dock.show()
    press(qtbot, dock.accepting)
    assert warnings_shown[-1].startswith("No cell is chosen")
    model.add_image(np.zeros((32, 32)), name="hela")
    press(qtbot, dock.corrected)
    assert warnings_shown[-1] == "No cells are predicted on “hela” yet: press Predict first."
    drag(model, (5, 5))
    assert dock.state.text() == warnings_shown[-1]


def test_labels_without_minus_one_are_not_rejected_into(dock, model, qtbot, warnings_shown):
    labels = model.add_labels(np.zeros((64, 64), np.uint8), name="theirs")
    session(model).labels = labels
    drag(model, (12, 7))
    press(qtbot, dock.rejecting)
    assert "have no -1" in warnings_shown[-1]
    assert not labels.data.any()


def test_planes_of_a_stack_are_corrected_alone(qtbot, model):
    dock = open_on_stack(qtbot, model, 1)
    drag(model, (1, 12, 7))
    press(qtbot, dock.accepting)
    labels = session(model).labels.data
    np.testing.assert_array_equal(labels[1] > 0, predicted() == 1)
    assert not labels[[0, 2]].any()


def test_an_annotation_that_was_never_seen_takes_the_cell(qtbot, model):
    """napari does not slice a layer that is hidden, and writes into the slice that it has."""
    image = model.add_image(np.zeros((3, 64, 64), np.uint8), name="movie")
    labels = model.add_labels(np.zeros((3, 64, 64), np.int32), visible=False)
    session(model).labels = labels
    model.dims.set_point(0, 1)
    _cell_layers.show_prediction(model, image, predicted())
    dock = CorrectDock(model)
    qtbot.addWidget(dock)
    dock.show()
    drag(model, (1, 12, 7))
    press(qtbot, dock.accepting)
    np.testing.assert_array_equal(labels.data[1] > 0, predicted() == 1)
    press(qtbot, dock.undoing)
    assert not labels.data.any()
    labels.visible = True
    np.testing.assert_array_equal(labels._slice.image.raw, labels.data[1])


def test_a_cell_that_was_chosen_in_another_plane_is_not_written(qtbot, model, warnings_shown):
    dock = open_on_stack(qtbot, model, 0)
    drag(model, (0, 12, 7))
    assert dock._chosen is not None
    model.dims.set_point(0, 2)
    press(qtbot, dock.accepting)
    assert session(model).labels is None
    assert warnings_shown == ["No cell is chosen: click one, or press Next unsure."]


@pytest.mark.parametrize("tool", ["merging", "splitting"])
def test_undo_puts_a_tool_away_with_the_cell_that_it_was_for(qtbot, dock, model, tool):
    drag(model, (12, 7))
    press(qtbot, dock.accepting)
    drag(model, (12, 7))
    press(qtbot, getattr(dock, tool))
    press(qtbot, dock.undoing)
    assert not getattr(dock, tool).isChecked()
    drag(model, (5, 10), (15, 10), (25, 10))
    drag(model, (12, 17))
    assert not session(model).labels.data.any()
    press(qtbot, dock.undoing)
    assert dock.state.text() == "There is no edit to take back."


def test_a_number_that_became_free_is_not_that_cell_any_more(qtbot, dock, model):
    """Ctrl-Z on the layer, and another cell gets the number; the chosen one gets a new one."""
    dock.walk.setChecked(False)
    drag(model, (12, 7))
    press(qtbot, dock.accepting)
    labels = session(model).labels
    labels.undo()
    labels.paint((55, 8), 1)
    press(qtbot, dock.accepting)
    np.testing.assert_array_equal(labels.data[10:20, 5:15], 2)
    assert labels.data[55, 8] == 1


def test_a_class_goes_with_the_cell_that_is_taken_back(qtbot, dock, model):
    layer = _layers.find(model, _layers.PREDICTION, session(model).image)
    table = {"label": np.arange(1, 4), "class": np.array(["dead", "live", "live"], object)}
    write_predicted(layer, table, np.zeros(0, int))
    for place, name in (((12, 7), "dead"), ((45, 45), "live")):
        drag(model, place)
        press(qtbot, dock.accepting)
        labels = session(model).labels
        assert read_feature(labels, "class")[int(labels.data[place])] == name
        press(qtbot, dock.undoing)


def test_labels_without_a_number_for_both_parts_are_not_split(qtbot, model, warnings_shown):
    image = model.add_image(np.zeros((64, 64), np.uint8), name="hela")
    _cell_layers.show_prediction(model, image, predicted())
    own = np.zeros((64, 64), np.uint8)
    own[60, 60] = 254
    model.add_labels(own, name="by hand")
    dock = CorrectDock(model)
    qtbot.addWidget(dock)
    dock.show()
    drag(model, (12, 7))
    press(qtbot, dock.splitting)
    drag(model, (5, 10), (15, 10), (25, 10))
    assert "uint8 labels have no two numbers left after 254" in warnings_shown[0]
    assert np.count_nonzero(own) == 1


def test_a_line_without_the_prediction_is_a_sentence(qtbot, dock, model):
    drag(model, (12, 7))
    press(qtbot, dock.splitting)
    model.layers.remove(_layers.find(model, _layers.PREDICTION, session(model).image))
    drag(model, (5, 10), (15, 10), (25, 10))
    assert "press Predict first" in dock.state.text()


def test_a_closed_panel_lets_go(qtbot, model):
    model.add_image(np.zeros((64, 64), np.uint8), name="hela")
    callbacks = len(model.mouse_drag_callbacks)
    dock = CorrectDock(model)
    dock.show()
    assert _key("Shift-A") in model.keymap
    gone = weakref.ref(dock)
    dock.close()
    assert len(model.mouse_drag_callbacks) == callbacks
    assert _key("Shift-A") not in model.keymap
    dock.deleteLater()
    del dock
    qtbot.wait(10)
    gc.collect()
    assert gone() is None


def test_an_accepted_cell_is_whole_where_its_outline_is_shown(qtbot, dock, model):
    """Cell 1 lies under cell 2 by four columns and reaches three rows further down."""
    image = session(model).image
    wholes = [
        Shape(np.ones((13, 14), bool), (10, 5), 1),
        Shape(np.ones((10, 10), bool), (10, 15), 2),
    ]
    _whole_cells.show_wholes(model, image, outline(wholes), (None, None))
    drag(model, (12, 8))
    press(qtbot, dock.accepting)
    expected = np.zeros((64, 64), bool)
    expected[10:23, 5:19] = True
    expected[10:20, 15:25] = False
    np.testing.assert_array_equal(session(model).labels.data > 0, expected)
    press(qtbot, dock.undoing)
    drag(model, (12, 22))
    press(qtbot, dock.rejecting)
    drag(model, (12, 8))
    press(qtbot, dock.accepting)
    np.testing.assert_array_equal(session(model).labels.data[10:23, 5:19] > 0, True)
    np.testing.assert_array_equal(session(model).labels.data[10:20, 19:25], -1)
