from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.settings import get_settings
from napari.utils.key_bindings import coerce_keybinding
from napari.utils.shortcuts import default_shortcuts
from qtpy.QtCore import Qt

from napari_unet.core.annotation import Summary
from napari_unet.widgets import _classes, _layers, _paint_report, _planes, _tools, annotate_dock
from napari_unet.widgets._class_table import ClassTable
from napari_unet.widgets._paint_report import describe
from napari_unet.widgets._session import session
from napari_unet.widgets.annotate_dock import BACKGROUND_KEY, CELL_KEY, AnnotateDock


@pytest.fixture
def dock(model, qtbot):
    dock = AnnotateDock(model)
    qtbot.addWidget(dock)
    dock.show()
    return dock


@pytest.fixture
def warnings_shown(monkeypatch):
    shown: list[str] = []
    monkeypatch.setattr(annotate_dock, "show_warning", shown.append)
    return shown


def click(qtbot, button):
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def test_without_an_image_there_is_a_next_step(dock, model, qtbot, monkeypatch):
    opened: list = []
    monkeypatch.setattr(ViewerModel, "open_sample", lambda self, *names: opened.append(names))
    assert dock.sample.isVisible()
    assert not dock.cell.isVisible()
    click(qtbot, dock.sample)
    assert opened == [("napari-unet-cells", "fluorescence")]
    model.add_image(np.zeros((32, 32)))
    assert not dock.sample.isVisible()
    assert dock.cell.isVisible()


def test_next_cell_takes_the_brush_with_a_new_label(dock, model, add_cells, qtbot):
    _, labels = add_cells(model)
    click(qtbot, dock.cell)
    assert model.layers.selection.active is labels
    assert (labels.mode, labels.selected_label) == ("paint", 3)
    assert dock.tool.text() == "Painting cell 3"
    assert dock.cell.isChecked()
    labels.paint((40, 40), 3)
    dock.start_cell()
    assert labels.selected_label == 4
    dock.start_cell()
    assert labels.selected_label == 4  # 4 is not painted yet


def test_next_cell_makes_the_annotation_where_there_is_none(dock, model, qtbot):
    image = model.add_image(np.zeros((32, 32)), name="hela")
    click(qtbot, dock.cell)
    labels = _layers.find(model, _layers.ANNOTATION, image)
    assert labels.name == "hela · annotation"
    assert labels.data.dtype == np.int32
    assert labels.selected_label == 1
    assert dock.labels.currentText() == "hela · annotation"


def test_background_and_eraser(dock, model, add_cells, qtbot):
    _, labels = add_cells(model)
    click(qtbot, dock.background)
    assert (labels.mode, labels.selected_label) == ("paint", -1)
    assert dock.background.isChecked()
    assert not dock.cell.isChecked()
    click(qtbot, dock.eraser)
    assert labels.mode == "erase"
    assert dock.tool.text() == "Erasing"
    labels.mode = "pan_zoom"
    assert dock.tool.text() == ""
    assert not dock.eraser.isChecked()


def test_all_is_undone_by_undo(dock, model, add_cells):
    _, labels = add_cells(model)
    before = labels.data.copy()
    dock.start_cell()
    labels.paint((40, 40), labels.selected_label)
    dock.start_background()
    labels.paint((50, 50), labels.selected_label)
    dock.start_erasing()
    labels.paint((15, 15), 0)
    dock.start_region("rectangle")
    dock.start_cell()
    for _ in range(3):
        labels.undo()
    np.testing.assert_array_equal(labels.data, before)


@pytest.mark.parametrize(
    ("start", "labels"),
    [
        ("start_background", np.zeros((32, 32), np.uint8)),
        ("start_cell", np.full((32, 32), 255, np.uint8)),
    ],
)
def test_what_the_type_of_the_labels_cannot_hold_is_said(
    dock, model, warnings_shown, start, labels
):
    model.add_image(np.zeros((32, 32)))
    layer = model.add_labels(labels, name="by hand")
    getattr(dock, start)()
    assert len(warnings_shown) == 1
    assert "“by hand” holds uint8" in warnings_shown[0]
    assert "int32" in warnings_shown[0]
    assert layer.mode == "pan_zoom"


