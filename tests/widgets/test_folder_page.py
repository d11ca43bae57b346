"""A folder of images through the Predict panel."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDropEvent

from fake_compute import FakeCompute, write_model
from napari_unet.core.label_files import write_labels
from napari_unet.core.samples import make_sample
from napari_unet.core.types import FileDone, PlaneDone, Resumed, TileDone
from napari_unet.widgets import _layers, _model_files
from napari_unet.widgets._form import Fold
from napari_unet.widgets._session import session
from napari_unet.widgets._task_bar import TaskState
from napari_unet.widgets.predict_dock import PredictDock


@pytest.fixture
def warned(monkeypatch):
    said = []
    monkeypatch.setattr("napari_unet.widgets._folder_page.show_warning", said.append)
    return said


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for number in (1, 2, 10):
        tifffile.imwrite(folder / f"cell{number}.tif", np.zeros((16, 16), np.uint8))
    return folder


@pytest.fixture
def page(qtbot, model, tmp_path, monkeypatch, warned):
    monkeypatch.setenv("NAPARI_UNET_MODELS", str(tmp_path / "models"))
    write_model(_model_files.models_folder() / "nuclei.safetensors")
    session(model)._compute = FakeCompute()
    dock = PredictDock(model)
    qtbot.addWidget(dock)
    dock.resize(320, 700)
    dock.show()
    dock.session.compute.warm()
    next(fold for fold in dock.findChildren(Fold) if fold._content is dock.folder).set_open(True)
    dock.folder._dock = dock  # lives as long
    return dock.folder


def begin(qtbot, page, folder):
    page.source.set_path(folder)
    qtbot.mouseClick(page.bar.button, Qt.MouseButton.LeftButton)
    compute = page._session.compute
    qtbot.waitUntil(lambda: bool(compute.batches) or page.bar.state is TaskState.FAILED)
    return compute


def words(page):
    model = page.files
    return [model.data(model.index(row, 1)) for row in range(model.rowCount())]


def through(path, number, status="done", **more):
    cells = None if status == "failed" else 41
    result = "" if status == "failed" else str(path.parent / "predicted" / path.name)
    return FileDone(str(path), result, status, cells, number, 3, **more)


def test_each_file_says_how_far_it_is(qtbot, page, images):
    compute = begin(qtbot, page, images)
    (call,) = compute.batches
    into = images / "predicted"
    names = ["cell1.tif", "cell2.tif", "cell10.tif"]
    assert call.arguments[2] == [(images / name, into / name) for name in names]
    assert call.arguments[3] == into
    assert call.options == {"link": False, "resume": True}
    assert words(page) == ["waiting"] * 3
    assert page.table.isVisible()
    paths = [images / name for name in names]
    compute.happened.emit(call.job, TileDone(3, 12, (slice(0, 8), slice(0, 8))))
    assert words(page) == ["tile 3 of 12", "waiting", "waiting"]
    assert page.bar.sentence == "File 1 of 3 · tile 3 of 12"
    compute.happened.emit(call.job, through(paths[0], 1, diameter=18.2))
    compute.happened.emit(call.job, PlaneDone(2, 5, {"T": 1}, 7, kept=False))
    assert words(page)[1] == "plane 2 of 5"
    compute.happened.emit(call.job, through(paths[1], 2, "failed", sentence="It is half copied."))
    compute.happened.emit(call.job, through(paths[2], 3, "kept"))
    assert words(page) == [
        "41 cells · Ø 18 px",
        "left out: It is half copied.",
        "41 cells · as before",
    ]
    compute.done.emit(call.job, {})
    assert page.bar.sentence == "Done · 2 of 3 files · 82 cells · 1 left out · results.csv"
    assert page.source.isEnabled()


def test_stop_keeps_what_is_done_and_the_same_click_goes_on(qtbot, page, images):
    compute = begin(qtbot, page, images)
    compute.happened.emit(1, through(images / "cell1.tif", 1))
    compute.happened.emit(1, TileDone(3, 12, (slice(0, 8), slice(0, 8))))
    qtbot.mouseClick(page.bar.button, Qt.MouseButton.LeftButton)
    assert compute.stops == [1]
    compute.stopped.emit(1, {})
    assert page.bar.sentence == "Stopped · 1 of 3 files are done; Predict folder goes on."
    assert words(page) == ["41 cells", "stopped", "waiting"]
    qtbot.mouseClick(page.bar.button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: len(compute.batches) == 2)
    assert compute.batches[1].options["resume"] is True


def test_what_is_missing_is_a_sentence(qtbot, page, tmp_path, warned):
    qtbot.mouseClick(page.bar.button, Qt.MouseButton.LeftButton)
    assert "drop one here" in warned[-1]
    for name, said in (("nowhere", "does not exist"), ("empty", "No images are in the folder")):
        if name == "empty":
            (tmp_path / name).mkdir()
        begin(qtbot, page, tmp_path / name)
        qtbot.waitUntil(lambda said=said: said in warned[-1])
        assert page.bar.state is TaskState.FAILED
        assert page.source.isEnabled()
    assert not page._session.compute.batches


def test_where_nothing_could_be_predicted_it_failed(qtbot, page, images, warned):
    compute = begin(qtbot, page, images)
    for number, path in enumerate(sorted(images.glob("*.tif")), 1):
        failed = through(path, number, "failed", sentence=f"“{path}” is of 3 channels.")
        compute.happened.emit(1, failed)
    assert words(page) == ["left out: is of 3 channels."] * 3
    compute.done.emit(1, {})
    assert page.bar.state is TaskState.FAILED
    assert "None of the images" in warned[-1]


def test_a_large_image_says_what_was_done_before(qtbot, page, images):
    compute = begin(qtbot, page, images)
    compute.happened.emit(1, Resumed(214, 3))
    assert words(page)[0] == "going on: 214 tiles were done before"


def test_labels_that_cannot_be_written_are_a_sentence(qtbot, page, images, warned):
    (images / "predicted").write_text("in the way")
    begin(qtbot, page, images)
    qtbot.waitUntil(lambda: bool(warned))
    assert "cannot be made" in warned[-1]
    assert page.source.isEnabled()


def test_a_folder_or_a_file_of_it_is_dropped(page, images):
    for dropped in (images, images / "cell1.tif"):
        page.source.set_path(None)
        data = QMimeData()
        data.setUrls([QUrl.fromLocalFile(str(dropped))])
        event = QDropEvent(
            QPointF(5, 5), Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton,
            Qt.KeyboardModifier.NoModifier,
        )  # fmt: skip
        page.source.dropEvent(event)
        assert page.source.path == images
        assert page.into == images / "predicted"


def test_of_ten_thousand_files_one_row_is_drawn_anew(page, images):
    page.files.set_paths([images / f"cell{number}.tif" for number in range(10_000)])
    page.table.show()
    page._job = 1
    changed, resets = [], []
    page.files.dataChanged.connect(lambda first, last: changed.append((first.row(), last.row())))
    page.files.modelReset.connect(lambda: resets.append(True))
    for number in range(3):
        page._on_happened(1, TileDone(1, 2, (slice(0, 8), slice(0, 8))))
        page._on_happened(1, through(images / f"cell{number}.tif", number + 1))
    assert changed == [(row, row) for row in (0, 0, 1, 1, 2, 2)]
    assert not resets


def test_the_table_follows_until_somebody_scrolls_away(page, images):
    page.files.set_paths([images / f"cell{number}.tif" for number in range(200)])
    page.table.show()
    page._job = 1
    bar = page.table.verticalScrollBar()
    for number in range(60):
        page._on_happened(1, through(images / f"cell{number}.tif", number + 1))
    assert bar.value() > 0
    bar.setValue(0)
    page._on_happened(1, through(images / "cell60.tif", 61))
    assert bar.value() == 0


def test_a_row_opens_the_image_with_its_cells(qtbot, page, images, model, monkeypatch):
    into = images / "predicted"
    labels = np.zeros((16, 16), np.int32)
    labels[2:5, 2:5] = 1
    write_labels(into / "cell1.tif", labels)

    def read(path):
        return [model.add_image(tifffile.imread(path), name=Path(path).stem)]

    monkeypatch.setattr(type(model), "open", lambda self, path: read(path), raising=False)
    compute = begin(qtbot, page, images)
    compute.happened.emit(1, through(images / "cell1.tif", 1))
    place = page.table.visualRect(page.files.index(0, 0)).center()
    qtbot.mouseClick(page.table.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(place))
    qtbot.mouseDClick(page.table.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(place))
    layer = _layers.find(model, _layers.PREDICTION, model.layers["cell1"])
    np.testing.assert_array_equal(layer.data, labels)
    count = len(model.layers)
    page.table.setCurrentIndex(page.files.index(1, 0))
    qtbot.keyClick(page.table, Qt.Key.Key_Return)  # of which nothing is there yet
    assert len(model.layers) == count


def test_a_folder_is_predicted_for_real(qtbot, model, tmp_path, monkeypatch, warned):
    """Three images and a broken one, through the compute process and a start model."""
    monkeypatch.setenv("NAPARI_UNET_MODELS", str(tmp_path / "models"))
    folder = tmp_path / "real"
    folder.mkdir()
    for seed in range(3):
        sample = make_sample("fluorescence", (128, 128), seed=seed)
        tifffile.imwrite(folder / f"a{seed}.tif", sample.image[0])
    (folder / "broken.tif").write_bytes(b"II*\0")
    dock = PredictDock(model)
    qtbot.addWidget(dock)
    page = dock.folder
    page.source.set_path(folder)
    try:
        page.start()
        qtbot.waitUntil(lambda: page.bar.state is TaskState.DONE, timeout=120_000)
    finally:
        dock.close()
        dock.session.compute.close()
    assert "3 of 4 files" in page.bar.sentence
    assert words(page)[3].startswith("left out: ")
    with (folder / "predicted" / "results.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows] == ["done"] * 3 + ["failed"]
    assert all(tifffile.imread(folder / "predicted" / f"a{i}.tif").any() for i in range(3))


def test_a_page_that_is_closed_while_it_looks_begins_nothing(qtbot, page, images):
    page.source.line.setText(str(images))
    page.start()
    page.close_down()
    qtbot.wait(300)
    assert not page._session.compute.batches
