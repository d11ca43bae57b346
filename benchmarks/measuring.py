"""What measuring 2025 cells of a plane of 2048 × 2048 takes, beside scikit-image alone.

python benchmarks/measuring.py
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from skimage.measure import regionprops_table

from napari_unet.core.measuring import measure

SHAPE = ["label", "area", "equivalent_diameter_area", "axis_major_length", "axis_minor_length"]
SHAPE += ["perimeter", "eccentricity", "solidity", "centroid"]
GREY = ["intensity_mean", "intensity_min", "intensity_max", "intensity_std"]


def draw_cells(side: int = 2048, pitch: int = 45) -> np.ndarray:
    """Ellipses of random shape, one in each square of a grid."""
    rng = np.random.default_rng(0)
    labels = np.zeros((side, side), np.int32)
    y, x = np.mgrid[: pitch - 1, : pitch - 1] - pitch // 2
    for number, (row, col) in enumerate(np.ndindex(side // pitch, side // pitch), 1):
        (a, b), turn = rng.uniform(8, 20, 2), rng.uniform(0, np.pi)
        u, v = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
        box = labels[pitch * row :, pitch * col :][: pitch - 1, : pitch - 1]
        box[(u / a) ** 2 + (v / b) ** 2 < 1] = number
    return labels


def best_of(function: Callable[[], object], rounds: int = 5) -> float:
    """Seconds of the processor in the quickest of some rounds."""
    times = []
    for _ in range(rounds):
        begin = time.thread_time()
        function()
        times.append(time.thread_time() - begin)
    return min(times)


def main() -> None:
    labels = draw_cells()
    image = np.random.default_rng(1).integers(0, 60000, (3, *labels.shape)).astype(np.uint16)
    last = np.moveaxis(image, 0, -1)
    print(f"{labels.max()} cells, {labels.shape[0]} × {labels.shape[1]} px")
    for name, bare, ours in (
        (
            "shape",
            lambda: regionprops_table(labels, properties=SHAPE),
            lambda: measure(labels),
        ),
        (
            "shape and 3 channels",
            lambda: regionprops_table(labels, last, properties=SHAPE + GREY),
            lambda: measure(labels, image),
        ),
        (
            "shape, pixels of 2 × 1",  # scikit-image refuses the perimeter of these
            lambda: regionprops_table(labels, properties=SHAPE),
            lambda: measure(labels, scale=(2.0, 1.0), unit="um"),
        ),
    ):
        least, took = best_of(bare), best_of(ours)
        print(f"{name}: {took:.2f} s, {took / least:.2f} × regionprops_table")


if __name__ == "__main__":
    main()
