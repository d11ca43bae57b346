"""The command line as a person calls it: a process of its own."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys

import imageio.v3 as imageio
import numpy as np
import pytest
import tifffile


def call(*arguments, expect=0):
    done = subprocess.run(
        [sys.executable, "-m", "napari_unet.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "PYTHONWARNINGS": "error"},
        check=False,
    )
    assert done.returncode == expect, done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four small images of bright squares with their labels."""
    root = tmp_path_factory.mktemp("cells")
    rng = np.random.default_rng(0)
    for kind in ("images", "labels"):
        (root / kind).mkdir()
    for i in range(4):
        labels = np.zeros((96, 112), np.uint16)
        for label, (y, x) in enumerate(np.ndindex(4, 5), 1):
            labels[6 + 23 * y : 20 + 23 * y, 6 + 21 * x : 20 + 21 * x] = label
        image = rng.normal(20, 4, labels.shape) + 120 * (labels > 0)
        imageio.imwrite(root / "images" / f"cell{i}.png", image.astype(np.uint8))
        tifffile.imwrite(root / "labels" / f"cell{i}.tif", labels)
    return root


@pytest.fixture(scope="module")
def model(folder):
    path = folder / "model.safetensors"
    done = call(
        *("train", "--images", folder / "images", "--labels", folder / "labels", "-o", path),
        *("--steps", 40, "--tile", 64, "--batch-size", 2, "--seed", 1, "--json"),
    )
    said = json.loads(done.stdout)
    assert said["model"] == str(path)
    assert "held out 1 of 4 images" in done.stderr
    return path


def test_ctrl_c_and_resume(folder, tmp_path):
    path = tmp_path / "model.safetensors"
    command = [*("train", "--images", folder / "images", "--labels", folder / "labels"), "-o", path]
    flags = ("--steps", 30, "--tile", 64, "--batch-size", 1, "--validations", 1, "--json")
    child = subprocess.Popen(
        [sys.executable, "-m", "napari_unet.cli", *map(str, (*command, *flags))],
        stderr=subprocess.PIPE,
        text=True,
    )
    with child:
        for line in child.stderr:
            if line.startswith("step 20"):
                child.send_signal(signal.SIGINT)
                break
        rest = child.stderr.read()
    assert child.returncode == 130, rest
    assert "The same command with --resume goes on." in rest
    done = call(*command, *flags, "--resume")
    assert json.loads(done.stdout)["training"]["steps"] == 30
    assert "step 1 " not in done.stderr
    error = call(*command, *flags, "--resume", expect=2).stderr
    assert error.startswith("napari-unet: No stopped training of")


def test_train_predict_evaluate(folder, model):
    out = folder / "predicted"
    said = json.loads(
        call("predict", model, folder / "images", "-o", out, "--probabilities", "--json").stdout
    )
    assert len(said["written"]) == 4
    labels = tifffile.imread(out / "cell0.tif")
    assert labels.shape == (96, 112)
    assert labels.dtype.kind in "iu"
    maps = tifffile.imread(out / "probabilities" / "cell0.tif")
    assert maps.dtype == np.float32
    scores = json.loads(
        call("evaluate", "--truth", folder / "labels", "--prediction", out, "--json").stdout
    )
    keys = {"ap50", "ap75", "f1_50", "mean_ap", "pq", "iou"}
    expected = keys | {f"pooled_{key}" for key in keys} | {"images", "n_true", "n_pred"}
    assert set(scores) == expected
    assert scores["n_true"] == 80
    assert scores["ap50"] > 0.8


def test_truth_against_itself_is_perfect(folder):
    said = call(
        "evaluate", "--truth", folder / "labels", "--prediction", folder / "labels", "--json"
    )
    scores = json.loads(said.stdout)
    assert scores["ap50"] == scores["mean_ap"] == scores["pooled_pq"] == scores["iou"] == 1


@pytest.mark.parametrize("preset", ["paper-2015", "falk-2019"])
def test_weights(folder, tmp_path, preset):
    call("weights", folder / "labels" / "cell*.tif", "-o", tmp_path, "--preset", preset)
    weights = tifffile.imread(tmp_path / "cell3.tif")
    assert weights.shape == (96, 112)
    assert weights.dtype == np.float32
    assert weights.min() > 0


def test_weights_take_w0_and_sigma(folder, tmp_path):
    labels = folder / "labels" / "cell0.tif"
    call("weights", labels, "-o", tmp_path / "a", "--w0", 0)
    call("weights", labels, "-o", tmp_path / "b", "--w0", 20, "--sigma", 8)
    a, b = (tifffile.imread(tmp_path / name / "cell0.tif") for name in "ab")
    assert len(np.unique(a)) == 2
    assert b.max() > a.max() + 5


