"""Proofreading as a person does it, with clicks into the window: predict, correct, learn, better?

    xvfb-run -a -s "-screen 0 1280x800x24" python benchmarks/proofreading.py DATA/usiigaci_phase
        [--start phase|none] [--minutes 3] [--shots FOLDER]

Cells of the first image of `val` are predicted, then corrected as its truth says: ten that are
right are accepted, at most two merged ones split with a line, two that are parts of one merged,
three that are none rejected. What was said is trained on from the start model, and AP50 of the
other images of `val` is given before and after, with the number of clicks and drags. With `--start
none` the model is one trained as long, from scratch, on five crops of 256² of `train`.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import napari
import numpy as np
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from scipy.ndimage import distance_transform_edt

from few_shot import teach
from gui_thread import spin, wait
from napari_unet.core.file_pairs import pair_by_stem
from napari_unet.core.label_files import read_labels
from napari_unet.core.listing import expand
from napari_unet.core.pixels import read_image
from napari_unet.core.start_models import find_model_file
from napari_unet.widgets import _layers, _planes
from napari_unet.widgets._session import session
from napari_unet.widgets._task_bar import TaskState
from napari_unet.widgets.all_docks import open_all
from real_images import call

_LEFT = Qt.MouseButton.LeftButton


class Hand:
    """Clicks and drags in one napari window, counted."""

    def __init__(self, viewer: napari.Viewer) -> None:
        self.viewer, self.count = viewer, 0
        self._canvas = viewer.window._qt_viewer.canvas.native

    def press(self, button: object) -> None:
        self.count += 1
        QTest.mouseClick(button, _LEFT)
        spin(0.3)

    def click(self, place: np.ndarray) -> None:
        self.count += 1
        QTest.mouseClick(self._canvas, _LEFT, pos=self._point(place))
        spin(0.3)

    def drag(self, start: np.ndarray, end: np.ndarray) -> None:
        self.count += 1
        QTest.mousePress(self._canvas, _LEFT, pos=self._point(start))
        for part in np.linspace(0.1, 1, 10):
            QTest.mouseMove(self._canvas, self._point(start + part * (end - start)))
            spin(0.02)
        QTest.mouseRelease(self._canvas, _LEFT, pos=self._point(end))
        spin(0.3)

    def _point(self, place: np.ndarray) -> QPoint:
        camera = _planes.find_camera(self.viewer)
        size = self._canvas.width(), self._canvas.height()
        row, column = (np.asarray(place) - camera.center[-2:]) * camera.zoom
        return QPoint(round(column + size[0] / 2), round(row + size[1] / 2))


def correct(hand: Hand, panel: object, predicted: np.ndarray, truth: np.ndarray) -> dict[str, int]:
    """Say of cells what the truth says; how many of each kind."""
    done = {"accepted": 0, "split": 0, "merged": 0, "rejected": 0}
    shares = np.zeros((int(predicted.max()) + 1, int(truth.max()) + 1), np.int64)
    np.add.at(shares, (predicted, truth), 1)
    areas, true_areas = shares.sum(axis=1), shares.sum(axis=0)
    iou = shares / (areas[:, None] + true_areas[None, :] - shares)
    for truth_label in range(1, len(true_areas)):
        parts = np.flatnonzero(shares[1:, truth_label] > 0.6 * areas[1:]) + 1
        if len(parts) > 1 and done["merged"] < 2:
            hand.click(inside(predicted == parts[0]))
            hand.press(panel.merging)
            hand.click(inside(predicted == parts[1]))
            done["merged"] += panel.state.text() == "Merged."
    for label in range(1, len(areas)):
        within = np.flatnonzero(shares[label, 1:] > 0.5 * true_areas[1:]) + 1
        place = inside(predicted == label)
        if len(within) == 2 and done["split"] < 2:
            hand.click(place)
            hand.press(panel.splitting)
            one, other = (np.argwhere((truth == i) & (predicted == label)).mean(0) for i in within)
            middle, across = (one + other) / 2, (other - one)[::-1] * (1, -1)
            hand.drag(middle - 1.5 * across, middle + 1.5 * across)
            done["split"] += panel.state.text() == "Split in two."
        elif iou[label, 1:].max() > 0.6 and done["accepted"] < 10:
            hand.click(place)
            hand.press(panel.accepting)
            done["accepted"] += panel.state.text() == "Accepted."
        elif iou[label, 1:].max() < 0.1 and done["rejected"] < 3:
            hand.click(place)
            hand.press(panel.rejecting)
            done["rejected"] += panel.state.text() == "Rejected."
    return done


def inside(mask: np.ndarray) -> np.ndarray:
    """A pixel deep in a shape."""
    return np.array(np.unravel_index(distance_transform_edt(mask).argmax(), mask.shape))


def score(model: object, pairs: list[tuple[Path, Path]]) -> float:
    """AP50 on images, through the command line."""
    with tempfile.TemporaryDirectory() as out:
        call("predict", model, *(image for image, _ in pairs), "-o", out)
        truth = [path for _, path in pairs]
        return float(call("evaluate", "--truth", *truth, "--prediction", out)["ap50"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--start", default="phase")
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--shots", type=Path)
    given = parser.parse_args()
    val = given.folder / "val"
    first, *others = pair_by_stem(expand(val / "images"), expand(val / "labels", "labels"))
    with tempfile.TemporaryDirectory() as models, tempfile.TemporaryDirectory() as scratch:
        os.environ["NAPARI_UNET_MODELS"] = models
        start = given.start
        if start == "none":
            start = teach(given.folder, 5, given.minutes, "none", 0, Path(scratch))
        model, done, clicks = work(first, start, given.minutes, given.shots)
        print(", ".join(f"{count} {what}" for what, count in done.items()), f"in {clicks} clicks")
        print(f"AP50 on {len(others)} other images: {score(start, others):.3f} before, "
              f"{score(model, others):.3f} after")  # fmt: skip


def work(
    pair: tuple[Path, Path], start: Path | str, minutes: float, shots: Path | None
) -> tuple[Path, dict[str, int], int]:
    viewer = napari.Viewer()
    viewer.window.resize(1280, 800)
    image = viewer.add_image(read_image(pair[0])[0], name=pair[0].stem)
    panels, known = open_all(viewer), session(viewer)
    spin(0.5)
    viewer.reset_view()  # beside the panels, too, all of it is to be in view
    hand = Hand(viewer)

    def shoot(name: str) -> None:
        spin(0.5)
        if shots is not None:
            shots.mkdir(parents=True, exist_ok=True)
            viewer.window.screenshot(str(shots / f"{name}.png"), canvas_only=False)

    predict = panels.show_panel("Predict")
    known.model = find_model_file(start)
    predict.whole.setChecked(True)
    hand.press(predict.bar.button)
    wait(lambda: predict.bar.state in (TaskState.DONE, TaskState.FAILED))
    shoot("predicted")
    correct_panel = panels.show_panel("Correct")
    wait(lambda: correct_panel.progress.text() != "")
    layer = _layers.find(viewer, _layers.PREDICTION, image)
    done = correct(hand, correct_panel, layer.data.copy(), read_labels(pair[1]))
    shoot("corrected")
    train = panels.show_panel("Train")
    train.budget.set_minutes(minutes)
    train.start_from.set_path(find_model_file(start))
    hand.press(train.bar.button)
    wait(lambda: train.bar.state in (TaskState.DONE, TaskState.FAILED))
    shoot("trained")
    assert train.bar.state is TaskState.DONE, train.bar.sentence
    assert known.model is not None
    viewer.close()
    return known.model, done, hand.count


if __name__ == "__main__":
    main()
