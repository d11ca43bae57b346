"""The Predict panel against a compute process that says what a test wants."""

from __future__ import annotations

import csv
import dataclasses
import time

import dask.array as da
import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt

from fake_compute import FakeCompute, answer_of, write_model
from napari_unet.core.candidates import MASK, Candidates
from napari_unet.core.card import ModelCard
from napari_unet.core.config import InstanceConfig
from napari_unet.core.errors import InputError
from napari_unet.core.evidence import Maps
from napari_unet.core.start_models import find_model_file
from napari_unet.core.types import TileDone
from napari_unet.core.whole_cells import fill_outlines
from napari_unet.widgets import (
    _cell_layers,
    _layers,
    _model_choice,
    _model_files,
    _predictor,
    _whole_cells,
)
from napari_unet.widgets._features import read_feature
from napari_unet.widgets._form import Fold
from napari_unet.widgets._session import session
from napari_unet.widgets._task_bar import TaskState
from napari_unet.widgets.predict_dock import PredictDock

CARD = ModelCard(
    "unet",
    {},
    channels=1,
    instances=InstanceConfig(threshold=0.4, min_size=7),
    training={"steps": 1240, "seconds": 120.0},
    scores={"f1": 0.9, "ap50": 0.83},
    maps=1,
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_UNET_MODELS", str(tmp_path / "models"))
    return _model_files.models_folder()


@pytest.fixture
def warned(monkeypatch):
    said = []
    monkeypatch.setattr("napari_unet.widgets.predict_dock.show_warning", said.append)
    return said


@pytest.fixture
def dock(qtbot, model, add_cells, folder, warned):
    write_model(folder / "nuclei.safetensors", CARD)
    add_cells(model)
    session(model)._compute = FakeCompute()
    dock = PredictDock(model)
    qtbot.addWidget(dock)
    dock.resize(320, 700)
    dock.show()
    dock.whole.setChecked(True)
    dock.session.compute.warm()
    return dock


def click(qtbot, dock):
    qtbot.mouseClick(dock.bar.button, Qt.MouseButton.LeftButton)
    return dock.session.compute


def three_cells(shape=(64, 64)):
    probabilities = np.zeros((1, *shape), np.float32)
    probabilities[0, 5:15, 5:15] = 0.9
    probabilities[0, 30:40, 30:40] = 0.6
    probabilities[0, 50:53, 50:53] = 0.9
    labels = np.zeros(shape, np.int32)
    labels[5:15, 5:15], labels[30:40, 30:40], labels[50:53, 50:53] = 1, 2, 3
    return answer_of(labels, probabilities, (0.9, 0.6, 0.9))


def answer(qtbot, dock, result):
    compute = dock.session.compute
    with qtbot.waitSignal(dock._predictor.shown):
        compute.done.emit(compute.predictions[-1].job, result)
    qtbot.waitUntil(lambda: not dock._predictor._telling.isActive())


def shown(dock):
    return dock.session.viewer.layers["hela · prediction"]


def test_the_start_model_predicts_before_anything_is_trained(qtbot, model, add_cells, folder):
    add_cells(model)
    session(model)._compute = FakeCompute()
    dock = PredictDock(model)
    qtbot.addWidget(dock)
    assert dock.bar.sentence == "Ready to find cells in “hela”."
    (call,) = click(qtbot, dock).predictions
    assert call.arguments[0] == find_model_file("nuclei")


def test_without_a_model_there_is_a_next_step(qtbot, model, folder, warned, monkeypatch):
    monkeypatch.setattr(_model_choice, "start_model_files", list)
    session(model)._compute = FakeCompute()
    dock = PredictDock(model)
    qtbot.addWidget(dock)
    assert "train one" in dock.bar.sentence
    click(qtbot, dock)
    assert dock.bar.state is TaskState.FAILED
    assert dock.session.compute.predictions == []


def test_the_card_sets_threshold_and_size_and_can_be_read(qtbot, dock):
    assert dock.config.instances == CARD.instances
    qtbot.mouseClick(dock.info, Qt.MouseButton.LeftButton)
    assert dock._about.isVisible()
    for words in ("U-Net", "1 channel", "1240 steps", "AP50 0.83"):
        assert words in dock._about.text()


def test_predict_and_its_result(qtbot, dock):
    compute = click(qtbot, dock)
    (call,) = compute.predictions
    assert call.arguments[0].stem == "nuclei"
    assert call.arguments[1]().shape == (1, 64, 64)
    assert call.arguments[2].instances == CARD.instances
    assert call.options["region"] is None
    compute.happened.emit(call.job, TileDone(1, 4, (slice(0, 9), slice(0, 9))))
    assert dock.bar.state is TaskState.RUNNING
    assert dock.bar.sentence == "Predicting · tile 1 of 4"
    answer(qtbot, dock, three_cells())
    assert dock.bar.sentence == "Done · 2.1 s · AMD EPYC 7763, bfloat16"
    assert dock.result.text() == "3 cells · median Ø 11 px"
    np.testing.assert_array_equal(shown(dock).data, three_cells()["labels"])


def test_threshold_sureness_and_size_act_without_the_net(qtbot, dock):
    compute = click(qtbot, dock)
    answer(qtbot, dock, three_cells())
    with qtbot.waitSignal(dock._predictor.shown):
        dock.instances.input("min_score").value = 0.8
    assert dock.result.text().startswith("2 cells")
    with qtbot.waitSignal(dock._predictor.shown):
        dock.instances.input("min_score").value = 0.25
    assert dock.result.text().startswith("3 cells")
    with qtbot.waitSignal(dock._predictor.shown):
        dock.instances.input("threshold").value = 0.7
    assert dock.result.text().startswith("2 cells")
    with qtbot.waitSignal(dock._predictor.shown):
        dock.instances.input("min_size").value = 20
    assert dock.result.text().startswith("1 cell ")
    assert len(compute.predictions) == 1
    assert dock.bar.sentence.startswith("Done · 2.1 s")


def test_a_slider_does_not_bring_the_cells_of_another_model_back(qtbot, dock, folder):
    click(qtbot, dock)
    answer(qtbot, dock, three_cells())
    write_model(folder / "newer.safetensors", CARD)
    dock.session.model = folder / "newer.safetensors"
    now = shown(dock).data.copy()
    dock.instances.input("threshold").value = 0.7
    assert dock.bar.sentence == "The cells are of “nuclei”: predict them again."
    qtbot.wait(50)
    np.testing.assert_array_equal(shown(dock).data, now)


def test_what_was_found_is_told_of_the_image_that_was_predicted(qtbot, dock, model):
    dock.session.image.scale, dock.session.image.units = (0.5, 0.5), ("um", "um")
    click(qtbot, dock)
    other = model.add_image(np.zeros((64, 64)), name="other", scale=(2, 2), units=("um", "um"))
    dock.session.image = other
    answer(qtbot, dock, three_cells())
    assert dock.result.text() == "“hela”: 3 cells · median Ø 11 px = 5.64 µm"
    assert not dock._results.save.isVisible()


def test_the_last_move_of_the_slider_counts(qtbot, dock):
    click(qtbot, dock)
    answer(qtbot, dock, three_cells())
    for value in np.linspace(0.4, 0.95, 30):
        dock.instances.input("threshold").value = float(value)
    qtbot.waitUntil(lambda: dock.result.text().startswith("No cells"))
    assert shown(dock).data.max() == 0


@pytest.mark.parametrize("leave", ["close", "start"])
def test_what_the_features_say_follows_the_cells_whatever_comes_next(qtbot, dock, leave):
    """The canvas has its turn between the two."""
    predictor, seen = dock._predictor, []

    def go_on():
        seen.append(read_feature(shown(dock), "score"))
        if leave == "close":
            predictor.close()
        else:
            predictor.start(predictor._asked.model, predictor._asked.config)
        seen.append(read_feature(shown(dock), "score"))

    predictor.shown.connect(go_on)
    click(qtbot, dock)
    answer(qtbot, dock, three_cells())
    assert seen == [None, {1: 0.9, 2: 0.6, 3: 0.9}]
    assert not predictor._telling.isActive()


def test_cells_at_the_border_are_dropped_without_the_net(qtbot, dock):
    compute = click(qtbot, dock)
    result = three_cells()
    result["evidence"].values[0, 60:, :10] = 0.9
    answer(qtbot, dock, result)
    for dropped, cells in ((True, "3 cells"), (False, "4 cells")):
        with qtbot.waitSignal(dock._predictor.shown):
            dock.more_instances.input("drop_border").value = dropped
        assert dock.result.text().startswith(cells)
        assert bool(shown(dock).data[62, 3]) is not dropped
    assert len(compute.predictions) == 1


def test_what_was_found_can_be_saved(qtbot, dock, tmp_path, monkeypatch):
    path = tmp_path / "cells.csv"
    monkeypatch.setattr("napari_unet.widgets._saving.ask_for_csv", lambda dock, name: path)
    assert not dock._results.save.isVisible()
    click(qtbot, dock)
    answer(qtbot, dock, three_cells())
    qtbot.mouseClick(dock._results.save, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: dock.result.text() == "Saved 3 cells as “cells.csv”.")
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["area_px2"] for row in rows] == ["100.0", "100.0", "9.0"]
    pixels = dock.session.image.data
    assert float(rows[2]["intensity_mean"]) == pytest.approx(pixels[50:53, 50:53].mean())