def test_regions_are_drawn_on_a_layer_of_their_own(dock, model, add_cells, qtbot):
    image, _ = add_cells(model)
    click(qtbot, dock.rectangle)
    regions = _layers.find(model, _layers.REGIONS, image)
    assert regions.name == "hela · complete regions"
    assert model.layers.selection.active is regions
    assert regions.mode == "add_rectangle"
    assert dock.rectangle.isChecked()
    assert dock.tool.text() == "Drawing a complete region"
    click(qtbot, dock.polygon)
    assert regions.mode == "add_polygon"
    assert not dock.rectangle.isChecked()


def test_the_whole_frame_is_a_toggle(dock, model, add_cells, qtbot):
    add_cells(model)
    state = session(model)
    active = model.layers.selection.active
    click(qtbot, dock.frame)
    assert state.complete().all()
    assert dock.frame.isChecked()
    click(qtbot, dock.frame)
    assert state.complete() is None
    assert not dock.frame.isChecked()
    assert model.layers.selection.active is active


def test_clear_can_be_undone(dock, model, add_cells, qtbot):
    add_cells(model)
    state = session(model)
    corners = [[4, 4], [4, 30], [30, 30], [30, 4]]
    state.add_regions().add([corners], shape_type="polygon")
    before = state.complete().copy()
    assert dock.clear.text() == "Clear"
    click(qtbot, dock.clear)
    assert state.complete() is None
    assert dock.clear.text() == "Undo"
    click(qtbot, dock.clear)
    np.testing.assert_array_equal(state.complete(), before)
    assert dock.clear.text() == "Clear"


def test_figures_and_slips_come_off_the_gui_thread(dock, model, add_cells, qtbot):
    _, labels = add_cells(model)
    labels.data_setitem((np.array([50]), np.array([50])), [1])
    qtbot.waitUntil(lambda: "2 cells" in dock.report.figures.text())
    assert "all of the frame" in dock.report.figures.text()
    shows = dock.report._rows[0].show
    qtbot.waitUntil(shows.isVisible)
    camera = _planes.find_camera(model)
    before = camera.center
    zoom = camera.zoom
    labels.undo()
    qtbot.waitUntil(lambda: not shows.isVisible())
    labels.redo()
    qtbot.waitUntil(shows.isVisible)
    assert camera.center == before  # nothing moves the view but the click
    click(qtbot, shows)
    assert tuple(camera.center[-2:]) == (50, 50)
    assert camera.zoom == zoom


@pytest.mark.parametrize(
    ("summary", "regions", "words"),
    [
        (Summary(0, 0, False, 0.0, True), 0, "No cell is painted yet. Press Next cell"),
        (Summary(0, 0, True, 0.9, False), 0, "No cell is painted yet. Background is painted."),
        (Summary(1, 0, False, 0.0, True), 0, "1 cell · all of the frame counts as annotated"),
        (Summary(14, 2, True, 0.61, False), 3, "14 cells · 2 touch · 3 regions · 61 % unlabelled"),
        (Summary(2, 2, False, 0.999, False), 1, "2 cells · 2 touch · 1 region · > 99 % unlab"),
    ],
)
def test_figures_in_words(summary, regions, words):
    said = describe(summary, regions).replace("\N{NO-BREAK SPACE}", " ")
    assert said.startswith(words)


