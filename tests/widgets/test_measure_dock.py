"""The Measure panel: figures that follow the cells, a table that leads to them, and back."""

from __future__ import annotations

import csv
import time
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from qtpy.QtCore import Qt

from napari_unet.core.formats.labelled import Shape
from napari_unet.core.whole_cells import outline
from napari_unet.widgets import _cell_layers, _layers, _planes, _whole_cells
from napari_unet.widgets._cell_marker import mark_outline
from napari_unet.widgets._session import session
from napari_unet.widgets.measure_dock import MeasureDock


def five_cells(shape=(64, 64)):
    """Squares of 4, 6, 8 and 10 pixels and one that the border cuts."""
    labels = np.zeros(shape, np.int32)
    for label, (side, place) in enumerate(((4, 5), (6, 15), (8, 25), (10, 40)), 1):
        labels[place : place + side, place : place + side] = label
    labels[:3, 50:60] = 9
    return labels


@pytest.fixture
def dock(qtbot, model, add_cells):
    image, _ = add_cells(model)
    _cell_layers.show_prediction(model, image, five_cells())
    dock = MeasureDock(model)
    qtbot.addWidget(dock)
    dock.resize(320, 700)
    with qtbot.waitSignal(dock.measurer.measured):
        dock.show()
    return dock


@pytest.fixture
def layer(dock):
    return dock.measurer.layer


def labels_shown(dock):
    return dock.model.shown["label"].tolist()


def click_row(qtbot, dock, label):
    place = dock.table.visualRect(dock.model.index(dock.model.row_of(label), 1)).center()
    qtbot.mouseClick(dock.table.viewport(), Qt.MouseButton.LeftButton, pos=place)


def choose_column(dock, name):
    dock.column.setCurrentText(name)
    dock.column.activated.emit(dock.column.currentIndex())


def press(viewer, position, *moves, button=1, modifiers=()):
    """What napari calls for a press at a place of the world, moves, and the release."""
    for callback in list(viewer.mouse_drag_callbacks):
        event = SimpleNamespace(
            **{"type": "mouse_press", "button": button, "modifiers": modifiers},
            **{"position": position, "pos": np.array([50, 50])},
        )
        follow = callback(viewer, event)
        next(follow, None)
        for event.type, pos in (*(("mouse_move", to) for to in moves), ("mouse_release", (50, 50))):
            event.pos = np.array(pos)
            next(follow, None)


def test_the_prediction_comes_first_and_its_figures_are_said(dock, layer):
    assert layer.name == "hela · prediction"
    assert labels_shown(dock) == [1, 2, 3, 4, 9]
    assert dock.summary.text() == "5 cells · median Ø 7 px · 1 touches the border"
    assert dock.histogram.counts.sum() == 5


def test_units_of_the_image(qtbot, dock):
    image = dock.session.image
    image.scale, image.units = (0.5, 0.5), ("um", "um")
    with qtbot.waitSignal(dock.measurer.measured):
        dock.measurer.refresh()
    assert dock.summary.text() == "5 cells · median Ø 7 px = 3.39 µm · 1 touches the border"
    np.testing.assert_allclose(dock.model.shown["area_um2"], [4, 9, 16, 25, 7.5])
    assert dock.limits._unit.text() == "µm²"


def test_the_annotation_where_nothing_is_predicted(qtbot, model, add_cells):
    _, painted = add_cells(model)
    dock = MeasureDock(model)
    qtbot.addWidget(dock)
    with qtbot.waitSignal(dock.measurer.measured):
        dock.show()
    assert dock.measurer.layer is painted
    with qtbot.waitSignal(dock.measurer.measured):  # a prediction arrives
        _cell_layers.show_prediction(model, dock.session.image, five_cells())
    assert dock.measurer.layer.name == "hela · prediction"
    dock.cells.setCurrentIndex(dock.cells.findText("by hand"))
    with qtbot.waitSignal(dock.measurer.measured):
        dock.cells.activated.emit(dock.cells.currentIndex())
    _layers.add_annotation(model, dock.session.image)
    assert dock.measurer.layer is painted


def test_without_cells_there_is_a_next_step(qtbot, model):
    dock = MeasureDock(model)
    qtbot.addWidget(dock)
    dock.show()
    assert "predict some" in dock.summary.text()
    assert not dock.save.isEnabled()