def test_no_cells_no_table(qtbot, dock):
    click(qtbot, dock)
    answer(qtbot, dock, three_cells())
    assert dock._results.table.isVisible()
    with qtbot.waitSignal(dock._predictor.shown):
        dock.instances.input("threshold").value = 0.99
    assert not dock._results.table.isVisible()


def test_what_was_found_is_not_said_of_another_image(qtbot, dock, model):
    click(qtbot, dock)
    answer(qtbot, dock, three_cells())
    assert dock.result.text()
    other = model.add_image(np.zeros((64, 64)), name="other")
    dock.session.image = other
    assert dock.result.text() == ""
    assert not dock._results.table.isVisible()


def test_a_part_is_put_in_its_place_and_the_rest_is_kept(qtbot, dock, monkeypatch):
    click(qtbot, dock)
    answer(qtbot, dock, three_cells())
    shown(dock).data[60, 60] = 77  # what the person painted outside
    region = (slice(25, 45), slice(20, 60))
    monkeypatch.setattr(dock.session, "visible_region", lambda: region)
    dock.visible.setChecked(True)
    click(qtbot, dock)
    assert dock.session.compute.predictions[-1].options["region"] == region
    part = np.zeros((20, 40), np.int32)
    part[0:5, 0:5] = 1
    answer(qtbot, dock, answer_of(part))
    data = shown(dock).data
    assert data.shape == (64, 64)
    assert data[60, 60] == 77
    assert (data[5:15, 5:15] == 1).all()
    assert data[25, 20] not in (0, 1, 3, 77)
    assert data[35, 35] == 0
    assert dock.result.text().startswith("1 cell in the visible field")


