"""The Evaluate panel on constructed cells, and against a compute process that says what a test
wants."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt

from fake_compute import FakeCompute, answer_of, write_model
from napari_unet.core.card import ModelCard, read_card
from napari_unet.core.comparison import Difference, Verdict
from napari_unet.core.config import InstanceConfig
from napari_unet.core.formats.labelled import Shape
from napari_unet.core.standings import Outcome, Standing, Told
from napari_unet.core.types import Stepped, TileDone
from napari_unet.core.whole_cells import outline
from napari_unet.widgets import _cell_layers, _layers, _model_files, _planes, _whole_cells
from napari_unet.widgets._session import session
from napari_unet.widgets._task_bar import TaskState
from napari_unet.widgets.evaluate_dock import EvaluateDock

CARD = ModelCard("unet", {}, channels=1, maps=1, instances=InstanceConfig(threshold=0.5))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_UNET_MODELS", str(tmp_path / "models"))
    return _model_files.models_folder()


@pytest.fixture
def warned(monkeypatch):
    said = []
    monkeypatch.setattr("napari_unet.widgets.evaluate_dock.show_warning", said.append)
    return said


def predicted(shape=(64, 64)):
    """The first cell is found, the second missed, and one is false."""
    labels = np.zeros(shape, np.int32)
    labels[10:20, 10:20] = 5
    labels[40:50, 40:50] = 9
    return labels


@pytest.fixture
def dock(qtbot, model, add_cells, folder, warned):
    write_model(folder / "old.safetensors", CARD)
    write_model(folder / "new.safetensors", CARD)
    image, _ = add_cells(model)
    _cell_layers.show_prediction(model, image, predicted())
    session(model)._compute = FakeCompute()
    dock = EvaluateDock(model)
    qtbot.addWidget(dock)
    dock.resize(320, 700)
    dock.show()
    dock.session.compute.warm()
    return dock


def click(qtbot, button):
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def evaluate(qtbot, dock):
    with qtbot.waitSignal(dock._judge.judged):
        click(qtbot, dock.bar.button)


def choose(combo, name):
    combo.setCurrentIndex(combo.findText(name))
    combo.activated.emit(combo.currentIndex())


def counted(dock):
    words = re.sub("<[^>]*>", "", dock.cells.counts.text().replace("<br>", "\n")).replace(
        "\N{NO-BREAK SPACE}", " "
    )
    return re.sub("[■□] ", "", words)


def test_annotation_against_prediction_by_default(qtbot, dock):
    assert dock.truth.currentText() == "by hand"
    assert dock.prediction.currentText() == "hela · prediction"
    assert dock.bar.sentence == "Ready to judge cells of “hela”."
    assert not dock.table.isVisible()
    evaluate(qtbot, dock)
    assert dock.bar.state is TaskState.DONE
    assert counted(dock) == "1 of 2 cells found · 1 missed · 1 false · 0 merged · 0 split"
    figures = dict(row for row in dock.table.texts() if len(row) == 2)
    assert figures["AP50"] == figures["mean AP"] == "0.333"
    assert figures["F1"] == figures["PQ"] == figures["SEG"] == "0.500"
    assert dock.plot.lines[0].getData()[1].tolist() == [1 / 3] * 10
    assert dock.plot.lines[1].getData()[1] is None or not len(dock.plot.lines[1].getData()[1])
    assert "2 true cells; all of the plane is known" in dock.about.text()


def test_what_is_unsaid_is_left_out(qtbot, dock):
    dock.session.labels.data_setitem((np.array([0]), np.array([0])), -1)
    evaluate(qtbot, dock)
    assert counted(dock) == "1 of 2 cells found · 1 missed · 0 false · 0 merged · 0 split"
    regions = dock.session.add_regions()
    regions.add_rectangles(np.array([[30, 30], [30, 60], [60, 60], [60, 30]]))
    evaluate(qtbot, dock)
    assert "1 false" in counted(dock)
    assert re.search(r"2[0-9] % of the plane is known", dock.about.text())


def test_layers_of_each_kind_come_and_follow(qtbot, dock, model):
    evaluate(qtbot, dock)
    before, active = list(model.layers), model.layers.selection.active
    click(qtbot, dock.cells.button)
    added = [layer for layer in model.layers if layer not in before]
    assert [layer.name for layer in added] == [
        "hela · true positive",
        "hela · false positive",
        "hela · false negative",
    ]
    assert model.layers.selection.active is active
    found, false, missed = added
    assert set(np.unique(found.data)) == {0, 5}
    assert set(np.unique(false.data)) == {0, 9}
    assert set(np.unique(missed.data)) == {0, 2}
    green, red, blue = (layer.get_color(layer.data.max())[:3] for layer in added)
    assert (np.argmax(green), np.argmax(red), np.argmax(blue)) == (1, 0, 2)
    # the prediction now holds both cells in one, the false one is gone
    missed.visible = False
    image = dock.session.image
    joined = np.zeros((64, 64), np.int32)
    joined[10:20, 10:33] = 3
    _cell_layers.show_prediction(model, image, joined)
    evaluate(qtbot, dock)
    assert counted(dock) == "0 of 2 cells found · 2 missed · 1 false · 1 merged · 0 split"
    assert [layer for layer in model.layers if layer in added] == added
    assert not found.data.any()
    assert set(np.unique(missed.data)) == {0, 1, 2}
    assert not missed.visible
    (merged,) = (layer for layer in model.layers if layer.name == "hela · merged")
    assert merged.contour > 0
    assert model.layers.selection.active is active
    assert dock.truth.findText("hela · merged") == -1


def test_a_click_on_a_count_walks_through_the_cells(qtbot, dock, model):
    evaluate(qtbot, dock)
    camera = _planes.find_camera(model)
    zoom = camera.zoom
    dock.cells.counts.linkActivated.emit("false positive")
    assert camera.center[-2:] == pytest.approx((44.5, 44.5))
    assert dock.bar.sentence == "Cell false, 1 of 1"
    dock.cells.counts.linkActivated.emit("false negative")
    assert camera.center[-2:] == pytest.approx((14.5, 27.5))
    assert camera.zoom == zoom
    assert 'href="split"' not in dock.cells.counts.text()
    place = QPoint(40, dock.cells.counts.fontMetrics().lineSpacing() // 2)
    qtbot.mouseClick(dock.cells.counts, Qt.MouseButton.LeftButton, pos=place)
    assert dock.bar.sentence == "Cell found, 1 of 1"
    assert camera.center[-2:] == pytest.approx((14.5, 14.5))


def test_a_walk_comes_round_and_goes_to_its_plane(qtbot, model, folder):
    labels = np.zeros((3, 64, 64), np.int32)
    labels[1, 5:15, 5:15], labels[1, 40:50, 30:40] = 1, 2
    model.add_image(np.ones((3, 64, 64), np.uint8), name="stack")
    model.add_labels(labels, name="true")
    model.add_labels(np.roll(labels, 1, axis=1), name="found")
    session(model)._compute = FakeCompute()
    dock = EvaluateDock(model)
    qtbot.addWidget(dock)
    model.dims.set_point(0, 1)
    choose(dock.truth, "true")
    choose(dock.prediction, "found")
    evaluate(qtbot, dock)
    click(qtbot, dock.cells.button)
    shown = model.layers["stack · true positive"]
    assert shown.data.shape == (3, 64, 64)
    assert np.flatnonzero(shown.data.any(axis=(1, 2))).tolist() == [1]
    model.dims.set_point(0, 2)
    camera = _planes.find_camera(model)
    rows = []
    for _ in range(3):
        dock.cells.counts.linkActivated.emit("true positive")
        rows.append(camera.center[-2])
        assert model.dims.current_step[0] == 1
    assert rows == pytest.approx([10.5, 45.5, 10.5])


def test_classes_are_scored_apart(qtbot, dock, model):
    from napari_unet.widgets import _classes

    truth, prediction = dock.session.labels, model.layers["hela · prediction"]
    _classes.set_class(truth, 1, "mitosis")
    _classes.set_class(truth, 2, "nucleus")
    _classes.set_class_names(truth, ("nucleus", "mitosis"))
    for label in (5, 9):
        _classes.set_class(prediction, label, "mitosis")
    _classes.set_class_names(prediction, ("nucleus", "mitosis"))
    evaluate(qtbot, dock)
    rows = dict(row for row in dock.table.texts() if len(row) == 2)
    assert rows["AP50 nucleus"] == "0.000"
    assert rows["AP50 mitosis"] == "0.500"


def test_what_is_missing_is_a_sentence(qtbot, dock, model, warned):
    choose(dock.prediction, "by hand")
    click(qtbot, dock.bar.button)
    assert warned[-1] == "“by hand” is both truth and prediction: choose two layers."
    model.layers.remove("hela · prediction")
    model.layers.remove("by hand")
    click(qtbot, dock.bar.button)
    assert "has no true cells yet" in warned[-1]
    model.layers.remove("hela")
    assert "No image is open" in dock.bar.sentence
    click(qtbot, dock.bar.button)
    assert "No image is open" in warned[-1]


def test_a_prediction_that_is_no_labels_is_a_sentence(qtbot, dock, model, warned):
    model.layers["hela · prediction"].data = np.full((64, 64), -7, np.int32)
    with qtbot.waitSignal(dock._judge.failed):
        click(qtbot, dock.bar.button)
    assert "go down to -7" in warned[-1]
    assert dock._settings.isEnabled()


def answer(dock, labels, seconds=1.0, maps=None):
    compute = dock.session.compute
    result = {**answer_of(labels, maps), "seconds": seconds}
    compute.done.emit(compute.predictions[-1].job, result)


def two_models(qtbot, dock):
    click(qtbot, dock.of_models)
    choose(dock.first, "old")
    choose(dock.second, "new")


def test_two_models_side_by_side(qtbot, dock, model):
    two_models(qtbot, dock)
    assert dock.first.isVisible()
    assert not dock.prediction.isVisible()
    click(qtbot, dock.bar.button)
    compute = dock.session.compute
    (call,) = compute.predictions  # the second waits for the first
    assert call.arguments[0].stem == "old"
    assert call.arguments[1]().shape == (1, 64, 64)
    compute.happened.emit(call.job, TileDone(1, 4, (slice(0, 9), slice(0, 9))))
    assert dock.bar.sentence == "Predicting with “old” · tile 1 of 4"
    answer(dock, predicted(), 2.0)
    assert compute.predictions[-1].arguments[0].stem == "new"
    truth = np.array(dock.session.labels.data)
    with qtbot.waitSignal(dock._judge.judged):
        answer(dock, truth, 3.5)
    assert dock.bar.sentence == "Done · B is ahead by 0.667 mean AP"
    rows = {row[0]: row[1:] for row in dock.table.texts()}
    assert rows["AP50"] == ["0.333", "<b>1.000</b>", "+0.667"]
    assert rows["Seconds"] == ["<b>2.0 s</b>", "3.5 s", "+1.5 s"]
    assert len(dock.plot.lines[1].getData()[1]) == 10
    assert not [layer for layer in model.layers if _layers.role_of(layer) in _layers.VERDICTS]
    click(qtbot, dock.of_labels)
    evaluate(qtbot, dock)
    assert dock.cells.button.text() == "Show the cells as layers"
    assert counted(dock).startswith("1 of 2 cells found")
    assert {len(row) for row in dock.table.texts()} == {2}


def test_what_was_judged_is_told_of_its_image(qtbot, dock, model):
    two_models(qtbot, dock)
    click(qtbot, dock.bar.button)
    truth = np.array(dock.session.labels.data)
    answer(dock, truth)
    dock.session.image = model.add_image(np.zeros((64, 64)), name="other")
    with qtbot.waitSignal(dock._judge.judged):
        answer(dock, truth)
    assert dock.bar.sentence == "Done · A and B are equal in mean AP · of “hela”"


def four_cells():
    """Truth, A and B: each finds one that the other misses, and has a false one of its own."""
    truth, one, other = (np.zeros((64, 64), np.int32) for _ in range(3))
    for label, (drawn, cell) in enumerate(
        (
            ((truth, one, other), (4, 4)),
            ((truth, one), (4, 24)),
            ((truth, one), (4, 44)),
            ((truth, other), (24, 4)),
            ((one,), (44, 24)),
            ((other,), (44, 44)),
            ((one, other), (24, 44)),  # false in both
        ),
        1,
    ):
        for labels in drawn:
            labels[cell[0] : cell[0] + 10, cell[1] : cell[1] + 10] = label
    return truth, one, other


def compare_models(qtbot, dock, one, other):
    click(qtbot, dock.bar.button)
    answer(dock, one)
    with qtbot.waitSignal(dock._judge.judged):
        answer(dock, other)


def test_where_two_models_differ_is_counted_and_shown(qtbot, dock, model):
    truth, one, other = four_cells()
    dock.session.labels.data = truth
    two_models(qtbot, dock)
    compare_models(qtbot, dock, one, other)
    assert counted(dock) == "A alone: 2 found · 1 false\nB alone: 1 found · 1 false"
    before, active = list(model.layers), model.layers.selection.active
    assert dock.cells.button.text() == "Show where they differ as layers"
    click(qtbot, dock.cells.button)
    added = [layer for layer in model.layers if layer not in before]
    assert {layer.name: np.unique(layer.data).tolist() for layer in added} == {
        "hela · A finds, B misses": [0, 2, 3],
        "hela · B finds, A misses": [0, 4],
        "hela · false in A alone": [0, 5],
        "hela · false in B alone": [0, 6],
    }
    assert model.layers.selection.active is active
    found_by_a, found_by_b, *_ = added
    assert [layer.contour > 0 for layer in added] == [False, False, True, True]
    colors = [layer.get_color(layer.data.max()).tolist() for layer in added]
    assert colors[0] == colors[2] != colors[1] == colors[3]
    assert all(dock.truth.findText(layer.name) == -1 for layer in added)
    # the other way round, in the same layers
    compare_models(qtbot, dock, other, one)
    assert counted(dock).startswith("A alone: 1 found · 1 false\nB alone: 2 found")
    assert [layer for layer in model.layers if layer not in before] == added
    assert np.unique(found_by_a.data).tolist() == [0, 4]
    assert np.unique(found_by_b.data).tolist() == [0, 2, 3]


def test_a_click_walks_through_the_cells_that_one_model_finds(qtbot, dock, model):
    truth, one, other = four_cells()
    dock.session.labels.data = truth
    two_models(qtbot, dock)
    compare_models(qtbot, dock, one, other)
    metrics = dock.cells.counts.fontMetrics()
    place = QPoint(metrics.horizontalAdvance("A alone: ■ 2 fo"), metrics.lineSpacing() // 2)
    camera = _planes.find_camera(model)
    seen = []
    for at in (1, 2, 1):
        qtbot.mouseClick(dock.cells.counts, Qt.MouseButton.LeftButton, pos=place)
        assert dock.bar.sentence == f"Cell found by A alone, {at} of 2"
        seen.append(camera.center[-2:])
    assert seen == [pytest.approx(at) for at in ((8.5, 28.5), (8.5, 48.5), (8.5, 28.5))]
    dock.cells.counts.linkActivated.emit("false in B alone")
    assert dock.bar.sentence == "Cell false in B alone, 1 of 1"
    assert camera.center[-2:] == pytest.approx((48.5, 48.5))


def test_models_that_find_the_same_cells_differ_in_none(qtbot, dock, model):
    two_models(qtbot, dock)
    compare_models(qtbot, dock, predicted(), predicted())
    assert counted(dock) == "A alone: 0 found · 0 false\nB alone: 0 found · 0 false"
    assert "href" not in dock.cells.counts.text()
    before = list(model.layers)
    click(qtbot, dock.cells.button)
    assert list(model.layers) == before


def test_differences_are_shown_on_their_plane_of_a_stack(qtbot, model, folder):
    truth, one, other = four_cells()
    write_model(folder / "old.safetensors", CARD)
    write_model(folder / "new.safetensors", CARD)
    model.add_image(np.ones((3, 64, 64), np.uint8), name="stack")
    model.add_labels(np.stack([truth] * 3), name="true")
    session(model)._compute = FakeCompute()
    dock = EvaluateDock(model)
    qtbot.addWidget(dock)
    dock.show()
    dock.session.compute.warm()
    model.dims.set_point(0, 1)
    choose(dock.truth, "true")
    two_models(qtbot, dock)
    compare_models(qtbot, dock, one, other)
    model.dims.set_point(0, 2)
    click(qtbot, dock.cells.button)
    shown = model.layers["stack · A finds, B misses"]
    assert shown.data.shape == (3, 64, 64)
    assert np.flatnonzero(shown.data.any(axis=(1, 2))).tolist() == [1]
    dock.cells.counts.linkActivated.emit("A finds, B misses")
    assert model.dims.current_step[0] == 1


def test_a_model_is_not_compared_with_itself(qtbot, dock, warned):
    click(qtbot, dock.of_models)
    assert dock.first.path != dock.second.path
    choose(dock.first, "old")
    choose(dock.second, "old")
    click(qtbot, dock.bar.button)
    assert warned == ["A and B are both “old”: choose two models."]


def test_a_model_of_other_channels_is_a_sentence(qtbot, dock, folder, warned):
    write_model(folder / "new.safetensors", dataclasses.replace(CARD, channels=3))
    two_models(qtbot, dock)
    click(qtbot, dock.bar.button)
    assert "“new” was trained on images of 3 channels" in warned[0]
    assert dock.session.compute.predictions == []


def test_stop_and_failure(qtbot, dock, warned):
    two_models(qtbot, dock)
    compute = dock.session.compute
    click(qtbot, dock.bar.button)
    click(qtbot, dock.bar.button)
    assert compute.stops == [1]
    compute.stopped.emit(1, {})
    assert dock.bar.sentence == "Stopped · nothing was changed."
    assert dock._settings.isEnabled()
    click(qtbot, dock.bar.button)
    compute.failed.emit(2, "Memory ran out.", "Traceback")
    assert warned == ["Memory ran out."]
    assert "Traceback" in dock.bar.report
    click(qtbot, dock.bar.button)
    answer(dock, predicted())
    assert len(compute.predictions) == 4


def test_the_image_is_closed_meanwhile(qtbot, dock, model, warned):
    two_models(qtbot, dock)
    click(qtbot, dock.bar.button)
    answer(dock, predicted())
    model.layers.remove("hela")
    with qtbot.waitSignal(dock._judge.failed):
        answer(dock, predicted())
    assert "was closed meanwhile" in warned[0]


def many_cells():
    """Sixteen cells, and maps in which they are sure amid a halo that is cell at 0.5 as well."""
    truth, maps = np.zeros((64, 64), np.int32), np.zeros((1, 64, 64), np.float32)
    for label, (y, x) in enumerate(np.ndindex(4, 4), 1):
        maps[0, 16 * y : 16 * y + 13, 16 * x : 16 * x + 13] = 0.55
        truth[16 * y + 3 : 16 * y + 10, 16 * x + 3 : 16 * x + 10] = label
    maps[0][truth > 0] = 0.9
    return truth, maps


def test_what_tuning_finds_is_stored_only_when_asked(qtbot, dock, model, folder):
    truth, maps = many_cells()
    dock.session.labels.data = truth
    two_models(qtbot, dock)
    path = folder / "old.safetensors"
    before = path.read_bytes()
    assert not dock.store.isEnabled()
    click(qtbot, dock.tune)
    (call,) = dock.session.compute.predictions
    assert call.arguments[0] == path
    with qtbot.waitSignal(dock._tuner.tuned):
        answer(dock, truth, maps=maps)
    assert dock.bar.sentence.startswith("Threshold 0.5 → 0.6: mean AP")
    assert "→ 1.000 on 16 cells" in dock.bar.sentence
    assert path.read_bytes() == before
    with qtbot.waitSignal(dock._tuner.stored):
        click(qtbot, dock.store)
    assert read_card(path) == dataclasses.replace(CARD, instances=InstanceConfig(threshold=0.6))
    assert path.read_bytes().endswith(b"weights")
    assert dock.bar.sentence == "Stored in “old”: threshold 0.6 and least score 0.25."
    assert not dock.store.isEnabled()


def test_another_model_is_not_given_what_was_found_for_the_first(qtbot, dock):
    truth, maps = many_cells()
    dock.session.labels.data = truth
    two_models(qtbot, dock)
    click(qtbot, dock.tune)
    with qtbot.waitSignal(dock._tuner.tuned):
        answer(dock, truth, maps=maps)
    assert dock.store.isEnabled()
    choose(dock.first, "new")
    assert not dock.store.isEnabled()


def test_nothing_better_leaves_nothing_to_store(qtbot, dock):
    two_models(qtbot, dock)
    click(qtbot, dock.tune)
    with qtbot.waitSignal(dock._tuner.tuned):
        answer(dock, np.array(dock.session.labels.data))
    assert "are the best on 2 cells" in dock.bar.sentence
    assert not dock.store.isEnabled()


def test_another_image_has_no_figures_yet(qtbot, dock, model):
    evaluate(qtbot, dock)
    model.add_image(np.zeros((8, 8)), name="other")
    dock.session.image = model.layers["other"]
    assert not dock.table.isVisible()
    assert dock.bar.sentence == "Ready to judge cells of “other”."
    assert dock.truth.layer is None


def test_closing_the_panel_stops_what_runs(qtbot, dock):
    two_models(qtbot, dock)
    click(qtbot, dock.bar.button)
    dock.close()
    assert dock.session.compute.stops == [1]
    answer(dock, predicted())


def test_nothing_is_cut_beside_the_scroll_bar(qtbot, dock):
    evaluate(qtbot, dock)
    assert dock.body.parentWidget().minimumSizeHint().width() <= 300
    two_models(qtbot, dock)
    assert dock.body.parentWidget().minimumSizeHint().width() <= 300
    click(qtbot, dock.of_new)
    assert dock.body.parentWidget().minimumSizeHint().width() <= 300


def scored(name, folder, mean_ap, minutes):
    write_model(folder / f"{name}.safetensors", dataclasses.replace(CARD, architecture=name))
    keys = ("ap50", "ap75", "f1_50", "pq", "seg", "iou", "seconds")
    scores = {**dict.fromkeys(keys, 0.5), "mean_ap": mean_ap, "n_true": 400.0}
    return Standing(
        name, str(folder / f"{name}.safetensors"), scores, 9, minutes, 60, 12.0, 7 * 10**8
    )


def compete(qtbot, dock):
    click(qtbot, dock.of_new)
    click(qtbot, dock.bar.button)
    contests = dock.session.compute.contests
    qtbot.waitUntil(lambda: bool(contests))
    return contests[-1]


def test_counts_of_before_are_no_way_to_lose_a_training(qtbot, dock):
    evaluate(qtbot, dock)
    assert dock.cells.isEnabled()
    compete(qtbot, dock)
    assert not dock.cells.isEnabled()
    assert dock.bar.state is TaskState.PREPARING


def test_a_model_of_each_kind_is_trained_and_compared(qtbot, dock, folder):
    truth, one, other = four_cells()
    dock.session.labels.data = truth
    dock.budget.set_minutes(5.0)
    call = compete(qtbot, dock)
    assert not dock.first.isVisible()
    sample, config, room = call.arguments
    assert (sample.name, config.minutes) == ("hela", 5.0)
    assert [path.stem for path in call.options["start_from"]] == ["nuclei", "nuclei-mask-rcnn"]
    compute = dock.session.compute
    compute.happened.emit(call.job, Told("unet", Stepped(7, 0.5, 150, 150, 0.1, 4.0)))
    assert dock.bar.sentence == "Training · U-Net, model 1 of 2 · step 7 · 150 s left"
    compute.happened.emit(call.job, Told("mask-rcnn", Stepped(7, 0.5, 150, 150, 0.1, 4.0)))
    assert "Mask R-CNN, model 2 of 2" in dock.bar.sentence
    standings = scored("unet", room, 0.4, 5.1), scored("mask-rcnn", room, 0.5, 5.2)
    compute.done.emit(call.job, {"outcome": Outcome(standings, {}, ())})
    assert not room.exists()
    models = dock.first.path, dock.second.path
    assert [read_card(path).architecture for path in models] == ["unet", "mask-rcnn"]
    assert [path.parent for path in models] == [folder, folder]
    assert dock.session.model == models[0]
    # then where they differ, in the plane in view, and the figures stay those of the held-out part
    answer(dock, one)
    with qtbot.waitSignal(dock._judge.judged):
        answer(dock, other)
    assert counted(dock) == "A alone: 2 found · 1 false\nB alone: 1 found · 1 false"
    rows = {row[0]: row[1:] for row in dock.table.texts()}
    assert rows["mean AP"] == ["0.400", "<b>0.500</b>", "+0.100"]
    assert rows["Training"] == ["<b>5.1 min</b>", "5.2 min", "+0.1 min"]
    assert rows["Memory"] == ["<b>0.7 GB</b>", "<b>0.7 GB</b>", "+0.0 GB"]
    assert dock.bar.sentence.startswith("Done · Mask R-CNN is ahead of U-Net by 0.100 mean AP")
    assert "“hela U-Net " in dock.about.text()
    assert dock._settings.isEnabled()


def test_a_kind_that_cannot_be_trained_is_said_and_the_other_is_kept(qtbot, dock, folder, warned):
    call = compete(qtbot, dock)
    standings = (scored("unet", call.arguments[2], 0.4, 5.1),)
    outcome = Outcome(standings, {"mask-rcnn": "Install torchvision."}, ())
    dock.session.compute.done.emit(call.job, {"outcome": outcome})
    assert warned[-1].endswith("there is nothing to compare it with. Install torchvision.")
    assert dock.session.model.stem.startswith("hela U-Net ")


def test_stop_keeps_what_a_kind_has_learnt(qtbot, dock, folder):
    call = compete(qtbot, dock)
    click(qtbot, dock.bar.button)
    compute = dock.session.compute
    assert compute.stops == [call.job]
    write_model(call.arguments[2] / "unet.safetensors", CARD)
    compute.stopped.emit(call.job, {})
    assert re.fullmatch(
        "Stopped · nothing was compared; “hela U-Net .*” is kept.", dock.bar.sentence
    )
    assert dock.session.model.exists()
    assert not call.arguments[2].exists()


def test_from_scratch_where_one_says_so(qtbot, dock):
    dock.from_package.setChecked(False)
    assert list(compete(qtbot, dock).options["start_from"]) == []


def test_another_image_in_view_gets_no_layers_of_the_comparison(qtbot, dock, model):
    call = compete(qtbot, dock)
    model.add_image(np.zeros((8, 8)), name="other")
    dock.session.image = model.layers["other"]
    room = call.arguments[2]
    standings = scored("unet", room, 0.4, 5.1), scored("mask-rcnn", room, 0.5, 5.2)
    dock.session.compute.done.emit(call.job, {"outcome": Outcome(standings, {}, ())})
    assert dock.session.compute.predictions == []
    assert dock.bar.sentence.startswith("Done · Mask R-CNN is ahead")


def test_each_kind_has_a_word_and_a_colour():
    from napari_unet.widgets._verdict_line import WORDS

    assert set(WORDS) == set(_cell_layers.VERDICT_COLORS) == {*Verdict, *Difference}


def show_wholes(dock, *boxes):
    """Whole cells that fill boxes (top, bottom, left, right)."""
    cells = [
        Shape(np.ones((bottom - top, right - left), bool), (top, left), number)
        for number, (top, bottom, left, right) in enumerate(boxes, 1)
    ]
    viewer, image = dock.session.viewer, dock.session.image
    return _whole_cells.show_wholes(viewer, image, outline(cells), (None, None))


def test_whole_cells_are_judged_with_what_lies_under_others(qtbot, dock):
    layer = show_wholes(dock, (10, 20, 10, 20), (10, 20, 15, 33), (12, 14, 16, 18))
    choose(dock.prediction, layer.name)
    with qtbot.waitSignal(dock._judge.judged) as judged:
        click(qtbot, dock.bar.button)
    (found,) = judged.args[0].maps
    assert [(pair.true, pair.predicted) for pair in found.pairs] == [(1, 1), (2, 2)]
    assert [pair.iou for pair in found.pairs] == pytest.approx([1, 100 / 180])
    assert len(found.places[Verdict.FALSE_POSITIVE]) == 1


def test_whole_cells_may_be_the_truth(qtbot, dock):
    layer = show_wholes(dock, (10, 20, 10, 20), (10, 20, 14, 24))
    choose(dock.truth, layer.name)
    choose(dock.prediction, "by hand")
    with qtbot.waitSignal(dock._judge.judged) as judged:
        click(qtbot, dock.bar.button)
    (found,) = judged.args[0].maps
    assert found.scores.n_true == 2
    assert [(pair.true, pair.iou) for pair in found.pairs] == [(1, 1)]
    assert found.known == 1


def test_classes_are_told_apart_by_their_names(qtbot, dock):
    """The first predicted cell is of the second class."""
    truth, prediction = dock.truth.layer, dock.prediction.layer
    truth.features = {"index": [1, 2], "class": ["round", "long"]}
    prediction.data[10:20, 23:33] = 3
    prediction.features = {"index": [3, 5, 9], "class": ["long", "round", "long"]}
    with qtbot.waitSignal(dock._judge.judged) as judged:
        click(qtbot, dock.bar.button)
    (found,) = judged.args[0].maps
    counts = {kind: (one.n_true, one.n_pred, one.ap[0]) for kind, one in found.by_class.items()}
    assert counts == {1: (1, 1, 1), 2: (1, 2, 0.5)}
