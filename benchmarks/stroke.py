"""What the living weight map costs under the brush, at image sizes from 512² to 8192².

    xvfb-run -a -s "-screen 0 1920x1200x24" python benchmarks/stroke.py [--sizes 512,2048]

A stroke of 60 moves of the mouse in a real window, each painted and drawn before the next, with
the map following and without it, in turns: the ratio of the times, and how long our own code
held the GUI thread in a move with the map (wall time of the only slot of ours that it enters).
"""

from __future__ import annotations

import argparse
import functools
import statistics
import time
from collections.abc import Callable

import napari
import numpy as np
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from gui_thread import spin, wait
from napari_unet.core.samples import make_sample
from napari_unet.widgets import _dirty
from napari_unet.widgets._session import session
from napari_unet.widgets.all_docks import open_all

MOVES = 60
_TILE = 512


def tile_cells(size: int) -> tuple[np.ndarray, np.ndarray]:
    """The same 512² of synthetic nuclei over and over, each cell with a number of its own."""
    sample = make_sample("fluorescence", (_TILE, _TILE))
    times = size // _TILE
    labels = np.tile(sample.labels, (times, times))
    tile = np.kron(np.arange(times**2).reshape(times, times), np.ones((_TILE, _TILE), np.int32))
    labels = np.where(labels > 0, labels + tile * sample.labels.max(), 0).astype(np.int32)
    return np.tile(sample.image[0], (times, times)), labels


class Bench:
    """A window with an image of `size`² pixels, painted cells and the panels."""

    def __init__(self, size: int) -> None:
        self.viewer = napari.Viewer()
        self.viewer.window.resize(1600, 1000)
        image, labels = tile_cells(size)
        self.viewer.add_image(image, name="large")
        self.panels = open_all(self.viewer)
        self.known = session(self.viewer)
        self.layer = self.known.add_annotation()
        self.layer.data[...] = labels
        self.layer.refresh()
        self.live = self.panels.show_panel("Weight map").live
        self.show(True)
        wait(lambda: self.live._warm)
        self.viewer.camera.zoom = 2
        self.viewer.camera.center = (size / 2, size / 2)
        self.viewer.layers.selection.active = self.layer
        self.layer.mode = "paint"
        self.layer.brush_size = 20
        self.layer.selected_label = int(labels.max()) + 1
        spin(2)

    def show(self, shown: bool) -> None:
        """Have the map, or not."""
        self.live.shown = shown
        if shown:
            wait(lambda: self.live._live is not None and not self.live._making.busy)
        spin(0.6)

    def stroke(self) -> float:
        """Seconds for one stroke, drawn; undone after it."""
        canvas = self.viewer.window._qt_viewer.canvas
        middle = np.array([canvas.native.width(), canvas.native.height()]) // 2
        turn = np.linspace(0, 2 * np.pi, MOVES)
        places = middle + 150 * np.stack([np.cos(turn), np.sin(2 * turn)], axis=1)
        points = [QPoint(int(x), int(y)) for x, y in places]
        button, keys = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
        label = self.layer.selected_label
        begin = time.perf_counter()
        QTest.mousePress(canvas.native, button, keys, points[0])
        for point in points:
            QTest.mouseMove(canvas.native, point)
            QApplication.processEvents()
        QTest.mouseRelease(canvas.native, button, keys, points[-1])
        QApplication.processEvents()
        taken = time.perf_counter() - begin
        assert np.any(self.layer.data == label), "the stroke painted nothing"
        spin(0.6)  # the watch and its figures come to rest
        self.layer.undo()
        spin(0.6)
        return taken


def timed(slot: Callable[..., None], taken: list[float]) -> Callable[..., None]:
    """The slot, which adds the seconds it takes to a list."""

    @functools.wraps(slot)
    def run(*args: object) -> None:
        begin = time.perf_counter()
        slot(*args)
        taken.append(time.perf_counter() - begin)

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="512,1024,2048,4096,8192")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    moves: list[float] = []
    _dirty._Watch._look_at = timed(_dirty._Watch._look_at, moves)
    print(
        "| image | a move without map | with map | ratio | of it our slot: median | p99 | longest |"
    )
    print("|---|---|---|---|---|---|---|")
    for size in map(int, given.sizes.split(",")):
        bench = Bench(size)
        bench.stroke()
        plain, living, slots = [], [], []
        for _ in range(given.rounds):
            bench.show(False)
            plain.append(bench.stroke())
            bench.show(True)
            moves.clear()
            living.append(bench.stroke())
            slots += moves
        bench.viewer.close()
        without, following = (1e3 * statistics.median(x) / MOVES for x in (plain, living))
        print(
            f"| {size}² | {without:.1f} ms | {following:.1f} ms | {following / without:.2f} "
            f"| {1e3 * statistics.median(slots):.1f} ms "
            f"| {1e3 * statistics.quantiles(slots, n=100)[-1]:.1f} ms "
            f"| {1e3 * max(slots):.1f} ms |",
            flush=True,
        )


if __name__ == "__main__":
    main()