def test_it_follows_edits_undo_and_the_layer_that_goes(qtbot, dock, layer, model):
    with qtbot.waitSignal(dock.measurer.measured):
        layer.data_setitem((np.array([62, 62]), np.array([3, 4])), 77)
    assert labels_shown(dock) == [1, 2, 3, 4, 9, 77]
    with qtbot.waitSignal(dock.measurer.measured):
        layer.undo()
    assert labels_shown(dock) == [1, 2, 3, 4, 9]
    model.layers.remove(layer)
    assert dock.measurer.layer.name == "by hand"


def test_nothing_is_measured_while_nobody_looks(qtbot, dock, layer):
    dock.hide()
    layer.data_setitem((np.array([62]), np.array([3])), 77)
    qtbot.wait(600)
    assert not dock.measurer._working.busy
    assert 77 not in labels_shown(dock)
    with qtbot.waitSignal(dock.measurer.measured):
        dock.show()
    assert 77 in labels_shown(dock)


def test_the_persons_columns_stay(qtbot, dock, layer):
    layer.features = pd.DataFrame(
        {"index": [3, 1, 500], "class": ["B", "A", None], "remark": ["odd", None, "gone"]}
    )
    with qtbot.waitSignal(dock.measurer.measured):
        dock.measurer.refresh()
    table = layer.features.set_index("index")
    assert list(table.index) == [1, 2, 3, 4, 9, 500]
    assert table.loc[3, "remark"] == "odd"
    assert table.loc[500, "remark"] == "gone"
    assert table.loc[4, "area_px2"] == 100
    assert np.isnan(table.loc[500, "area_px2"])
    assert dock.model.shown["class"].tolist() == ["A", "", "B", "", ""]
    # a second time, in another unit and with a cell less
    dock.session.image.scale, dock.session.image.units = (2, 2), ("um", "um")
    with qtbot.waitSignal(dock.measurer.measured):
        layer.data_setitem(np.nonzero(layer.data == 4), 0)
    table = layer.features.set_index("index")
    assert list(table.index) == [1, 2, 3, 9, 500]
    assert "area_px2" not in table
    assert table.loc[3, "area_um2"] == 256
    assert table.loc[3, "class"] == "B"


def test_a_column_of_the_persons_with_a_name_of_ours_is_theirs(qtbot, dock, layer):
    layer.metadata = {
        **layer.metadata,
        _layers.KEY: {**layer.metadata[_layers.KEY], "measured": []},
    }
    layer.features = pd.DataFrame({"index": [1], "area_px2": [0.25]})
    with qtbot.waitSignal(dock.measurer.measured):
        dock.measurer.refresh()
    assert layer.features.set_index("index").loc[1, "area_px2"] == 0.25


def test_what_is_said_of_the_image_is_measured_anew(qtbot, dock):
    image = dock.measurer._session.image
    with qtbot.waitSignal(dock.measurer.measured):
        image.scale, image.units = (0.5, 0.5), ("um", "um")
    assert "area_um2" in dock.model.shown
    assert dock.model.shown["area_um2"][0] == 16 / 4


def test_measurements_are_no_news_of_classes(qtbot, model, add_cells):
    _, painted = add_cells(model)
    heard = []
    session(model).classes_changed.connect(lambda: heard.append(1))
    dock = MeasureDock(model)
    qtbot.addWidget(dock)
    with qtbot.waitSignal(dock.measurer.measured):
        dock.show()
    assert "area_px2" in painted.features
    assert not heard
    painted.features = painted.features.assign(**{"class": ["A", "B"]})
    assert heard


def test_sorting_keeps_the_chosen_row(qtbot, dock):
    click_row(qtbot, dock, 9)
    dock.table.sortByColumn(1, Qt.SortOrder.DescendingOrder)
    assert labels_shown(dock) == [4, 3, 2, 9, 1]
    assert dock.table.currentIndex().row() == 3
    assert dock.table.label == 9


def test_limits_leave_the_labels_alone(qtbot, dock, layer):
    before = layer.data.copy()
    dock.limits.low.setValue(31)
    assert labels_shown(dock) == [2, 3, 4]
    assert dock.summary.text().startswith("3 of 5 cells shown · median Ø 9 px")
    dock.limits.low.setValue(0)
    dock.inside.setChecked(True)
    assert labels_shown(dock) == [1, 2, 3, 4]
    dock.limits.high.setValue(50)
    choose_column(dock, "centroid_y_px")
    assert dock.limits.limits == (None, None)
    assert dock.summary.text().startswith("2 of 5 cells shown")
    assert dock.summary.text().endswith("· also limited: area_px2")
    choose_column(dock, "area_px2")
    assert dock.limits.limits == (None, 50)
    assert "also limited" not in dock.summary.text()
    assert dock.histogram.counts.sum() == len(labels_shown(dock))
    np.testing.assert_array_equal(layer.data, before)


