"""How long our own code holds napari's GUI thread while a 2048² image is trained on and predicted.

    xvfb-run -a python benchmarks/gui_thread.py [--size 2048] [--minutes 0.5] [--wait]

Every entry of the event loop into `napari_unet` (a slot, a timer, a callback of a layer) is timed
from the outermost frame of ours to its return, with a profile hook in the GUI thread; what napari
draws afterwards is not in it, what our slots make napari do is. The clock is the wall's:
what the person waits, with training on the same cores. The hook itself slows Python down: how much
is measured on what took longest, the drawing of all cells.
Prints the longest entries and their 99th percentile, and how long after the click on Train the
first loss and the first predicted cells were there, with the panel open for ten seconds before.
The hand paints ten times a second from the click on; with `--wait` only once there are cells. Where
no GPU draws the canvas, as here, each stroke costs the training what it costs the processor.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from types import FrameType

import napari
import numpy as np
from qtpy.QtWidgets import QApplication

import napari_unet
from napari_unet.core.samples import make_sample
from napari_unet.core.types import Stepped
from napari_unet.widgets import _cell_layers, _layers
from napari_unet.widgets._session import session
from napari_unet.widgets._task_bar import TaskState
from napari_unet.widgets.all_docks import open_all

CLOCK = time.perf_counter
ADDING = {"LayerList.insert", "LayerList.append", "Labels.__init__", "Image.__init__"}
OURS = str(Path(napari_unet.__file__).parent)


class Stopwatch:
    """Times each entry from foreign code into ours; nested frames of ours belong to the first.

    When a layer is made, napari builds its controls and its visual before it returns: that is
    counted apart, in `adding`, and taken off the entry.
    """

    def __init__(self) -> None:
        self.entries: dict[str, list[float]] = defaultdict(list)
        self.adding: list[float] = []
        self.waits: dict[str, float] = {}
        self.slows = 1.0
        self._outermost: FrameType | None = None
        self._foreign: FrameType | None = None
        self._began = self._foreign_began = self._apart = 0.0

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        if self._outermost is None:
            if event == "call" and frame.f_code.co_filename.startswith(OURS):
                self._outermost, self._began, self._apart = frame, CLOCK(), 0.0
        elif self._foreign is None and event == "call" and frame.f_code.co_qualname in ADDING:
            self._foreign, self._foreign_began = frame, CLOCK()
        elif event == "return" and frame is self._foreign:
            self._foreign = None
            self.adding.append(CLOCK() - self._foreign_began)
            self._apart += self.adding[-1]
        elif event == "return" and frame is self._outermost:
            name = f"{Path(frame.f_code.co_filename).stem}.{frame.f_code.co_qualname}"
            self.entries[name].append(CLOCK() - self._began - self._apart)
            self._outermost = None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--minutes", type=float, default=0.5)
    parser.add_argument("--wait", action="store_true", help="paint when there are cells")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NAPARI_UNET_MODELS"] = folder
        report(work(given.size, given.minutes, given.wait), given.size)


def work(size: int, minutes: float, wait_for_cells: bool) -> Stopwatch:
    """Open, show the map, train, paint meanwhile, predict the whole image."""
    viewer = napari.Viewer()
    viewer.window.resize(1600, 1000)
    sample = make_sample("fluorescence", (size, size))
    viewer.add_image(sample.image[0], name="large")
    panels = open_all(viewer)
    known = session(viewer)
    labels = known.add_annotation()
    rows, columns = np.nonzero(sample.labels[: size // 2, : size // 2])
    labels.data_setitem((rows, columns), sample.labels[rows, columns])
    panels.show_panel("Weight map").show_map.setChecked(True)
    wait(lambda: _layers.find(viewer, _layers.WEIGHTS, known.image) is not None)
    watch = Stopwatch()
    train = panels.show_panel("Train")
    train.budget.set_minutes(minutes)
    spin(10)
    sys.setprofile(watch)
    clicked = CLOCK()

    def note(_: int, event: object) -> None:
        if isinstance(event, Stepped):
            watch.waits.setdefault("first loss", CLOCK() - clicked)

    known.compute.happened.connect(note)
    train.bar.button.click()
    labels.mode = "paint"
    for step in range(10**9):
        if train.bar.state in (TaskState.DONE, TaskState.FAILED):
            break
        if _layers.find(viewer, _layers.PREDICTION, known.image) is not None:
            watch.waits.setdefault("first predicted cells", CLOCK() - clicked)
        if not wait_for_cells or "first predicted cells" in watch.waits:
            labels.paint((size // 3 + step % 200, size // 3 + step % 97), 1 + step % 7)
        spin(0.1)
    assert train.bar.state is TaskState.DONE, train.bar.sentence
    predict = panels.show_panel("Predict")
    predict.whole.setChecked(True)
    predict.bar.button.click()
    wait(lambda: predict.bar.state in (TaskState.DONE, TaskState.FAILED))
    assert predict.bar.state is TaskState.DONE, predict.bar.sentence
    spin(2)
    sys.setprofile(Stopwatch())
    hooked = draw_cells(viewer, known.image)
    sys.setprofile(None)
    watch.slows = hooked / draw_cells(viewer, known.image)
    viewer.close()
    return watch


def draw_cells(viewer: napari.Viewer, image: napari.layers.Image) -> float:
    """Seconds to show cells in the place of those that are shown, the median of some times."""
    labels, taken = _layers.find(viewer, _layers.PREDICTION, image).data, []
    for _ in range(9):
        labels = labels.copy()
        began = CLOCK()
        _cell_layers.show_prediction(viewer, image, labels)
        taken.append(CLOCK() - began)
        spin(0.2)
    return statistics.median(taken)


def wait(done: object, seconds: float = 600) -> None:
    end = time.monotonic() + seconds
    while not done():  # type: ignore[operator]
        if time.monotonic() > end:
            raise TimeoutError
        spin(0.01)


def spin(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.002)


def report(watch: Stopwatch, size: int) -> None:
    everything = sorted(t for times in watch.entries.values() for t in times)
    worst = max(everything)
    p99 = statistics.quantiles(everything, n=100)[-1]
    print(
        f"{size}²: {len(everything)} entries, longest {1e3 * worst:.1f} ms, p99 {1e3 * p99:.1f} ms"
    )
    print(f"under the hook cells take {watch.slows:.2f} × as long to draw")
    for what, seconds in watch.waits.items():
        print(f"{what}: {seconds:.1f} s after the click on Train")
    if watch.adding:
        longest = 1e3 * max(watch.adding)
        print(f"apart: napari made {len(watch.adding)} parts of layers, at most {longest:.0f} ms")
    slowest = sorted(watch.entries.items(), key=lambda item: -max(item[1]))
    for name, times in slowest[:12]:
        median = statistics.median(times)
        print(f"{1e3 * max(times):8.1f} ms  median {1e3 * median:6.2f}  n {len(times):5}  {name}")


if __name__ == "__main__":
    main()
