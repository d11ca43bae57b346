"""The Train panel against a compute process that says what a test wants."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractButton, QAbstractSpinBox, QComboBox

from fake_compute import CARD, REPORT, FakeCompute, answer_of, write_model
from napari_unet.core.config import WEIGHT_PRESETS
from napari_unet.core.models import MODELS
from napari_unet.core.resumable import state_path
from napari_unet.core.start_models import find_model_file
from napari_unet.core.types import Prepared, Repainted, Stepped, Validated, Warned
from napari_unet.widgets import _model_choice, train_dock
from napari_unet.widgets._pixels import Pixels
from napari_unet.widgets._session import session
from napari_unet.widgets._task_bar import TaskState
from napari_unet.widgets.train_dock import TrainDock

PREPARED = Prepared("AMD EPYC 7763 64-Core Processor", "bfloat16", 3, 14, "2 of 9 regions", 1000)


def stepped(step: int, seconds: float = 42.0, loss: float = 0.5) -> Stepped:
    return Stepped(step, seconds / 120, seconds, 120 - seconds, loss, 31.2)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_UNET_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture
def warned(monkeypatch):
    said = []
    monkeypatch.setattr("napari_unet.widgets.train_dock.show_warning", said.append)
    return said


@pytest.fixture
def dock(qtbot, model, add_cells, folder, warned):
    _, labels = add_cells(model)
    labels.data[40:60, 40:60] = -1
    session(model)._compute = FakeCompute()
    dock = TrainDock(model)
    qtbot.addWidget(dock)
    dock.resize(320, 700)
    dock.show()
    dock.live.setChecked(False)
    return dock


def begin(qtbot, dock):
    compute = dock.session.compute
    qtbot.mouseClick(dock.bar.button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: bool(compute.trainings) or dock.bar.state is TaskState.FAILED)
    return compute


def test_the_compute_process_is_warmed_and_its_device_shown(dock):
    assert dock.session.compute.started == 1
    dock.session.compute.warm()
    assert dock.device.text == "AMD EPYC 7763, bfloat16"


def test_the_hint_for_a_gpu_can_be_copied(qtbot, qapp, dock):
    dock.device.show_report(
        type(REPORT)(**{**vars(REPORT), "hint": "pip install torch", "reason": "No CUDA."})
    )
    assert dock.device._copy.isVisible()
    qtbot.mouseClick(dock.device._copy, Qt.MouseButton.LeftButton)
    assert qapp.clipboard().text() == "pip install torch"


def test_at_most_seven_controls_show(dock):
    kinds = (QComboBox, QAbstractSpinBox, QAbstractButton)
    shown = [w for kind in kinds for w in dock.findChildren(kind) if w.isVisible()]
    assert len(shown) <= 7, [type(w).__name__ for w in shown]


def test_train_sends_a_snapshot_and_what_the_panel_says(qtbot, dock, folder):
    dock.budget.set_minutes(5.0)
    dock.training.input("batch_size").value = 7
    dock.session.weights = WEIGHT_PRESETS["falk-2019"]
    compute = begin(qtbot, dock)
    (call,) = compute.trainings
    (sample,), config = call.arguments
    assert (config.minutes, config.batch_size) == (5.0, 7)
    assert config.weights == WEIGHT_PRESETS["falk-2019"]
    assert sample.name == "hela"
    assert sample.image.shape == (1, 64, 64)
    assert not np.shares_memory(sample.labels, dock.session.labels.data)
    assert call.options["output"].parent == folder
    assert call.options["output"].name.startswith("hela 20")
    assert call.options["start_from"] == find_model_file("nuclei")
    assert call.options["architecture"] == "unet"


def test_an_architecture_lists_its_own_models_and_trains(qtbot, dock, folder):
    own = write_model(folder / "mine.safetensors")
    other = write_model(folder / "boxes.safetensors", replace(CARD, architecture="mask-rcnn"))
    dock.start_from.refresh()
    listed = {dock.start_from.itemData(row) for row in range(dock.start_from.count())}
    assert own in listed
    assert other not in listed
    qtbot.keyClick(dock.architecture, Qt.Key.Key_Down)
    assert dock.architecture.currentText() == "Mask R-CNN"
    listed = {dock.start_from.itemData(row) for row in range(dock.start_from.count())}
    assert other in listed
    assert own not in listed
    assert dock.start_from.path != find_model_file("nuclei")
    begin(qtbot, dock)
    (call,) = dock.session.compute.trainings
    assert call.options["architecture"] == "mask-rcnn"


def test_a_model_that_is_browsed_to_brings_its_architecture(dock, tmp_path, monkeypatch):
    elsewhere = write_model(tmp_path / "boxes.safetensors", replace(CARD, architecture="mask-rcnn"))
    monkeypatch.setattr(
        _model_choice.QFileDialog, "getOpenFileName", lambda *_: (str(elsewhere), "")
    )
    row = dock.start_from.findText("browse…")
    dock.start_from.activated.emit(row)
    assert dock.architecture.currentData() == "mask-rcnn"
    assert dock.start_from.path == elsewhere


def test_an_architecture_that_lacks_a_package_is_grey_and_says_why(
    qtbot, model, folder, monkeypatch
):
    monkeypatch.setattr("napari_unet.core.models.find_spec", lambda _: None)
    session(model)._compute = FakeCompute()
    dock = TrainDock(model)
    qtbot.addWidget(dock)
    row = dock.architecture.findData("mask-rcnn")
    assert not dock.architecture.model().item(row).isEnabled()
    reason = dock.architecture.itemData(row, Qt.ItemDataRole.ToolTipRole)
    assert reason.endswith('run `pip install "napari-unet-cells[mask-rcnn]"` first.')


def test_events_are_told(qtbot, dock):
    compute = begin(qtbot, dock)
    job = compute.trainings[0].job
    compute.happened.emit(job, PREPARED)
    assert dock.bar.state is TaskState.PREPARING
    assert "14 cells" in dock.bar.sentence
    compute.happened.emit(job, stepped(1))
    compute.happened.emit(job, Validated(1, 0.7, 0.5, 0.55, 0.61, 0.61, best=True))
    compute.happened.emit(job, Validated(2, 0.6, 0.6, 0.8, 0.83, 0.83, best=True))
    compute.happened.emit(job, Validated(3, 0.6, 0.6, 0.7, 0.72, 0.72, best=False))
    qtbot.waitUntil(lambda: dock.bar.state is TaskState.RUNNING)
    assert dock.bar.sentence == (
        "Training · 00:42 of 02:00 · AMD EPYC 7763, bfloat16 · 31 images/s"
    )
    assert dock.log.score == "held out: AP50 0.61 → 0.83 on 2 of 9 regions"
    compute.happened.emit(job, Warned("Little is painted."))
    assert dock.log._warning.text() == "! Little is painted."


def test_events_of_other_jobs_are_not_ours(qtbot, dock):
    compute = begin(qtbot, dock)
    job = compute.trainings[0].job
    compute.happened.emit(job + 1, PREPARED)
    compute.done.emit(job + 1, {"model": None})
    compute.failed.emit(job + 1, "no", "")
    assert dock.bar.state is TaskState.PREPARING
    assert "14 cells" not in dock.bar.sentence


def test_done_chooses_the_model_for_prediction(qtbot, dock):
    compute = begin(qtbot, dock)
    call = compute.trainings[0]
    compute.happened.emit(call.job, PREPARED)
    compute.happened.emit(call.job, stepped(1240, 119.9))
    model = str(write_model(call.options["output"]))
    compute.done.emit(call.job, {"model": model})
    assert dock.bar.state is TaskState.DONE
    assert dock.bar.sentence.startswith("Done · 02:00 · 1240 steps")
    assert dock.session.model == Path(model)
    assert f"saved as “{Path(model).stem}”" in dock.saved._words.text()
    assert dock.start_from.findText(Path(model).stem) > 0
    assert dock._settings.isEnabled()


def test_stop_keeps_the_model(qtbot, dock):
    compute = begin(qtbot, dock)
    call = compute.trainings[0]
    compute.happened.emit(call.job, stepped(10, 12))
    qtbot.mouseClick(dock.bar.button, Qt.MouseButton.LeftButton)
    assert compute.stops == [call.job]
    assert dock.bar.state is TaskState.STOPPING
    compute.happened.emit(call.job, stepped(11, 12.1))
    compute.stopped.emit(call.job, {"model": str(write_model(call.options["output"]))})
    assert dock.bar.sentence.startswith("Stopped · 00:12")
    assert dock.saved.isVisible()


def test_a_stopped_training_can_be_continued(qtbot, dock):
    compute = begin(qtbot, dock)
    (call,) = compute.trainings
    again = dock.bar.continue_button
    assert not again.isVisible()
    compute.happened.emit(call.job, PREPARED)
    compute.happened.emit(call.job, Validated(1, 0.7, 0.5, 0.55, 0.61, 0.61, best=True))
    qtbot.mouseClick(dock.bar.button, Qt.MouseButton.LeftButton)
    state_path(call.options["output"]).write_bytes(b"state")
    compute.stopped.emit(call.job, {"model": str(write_model(call.options["output"]))})
    assert again.isVisible()
    dock.session.labels.data[0:5, 0:5] = 7
    qtbot.mouseClick(again, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: len(compute.trainings) == 2)
    assert not again.isVisible()
    (second,) = compute.trainings[1:]
    assert second.options["resume"]
    assert second.options["output"] == call.options["output"]
    assert (second.arguments[0][0].labels[:5, :5] == 7).all()
    assert "0.61" in dock.log.score
    state_path(call.options["output"]).unlink()
    compute.done.emit(second.job, {"model": str(call.options["output"])})
    assert not again.isVisible()


def test_a_refused_continue_can_be_tried_again(qtbot, dock, warned):
    compute = begin(qtbot, dock)
    (call,) = compute.trainings
    state_path(call.options["output"]).write_bytes(b"state")
    compute.stopped.emit(call.job, {"model": str(write_model(call.options["output"]))})
    dock.session.labels.data[...] = 0
    again = dock.bar.continue_button
    qtbot.mouseClick(again, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: dock.bar.state is TaskState.FAILED)
    assert "Nothing is painted" in warned[0]
    assert again.isVisible()


def test_a_process_that_died_can_be_continued_but_not_with_other_labels(qtbot, dock):
    compute = begin(qtbot, dock)
    (call,) = compute.trainings
    state_path(call.options["output"]).write_bytes(b"state")
    compute.failed.emit(call.job, "The compute process ended.", "")
    again = dock.bar.continue_button
    assert again.isVisible()
    dock.session.add_annotation()
    assert not again.isVisible()


def test_stop_before_anything_was_learnt(qtbot, dock):
    compute = begin(qtbot, dock)
    compute.stopped.emit(compute.trainings[0].job, {"model": None})
    assert "nothing is saved" in dock.bar.sentence
    assert not dock.saved.isVisible()
    assert dock.session.model is None


def test_a_failure_is_told_and_the_next_click_trains_again(qtbot, dock, warned):
    compute = begin(qtbot, dock)
    compute.failed.emit(compute.trainings[0].job, "Memory ran out.", "Traceback")
    assert dock.bar.state is TaskState.FAILED
    assert dock.bar.sentence == "Memory ran out."
    assert "Traceback" in dock.bar.report
    assert warned == ["Memory ran out."]
    assert dock._settings.isEnabled()
    qtbot.mouseClick(dock.bar.button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: len(compute.trainings) == 2)


def test_no_image_and_no_annotation_are_sentences(qtbot, model, dock, warned):
    model.layers.remove(dock.session.labels)
    assert "no annotation yet" in dock.bar.sentence
    begin(qtbot, dock)
    assert "no annotation" in warned[0]
    model.layers.clear()
    assert "No image is open" in dock.bar.sentence
    begin(qtbot, dock)
    assert "No image is open" in warned[1]
    assert dock.session.compute.trainings == []


def test_nothing_painted_is_a_sentence_before_any_process_is_asked(qtbot, dock, warned):
    dock.session.labels.data[...] = 0
    begin(qtbot, dock)
    assert dock.bar.state is TaskState.FAILED
    assert dock.session.compute.trainings == []
    assert len(warned) == 1
    assert warned[0].endswith(".")


def test_rename(qtbot, dock, folder, warned, monkeypatch):
    monkeypatch.setattr("napari_unet.widgets._saved_line.show_warning", warned.append)
    compute = begin(qtbot, dock)
    call = compute.trainings[0]
    written = write_model(call.options["output"])
    weights = written.read_bytes()
    compute.done.emit(call.job, {"model": str(written)})
    call.options["output"].with_suffix(".training.csv").write_text("step")
    (folder / "taken.safetensors").write_bytes(b"other")
    line = dock.saved
    qtbot.mouseClick(line._button, Qt.MouseButton.LeftButton)
    for refused in ("", "a/b", "taken", ".hidden"):
        line._name.setText(refused)
        qtbot.keyClick(line._name, Qt.Key.Key_Return)
        assert dock.session.model == call.options["output"]
    assert len(warned) == 4
    assert (folder / "taken.safetensors").read_bytes() == b"other"
    line._name.setText("my nuclei")
    qtbot.keyClick(line._name, Qt.Key.Key_Return)
    assert dock.session.model == folder / "my nuclei.safetensors"
    assert dock.session.model.read_bytes() == weights
    assert not call.options["output"].exists()
    assert (folder / "my nuclei.training.csv").read_text() == "step"
    qtbot.mouseClick(line._button, Qt.MouseButton.LeftButton)
    qtbot.keyClick(line._name, Qt.Key.Key_Escape)
    assert line._words.isVisible()


def test_strokes_reach_the_training_that_runs(qtbot, dock):
    labels = dock.session.labels
    compute = begin(qtbot, dock)
    job = compute.trainings[0].job
    labels.paint((40, 40), 3)
    qtbot.waitUntil(lambda: compute.repaints != [])
    (asked, sample), *_ = compute.repaints
    assert asked == job
    assert sample.labels[40, 40] == 3
    compute.happened.emit(job, PREPARED)
    compute.happened.emit(job, stepped(1))
    compute.happened.emit(job, Repainted(15))
    compute.happened.emit(job, stepped(2))
    qtbot.waitUntil(lambda: "15 cells" in dock.bar.sentence)
    compute.done.emit(job, {"model": None})
    count = len(compute.repaints)
    labels.paint((50, 50), 4)
    qtbot.wait(900)
    assert len(compute.repaints) == count


def test_for_a_stroke_the_image_is_not_read_again(qtbot, dock, monkeypatch):
    compute = begin(qtbot, dock)
    (known,) = compute.trainings[0].arguments[0]

    def read(self):
        raise AssertionError("the image may lie on a slow disk")

    monkeypatch.setattr(Pixels, "__call__", read)
    dock.session.labels.paint((40, 40), 3)
    qtbot.waitUntil(lambda: compute.repaints != [])
    (_, sample), *_ = compute.repaints
    assert sample.image is known.image


@pytest.mark.parametrize("shape", [(70, 80), (64, 64)])
def test_paint_on_other_data_in_the_same_layer_is_not_learned(qtbot, dock, warned, shape):
    compute = begin(qtbot, dock)
    count = len(compute.repaints)
    dock.session.image.data = np.ones(shape)
    dock.session.labels.data = np.zeros(shape, np.int32)
    dock.session.labels.paint((40, 40), 3)
    qtbot.wait(1200)
    assert len(compute.repaints) == count
    assert warned == []
    assert "other data" in dock.log._warning.text()


def test_a_model_file_as_start(qtbot, dock, folder):
    path = folder / "old.safetensors"
    write_model(path)
    dock.start_from.set_path(path)
    compute = begin(qtbot, dock)
    assert compute.trainings[0].options["start_from"] == path


def test_better_states_are_previewed_in_the_visible_field(qtbot, dock):
    dock.live.setChecked(True)
    compute = begin(qtbot, dock)
    call = compute.trainings[0]
    compute.happened.emit(call.job, Validated(1, 0.9, 0.1, 0.0, 0.0, 0.0, best=True))
    assert compute.predictions == []  # it would cover the image with noise
    compute.happened.emit(call.job, Validated(2, 0.7, 0.5, 0.55, 0.61, 0.61, best=True))
    compute.happened.emit(call.job, Validated(3, 0.7, 0.5, 0.45, 0.51, 0.51, best=False))
    (preview,) = compute.predictions
    assert preview.arguments[0] == call.options["output"]
    rows, cols = preview.options["region"]
    labels = np.zeros((rows.stop - rows.start, cols.stop - cols.start), np.int32)
    labels[2:9, 2:9] = 1
    write_model(Path(preview.arguments[0]))
    compute.done.emit(preview.job, answer_of(labels))
    qtbot.waitUntil(lambda: "hela · prediction" in dock.session.viewer.layers)
    assert dock.session.viewer.layers["hela · prediction"].data.max() == 1
    assert dock.bar.state is TaskState.PREPARING


def test_nothing_is_previewed_over_another_image(qtbot, dock):
    dock.live.setChecked(True)
    compute = begin(qtbot, dock)
    call = compute.trainings[0]
    other = dock.session.viewer.add_image(np.zeros((64, 64)), name="other")
    dock.session.image = other
    for step, f1 in ((1, 0.0), (2, 0.5)):
        found = Validated(step, 0.9, 0.5, f1, f1, f1, best=True)
        compute.happened.emit(call.job, found)
    assert compute.predictions == []
    write_model(Path(call.options["output"]))
    compute.done.emit(call.job, {"model": str(call.options["output"])})
    assert compute.predictions == []


def test_stop_is_not_forgotten_while_the_annotation_is_read(qtbot, dock, monkeypatch):
    asked = []
    monkeypatch.setattr(train_dock, "run", lambda *args, on_done, **more: asked.append(on_done))
    for _ in range(2):  # Train, then Stop
        qtbot.mouseClick(dock.bar.button, Qt.MouseButton.LeftButton)
    assert dock.bar.stopping
    viewer = dock.session.viewer
    dock.session.labels = viewer.add_labels(np.zeros((96, 96), np.int32), name="others")
    assert dock.bar.stopping
    assert len(asked) == 1


def test_closing_the_panel_stops_the_training(qtbot, dock):
    compute = begin(qtbot, dock)
    dock.close()
    assert compute.stops == [compute.trainings[0].job]
    compute.happened.emit(compute.trainings[0].job, stepped(3))
    dock.session.viewer.theme = "light"


def test_a_step_takes_the_gui_less_than_a_frame(qtbot, dock):
    compute = begin(qtbot, dock)
    job = compute.trainings[0].job
    times = []
    for step in range(1, 200):
        event = replace(stepped(1, step / 10), step=step)
        begun = time.thread_time()
        compute.happened.emit(job, event)
        times.append(time.thread_time() - begun)
    begun = time.thread_time()
    compute.happened.emit(job, Validated(2, 0.6, 0.6, 0.8, 0.83, 0.83, best=True))
    times.append(time.thread_time() - begun)
    assert sorted(times)[-2] < 0.016


def test_nothing_is_cut_beside_the_scroll_bar(qtbot, dock):
    dock._advanced.set_open(True)
    assert dock.body.parentWidget().minimumSizeHint().width() <= 300


def network(dock) -> list[str]:
    return [dock.network.itemText(row) for row in range(dock.network.count())]


def test_the_network_is_chosen_where_training_begins_from_scratch(qtbot, dock):
    assert network(dock) == ["that of nuclei"]
    assert not dock.network.isEnabled()
    assert dock.network.toolTip().startswith("training goes on with the network of this model")
    start(dock, None)
    assert dock.network.isEnabled()
    assert network(dock) == ["default", "wide", "paper 2015"]
    assert not dock.network.isVisible()  # folded away
    dock._advanced.set_open(True)
    dock.network.setFocus()
    qtbot.keyClick(dock.network, Qt.Key.Key_End)
    assert "31 million parameters" in dock.network.toolTip()
    begin(qtbot, dock)
    (call,) = dock.session.compute.trainings
    assert call.options["preset"] == "paper"
    assert (call.arguments[1].optimizer, call.arguments[1].tile) == ("sgd", 384)


def test_the_networks_are_those_of_the_model_and_the_choice_is_kept(qtbot, dock):
    start(dock, None)
    dock.training.input("tile").value = 128
    dock.network.setCurrentIndex(dock.network.findData("paper"))
    qtbot.keyClick(dock.architecture, Qt.Key.Key_Down)
    start(dock, None)
    assert network(dock)[:2] == ["light", "ResNet-18"]
    assert all("million parameters" in MODELS["mask-rcnn"].presets[name].why
               for name in MODELS["mask-rcnn"].presets)  # fmt: skip
    config = dock.config
    assert (config.optimizer, config.batch_size) == ("adamw", 4)  # the paper's are its own
    assert config.tile == 128  # what was set by hand stays
    dock.network.setCurrentIndex(dock.network.findData("resnet50-coco"))
    qtbot.keyClick(dock.architecture, Qt.Key.Key_Up)
    start(dock, None)
    assert dock.network.preset == "paper"
    qtbot.keyClick(dock.architecture, Qt.Key.Key_Down)
    begin(qtbot, dock)
    (call,) = dock.session.compute.trainings
    assert call.options["preset"] == "resnet50-coco"


def start(dock, path) -> None:
    """Choose what training starts from, as a person does."""
    dock.start_from.activated.emit(dock.start_from.findData(path))


def test_a_panel_that_is_closed_while_it_reads_begins_no_training(qtbot, dock):
    qtbot.mouseClick(dock.bar.button, Qt.MouseButton.LeftButton)
    dock.let_go()
    qtbot.wait(300)
    assert not dock.session.compute.trainings


def test_a_training_of_another_plane_is_not_continued(qtbot, dock, warned):
    call = begin(qtbot, dock).trainings[0]
    path = Path(call.options["output"])
    write_model(path)
    state_path(path).touch()
    dock.session.compute.stopped.emit(call.job, {"model": str(path)})
    dock._trained = "another plane"
    dock.resume()
    assert warned == ["The training was of another plane or image: show that, then continue."]
    assert len(dock.session.compute.trainings) == 1
