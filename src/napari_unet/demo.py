"""The main job on a sample, through the real panels: for a first look, and as a check.

With a screen it opens napari ready to train. Without one it clicks through the job itself in a
virtual screen and leaves what came out of it in a folder.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_unet.core.errors import InputError

if TYPE_CHECKING:
    from napari.viewer import Viewer

SAMPLE = "fluorescence"
MINUTES = 1.5
_SCREEN = "1920x1200x24"
_LATE = 240.0  # seconds that a step may take beside its budget: a cold disk is slow


def run_demo(out: Path, headless: bool, minutes: float = MINUTES) -> int:
    """Open the demo, or run it without a screen.

    Parameters
    ----------
    out : Path
        Headless only: the folder for window.png, weights.tif, model.safetensors and labels.tif.
    headless : bool
        Click through the job and end, also where there is a screen. Without one that is what
        happens anyway, in a virtual screen.
    minutes : float
        Headless only: the budget of the training.

    Returns
    -------
    int
        0, or 1 with one sentence on the standard error where a step failed.
    """
    if not headless and _has_screen():
        return _open()
    try:
        with _quiet_settings(), _screen():
            lines = _Walk(out, minutes).run()
    except InputError as error:
        sys.stderr.write(f"The demo failed: {error}\n")
        return 1
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _open() -> int:
    import napari

    from napari_unet.widgets.all_docks import open_all

    viewer = napari.Viewer()
    _open_sample(viewer)
    open_all(viewer).show_panel("Train")
    napari.run()
    return 0


def _open_sample(viewer: Viewer) -> None:
    viewer.open_sample("napari-unet-cells", SAMPLE)


@contextlib.contextmanager
def _quiet_settings() -> Iterator[None]:
    """Leave the person's napari settings and folder of models alone."""
    names = ("NAPARI_CONFIG", "NAPARI_UNET_MODELS")
    before = {name: os.environ.get(name) for name in names}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NAPARI_CONFIG"] = str(Path(folder) / "settings.yaml")
        os.environ["NAPARI_UNET_MODELS"] = folder
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


def _has_screen() -> bool:
    names = ("DISPLAY", "WAYLAND_DISPLAY")
    return sys.platform != "linux" or any(os.environ.get(name) for name in names)


@contextlib.contextmanager
def _screen() -> Iterator[None]:
    """A screen to draw on: the one there is, or a virtual one of our own."""
    if _has_screen():
        yield
        return
    if shutil.which("Xvfb") is None:
        raise InputError(
            "there is neither a screen nor Xvfb: install it (on Debian and Ubuntu "
            "`apt install xvfb`), or run the demo without --headless where there is a screen."
        )
    reading, writing = os.pipe()
    command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", _SCREEN, "-nolisten", "tcp"]
    with subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.DEVNULL) as server:
        os.close(writing)
        try:
            with os.fdopen(reading) as pipe:
                number = pipe.readline().strip()
            if not number:
                raise InputError("Xvfb did not start: run `Xvfb :99` to see why.")
            os.environ["DISPLAY"] = f":{number}"
            os.environ["QT_QPA_PLATFORM"] = "xcb"
            yield
        finally:
            server.terminate()


class _Walk:
    """The clicks of the main job, one after the other, and what they leave."""

    def __init__(self, out: Path, minutes: float) -> None:
        self._out, self._minutes = out, minutes
        self._errors: list[str] = []
        self._lines: list[str] = []

    def run(self) -> list[str]:
        """Do the job; returns what to tell."""
        import napari
        from napari.utils.notifications import notification_manager

        self._out.mkdir(parents=True, exist_ok=True)
        notification_manager.notification_ready.connect(self._on_notification)
        viewer = napari.Viewer(show=True)
        try:
            viewer.window.resize(1600, 1000)
            self._walk(viewer)
        finally:
            notification_manager.notification_ready.disconnect(self._on_notification)
            viewer.close()
        return self._lines

    def _walk(self, viewer: Viewer) -> None:
        from napari_unet.widgets.all_docks import open_all

        _open_sample(viewer)
        panels = open_all(viewer)
        self._show_weights(viewer, panels)
        self._train(panels)
        self._predict(viewer, panels)
        viewer.screenshot(str(self._out / "window.png"), canvas_only=False, flash=False)
        self._lines += [str(self._out / name) for name in _LEFT]

    def _show_weights(self, viewer: Viewer, panels: Any) -> None:
        from napari_unet.widgets import _layers
        from napari_unet.widgets._session import session

        known = session(viewer)
        panels.show_panel("Weight map").show_map.setChecked(True)

        def found() -> Any:
            return _layers.find(viewer, _layers.WEIGHTS, known.image)

        self._wait(lambda: found() is not None, _LATE, "The weight map did not come.")
        import tifffile

        weights = _layers.weights_plane(found(), known.plane_index(known.image))
        tifffile.imwrite(self._out / "weights.tif", weights, compression="zlib")
        self._lines.append(f"weight map: {weights.min():.2f} … {weights.max():.2f}")

    def _train(self, panels: Any) -> None:
        train = panels.show_panel("Train")
        train.budget.set_minutes(self._minutes)
        train.bar.button.click()
        self._wait_for_bar(train.bar, 60 * self._minutes + _LATE, "The training did not end.")
        if train.session.model is None:
            raise InputError("the training left no model.")
        shutil.copyfile(train.session.model, self._out / "model.safetensors")
        self._lines += filter(None, [f"training: {train.bar.sentence}", train.log.score])

    def _predict(self, viewer: Viewer, panels: Any) -> None:
        from napari_unet.core.label_files import write_labels
        from napari_unet.core.metrics import evaluate
        from napari_unet.widgets import _layers

        predict = panels.show_panel("Predict")
        predict.whole.setChecked(True)
        predict.bar.button.click()
        self._wait_for_bar(predict.bar, _LATE, "The prediction did not end.")
        found = _layers.find(viewer, _layers.PREDICTION, predict.session.image).data
        write_labels(self._out / "labels.tif", found)
        truth = next(layer for layer in viewer.layers if _layers.role_of(layer) == "truth").data
        scores = evaluate(truth, found)
        self._lines += [
            f"prediction: {predict.bar.sentence} · {predict.result.text()}",
            f"against the truth: AP50 {scores['ap50']:.3f} · F1 {scores['f1_50']:.3f} · "
            f"PQ {scores['pq']:.3f} · {scores['n_pred']} of {scores['n_true']} cells",
        ]

    def _wait_for_bar(self, bar: Any, seconds: float, sentence: str) -> None:
        from napari_unet.widgets._task_bar import TaskState

        ended = (TaskState.DONE, TaskState.FAILED)
        self._wait(lambda: bar.state in ended, seconds, sentence)
        if bar.state is TaskState.FAILED:
            raise InputError(f"{bar.sentence}\n{bar.report}")

    def _wait(self, done: Callable[[], bool], seconds: float, sentence: str) -> None:
        """Let napari work until `done`."""
        from qtpy.QtWidgets import QApplication

        end = time.monotonic() + seconds
        while not done():
            if self._errors:
                raise InputError(self._errors[0])
            if time.monotonic() > end:
                raise InputError(f"{sentence} It took more than {seconds:.0f} s.")
            QApplication.processEvents()
            time.sleep(0.01)

    def _on_notification(self, notification: Any) -> None:
        if str(notification.severity) == "error":
            self._errors.append(f"{notification.message}")


_LEFT = ("window.png", "weights.tif", "model.safetensors", "labels.tif")
