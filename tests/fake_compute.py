"""A compute process without torch: what a training does is the name of its architecture."""

from __future__ import annotations

import ctypes
import os
import sys
import time
import warnings
from pathlib import Path

from napari_unet import __version__
from napari_unet.compute import main
from napari_unet.core.errors import InputError
from napari_unet.core.types import Stepped, TileDone
from napari_unet.messages import Predict, Ready, Train
from napari_unet.shared_arrays import attach


def step(number):
    return Stepped(number, 0.0, 0.0, 0.0, 0.0, 0.0)


def train(request, result):
    kind = request.architecture
    if kind == "count":
        for number in range(1, (request.config.steps or 3) + 1):
            yield step(number)
        result["mean"] = [float(attach(sample.image).mean()) for sample in request.samples]
        result["names"] = [sample.name for sample in request.samples]
        return
    try:
        yield step(1)
        yield from FAULTS[kind](request)
    finally:
        if kind == "save":
            Path(request.output).write_text("model", encoding="utf-8")
            result["model"] = request.output


def loop(request):
    number = 1
    while True:
        time.sleep(0.01)
        number += 1
        yield step(number)


def hang(request):
    while True:
        time.sleep(1)
    yield


def stumble(request):
    print("noise that no message may suffer from", flush=True)  # noqa: T201 - the point
    raise {"input": InputError("Paint a cell."), "memory": MemoryError()}.get(
        request.architecture, RuntimeError("one line\nand another")
    )
    yield


def warn(request):
    warnings.warn("The image is dim.", stacklevel=1)
    yield step(2)


def save_and_stumble(request):
    Path(request.output).write_text("model", encoding="utf-8")
    yield from stumble(request)


def lose_gpu(request):
    raise RuntimeError("CUDA error: device-side assert triggered")
    yield


def out_of_gpu(request):
    class OutOfMemoryError(RuntimeError):
        pass

    raise OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
    yield


def end(request):
    os._exit(3)
    yield


def abort(request):
    os.abort()
    yield


def segfault(request):
    ctypes.string_at(0)
    yield


def stop_badly(request):
    try:
        yield from loop(request)
    finally:
        raise OSError("disk full")


def stop_slowly(request):
    try:
        yield from loop(request)
    finally:
        time.sleep(2)


FAULTS = {
    "loop": loop,
    "save": loop,
    "hang": hang,
    "input": stumble,
    "memory": stumble,
    "bug": stumble,
    "warn": warn,
    "save and bug": save_and_stumble,
    "lose gpu": lose_gpu,
    "out of gpu": out_of_gpu,
    "exit": end,
    "abort": abort,
    "segfault": segfault,
    "stop badly": stop_badly,
    "stop slowly": stop_slowly,
}


def predict(request, result):
    """Threshold channel 0 row by row."""
    image = attach(request.image)[(slice(None), *(request.region or ()))]
    probabilities, labels = attach(request.maps), attach(request.labels)
    for row in range(len(labels)):
        probabilities[:, row] = image[0, row] > 0
        time.sleep((request.config.tile or 512) / 1e5)
        top = request.origin[0] + request.region[0].start + row
        yield TileDone(row + 1, len(labels), (slice(top, top + 1), slice(0, labels.shape[1])))
    labels[...] = probabilities[0] > 0.5
    result.update(cells=1, seconds=0.5, classes=[1], scores=[1.0])


def prepare():
    kind = sys.argv[1] if len(sys.argv) > 1 else ""
    if kind == "no torch":
        raise ModuleNotFoundError("No module named 'torch'", name="torch")
    if kind == "broken torch":
        raise ImportError("libcudart.so.12: cannot open shared object file")
    if kind == "crash":
        os.abort()
    if kind == "slow":
        time.sleep(3)
    version = "0.0.0" if kind == "old" else __version__
    return Ready(version, "cpu", "Abacus", "float32", "No GPU was found.")


def rehearse():
    """Nothing, unless a file is named: then forever, and the file tells where it is."""
    if len(sys.argv) < 3:
        return
    told = Path(sys.argv[2])
    told.write_text("begun", encoding="utf-8")
    if sys.argv[1] == "stage fright":
        raise RuntimeError("no step was taken")
    try:
        while True:
            time.sleep(0.01)
            yield
    finally:
        told.write_text("ended", encoding="utf-8")


if __name__ == "__main__":
    main({Train: train, Predict: predict}, prepare, rehearse)