def test_a_cell_has_the_score_that_the_net_gave_it(qtbot, dock, monkeypatch):
    click(qtbot, dock)
    answer(qtbot, dock, three_cells())
    assert read_feature(shown(dock), "score") == {1: 0.9, 2: 0.6, 3: 0.9}
    assert "class" not in shown(dock).features  # there is but one
    monkeypatch.setattr(dock.session, "visible_region", lambda: (slice(25, 45), slice(20, 60)))
    dock.visible.setChecked(True)
    click(qtbot, dock)
    part = np.zeros((20, 40), np.int32)
    part[0:5, 0:5] = 1
    answer(qtbot, dock, answer_of(part, scores=(0.7,)))
    new = int(shown(dock).data[25, 20])
    assert read_feature(shown(dock), "score") == {1: 0.9, 3: 0.9, new: 0.7}
    dock.whole.setChecked(True)
    click(qtbot, dock)
    answer(qtbot, dock, answer_of(np.zeros((64, 64), np.int32)))
    assert not len(shown(dock).features)


def test_cells_that_are_labelled_again_have_a_score_too(qtbot, dock):
    click(qtbot, dock)
    answer(qtbot, dock, three_cells())
    with qtbot.waitSignal(dock._predictor.shown):
        dock.instances.input("threshold").value = 0.7
    qtbot.waitUntil(lambda: read_feature(shown(dock), "score") == {1: 0.9, 2: 0.9})


def test_of_several_classes_each_cell_has_its_name(qtbot, dock, folder):
    card = dataclasses.replace(CARD, classes=("round", "long"))
    dock.session.model = write_model(folder / "two.safetensors", card)
    click(qtbot, dock)
    result = three_cells()
    answer(qtbot, dock, {**result, "classes": np.array([2, 1, 2], np.uint8)})
    assert read_feature(shown(dock), "class") == {1: "long", 2: "round", 3: "long"}


def test_the_layer_lies_where_the_image_lies(qtbot, dock):
    image = dock.session.image
    image.scale, image.translate = (0.5, 0.25), (10, 20)
    image.units = ("um", "um")
    click(qtbot, dock)
    answer(qtbot, dock, three_cells())
    layer = shown(dock)
    np.testing.assert_allclose(layer.scale, image.scale)
    np.testing.assert_allclose(layer.translate, image.translate)
    assert layer.units == image.units
    assert "= 3.99 µm" in dock.result.text()