def test_limits_outlive_an_edit(qtbot, dock, layer):
    dock.limits.low.setValue(90)
    with qtbot.waitSignal(dock.measurer.measured):
        layer.data_setitem(np.nonzero(layer.data == 4), 0)
    assert labels_shown(dock) == []
    assert dock.limits.limits == (90, None)
    assert dock.summary.text() == "0 of 4 cells shown: widen the limits."


def test_a_row_leads_to_its_cell_and_changes_nothing_else(qtbot, dock, layer, model):
    model.layers.selection.active = model.layers["hela"]
    colors, selected = layer.colormap, layer.selected_label
    click_row(qtbot, dock, 4)
    np.testing.assert_allclose(_planes.find_camera(model).center[-2:], (44.5, 44.5))
    (marker,) = (ly for ly in model.layers if _layers.role_of(ly) == _layers.MARKER)
    np.testing.assert_array_equal(marker.data[0].min(axis=0), (39.5, 39.5))
    np.testing.assert_array_equal(marker.data[0].max(axis=0), (49.5, 49.5))
    click_row(qtbot, dock, 1)
    assert marker.nshapes == 1
    assert marker.data[0].max() < 10
    np.testing.assert_allclose(marker.edge_color, [[1, 0x4D / 255, 0xF0 / 255, 1]])
    assert model.layers.selection.active is model.layers["hela"]
    assert (layer.colormap, layer.selected_label) == (colors, selected)
    assert not layer.show_selected_label
    dock.close()
    assert marker not in model.layers


def test_the_mark_follows_the_cell(qtbot, dock, layer, model):
    click_row(qtbot, dock, 4)
    (marker,) = (ly for ly in model.layers if _layers.role_of(ly) == _layers.MARKER)
    with qtbot.waitSignal(dock.measurer.measured):
        layer.data_setitem((np.array([50, 51]), np.array([45, 45])), 4)
    assert marker.data[0].max() == 51.5
    with qtbot.waitSignal(dock.measurer.measured):
        layer.data_setitem(np.nonzero(layer.data == 4), 0)
    assert marker.nshapes == 0


def test_a_click_on_a_cell_chooses_its_row_but_a_drag_does_not(dock, layer, model):
    model.layers.selection.active = model.layers["hela"]
    center = _planes.find_camera(model).center
    press(model, (44, 44))
    assert dock.table.label == 4
    press(model, (27, 27), (90, 50))
    press(model, (27, 27), modifiers=("Shift",))
    press(model, (27, 27), button=2)
    layer.mode = "paint"
    model.layers.selection.active = layer
    press(model, (27, 27))
    assert dock.table.label == 4
    assert _planes.find_camera(model).center == center
    layer.mode = "pan_zoom"
    press(model, (27, 27), (51, 51))
    assert dock.table.label == 3
    press(model, (63, 63))
    assert dock.table.label is None


def test_the_label_that_is_picked_chooses_its_row(dock, layer):
    layer.selected_label = 3
    assert dock.table.label == 3
    assert dock.table.currentIndex().row() == 2
    layer.selected_label = 1000
    assert dock.table.label is None
    assert not dock.table.currentIndex().isValid()


def test_saving_writes_the_rows_that_are_shown(qtbot, dock, tmp_path, monkeypatch):
    path = tmp_path / "cells.csv"
    monkeypatch.setattr("napari_unet.widgets._saving.ask_for_csv", lambda dock, name: path)
    dock.inside.setChecked(True)
    dock.table.sortByColumn(1, Qt.SortOrder.DescendingOrder)
    qtbot.mouseClick(dock.save, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: dock.state.text() == "Saved 4 cells as “cells.csv”.")
    with path.open(encoding="utf-8") as file:
        assert [row["label"] for row in csv.DictReader(file)] == ["4", "3", "2", "1"]
    path.unlink()
    path.mkdir()
    qtbot.mouseClick(dock.save, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "cannot be written" in dock.state.text())


def test_a_plane_of_a_stack(qtbot, model):
    stack = np.stack([five_cells(), np.zeros((64, 64), np.int32)])
    model.add_image(np.zeros(stack.shape), name="stack")
    model.dims.set_point(0, 0)
    labels = model.add_labels(stack, name="cells")
    dock = MeasureDock(model)
    qtbot.addWidget(dock)
    with qtbot.waitSignal(dock.measurer.measured):
        dock.show()
    click_row(qtbot, dock, 4)
    (marker,) = (ly for ly in model.layers if _layers.role_of(ly) == _layers.MARKER)
    assert set(marker.data[0][:, 0]) == {0}
    assert "area_px2" not in labels.features
    with qtbot.waitSignal(dock.measurer.measured):
        model.dims.set_point(0, 1)
    assert labels_shown(dock) == []
    assert "no cells" in dock.summary.text()