def test_info(model):
    here = json.loads(call("info", "--json").stdout)
    assert here["device"] in ("cpu", "cuda", "mps")
    assert here["reason"]
    assert "torch" in here["versions"]
    card = json.loads(call("info", model, "--json").stdout)
    assert card["architecture"] == "unet"
    assert card["channels"] == 1
    assert "architecture: unet" in call("info", model).stdout


def test_bad_input_is_one_sentence_and_exit_code_2(folder, model, tmp_path):
    def said(*arguments):
        error = call(*arguments, expect=2).stderr.strip()
        assert error.count("\n") == 0, error
        return error

    images, labels = folder / "images", folder / "labels"
    out = ("-o", tmp_path / "x")
    assert "nothing.safetensors" in said("predict", tmp_path / "nothing.safetensors", images, *out)
    assert "not a model" in said("predict", labels / "cell0.tif", images, *out)
    assert "no model file neurons" in said("predict", "neurons", images, *out)
    start = ("train", "--images", images, "--labels", labels, *out)
    assert "no model file neurons" in said(*start, "--start-from", "neurons")
    assert "choose one of unet" in said(*start, "--architecture", "resnet")
    assert "tpu" in said(*start, "--device", "tpu", "--steps", 1)
    assert "Steps is 0: choose 1 or more" in said(*start, "--steps", 0)
    assert "--minutes: -1 is not in 0.01" in said(*start, "--minutes", -1)
    assert "is a folder" in said(*start[:-1], labels, "--steps", 1)
    assert "cannot be made" in said("weights", labels, "-o", images / "cell0.png" / "x")

    rgb = tmp_path / "rgb.png"
    imageio.imwrite(rgb, np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8))
    assert "RGB" in said("predict", model, rgb, *out)
    flat = tmp_path / "flat.tif"
    tifffile.imwrite(flat, np.full((40, 40), 7, np.uint8))
    assert "constant" in said("predict", model, flat, *out)
    nan = tmp_path / "nan.tif"
    tifffile.imwrite(nan, np.full((40, 40), np.nan, np.float32))
    assert "NaN" in said("predict", model, nan, *out)
    (tmp_path / "text.tif").write_text("no image")
    assert "text.tif" in said("predict", model, tmp_path / "text.tif", *out)

    other = tmp_path / "other"
    other.mkdir()
    for i, array in enumerate(
        [
            np.ones((5, 5), np.uint16),  # another size
            np.full((96, 112), 1.5, np.float32),  # no integers
            np.full((96, 112), -7, np.int16),  # below −1
            np.zeros((96, 112), np.uint16),  # no paint
            np.full((96, 112), -1, np.int16),  # all background
            np.ones((96, 112), np.uint16),  # no background
        ]
    ):
        tifffile.imwrite(other / "cell0.tif", array)
        error = said(
            "train", "--images", images / "cell0.png", "--labels", other, *out, "--steps", 1
        )
        assert len(error) > 30, (i, error)
    assert not (tmp_path / "x").exists() or not any((tmp_path / "x").iterdir())


def test_measure(folder, tmp_path):
    table = tmp_path / "new" / "cells.csv"
    done = call(
        *("measure", folder / "labels", "--images", folder / "images"),
        *("--scale", 0.5, "--unit", "µm", "-o", table, "--json"),
    )
    assert json.loads(done.stdout) == {"table": str(table), "files": 4, "cells": 80}
    with table.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["file"] for row in rows} == {str(folder / f"labels/cell{i}.tif") for i in range(4)}
    assert [row["label"] for row in rows[:20]] == [str(label) for label in range(1, 21)]
    assert {row["area_um2"] for row in rows} == {"49.0"}
    assert all(135 < float(row["intensity_mean"]) < 145 for row in rows)
    call("measure", folder / "labels/cell0.tif", "--scale", 2, 1, "--unit", "um", "-o", table)
    with table.open(encoding="utf-8") as file:
        (row, *_) = csv.DictReader(file)
    assert row["area_um2"] == "392.0"
    assert "intensity_mean" not in row


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--scale", 0.5), "need a unit"),
        (("--scale", 1, 2, 3, "--unit", "um"), "the height and the width"),
        (("--images", "nowhere"), "nowhere"),
        (("--unit", "m/s"), "no unit of length"),
    ],
)
def test_what_cannot_be_measured_is_a_sentence(folder, tmp_path, flags, words):
    table = tmp_path / "cells.csv"
    done = call("measure", folder / "labels", *flags, "-o", table, expect=2)
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not table.exists()


def test_measuring_writes_over_no_labels(folder):
    path = folder / "labels" / "cell1.tif"
    before = path.read_bytes()
    assert "written over" in call("measure", path, "-o", path, expect=2).stderr
    assert path.read_bytes() == before