def test_only_our_own_layer_is_replaced(qtbot, dock, model):
    mine = model.add_labels(np.full((64, 64), 5, np.int32), name="hela · prediction")
    click(qtbot, dock)
    answer(qtbot, dock, three_cells())
    assert (mine.data == 5).all()


def test_channels_that_do_not_fit_are_a_sentence(qtbot, dock, folder, warned):
    rgb = ModelCard("unet", {}, channels=3, maps=1)
    dock.session.model = write_model(folder / "stained.safetensors", rgb)
    assert dock.model.currentText() == "stained"
    click(qtbot, dock)
    assert warned == [
        "“stained” was trained on images of 3 channels, “hela” has 1 channel: choose another "
        "model or another image."
    ]
    assert dock.session.compute.predictions == []


def test_a_whole_image_that_is_too_large_is_predicted_from_its_file(qtbot, dock, monkeypatch):
    monkeypatch.setattr("napari_unet.widgets._asked.READ_WHOLE", 64 * 64 - 1)
    click(qtbot, dock)
    assert "under Folder of images" in dock.bar.sentence
    assert not dock.session.compute.predictions
    monkeypatch.setattr(dock.session, "visible_region", lambda: (slice(0, 64), slice(0, 64)))
    dock.visible.setChecked(True)
    assert click(qtbot, dock).predictions


def test_the_image_is_closed_meanwhile(qtbot, dock, model, warned):
    compute = click(qtbot, dock)
    model.layers.remove("hela")
    compute.done.emit(compute.predictions[0].job, three_cells())
    assert "“hela” was closed meanwhile" in warned[0]
    assert dock.bar.state is TaskState.FAILED
    assert "hela · prediction" not in model.layers


def test_the_image_gets_other_data_meanwhile(qtbot, dock, model, warned):
    compute = click(qtbot, dock)
    dock.session.image.data = np.zeros((32, 32), np.uint8)
    compute.done.emit(compute.predictions[0].job, three_cells())
    assert "other data" in warned[0]
    assert "hela · prediction" not in model.layers


def test_stop(qtbot, dock):
    compute = click(qtbot, dock)
    click(qtbot, dock)
    assert compute.stops == [compute.predictions[0].job]
    compute.stopped.emit(compute.predictions[0].job, {})
    assert dock.bar.sentence.startswith("Stopped")
    assert dock._settings.isEnabled()


def test_failure(qtbot, dock, warned):
    compute = click(qtbot, dock)
    compute.failed.emit(compute.predictions[0].job, "Memory ran out.", "Traceback")
    assert dock.bar.state is TaskState.FAILED
    assert "Traceback" in dock.bar.report
    assert warned == ["Memory ran out."]


def test_a_just_trained_model_is_chosen(qtbot, dock, folder):
    dock.session.model = write_model(folder / "hela today.safetensors", CARD)
    assert dock.model.currentText() == "hela today"
    dock.model.setCurrentIndex(dock.model.findText("nuclei"))
    dock.model.activated.emit(dock.model.currentIndex())
    assert dock.session.model == folder / "nuclei.safetensors"


def test_a_damaged_model_is_a_sentence(qtbot, dock, folder):
    path = folder / "broken.safetensors"
    path.write_bytes(b"no model at all")
    dock.session.model = path
    assert "is not a model of napari-unet" in dock.bar.sentence


def test_images_come_and_go(qtbot, dock, model):
    other = model.add_image(np.zeros((8, 8)), name="other")
    assert dock.image.count() == 2
    dock.image.setCurrentIndex(dock.image.findText("other"))
    dock.image.activated.emit(dock.image.currentIndex())
    assert dock.session.image is other
    model.layers.remove(other)
    assert dock.session.image.name == "hela"
    assert dock.image.currentText() == "hela"


def test_closing_the_panel_stops_the_prediction(qtbot, dock):
    compute = click(qtbot, dock)
    dock.close()
    assert compute.stops == [1]
    compute.done.emit(1, three_cells())
    dock.session.model = None


def test_slots_take_less_than_a_frame(qtbot, dock, model):
    model.layers.remove("by hand")
    dock.session.image.data = np.zeros((2048, 2048), np.uint8)
    compute = click(qtbot, dock)
    result = three_cells((2048, 2048))
    begin = time.thread_time()
    compute.done.emit(compute.predictions[0].job, result)
    assert time.thread_time() - begin < 0.016
    qtbot.waitUntil(lambda: "hela · prediction" in model.layers)
    begin = time.thread_time()
    dock.instances.input("threshold").value = 0.7
    assert time.thread_time() - begin < 0.016