def test_next_cells_are_of_the_class_that_is_chosen(dock, model, add_cells):
    _, labels = add_cells(model)
    dock.classes.take(["cell", "dividing"])
    assert [dock.classes.combo.itemText(row) for row in range(2)] == ["cell", "dividing"]
    dock.classes.combo.setCurrentIndex(1)
    dock.start_cell()
    assert _classes.classes_of_cells(labels) == {3: 2}
    assert session(model).sample_reader()().classes == {3: 2}
    dock.classes.combo.setCurrentIndex(0)
    dock.classes.combo.activated.emit(0)  # 3 has no pixel yet: it becomes what is chosen
    assert _classes.classes_of_cells(labels) == {3: 1}


def test_choosing_a_class_leaves_painted_cells_alone(dock, model, add_cells):
    _, labels = add_cells(model)
    dock.classes.take(["cell", "dividing"])
    dock.start_cell()
    labels.paint((40, 40), 3)
    dock.classes.combo.setCurrentIndex(1)
    dock.classes.combo.activated.emit(1)
    assert _classes.classes_of_cells(labels) == {3: 1}
    labels.mode = "pick"  # but a picked cell gets it
    dock.classes.combo.activated.emit(1)
    assert _classes.classes_of_cells(labels) == {3: 2}
    dock.classes.combo.setCurrentIndex(0)
    labels.selected_label = 1
    labels.selected_label = 3
    assert dock.classes.name == "dividing"


def test_labels_painted_by_other_means_get_the_class_too(dock, model, add_cells, qtbot):
    _, labels = add_cells(model)
    dock.classes.take(["cell", "dividing"])
    dock.classes.combo.setCurrentIndex(1)
    labels.selected_label = 9
    labels.paint((40, 40), 9)
    qtbot.waitUntil(lambda: _classes.classes_of_cells(labels) == {9: 2})


def test_what_is_erased_gives_no_other_cell_a_class(dock, model, qtbot):
    model.add_image(np.zeros((64, 64), np.uint8), name="hela")
    for at in ((10, 10), (30, 30)):
        dock.start_cell()
        labels = session(model).labels
        labels.paint(at, labels.selected_label)
        qtbot.wait(80)
    dock.classes.take(["cell", "dead"])
    row = dock.classes.combo.findText("dead")
    dock.classes.combo.setCurrentIndex(row)
    dock.classes.combo.activated.emit(row)
    labels.mode = "erase"
    labels.paint((10, 10), 0)
    qtbot.wait(150)
    assert session(model).classes() == {}


def test_a_cell_that_is_touched_up_keeps_its_class(dock, model, add_cells, qtbot):
    _, labels = add_cells(model)
    dock.classes.take(["cell", "dead"])
    dock.classes.combo.setCurrentIndex(1)
    labels.selected_label = 2
    labels.mode = "paint"
    rows, columns = np.nonzero(labels.data == 2)
    labels.paint((rows.max() + 3, columns.max() + 3), 2)  # the brush covers a part of the cell
    qtbot.wait(150)
    assert session(model).classes() == {}


def test_the_class_table_adds_and_renames(qtbot, dock, model, add_cells):
    _, labels = add_cells(model)
    _classes.set_class(labels, 1, "cell")
    table = ClassTable(session(model).class_names)
    qtbot.addWidget(table)
    table.add_class()
    table.rename(0, "nucleus")
    table.rename(1, "  ")
    assert table.names == ["nucleus", "class 2"]
    dock.classes.take(table.names)
    assert session(model).class_names == ("nucleus", "class 2")
    assert _classes.classes_of_cells(labels) == {1: 1}
    dock.classes.combo.setCurrentIndex(1)
    dock.classes.take(["nucleus", "mitosis"])  # the class of the next cells is called so now
    assert dock.classes.name == "mitosis"


def test_the_dialog_of_the_dock_works_and_dies(qtbot, dock, model, add_cells):
    add_cells(model)
    click(qtbot, dock.classes.edit)
    table = dock.findChild(ClassTable)
    table.add_class()
    table.rename(1, "dividing")
    table.accept()
    assert session(model).class_names == ("cell", "dividing")


