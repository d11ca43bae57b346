"""Time and memory of the border weight map, as ratios to one distance transform of the same image.

    python benchmarks/border_weights.py [--sizes 512,2048,8192] [--device cuda]

One thread unless a row says otherwise. Rounds are interleaved and medians given, so that a busy
machine slows all alike; `edt.edt` is timed where it is installed. With `--device` the torch
version is timed as well, beside a copy of as many bytes on that device. `exact` and `paper` are
the functions to hand to other tools that time ``f(labels, w0, sigma)``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy import ndimage

from napari_unet.core.border_weights import border_term, border_weight_map, update, warm_up
from napari_unet.core.config import WeightConfig

try:
    import edt
except ImportError:
    edt = None

_MEMORY = """
import re, sys, numpy as np
from pathlib import Path
from napari_unet.core.border_weights import border_weight_map, warm_up
proc = Path("/proc/self/status")
labels = np.load(sys.argv[1])
warm_up()
border_weight_map(labels[:64, :64])
status = lambda name: int(re.search(name + r":\\s+(\\d+)", proc.read_text())[1])
Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew (Linux)
before = status("VmRSS")
out = border_weight_map(labels, threads=int(sys.argv[2]))
print((status("VmHWM") - before) / 1024 - out.nbytes / 2**20)
"""


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
    """Median seconds of each run, taken in turns after one for each to warm up."""
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for round_ in range(rounds + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if round_:
                taken[name].append(time.perf_counter() - start)
    return {name: float(np.median(times)) for name, times in taken.items()}


def report(title: str, labels: np.ndarray, rounds: int, device: str = "") -> None:
    runs: dict[str, Callable[[], object]] = {
        "one scipy EDT": lambda: ndimage.distance_transform_edt(labels == 0),
        "exact": lambda: exact(labels),
        "paper": lambda: paper(labels),
        "paper, 2 threads": lambda: border_weight_map(labels, threads=2),
    }
    if edt is not None:
        runs["one edt.edt"] = lambda: edt.edt(labels == 0)
    if device:
        runs.update(on_device(labels, device))
    times = medians(runs, rounds)
    print(title)
    for name, seconds in times.items():
        ratios = f"{seconds / times['one scipy EDT']:7.3f} × scipy EDT"
        if edt is not None:
            ratios += f" {seconds / times['one edt.edt']:7.3f} × edt.edt"
        each = seconds / labels.size * 1e9
        print(f"  {name:18s} {seconds * 1e3:9.2f} ms {each:7.2f} ns/px {ratios}", flush=True)


def on_device(labels: np.ndarray, device: str) -> dict[str, Callable[[], object]]:
    """The torch version, and a copy of labels and map within the memory of the device."""
    import torch

    from napari_unet.core import border_weights_torch

    there = torch.from_numpy(labels).to(device)[None]
    twin = torch.empty_like(there)
    wait = torch.cuda.synchronize if device.startswith("cuda") else lambda: None
    return {
        f"torch, {device}": lambda: (
            border_weights_torch.border_term(there, WeightConfig()),
            wait(),
        ),
        f"copy, {device}": lambda: (twin.copy_(there), wait()),
    }


def report_memory(size: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "labels.npy"
        np.save(path, ellipses((size, size), 30 * size * size // 65536, (8, 16)))
        for threads in (1, 2):
            command = [sys.executable, "-c", _MEMORY, str(path), str(threads)]
            extra = float(subprocess.check_output(command, text=True))
            print(f"{size} × {size}, {threads} thread(s): {extra:.1f} MB beyond the output")


def report_update(size: int, rounds: int) -> None:
    """A dab of 40 px on a large image with 30 cells per 256 × 256."""
    labels = ellipses((size, size), 30 * size * size // 65536, (8, 16))
    config = WeightConfig()
    term = border_term(labels, config, threads=2)
    rng = np.random.default_rng(0)
    taken = []
    for _ in range(rounds):
        y, x = rng.integers(0, size - 40, 2)
        region = (slice(y, y + 40), slice(x, x + 40))
        labels[region] = 1 + labels.max()
        start = time.perf_counter()
        update(term, labels, region, config)
        taken.append(1e3 * (time.perf_counter() - start))
    median, late = np.percentile(taken, (50, 95))
    print(f"update after a dab of 40 px on {size}²: median {median:.2f} ms, p95 {late:.2f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="512,1024,2048,4096,8192")
    parser.add_argument("--densities", default="30,60,120,200", help="cells per 256², at 2048²")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="", help="time the torch version there, e.g. cuda")
    given = parser.parse_args()
    warm_up()
    for size in map(int, given.sizes.split(",")):
        count = 30 * size * size // 65536
        rounds = given.rounds if size <= 2048 else 3
        labels = ellipses((size, size), count, (8, 16))
        report(f"{size} × {size}, {count} cells", labels, rounds, given.device)
    for density in map(int, given.densities.split(",")):
        labels = ellipses((2048, 2048), density * 64, (4, 8))
        report(f"2048 × 2048, {density} cells of 4–8 px per 256²", labels, given.rounds)
    labels = ellipses((64, 512, 512), 295, (6, 14))
    report("64 × 512 × 512, 295 cells", labels, 3)
    report_memory(2048)
    report_update(4096, 200)


if __name__ == "__main__":
    main()