def test_nothing_is_cut_beside_the_scroll_bar(qtbot, dock):
    assert dock.body.parentWidget().minimumSizeHint().width() <= 300


def quarters(job, compute, shape=(64, 64)):
    """Two of the four tiles of a plane are done: a cell in each, and one on their seam."""
    maps = np.zeros((1, *shape), np.float32)
    maps[0, 5:15, 5:15] = maps[0, 5:15, 45:55] = maps[0, 20:28, 28:36] = 0.9
    compute.partial[job] = maps
    compute.happened.emit(job, TileDone(1, 4, (slice(0, 32), slice(0, 32))))
    compute.happened.emit(job, TileDone(2, 4, (slice(0, 32), slice(32, 64))))
    return maps


def test_tiles_are_shown_as_they_are_done(qtbot, dock, model):
    before = set(model.layers.selection), model.layers.selection.active
    compute = click(qtbot, dock)
    job = compute.predictions[0].job
    maps = quarters(job, compute)
    qtbot.waitUntil(lambda: "hela · prediction" in model.layers)
    data = shown(dock).data
    assert data[10, 10] > 0
    assert dock.bar.sentence == "Predicting · tile 2 of 4"
    # the second tile comes with the next look, and the cell on the seam becomes one
    qtbot.waitUntil(lambda: data[10, 50] > 0, timeout=5000)
    assert len(np.unique(data[20:28, 28:36])) == 1
    assert len(np.unique(data)) == 4
    assert (set(model.layers.selection), model.layers.selection.active) == before
    maps[0, 50:60, 50:60] = 0.9  # not said to be done
    assert not data[50:60].any()
    answer(qtbot, dock, three_cells())
    np.testing.assert_array_equal(shown(dock).data, three_cells()["labels"])


@pytest.mark.parametrize("levels", [1, 2])
def test_cells_that_were_opened_from_a_file_are_left_as_they_are(qtbot, dock, model, levels):
    full = da.zeros((64, 64), dtype=np.int32)
    opened = _cell_layers.add_prediction(model, dock.session.image, [full, full[::2, ::2]][:levels])
    compute = click(qtbot, dock)
    quarters(compute.predictions[0].job, compute)
    qtbot.waitUntil(lambda: not opened.visible)  # the tiles have a layer of their own
    answer(qtbot, dock, three_cells())
    assert dock.bar.state is TaskState.DONE
    found = _layers.find(model, _layers.PREDICTION, dock.session.image)
    assert np.unique(found.data).tolist() == [0, 1, 2, 3]
    assert not np.asarray(opened.data[0] if opened.multiscale else opened.data).any()


def test_cells_that_cannot_be_shown_are_a_sentence(qtbot, dock, monkeypatch, warned):
    def refuse(*_):
        raise InputError("too large")

    monkeypatch.setattr(_cell_layers, "show_prediction", refuse)
    compute = click(qtbot, dock)
    with qtbot.waitSignal(dock._predictor.failed):
        compute.done.emit(compute.predictions[-1].job, three_cells())
    assert dock.bar.state is TaskState.FAILED
    assert not dock._predictor.busy
    assert dock._settings.isEnabled()


def test_stop_keeps_what_was_found(qtbot, dock, model):
    compute = click(qtbot, dock)
    job = compute.predictions[0].job
    maps = quarters(job, compute)
    click(qtbot, dock)
    with qtbot.waitSignal(dock._predictor.shown):
        compute.stopped.emit(job, {"evidence": Maps(maps, 1)})
    assert dock.bar.sentence == "Stopped · 2 of 4 tiles, 3 cells are shown."
    assert dock.result.text().startswith("3 cells in what was predicted")
    assert len(np.unique(shown(dock).data)) == 4
    maps[0, 5:15, 5:15] = 0.6
    with qtbot.waitSignal(dock._predictor.shown):
        dock.instances.input("threshold").value = 0.7
    assert dock.result.text().startswith("2 cells")
    assert shown(dock).data[10, 10] == 0


def test_tiles_that_nobody_sees_wait_for_the_end(qtbot, dock, model, monkeypatch):
    compute = click(qtbot, dock)
    corner = (slice(40, 64), slice(40, 64))
    monkeypatch.setattr(dock.session, "visible_region", lambda: corner)
    quarters(compute.predictions[0].job, compute)
    qtbot.wait(50)
    assert "hela · prediction" not in model.layers


