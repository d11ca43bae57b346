"""Time of the border weight map, as ratios to one Euclidean distance transform of the same image.

    python benchmarks/border_weights.py [--sizes 1024,2048,4096] [--densities 30,200] [--volume]

Rounds are interleaved and medians given, so that a busy machine slows all alike. `exact` and
`paper` are the functions to hand to other tools that time ``f(labels, w0, sigma)``.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
from scipy import ndimage

from napari_unet.core.border_weights import border_term, border_weight_map, update, warm_up
from napari_unet.core.config import WeightConfig


def exact(labels, w0=10.0, sigma=5.0):
    """Without cut ridges: the formula alone, comparable pixel by pixel."""
    return border_weight_map(labels, w0=w0, sigma=sigma, ridge=False)


def paper(labels, w0=10.0, sigma=5.0):
    """With cut ridges: what training uses."""
    return border_weight_map(labels, w0=w0, sigma=sigma)


def ellipses(shape: tuple[int, ...], count: int, radius: tuple[float, float], seed: int = 0):
    """Randomly placed ellipses or ellipsoids along the axes, some of which touch."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.int32)
    for label in range(1, count + 1):
        center = rng.uniform(0, shape)
        axes = rng.uniform(*radius, len(shape))
        box = tuple(
            slice(max(int(c - a), 0), min(int(c + a) + 2, n))
            for c, a, n in zip(center, axes, shape, strict=True)
        )
        grid = np.ogrid[box]
        disc = sum(((g - c) / a) ** 2 for g, c, a in zip(grid, center, axes, strict=True)) <= 1
        part = labels[box]
        part[disc & (part == 0)] = label
    return labels


def medians(runs: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each run, taken in turns."""
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            taken[name].append(time.perf_counter() - start)
    return {name: float(np.median(times)) for name, times in taken.items()}


def report(title: str, labels: np.ndarray, rounds: int) -> None:
    runs = {
        "one scipy EDT": lambda: ndimage.distance_transform_edt(labels == 0),
        "exact": lambda: exact(labels),
        "paper": lambda: paper(labels),
    }
    times = medians(runs, rounds)
    print(title)
    for name, seconds in times.items():
        ratio = seconds / times["one scipy EDT"]
        each = seconds / labels.size * 1e9
        print(f"  {name:14s} {seconds * 1e3:9.1f} ms {each:7.1f} ns/px {ratio:7.3f} × scipy EDT")


def report_update(size: int, rounds: int) -> None:
    """A dab of 40 px on a large image."""
    labels = ellipses((size, size), 30 * size * size // 65536, (8, 16))
    config = WeightConfig()
    term = border_term(labels, config)
    rng = np.random.default_rng(0)
    taken = []
    for _ in range(rounds):
        y, x = rng.integers(0, size - 40, 2)
        region = (slice(y, y + 40), slice(x, x + 40))
        labels[region] = 1 + labels.max()
        start = time.perf_counter()
        update(term, labels, region, config)
        taken.append(time.perf_counter() - start)
    print(f"update after a dab of 40 px on {size} × {size}: median {np.median(taken) * 1e3:.2f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="1024,2048")
    parser.add_argument("--densities", default="30,200", help="cells per 256 × 256 pixels")
    parser.add_argument("--volume", action="store_true", help="64 × 512 × 512 as well")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    warm_up()
    for size in map(int, arguments.sizes.split(",")):
        for density in map(int, arguments.densities.split(",")):
            count = density * size * size // 65536
            radius = (8, 16) if density <= 60 else (4, 8)
            labels = ellipses((size, size), count, radius)
            report(f"{size} × {size}, {count} cells", labels, arguments.rounds)
    if arguments.volume:
        labels = ellipses((64, 512, 512), 295, (6, 14))
        report("64 × 512 × 512, 295 cells", labels, 2)
    report_update(4096, 40)


if __name__ == "__main__":
    main()