def test_slots_take_less_than_a_frame_on_a_large_plane(qtbot, dock, model):
    large = np.zeros((2048, 2048), np.int32)
    for number, (row, col) in enumerate(np.ndindex(45, 45), 1):
        large[45 * row + 5 : 45 * row + 35, 45 * col + 5 : 45 * col + 30] = number
    model.layers.clear()
    image = model.add_image(np.zeros(large.shape, np.uint8), name="large")
    with qtbot.waitSignal(dock.measurer.measured, timeout=20_000):
        _cell_layers.show_prediction(model, image, large)
    measured = dock._measured
    costs = {}
    for name, work in {
        "measured": lambda: dock._on_measured(measured),
        "sort": lambda: dock.table.sortByColumn(4, Qt.SortOrder.DescendingOrder),
        "limit": lambda: dock.limits.low.setValue(dock.limits.low.minimum() + 1),
        "row": lambda: dock._on_row(1000),
    }.items():
        times = []
        for _ in range(3):
            begin = time.thread_time()
            work()
            times.append(time.thread_time() - begin)
        costs[name] = min(times)
    assert max(costs.values()) < 0.016, costs


def test_nothing_is_cut_beside_the_scroll_bar(dock):
    assert dock.body.parentWidget().minimumSizeHint().width() <= 300


@pytest.fixture
def wholes(qtbot, dock):
    """Two squares of 20 pixels that overlap, chosen as the cells that are measured."""
    square = np.ones((20, 20), bool)
    cells = [
        Shape(square, (5, 5), 1, 0, "round", 0.9),
        Shape(square, (15, 15), 2, 0, "long", 0.8),
    ]
    image = dock.session.image
    layer = _whole_cells.show_wholes(dock.session.viewer, image, outline(cells), (None, None))
    with qtbot.waitSignal(dock.measurer.measured):
        row = dock.cells.findText(layer.name)
        dock.cells.setCurrentIndex(row)
        dock.cells.activated.emit(row)
    return layer


def test_whole_cells_are_measured_over_all_their_pixels(dock, wholes):
    table = dock.model.shown
    assert table["area_px2"].tolist() == [400, 400]
    assert table["class"].tolist() == ["round", "long"]
    assert table["score"].tolist() == [0.9, 0.8]
    pixels = dock.session.image.data
    assert table["intensity_mean"].tolist() == pytest.approx(
        [pixels[5:25, 5:25].mean(), pixels[15:35, 15:35].mean()]
    )
    assert list(wholes.features) == ["index", "class", "score"]


def test_a_row_leads_to_the_whole_cell_and_the_cell_to_its_row(qtbot, dock, wholes):
    click_row(qtbot, dock, 2)
    marker = _layers.find(dock.session.viewer, _layers.MARKER, wholes)
    low, high = marker.data[0].min(axis=0), marker.data[0].max(axis=0)
    assert (low.tolist(), high.tolist()) == ([14.5, 14.5], [34.5, 34.5])
    assert (np.diff(marker.data[0], axis=0) != 0).any(axis=1).all()
    assert _planes.find_camera(dock.session.viewer).center[-2:] == (24.5, 24.5)
    press(dock.session.viewer, (8, 8))
    assert dock.table.label == 1
    press(dock.session.viewer, (60, 60))
    assert dock.table.label is None


def test_a_whole_cell_that_is_deleted_leaves_the_table(qtbot, dock, wholes):
    with qtbot.waitSignal(dock.measurer.measured):
        wholes.selected_data = {0}
        wholes.remove_selected()
    assert labels_shown(dock) == [2]


def test_one_cell_is_marked_whichever_layer_it_is_of(qtbot, dock, wholes):
    viewer, prediction = dock.session.viewer, dock.session.viewer.layers["hela · prediction"]
    click_row(qtbot, dock, 2)
    mark_outline(dock.session, prediction, np.array([[1, 1], [1, 5], [5, 5.0]]), (None, None))
    marks = [layer for layer in viewer.layers if _layers.role_of(layer) == _layers.MARKER]
    assert [layer.nshapes for layer in marks] == [0, 1]