def test_the_middle_of_the_field_comes_first(qtbot, dock, monkeypatch):
    monkeypatch.setattr(dock.session, "visible_region", lambda: (slice(10, 20), slice(40, 60)))
    (call,) = click(qtbot, dock).predictions
    assert call.options["centre"] == (15, 50)
    assert call.options["region"] is None


@pytest.fixture
def stacked(qtbot, model, folder, warned):
    write_model(folder / "nuclei.safetensors", CARD)
    stack = np.random.default_rng(0).integers(0, 99, (3, 64, 64)).astype(np.uint8)
    stack[2] *= 2
    model.add_image(stack, name="hela")
    session(model)._compute = FakeCompute()
    dock = PredictDock(model)
    qtbot.addWidget(dock)
    dock.resize(320, 700)
    dock.show()
    dock.session.compute.warm()
    return dock


def test_a_whole_stack_is_predicted_plane_by_plane(qtbot, stacked, model):
    dock = stacked
    assert dock.stack.isVisible()
    assert dock.stack.text() == "stack (3)"
    assert dock.body.parentWidget().minimumSizeHint().width() <= 300
    dock.stack.setChecked(True)
    compute = click(qtbot, dock)
    looks = []
    for number in range(3):
        call = compute.predictions[number]
        np.testing.assert_array_equal(call.arguments[1]()[0], model.layers["hela"].data[number])
        looks.append(call.options["overview"]())
        greys = [float(plane()[0].mean()) for plane in call.options["alike"]]  # one zoom
        assert greys == [plane.mean() for plane in model.layers["hela"].data]
        compute.happened.emit(call.job, TileDone(2, 4, (slice(0, 32), slice(32, 64))))
        assert dock.bar.sentence == f"Predicting · plane {number + 1} of 3 · tile 1 of 4"
        if number < 2:
            compute.done.emit(call.job, three_cells())
    assert looks[0] is looks[1] is looks[2]  # one brightness
    assert looks[0].shape == (1, 1, 3 * 64 * 64)
    answer(qtbot, dock, three_cells())
    assert dock.result.text() == "9 cells in 3 planes · median Ø 11 px"
    assert dock.bar.sentence == "Done · 6.3 s · AMD EPYC 7763, bfloat16"
    for plane in shown(dock).data:
        np.testing.assert_array_equal(plane, three_cells()["labels"])
    dock.instances.input("threshold").value = 0.7
    assert dock.bar.sentence == "Of a stack the maps are not kept: predict it again."


def moved(columns):
    """The three cells so far to the right, in another order of numbers."""
    result = three_cells()
    labels = np.roll(result["labels"], columns, axis=1)
    return {**result, "labels": np.array([0, 3, 1, 2], np.int32)[labels]}


