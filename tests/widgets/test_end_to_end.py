"""The whole job in a shown window: a file, clicks on the panels, strokes on the canvas.

`HAND` decides what moves the mouse: Qt's own test events, or, by hand on a real image,

    NAPARI_UNET_HAND=xdotool NAPARI_UNET_IMAGE=image.png NAPARI_UNET_TRUTH=labels.tif \
    NAPARI_UNET_SHOTS=DIR NAPARI_UNET_BUDGET=1 pytest tests/widgets/test_end_to_end.py

which sends X events to the window, paints the truth's outlines of some cells as strokes, and
leaves a screenshot after each step.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QWidget
from scipy import ndimage

from napari_unet.core.label_files import read_labels
from napari_unet.core.metrics import evaluate
from napari_unet.core.samples import make_sample
from napari_unet.widgets import _layers
from napari_unet.widgets._session import session
from napari_unet.widgets._task_bar import TaskState
from napari_unet.widgets.all_docks import open_all

HAND = os.environ.get("NAPARI_UNET_HAND", "qt")
SHOTS = os.environ.get("NAPARI_UNET_SHOTS")
BUDGET = float(os.environ.get("NAPARI_UNET_BUDGET", "0.2"))
CELLS = 10


class Person:
    """Sits in front of the window: clicks, drags, looks."""

    def __init__(self, viewer, qtbot) -> None:
        self.viewer, self.qtbot = viewer, qtbot
        self.canvas = viewer.window._qt_viewer.canvas
        self.clicks = 0

    def click(self, widget: QWidget) -> None:
        self.clicks += 1
        self.qtbot.waitUntil(lambda: widget.isVisible() and widget.isEnabled())
        self._press_and_release(widget, [widget.rect().center()])

    def stroke(self, points: np.ndarray) -> None:
        """Drag over (row, column) points of the image, in its pixels."""
        self._press_and_release(self.canvas.native, [self._on_canvas(p) for p in points])

    def look(self, name: str) -> None:
        self.qtbot.wait(300)
        if SHOTS:
            path = str(Path(SHOTS) / f"{name}.png")
            self.viewer.screenshot(path, canvas_only=False, flash=False)

    def _on_canvas(self, point: np.ndarray) -> QPoint:
        view = self.canvas.view
        origin = np.array(self.canvas._map_canvas2world((0, 0), view)[-2:])
        step = np.array(self.canvas._map_canvas2world((100, 100), view)[-2:]) - origin
        row, column = (np.asarray(point) - origin) / step * 100
        return QPoint(round(column), round(row))

    def _press_and_release(self, widget: QWidget, points: list[QPoint]) -> None:
        if HAND == "xdotool":
            places = [widget.mapToGlobal(point) for point in points]
            self._xdotool("mousemove", places[0], "mousedown", "1")
            for place in places[1:]:
                self._xdotool("mousemove", place)
            self._xdotool("mouseup", "1")
            return
        button = Qt.MouseButton.LeftButton
        QTest.mousePress(widget, button, Qt.KeyboardModifier.NoModifier, points[0])
        for point in points[1:]:
            QTest.mouseMove(widget, point)
            self.qtbot.wait(5)
        QTest.mouseRelease(widget, button, Qt.KeyboardModifier.NoModifier, points[-1])
        self.qtbot.wait(30)

    def _xdotool(self, *words: object) -> None:
        flat: list[str] = []
        for word in words:
            flat += [str(word.x()), str(word.y())] if isinstance(word, QPoint) else [str(word)]
        subprocess.run(["xdotool", *flat], check=True)
        self.qtbot.wait(40)


@pytest.fixture
def material(tmp_path):
    """A PNG on disk and the truth that the person has in mind."""
    if "NAPARI_UNET_IMAGE" in os.environ:
        return Path(os.environ["NAPARI_UNET_IMAGE"]), read_labels(os.environ["NAPARI_UNET_TRUTH"])
    sample = make_sample("fluorescence", (256, 256), seed=3)
    scaled = sample.image[0] / sample.image.max() * 255
    imageio.imwrite(tmp_path / "cells.png", scaled.astype(np.uint8))
    return tmp_path / "cells.png", sample.labels


def test_the_whole_job(make_napari_viewer, qtbot, material, tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_UNET_MODELS", str(tmp_path / "models"))
    path, truth = material
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1280, 800)
    viewer.open(str(path), plugin="napari")
    panels = open_all(viewer)
    known = session(viewer)
    known.compute.start()
    qtbot.wait(500)
    person = Person(viewer, qtbot)

    annotate = panels.show_panel("Annotate")
    person.click(annotate.new)
    region = paint_cells(person, annotate, truth)
    person.click(annotate.rectangle)
    rows, columns = region
    person.stroke(np.array([[rows.start, columns.start], [rows.stop - 1, columns.stop - 1]]))
    person.look("1-annotated")
    painted = known.labels.data[region]
    assert len(np.unique(painted[painted > 0])) >= CELLS - 2
    assert known.complete() is not None
    assert known.complete()[region].mean() > 0.9

    panels.show_panel("Weight map")
    qtbot.waitUntil(lambda: _layers.find(viewer, _layers.WEIGHTS, known.image) is not None)
    person.look("2-weights")
    weights = _layers.find(viewer, _layers.WEIGHTS, known.image)
    shown = _layers.weights_plane(weights, known.plane_index(known.image))
    assert shown[region].max() > 2
    outside = np.ones(shown.shape, bool)
    outside[rows.start - 3 : rows.stop + 3, columns.start - 3 : columns.stop + 3] = False
    outside &= known.labels.data == 0
    assert not shown[outside].any()

    train = panels.show_panel("Train")
    train.budget.set_minutes(10)
    person.click(train.bar.button)
    qtbot.waitUntil(lambda: train.bar.state is TaskState.RUNNING, timeout=60_000)
    qtbot.wait(round(BUDGET * 60_000))
    person.look("3-training")
    person.click(train.bar.button)
    qtbot.waitUntil(lambda: train.bar.state is TaskState.DONE, timeout=60_000)
    person.look("4-stopped")
    assert train.bar.sentence.startswith("Stopped")
    assert known.model is not None
    assert known.model.exists()

    predict = panels.show_panel("Predict")
    person.click(predict.whole)
    person.click(predict.bar.button)
    qtbot.waitUntil(lambda: predict.bar.state is TaskState.DONE, timeout=120_000)
    person.look("5-predicted")
    prediction = _layers.find(viewer, _layers.PREDICTION, known.image)
    assert prediction.data.shape == truth.shape
    assert prediction.data.max() > 0
    if SHOTS:
        scores = evaluate(truth, prediction.data)
        report = f"{path.name}: {scores}, {person.clicks} clicks\n{predict.result.text()}\n"
        (Path(SHOTS) / "scores.txt").write_text(report)


def paint_cells(person, annotate, truth):
    """Paint cells of a square of the truth with strokes along their rows; returns the square."""
    places = ndimage.find_objects(truth)
    middle = np.array(truth.shape) // 2
    order = sorted(
        (i for i, box in enumerate(places) if box is not None),
        key=lambda i: max(
            abs((box.start + box.stop) / 2 - m) for box, m in zip(places[i], middle, strict=True)
        ),
    )
    chosen = order[:CELLS]
    for i in chosen:
        person.click(annotate.cell)
        person.viewer.layers.selection.active.brush_size = 4
        box = places[i]
        rows = range(box[0].start + 1, box[0].stop, 3)
        zigzag = []
        for turn, row in enumerate(rows):
            columns = np.flatnonzero(truth[row, box[1]] == i + 1) + box[1].start
            if len(columns) > 2:
                ends = [(row, columns[1]), (row, columns[-2])]
                zigzag += ends[:: -1 if turn % 2 else 1]
        if zigzag:
            person.stroke(np.array(zigzag))
    inside = [places[i] for i in chosen]
    return tuple(
        slice(
            max(2, min(box[axis].start for box in inside) - 2),
            min(truth.shape[axis] - 2, max(box[axis].stop for box in inside) + 2),
        )
        for axis in (0, 1)
    )
