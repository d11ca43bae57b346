"""How long after the click on Predict the first cells of the visible field are on the screen.

    xvfb-run -a python benchmarks/first_tile.py [--size 1024] [--model MODEL] [--rounds 5]

Opens a real window on an image of `size`², waits until the compute process is warm, and clicks.
For the visible field and for the whole image it prints the seconds until the click was answered,
until the first look at how large the cells are (with a model for cells of any size), until the
first tile was predicted, until a frame with its cells was drawn, and until all was done; the first
round pays what later ones find done. By default the model is one as Train makes it, trained for a
few seconds.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import napari
from qtpy.QtWidgets import QApplication

from napari_unet.core.config import TrainConfig
from napari_unet.core.samples import make_sample
from napari_unet.core.types import Looking, TileDone
from napari_unet.widgets import _layers
from napari_unet.widgets._session import session
from napari_unet.widgets._task_bar import TaskState
from napari_unet.widgets.all_docks import open_all

CLOCK = time.perf_counter


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=1024, help="edge of the image in pixels")
    parser.add_argument("--model", type=Path, help="a model file; by default one is trained")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NAPARI_UNET_MODELS"] = folder
        measure(given.size, given.model, given.rounds, Path(folder))


def measure(size: int, model: Path | None, rounds: int, folder: Path) -> None:
    """Open the window, get a model, and click."""
    viewer = napari.Viewer()
    viewer.window.resize(1280, 800)
    sample = make_sample("fluorescence", (size, size))
    viewer.add_image(sample.image[0], name="field")
    panels = open_all(viewer)
    known = session(viewer)
    predict = panels.show_panel("Predict")
    wait(lambda: known.compute.report is not None)
    if model is None:
        model = train(known, sample, folder / "quick.safetensors")
    known.model = model
    print(f"{size}² px, {model.stem}, {known.compute.report.words}")
    for where in (predict.visible, predict.whole):
        where.setChecked(True)
        for number in range(rounds):
            times = click(viewer, known, predict)
            print(
                f"{where.text()}, round {number + 1}: "
                + ", ".join(f"{what} {seconds:.2f} s" for what, seconds in times.items())
            )
    viewer.close()


def train(known: object, sample: object, path: Path) -> Path:
    """A model of the default plan: what it knows is of no matter here."""
    ended: list[object] = []
    known.compute.done.connect(lambda job, result: ended.append(result))
    config = TrainConfig(steps=60, val_fraction=0.2)
    known.compute.train([sample], config, output=path)
    wait(lambda: bool(ended))
    return path


def click(viewer: napari.Viewer, known: object, predict: object) -> dict[str, float]:
    """Seconds after the click until each stage."""
    layer = _layers.find(viewer, _layers.PREDICTION, known.image)
    if layer is not None:
        viewer.layers.remove(layer)
        spin(0.5)
    times: dict[str, float] = {}
    begin = CLOCK()

    def note(_: int, event: object) -> None:
        if isinstance(event, Looking):
            times.setdefault("first look", CLOCK() - begin)
        if isinstance(event, TileDone):
            times.setdefault("first tile", CLOCK() - begin)

    known.compute.happened.connect(note)
    predict.bar.button.click()
    times["click answered"] = CLOCK() - begin
    drawn: list[float] = []

    def draw(_: object) -> None:
        shown = _layers.find(viewer, _layers.PREDICTION, known.image)
        if shown is not None and shown.data.any():
            drawn.append(CLOCK() - begin)

    canvas = viewer.window._qt_viewer.canvas._scene_canvas
    canvas.events.draw.connect(draw)
    wait(lambda: bool(drawn) or predict.bar.state is TaskState.FAILED)
    assert drawn, predict.bar.sentence
    times["cells drawn"] = drawn[0]
    wait(lambda: predict.bar.state is not TaskState.RUNNING)
    assert predict.bar.state is TaskState.DONE, predict.bar.sentence
    times["all done"] = CLOCK() - begin
    canvas.events.draw.disconnect(draw)
    known.compute.happened.disconnect(note)
    return times


def wait(done: object, seconds: float = 600) -> None:
    end = time.monotonic() + seconds
    while not done():  # type: ignore[operator]
        if time.monotonic() > end:
            raise TimeoutError
        spin(0.005)


def spin(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.001)


if __name__ == "__main__":
    main()