def link(qtbot, dock):
    dock.stack.setChecked(True)
    dock.findChild(Fold).set_open(True)
    qtbot.mouseClick(dock.link, Qt.MouseButton.LeftButton, pos=QPoint(8, dock.link.height() // 2))
    assert dock.link.isChecked()


def test_link_ids_is_offered_of_a_stack_alone(stacked):
    assert stacked.link.isHidden()
    stacked.stack.setChecked(True)
    assert not stacked.link.isHidden()
    stacked.whole.setChecked(True)
    assert stacked.link.isHidden()


def test_linked_cells_keep_their_ids_whichever_plane_is_labelled_first(qtbot, stacked, monkeypatch):
    """The second plane is slow, and without it the smallest cell of the third is a new one."""
    dock = stacked
    link(qtbot, dock)
    slow, settle = [], _predictor.settle

    def wait(asked, prediction, *arguments):
        if not slow and prediction.labels[7, 7] == 3:
            slow.append(time.sleep(0.3))
        return settle(asked, prediction, *arguments)

    monkeypatch.setattr(_predictor, "settle", wait)
    compute = click(qtbot, dock)
    compute.happened.emit(1, TileDone(1, 4, (slice(0, 32), slice(0, 32))))
    compute.done.emit(1, three_cells())
    compute.done.emit(2, moved(2))
    answer(qtbot, dock, moved(4))
    assert slow
    assert dock.result.text() == "9 cells in 3 planes, 3 ids · median Ø 11 px"
    for columns, plane in zip((0, 2, 4), shown(dock).data, strict=True):
        np.testing.assert_array_equal(plane, np.roll(three_cells()["labels"], columns, axis=1))


def test_of_a_linked_stack_a_stop_leaves_no_plane_without_links(qtbot, stacked):
    dock = stacked
    link(qtbot, dock)
    compute = click(qtbot, dock)
    compute.done.emit(1, three_cells())
    qtbot.waitUntil(lambda: bool(dock._predictor._found))
    compute.happened.emit(2, TileDone(1, 4, (slice(0, 32), slice(0, 32))))
    click(qtbot, dock)
    compute.stopped.emit(2, three_cells())
    assert dock.bar.sentence == "Stopped · 1 of 3 planes, 3 cells are shown."
    assert not shown(dock).data[1:].any()


def test_ids_are_not_linked_along_two_axes(qtbot, stacked, model, warned):
    dock = stacked
    model.layers.clear()
    model.add_image(np.random.default_rng(0).random((2, 3, 64, 64)), name="deep")
    link(qtbot, dock)
    compute = click(qtbot, dock)
    assert not compute.predictions
    assert "along more than one axis" in warned[-1]
    assert dock.bar.state is TaskState.FAILED


def test_a_stopped_stack_keeps_its_planes(qtbot, stacked):
    dock = stacked
    dock.stack.setChecked(True)
    compute = click(qtbot, dock)
    compute.done.emit(1, three_cells())
    qtbot.waitUntil(lambda: bool(dock._predictor._found))
    click(qtbot, dock)
    assert compute.stops == [2]
    compute.stopped.emit(2, {})
    assert dock.bar.sentence == "Stopped · 1 of 3 planes, 3 cells are shown."
    assert shown(dock).data[0].any()
    assert not shown(dock).data[1:].any()


def test_one_image_is_no_stack(qtbot, dock):
    assert not dock.stack.isVisible()
    assert dock.whole.text() == "image"


def test_what_says_nothing_to_a_model_is_grey_with_the_reason(dock, folder):
    inputs = [dock.more_instances.input("neck"), dock.prediction.input("tta")]
    overlap = dock.more_instances.input("overlap")
    assert all(each.enabled for each in inputs)
    assert not overlap.enabled
    assert overlap.tooltip.startswith("of no use to this model: it tells what each pixel is")
    whole = write_model(folder / "whole.safetensors", dataclasses.replace(CARD, maps=0))
    dock.model.set_path(whole)
    dock.model.chosen.emit(whole)
    assert not any(each.enabled for each in inputs)
    assert inputs[0].tooltip == "of no use to this model: it finds whole cells"
    assert overlap.enabled
    assert overlap.tooltip.startswith("0.5: a cell with more than")
    assert dock.more_instances.input("fill_holes").enabled


BOXES = dataclasses.replace(CARD, architecture="mask-rcnn", maps=0)


def overlapping(boxes, shape=(64, 64), scores=None):
    """What a model says that finds whole cells, which fill their boxes x1, y1, x2, y2."""
    scores = np.linspace(0.9, 0.6, len(boxes)) if scores is None else scores
    evidence = Candidates(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(scores, np.float32),
        np.full((len(boxes), MASK, MASK), 255, np.uint8),
        np.ones(len(boxes), np.uint8),
        shape,
    )
    found = evidence.label(CARD.instances)
    return {
        "labels": found.labels,
        "evidence": evidence,
        "classes": found.classes,
        "scores": found.scores,
        "seconds": 2.1,
    }


def wholes_of(dock):
    layer = _layers.find(dock.session.viewer, _layers.WHOLES, dock.session.image)
    index = dock.session.plane_index(dock.session.image)
    return layer and fill_outlines(_whole_cells.read_wholes(layer, index))


@pytest.fixture
def of_boxes(qtbot, dock, folder):
    """The panel with a model that finds whole cells, and “Whole cells” checked."""
    dock.model.set_path(write_model(folder / "boxes.safetensors", BOXES))
    dock._on_chosen(dock.model.path)
    dock.wholes.setChecked(True)
    return dock


def test_whole_cells_are_offered_by_what_the_model_finds(dock, folder, qtbot, of_boxes):
    assert dock.wholes.isEnabled()
    assert "each cell whole" in dock.wholes.toolTip()
    dock.stack.setChecked(True)
    assert not dock.wholes.isEnabled()
    assert "--instances" in dock.wholes.toolTip()
    dock.whole.setChecked(True)
    assert dock.wholes.isEnabled()
    dock.model.set_path(folder / "nuclei.safetensors")
    dock._on_chosen(dock.model.path)
    assert not dock.wholes.isEnabled()
    assert dock.wholes.toolTip() == "of no use to this model: it gives each pixel to one cell"


def test_each_cell_is_whole_beside_the_labels(qtbot, of_boxes):
    dock, result = of_boxes, overlapping([(5, 5, 25, 25), (19, 5, 39, 25)])
    click(qtbot, dock)
    answer(qtbot, dock, result)
    qtbot.waitUntil(lambda: bool(wholes_of(dock)))
    np.testing.assert_array_equal(shown(dock).data, result["labels"])
    assert [np.count_nonzero(shown(dock).data == label) for label in (1, 2)] == [400, 280]
    assert [(cell.label, cell.mask.sum()) for cell in wholes_of(dock)] == [(1, 400), (2, 400)]
    assert [cell.score for cell in wholes_of(dock)] == pytest.approx([0.9, 0.6])


def test_outlines_follow_threshold_sureness_and_size_and_can_be_taken_away(qtbot, of_boxes):
    dock = of_boxes
    click(qtbot, dock)
    answer(qtbot, dock, overlapping([(5, 5, 25, 25), (19, 5, 39, 25), (50, 50, 54, 54)]))
    qtbot.waitUntil(lambda: len(wholes_of(dock) or ()) == 3)
    dock.instances.input("min_size").value = 20
    qtbot.waitUntil(lambda: len(wholes_of(dock)) == 2)
    for value in (0.7, 0.74, 0.8):
        dock.instances.input("min_score").value = value
    qtbot.waitUntil(lambda: len(wholes_of(dock)) == 1)
    dock.wholes.setChecked(False)
    qtbot.waitUntil(lambda: wholes_of(dock) == [])
    dock.wholes.setChecked(True)
    qtbot.waitUntil(lambda: len(wholes_of(dock)) == 1)
    assert len(dock.session.compute.predictions) == 1


def test_around_the_visible_field_whole_cells_stay(qtbot, of_boxes, monkeypatch):
    """One cell reaches into the field that is predicted anew, and one lies beside it."""
    dock = of_boxes
    click(qtbot, dock)
    answer(qtbot, dock, overlapping([(5, 5, 45, 25), (5, 21, 25, 41), (50, 50, 60, 60)]))
    qtbot.waitUntil(lambda: len(wholes_of(dock) or ()) == 3)
    field = slice(0, 64), slice(32, 64)
    monkeypatch.setattr(type(dock.session), "visible_region", lambda _: field)
    dock.visible.setChecked(True)
    click(qtbot, dock)
    answer(qtbot, dock, overlapping([(0, 5, 13, 28)], shape=(64, 32)))
    qtbot.waitUntil(lambda: len(wholes_of(dock)) == 2)
    first, second = wholes_of(dock)
    assert second.mask.sum() == 400  # whole where the first lies over it
    assert second.score == pytest.approx(0.75)
    assert first.mask.sum() == 27 * 20 + 13 * 23
    assert first.score == pytest.approx(0.9)
    assert set(np.unique(shown(dock).data)) == {0, first.label, second.label}


def test_a_model_of_maps_and_a_stopped_prediction_leave_no_old_outlines(qtbot, of_boxes, folder):
    dock = of_boxes
    click(qtbot, dock)
    result = overlapping([(5, 5, 25, 25), (19, 5, 39, 25)])
    answer(qtbot, dock, result)
    qtbot.waitUntil(lambda: len(wholes_of(dock) or ()) == 2)
    compute = click(qtbot, dock)
    job = compute.predictions[-1].job
    compute.happened.emit(job, TileDone(1, 2, (slice(0, 64), slice(0, 32))))
    with qtbot.waitSignal(dock._predictor.shown):
        compute.stopped.emit(job, {"evidence": result["evidence"]})
    assert wholes_of(dock) == []
    click(qtbot, dock)
    answer(qtbot, dock, result)
    qtbot.waitUntil(lambda: len(wholes_of(dock)) == 2)
    dock.model.set_path(folder / "nuclei.safetensors")
    dock._on_chosen(dock.model.path)
    click(qtbot, dock)
    answer(qtbot, dock, three_cells())
    assert wholes_of(dock) == []


def test_outlines_the_person_changed_are_left_to_them(qtbot, of_boxes):
    dock = of_boxes
    click(qtbot, dock)
    answer(qtbot, dock, overlapping([(5, 5, 25, 25), (19, 5, 39, 25)]))
    qtbot.waitUntil(lambda: len(wholes_of(dock) or ()) == 2)
    layer = dock.session.viewer.layers["hela · whole cells"]
    layer.selected_data = {1}
    layer.remove_selected()
    dock.instances.input("min_size").value = 9
    qtbot.waitUntil(lambda: len(wholes_of(dock) or ()) == 2)
    assert layer.name == "hela · whole cells, edited"
    assert layer.nshapes == 1