def test_the_combos_follow_the_layers(dock, model, add_cells):
    _image, labels = add_cells(model)
    model.add_labels(np.zeros((8, 8), int), name="too small")
    assert [dock.labels.itemText(row) for row in range(dock.labels.count())] == ["by hand"]
    labels.name = "renamed"
    assert dock.labels.currentText() == "renamed"
    model.layers.remove(labels)
    assert dock.labels.currentText() == "none yet"
    other = model.add_labels(np.zeros((64, 64), int), name="other")
    third = model.add_labels(np.zeros((64, 64), int), name="third")
    assert session(model).labels is other
    dock.labels.activated.emit(dock.labels.findText("third"))
    assert session(model).labels is third


def test_the_keys_are_free_in_napari():
    ours = {coerce_keybinding(key) for key in (CELL_KEY, BACKGROUND_KEY)}
    shortcuts = [*default_shortcuts.values(), *get_settings().shortcuts.shortcuts.values()]
    assert not ours & {coerce_keybinding(key) for keys in shortcuts for key in keys}


def test_keys_work_and_are_given_back(viewer, add_cells):
    _, labels = add_cells(viewer)
    free = dict(viewer.keymap)
    dock = AnnotateDock(viewer)
    viewer.window.add_dock_widget(dock, name="Annotate")
    assert "⇧N" in dock.cell.text()
    handler = viewer.window._qt_viewer._key_map_handler
    handler.press_key("Shift-N")
    assert labels.selected_label == 3
    handler.press_key("Shift-B")
    assert labels.selected_label == -1
    dock.close()
    assert viewer.keymap == free


def test_a_taken_key_is_left_alone(model, qtbot):
    mine: list = []
    model.bind_key("Shift-N", mine.append)
    dock = AnnotateDock(model)
    qtbot.addWidget(dock)
    assert "⇧" not in dock.cell.text()
    assert "⇧B" in dock.background.text()
    dock.close()
    assert model.keymap[coerce_keybinding("Shift-N")] == mine.append


def test_two_docks_and_two_viewers(model, qtbot, add_cells):
    docks = [AnnotateDock(viewer) for viewer in (model, model, ViewerModel())]
    for dock in docks:
        qtbot.addWidget(dock)
    _, labels = add_cells(model)
    docks[1].start_cell()
    assert docks[0].tool.text() == docks[1].tool.text() == "Painting cell 3"
    assert docks[2].session.image is None
    docks[0].close()
    docks[1].start_background()
    assert labels.selected_label == -1


@pytest.mark.parametrize("how", ["close", "x of the dock"])
def test_a_closed_dock_dies(viewer, add_cells, qtbot, how):
    _, labels = add_cells(viewer)
    dock = AnnotateDock(viewer)
    wrapper = viewer.window.add_dock_widget(dock, name="Annotate")
    dock.start_cell()
    if how == "close":
        dock.close()
    viewer.window.remove_dock_widget(wrapper)
    dead = weakref.ref(dock)
    del dock, wrapper
    qtbot.wait(50)
    gc.collect()
    assert dead() is None
    labels.paint((40, 40), 3)
    labels.mode = "erase"
    qtbot.wait(50)


def test_free_labels_of_a_large_stack_are_those_of_the_plane(model, monkeypatch):
    model.add_image(np.zeros((3, 16, 16), np.uint8))
    data = np.zeros((3, 16, 16), np.int32)
    data[0], data[1] = 7, 3
    labels = model.add_labels(data)
    model.dims.set_current_step(0, 1)
    state = session(model)
    assert _tools.find_free_label(state, labels) == 8
    monkeypatch.setattr(_tools, "_LARGE", 10)
    assert _tools.find_free_label(state, labels) == 4


def test_a_look_for_slips_ends_when_the_person_paints_again():
    labels = np.zeros((40, 40), np.int32)
    labels[5, 5] = 3
    (found,) = _paint_report._look(lambda: labels, lambda: False)
    assert found.label == 3
    assert _paint_report._look(lambda: labels, lambda: True) is None
