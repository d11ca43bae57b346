"""The command line as a person calls it: what it says, what it leaves, and its exit status.

Each command runs once in a process of its own, as do those that Ctrl-C ends; to import torch
takes a process seconds, so that all others run in this one.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import warnings
from collections import Counter
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest
import tifffile
import zarr

from napari_unet.annotated_files import read_annotated
from napari_unet.cli import main
from napari_unet.core import batch, training
from napari_unet.core.card import read_card, write_card
from napari_unet.core.config import InstanceConfig, TrainConfig
from napari_unet.core.formats import read_labelled
from napari_unet.core.types import Stepped


def call(*arguments, expect=0):
    """Run a command here, and return what it said; an error that is no sentence is raised."""
    out, err = io.StringIO(), io.StringIO()
    command = [*map(str, arguments)]
    with redirect_stdout(out), redirect_stderr(err), warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            status = main(command)
        except SystemExit as end:  # of argparse
            status = end.code
    assert status == expect, err.getvalue()
    return subprocess.CompletedProcess(command, status, out.getvalue(), err.getvalue())


def call_apart(*arguments, expect=0):
    """Run a command in a process of its own."""
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
    done = call_apart(
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


def write_classes(path, names):
    """GeoJSON of squares side by side, each of a class."""
    path.mkdir()
    squares = []
    for number, name in enumerate(names):
        left, right = 20 * number + 4, 20 * number + 18
        ring = [[left, 8], [right, 8], [right, 24], [left, 24], [left, 8]]
        squares.append(
            {
                "type": "Feature",
                "geometry": {"type": "Polygon", "coordinates": [ring]},
                "properties": {"objectType": "annotation", "classification": {"name": name}},
            }
        )
    text = json.dumps({"type": "FeatureCollection", "features": squares})
    for image in range(2):
        (path / f"a{image}.geojson").write_text(text)
    return path


def test_classes_keep_the_numbers_that_the_model_has_for_them(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    for number in range(2):
        image = np.random.default_rng(number).integers(0, 99, (64, 64), np.uint8)
        tifffile.imwrite(images / f"a{number}.tif", image)
    both = write_classes(tmp_path / "both", ["A", "C", "A"])
    later = write_classes(tmp_path / "later", ["C", "C"])
    more = write_classes(tmp_path / "more", ["B", "C"])
    flags = ("--tile", 32, "--batch-size", 1, "--val-fraction", 0)
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"

    def train(labels, model, *others, **expected):
        command = ("train", "--images", images, "--labels", labels, "-o", model)
        return call(*command, *flags, *others, **expected)

    train(both, first, "--steps", 2)
    assert read_card(first).classes == ("A", "C")
    train(later, second, "--steps", 1, "--start-from", first)
    assert read_card(second).classes == ("A", "C")
    train(more, second, "--steps", 1, "--start-from", first)
    assert read_card(second).classes == ("A", "C", "B")
    asked = argparse.Namespace(
        images=[str(images)], labels=[str(both)], val_images=None, val_labels=None
    )
    samples, _, names = read_annotated(asked)
    config = TrainConfig(steps=3, tile=32, batch_size=1, val_fraction=0)
    work = training.train(samples, config, class_names=names, output=first)
    while not isinstance(next(work), Stepped):
        pass
    work.close()
    error = train(more, first, "--resume", expect=2).stderr
    assert "The class B was not there when the training began (A, C)" in error
    train(later, first, "--resume")
    assert read_card(first).classes == ("A", "C")


def test_train_predict_evaluate(folder, model):
    out = folder / "predicted"
    said = json.loads(
        call_apart(
            "predict", model, folder / "images", "-o", out, "--probabilities", "--json"
        ).stdout
    )
    assert len(said["written"]) == 4
    labels = tifffile.imread(out / "cell0.tif")
    assert labels.shape == (96, 112)
    assert labels.dtype.kind in "iu"
    maps = tifffile.imread(out / "probabilities" / "cell0.tif")
    assert maps.dtype == np.float32
    scores = json.loads(
        call_apart("evaluate", "--truth", folder / "labels", "--prediction", out, "--json").stdout
    )
    keys = {"ap50", "ap75", "f1_50", "mean_ap", "pq", "seg", "iou"}
    counts = {"n_true", "n_pred", "true_positives", "false_positives", "false_negatives"}
    expected = keys | {f"pooled_{key}" for key in keys} | counts | {"images", "merged", "split"}
    assert set(scores) == expected
    assert scores["true_positives"] + scores["false_negatives"] == 80
    assert scores["n_true"] == 80
    assert scores["ap50"] > 0.8


def read_areas(folder):
    """Pixels of each annotated cell of the COCO files in a folder, by file and label."""
    said = {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}
    return {
        (stem, one["label"]): one["area"]
        for stem, each in said.items()
        for one in each["annotations"]
    }


def test_whole_cells_beside_the_labels(folder, model, tmp_path):
    """Where cells cannot overlap they are the flat ones; --resume makes what is not there."""
    out, image = tmp_path / "out", folder / "images" / "cell0.png"
    images = (image, folder / "images" / "cell1.png")
    command = ("predict", model, *images, "-o", out, "--resume", "--json")

    def run(*flags):
        written = json.loads(call(*command, *flags).stdout)["written"]
        return [each["status"] for each in written]

    assert run() == ["done", "done"]
    assert run("--instances", "coco") == ["done", "done"]
    assert run("--instances", "coco") == ["kept", "kept"]
    labels = tifffile.imread(out / "cell0.tif")
    areas = read_areas(out / "instances")
    assert [areas["cell0", label] for label in range(1, labels.max() + 1)] == [
        np.sum(labels == label) for label in range(1, labels.max() + 1)
    ]
    said = json.loads((out / "instances" / "cell0.json").read_text())
    assert said["images"][0]["file_name"] == "cell0.png"
    assert all(0 < one["score"] <= 1 for one in said["annotations"])
    (out / "instances" / "cell1.json").unlink()
    assert run("--instances", "coco") == ["kept", "done"]
    assert run("--instances", "roi") == ["done", "done"]
    assert run("--threshold", 0.6) == ["done", "done"]  # newer than the instances
    assert run("--threshold", 0.6, "--instances", "coco") == ["done", "done"]
    both = ("--threshold", 0.6, "--instances", "coco", "--probabilities")
    assert run(*both) == ["done", "done"]
    assert run(*both) == ["kept", "kept"]
    (out / "probabilities" / "cell1.tif").unlink()
    assert run(*both) == ["kept", "done"]


def test_cells_that_overlap_go_all_the_way(tmp_path):
    """Found by a detector, kept, measured and scored as wholes."""
    rng, labels = np.random.default_rng(0), np.zeros((96, 112), np.uint16)
    for label, (y, x) in enumerate(np.ndindex(5, 6), 1):
        labels[6 + 16 * y : 22 + 16 * y, 6 + 16 * x : 22 + 16 * x] = label
    for kind in ("images", "labels"):
        (tmp_path / kind).mkdir()
    edges = (labels != np.roll(labels, 1, 0)) | (labels != np.roll(labels, 1, 1))
    image = rng.normal(20, 4, labels.shape) + 120 * (labels > 0) - 60 * edges
    imageio.imwrite(tmp_path / "images/cells.png", image.clip(0, 255).astype(np.uint8))
    tifffile.imwrite(tmp_path / "labels/cells.tif", labels)
    data = ("--images", tmp_path / "images", "--labels", tmp_path / "labels")
    model, out = tmp_path / "model.safetensors", tmp_path / "out"
    call(
        *("train", "--architecture", "mask-rcnn", *data, "-o", model, "--val-fraction", 0),
        *("--steps", 60, "--tile", 64, "--batch-size", 2, "--seed", 1),
    )
    call("predict", model, tmp_path / "images", "-o", out, "--instances", "coco")
    flat, whole = tifffile.imread(out / "cells.tif"), read_areas(out / "instances")
    assert len(whole) == flat.max() > 10

    done = call("convert", out / "instances", "-o", tmp_path / "roi", "--to", "roi")
    assert "overlapped" not in done.stderr
    for found in (out / "instances", tmp_path / "roi"):
        table = tmp_path / "cells.csv"
        call("measure", found, "--images", tmp_path / "images", "-o", table)
        with table.open(encoding="utf-8") as file:
            areas = {int(row["label"]): float(row["area_px2"]) for row in csv.DictReader(file)}
        assert areas == {label: area for (_, label), area in whole.items()}
    truth = ("--truth", out / "instances")
    scores = json.loads(call("evaluate", *truth, "--prediction", found, "--json").stdout)
    assert scores["true_positives"] == scores["n_pred"] == len(whole)
    assert scores["mean_ap"] == scores["pq"] == scores["iou"] == 1
    flattened = ("--prediction", out / "cells.tif", "--json")
    assert json.loads(call("evaluate", *truth, *flattened).stdout)["pq"] < 1

    done = call("convert", out / "instances", "-o", tmp_path / "flat", "--to", "tif")
    assert "pixels, which went to the smaller cell" in done.stderr
    data = ("--images", tmp_path / "images", "--labels", out / "instances")
    done = call("train", *data, "-o", tmp_path / "again.safetensors", "--steps", 1)
    assert "cells.json: " in done.stderr
    assert "pixels, which went to the smaller cell" in done.stderr


def test_a_zarr_becomes_a_zarr(folder, model, tmp_path):
    """The same cells as the TIFF, in the same order but for their numbers."""
    plane = imageio.imread(folder / "images" / "cell0.png")
    array = zarr.create_array(tmp_path / "cell0.zarr", data=plane, dimension_names=("y", "x"))
    stack = np.stack([plane[::-1], plane])
    tifffile.imwrite(
        tmp_path / "stack.tif", stack, metadata={"axes": "TYX"}, photometric="minisblack"
    )
    flags = ("-o", tmp_path / "out", "--device", "cpu", "--precision", "float32")
    call("predict", model, folder / "images" / "cell0.png", *flags)
    expected = tifffile.imread(tmp_path / "out" / "cell0.tif")
    for arguments in (["cell0.zarr"], ["stack.tif", "--plane", "T=1"]):
        name, *plane = arguments
        whole = ("--instances", "coco", "--json")
        done = call("predict", model, tmp_path / name, *plane, *flags, *whole)
        (written,) = json.loads(done.stdout)["written"]
        assert written["cells"] == expected.max()
        found = zarr.open_group(written["file"], mode="r")["0"][:]
        assert np.array_equal(found > 0, expected > 0)
        assert f"{written['cells']} cells" in done.stderr
        areas = read_areas(tmp_path / "out" / "instances")
        stem = Path(name).stem
        assert [areas[stem, n] for n in range(1, found.max() + 1)] == np.bincount(
            found.ravel()
        ).tolist()[1:]
    both = ("predict", model, tmp_path / "cell0.zarr", folder / "images" / "cell1.png")

    def run():
        said = json.loads(call(*both, *flags, *whole, "--resume").stdout)
        return [each["status"] for each in said["written"]]

    assert run() == ["done", "done"]
    assert run() == ["kept", "kept"]
    array[:] = array[:][:, ::-1]
    assert run() == ["done", "kept"]


def test_what_coco_cannot_count_is_refused_before_the_work(model, tmp_path):
    side = 65_536
    zarr.create_array(
        tmp_path / "slide.zarr", shape=(side, side), chunks=(1024, 1024), dtype="u1",
        dimension_names=("y", "x"),
    )  # fmt: skip
    command = ("predict", model, tmp_path / "slide.zarr", "-o", tmp_path / "out")
    said = call(*command, "--instances", "coco", expect=2).stderr
    assert "slide.zarr has 65536 × 65536 px" in said
    assert "choose GeoJSON" in said
    assert not list(tmp_path.glob("out/**/*.*"))


def test_a_folder_of_any_files(folder, model, tmp_path):
    """What cannot be used is said and left out; --resume does what changed, and only that."""
    images, out = tmp_path / "images", tmp_path / "out"
    images.mkdir()
    for i in range(2):
        shutil.copy(folder / "images" / f"cell{i}.png", images)
    (images / "broken.png").write_bytes(b"no picture")
    tifffile.imwrite(images / "flat.tif", np.ones((64, 64), np.uint8))
    command = ("predict", model, images, "-o", out, "--json")

    def results():
        with (out / "results.csv").open(newline="") as file:
            return {Path(row["file"]).name: row for row in csv.DictReader(file)}

    done = call(*command)
    said = json.loads(done.stdout)
    assert [Path(each["image"]).name for each in said["failed"]] == ["broken.png", "flat.tif"]
    assert [Path(each["file"]).name for each in said["written"]] == ["cell0.tif", "cell1.tif"]
    assert done.stderr.count("left out: ") == 2
    rows = results()
    assert [rows[name]["status"] for name in ("broken.png", "cell0.png")] == ["failed", "done"]
    assert int(rows["cell0.png"]["cells"]) == tifffile.imread(out / "cell0.tif").max()
    assert "constant" in rows["flat.tif"]["sentence"]

    before = (out / "cell0.tif").stat().st_mtime_ns
    os.utime(images / "cell1.png", (1, 1))  # an older one has taken its place
    written = json.loads(call(*command, "--resume").stdout)["written"]
    assert [each["status"] for each in written] == ["kept", "done"]
    assert (out / "cell0.tif").stat().st_mtime_ns == before
    assert results() != rows
    written = json.loads(call(*command, "--resume", "--threshold", 0.6).stdout)["written"]
    assert [each["status"] for each in written] == ["done", "done"]

    hopeless = call(
        "predict", model, images / "broken.png", images / "flat.tif", "-o", out, expect=2
    )
    assert "None of the 2 files could be predicted" in hopeless.stderr
    (out / "results.csv").write_text("mine")
    assert "no table of results" in call(*command, expect=2).stderr


def test_resume_keeps_only_what_the_file_still_holds(folder, model, tmp_path, monkeypatch):
    """Neither what a lone file, another folder nor another working folder has put there."""
    shared, out = tmp_path / "out", ("-o", tmp_path / "out")
    for name, i in (("x", 0), ("y", 1)):
        (tmp_path / name / "images").mkdir(parents=True)
        for stem in ("a", "b"):
            shutil.copy(
                folder / "images" / f"cell{i}.png", tmp_path / name / "images" / f"{stem}.png"
            )

    def run(*arguments):
        written = json.loads(call("predict", model, *arguments, "--json").stdout)["written"]
        return [each["status"] for each in written]

    def results():
        with (shared / "results.csv").open(newline="") as file:
            return [(row["file"], row["result"], row["cells"]) for row in csv.DictReader(file)]

    monkeypatch.chdir(tmp_path / "x")
    run("images", *out)
    assert run("images", *out, "--resume") == ["kept", "kept"]
    run("images/a.png", *out, "--min-size", 100_000)
    assert results()[1] == (
        str(tmp_path / "x" / "images" / "a.png"), str(shared / "a.tif"), "0",
    )  # fmt: skip
    assert run("images", *out, "--resume") == ["done", "kept"]
    assert tifffile.imread(shared / "a.tif").any()

    monkeypatch.chdir(tmp_path / "y")
    assert run("images", *out, "--resume") == ["done", "done"]
    assert [Path(file).parent for file, *_ in results()] == [tmp_path / "y" / "images"] * 2
    assert run("../x/images", *out, "--resume") == ["done", "done"]
    assert run("images/a.png", *out, "--resume") == ["done"]
    assert run("../x/images", "-o", "../out", "--resume") == ["done", "kept"]

    run("images/a.png", "-o", "lone")
    assert not (tmp_path / "y" / "lone" / "results.csv").exists()


def test_resume_makes_anew_what_was_stopped_between_the_labels_and_the_table(
    folder, model, tmp_path, monkeypatch
):
    images, out = (folder / "images" / f"cell{i}.png" for i in range(2)), ("-o", tmp_path, "--json")
    command = ("predict", model, *images, *out)
    call(*command)

    def stop(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(batch, "median_diameter", stop)
        call(*command, "--min-size", 100_000, expect=130)
    assert not tifffile.imread(tmp_path / "cell0.tif").any()
    written = json.loads(call(*command, "--resume").stdout)["written"]
    assert [each["status"] for each in written] == ["done", "kept"]
    assert tifffile.imread(tmp_path / "cell0.tif").any()


def test_a_batch_takes_file_names_that_are_no_utf8(folder, model, movie, tmp_path, monkeypatch):
    images = tmp_path / "images"
    images.mkdir()
    name = os.fsdecode(b"\xff")
    shutil.copy(movie, images / f"stack{name}.tif")
    shutil.copy(folder / "images" / "cell0.png", images / f"{name}.png")
    (images / f"broken{name}.png").write_bytes(b"no picture")
    command = ("predict", model, images, "-o", tmp_path / "out", "--json")
    for flags, status in (((), "done"), (("--resume",), "kept")):
        said = json.loads(call(*command, *flags).stdout)
        assert [each["status"] for each in said["written"]] == [status] * 2
        assert [each["image"] for each in said["failed"]] == [str(images / f"broken{name}.png")]
    monkeypatch.setenv("PYTHONIOENCODING", "utf-8:strict")  # as in most places but the C locale
    assert "broken\\udcff.png" in call_apart(*command[:-1], "--resume").stdout


@pytest.fixture(scope="module")
def movie(folder):
    """A stack of four frames in which the squares move to the right, and the last is dim."""
    plane = imageio.imread(folder / "images" / "cell0.png")
    stack = np.stack([np.roll(plane, shift, axis=1) for shift in (0, 1, 2, 3)])
    stack[3] //= 2
    path = folder / "movie.tif"
    tifffile.imwrite(path, stack, metadata={"axes": "TYX"}, photometric="minisblack")
    return path


def test_a_whole_stack_becomes_a_stack(movie, model, tmp_path):
    done = call("predict", model, movie, "-o", tmp_path, "--json")
    (written,) = json.loads(done.stdout)["written"]
    with tifffile.TiffFile(written["file"]) as tif:
        assert tif.series[0].axes == "TYX"
        labels = tif.series[0].asarray()
    assert labels.shape == (4, 96, 112)
    assert written["planes"] == 4
    assert written["cells"] == sum(len(np.unique(plane)) - 1 for plane in labels)
    assert "plane 4 of 4, T=3: " in done.stderr
    assert f"{written['cells']} cells in 4 planes" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["movie.tif"]


@pytest.mark.parametrize("kind", ["coco", "geojson", "roi"])
def test_whole_cells_of_a_stack(movie, model, tmp_path, kind):
    """With their frames and numbers; made once."""
    command = ("predict", model, movie, "-o", tmp_path, "--instances", kind, "--json")
    call(*command)
    labels = tifffile.imread(tmp_path / "movie.tif")
    (file,) = (tmp_path / "instances").iterdir()
    frames = read_labelled(file, labels.shape[1:])
    found = frames[0].labels if len(frames) == 1 else np.stack([one.labels for one in frames])
    np.testing.assert_array_equal(found, labels)
    assert all(set(one.scores) == set(range(1, one.labels.max() + 1)) for one in frames)


def test_linked_squares_keep_their_numbers_while_they_move(movie, model, tmp_path):
    done = call("predict", model, movie, "-o", tmp_path, "--link", "--json")
    (written,) = json.loads(done.stdout)["written"]
    labels = tifffile.imread(written["file"])
    first = [labels[0, 13 + 23 * y, 13 + 21 * x] for y, x in np.ndindex(4, 5)]
    last = [labels[3, 13 + 23 * y, 16 + 21 * x] for y, x in np.ndindex(4, 5)]
    assert len(set(first)) == 20
    assert first == last
    np.testing.assert_array_equal(np.unique(labels), range(written["ids"] + 1))
    assert f"in 4 planes, {written['ids']} ids" in done.stderr
    error = call("predict", model, movie, "-o", tmp_path, "--link", "--plane", "T=0", expect=2)
    assert "leave --plane or --link out" in error.stderr


def test_a_model_of_whole_cells_says_that_it_has_no_probabilities(folder, tmp_path):
    out = tmp_path / "out"
    asked = ("nuclei-mask-rcnn", folder / "images", "-o", out, "--probabilities")
    error = call("predict", *asked, expect=2).stderr
    assert "“nuclei-mask-rcnn” finds whole cells and has no --probabilities of pixels" in error
    assert error.count("\n") == 1
    assert not any(out.iterdir())


def test_flags_that_say_nothing_to_the_model_are_refused(folder, tmp_path):
    for model, flags, said in (
        ("nuclei-mask-rcnn", ["--tta"], "finds whole cells, and --tta says nothing to it"),
        ("nuclei-mask-rcnn", ["--split", "none"], "and --split says nothing"),
        ("nuclei", ["--overlap", 0.3], "makes cells of maps of pixels, and --overlap says nothing"),
    ):
        out = tmp_path / "out"
        error = call("predict", model, folder / "images", "-o", out, *flags, expect=2).stderr
        assert f"“{model}” " in error
        assert said in error
        assert error.count("\n") == 1
        assert not out.exists()
    call(
        *("predict", "nuclei-mask-rcnn", folder / "images" / "cell0.png", "-o", tmp_path / "out"),
        *("--no-tta", "--split", "watershed"),
    )


def test_a_flag_that_says_nothing_to_one_of_the_models_is_said(folder):
    truth, image = folder / "labels" / "cell0.tif", folder / "images" / "cell0.png"
    models = ("--models", "nuclei", "nuclei-mask-rcnn", "--tta")
    said = call("evaluate", "--truth", truth, "--images", image, *models).stderr
    assert said.count("says nothing to it") == 1
    assert "“nuclei-mask-rcnn” finds whole cells, and --tta says nothing to it." in said


def test_a_model_file_called_as_a_start_model(folder, model, tmp_path, monkeypatch):
    shutil.copy(model, tmp_path / "nuclei")
    monkeypatch.chdir(tmp_path)
    here, image = json.loads(call("info", "./nuclei", "--json").stdout), folder / "images"
    assert here == json.loads(call("info", model, "--json").stdout)
    assert here != json.loads(call("info", "nuclei", "--json").stdout)
    for name, out in (("./nuclei", "here"), (model, "full"), ("nuclei", "start")):
        call("predict", name, image / "cell0.png", "-o", out, "--probabilities")
    one, same, other = (
        tifffile.imread(tmp_path / out / "probabilities" / "cell0.tif")
        for out in ("here", "full", "start")
    )
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    judged = ("--images", image / "cell0.png", "--truth", folder / "labels" / "cell0.tif")
    rows = json.loads(call("evaluate", "--models", "./nuclei", model, *judged, "--json").stdout)
    assert rows["models"][0]["mean_ap"] == rows["models"][1]["mean_ap"]


def test_axes_are_asked_for_and_never_guessed(movie, model, tmp_path):
    plain, out = tmp_path / "plain.tif", tmp_path / "out"
    tifffile.imwrite(plain, tifffile.imread(movie)[:3], metadata=None, photometric="minisblack")
    for flags, said in (
        ([], "does not say what its 3 axes (3 × 96 × 112) are: say it with --axes"),
        (["--axes", "TZYX"], "names 4"),
        (["--axes", "TZ"], "TZ names no axes"),
        (["--axes", "CYX"], "3 channels"),
        (["--axes", "TYX", "--probabilities"], "Stacks have no --probabilities"),
    ):
        error = call("predict", model, plain, "-o", out, *flags, expect=2).stderr
        assert said in error
        assert error.count("\n") == 1
    call("predict", model, plain, "-o", out, "--axes", "tyx")
    assert tifffile.imread(out / "plain.tif").shape == (3, 96, 112)


def test_a_large_image_that_cannot_be_used_is_one_sentence(folder, model, tmp_path):
    path, out = tmp_path / "stack.zarr", tmp_path / "out"
    zarr.create_array(path, data=np.ones((2, 9, 9)), dimension_names=tuple("tyx"))
    for flags, said in (
        ([], "is a stack of 2 planes along T"),
        (["--plane", "T"], "T is no plane"),
        (["--plane", "T=2"], "there is no plane 2"),
        (["--plane", "T=1", "t=0"], "--plane names T more than once"),
        (["--plane", "T=1", "--plane", "T=1"], "--plane names T more than once"),
        (["--plane", "T=0", "--probabilities"], "--keep-maps"),
        (["--plane", "T=0"], "constant"),
    ):
        error = call("predict", model, path, "-o", out, *flags, expect=2).stderr
        assert said in error
        assert error.count("\n") == 1
    assert not any(out.iterdir())
    again = call("predict", model, path, "-o", tmp_path, "--plane", "T=0", expect=2)
    assert "would be written over" in again.stderr


def test_truth_against_itself_is_perfect(folder):
    said = call(
        "evaluate", "--truth", folder / "labels", "--prediction", folder / "labels", "--json"
    )
    scores = json.loads(said.stdout)
    assert scores["ap50"] == scores["mean_ap"] == scores["pooled_pq"] == scores["iou"] == 1


def test_curve_and_each_image_as_text_and_as_files(folder, tmp_path):
    damaged = tmp_path / "predicted"
    damaged.mkdir()
    for i in range(4):
        labels = tifffile.imread(folder / "labels" / f"cell{i}.tif")
        labels[labels <= i] = 0  # i of 20 are missed
        tifffile.imwrite(damaged / f"cell{i}.tif", labels)
    judged = ("evaluate", "--truth", folder / "labels", "--prediction", damaged)
    said = json.loads(call(*judged, "--curve", "--per-image", "--json").stdout)
    assert [row["image"] for row in said["per_image"]] == [f"cell{i}.tif" for i in range(4)]
    assert [row["false_negatives"] for row in said["per_image"]] == [0, 1, 2, 3]
    assert [row["image"] for row in said["curve"][4:]] == ["mean", "pooled"]
    assert said["curve"][3]["0.50"] == said["curve"][3]["0.95"] == 17 / 20
    assert said["curve"][4]["0.75"] == pytest.approx(said["ap75"])
    assert said["curve"][5]["0.75"] == pytest.approx(said["pooled_ap75"]) == 74 / 80

    text = call(*judged, "--curve", "--per-image", "-o", tmp_path / "report.json").stdout
    assert "cell3.tif  0.850" in text
    assert "0.95" in text
    report = json.loads((tmp_path / "report.json").read_text())
    assert report == said
    call(*judged, "--curve", "-o", tmp_path / "report.csv")
    with (tmp_path / "report.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["0.50"]) for row in rows] == [1.0, 0.95, 0.9, 0.85]
    assert [int(row["true_positives"]) for row in rows] == [20, 19, 18, 17]
    assert {path.name for path in tmp_path.iterdir()} == {"predicted", "report.csv", "report.json"}


def test_models_side_by_side(folder, model, tmp_path):
    judged = ("--images", folder / "images", "--truth", folder / "labels")
    done = call("evaluate", "--models", model, "nuclei", *judged, "--json")
    one, other = json.loads(done.stdout)["models"]
    assert (one["model"], other["model"]) == (str(model), "nuclei")
    for row in (one, other):
        assert {"ap50", "ap75", "f1_50", "pq", "seg"} <= set(row)
        assert row["images"] == 4
        assert row["seconds"] > 0
    assert one["ap50"] > 0.8
    assert done.stderr.count("· AP50 ") == 8
    out = tmp_path / "predicted"
    call("predict", model, folder / "images", "-o", out)
    said = call("evaluate", "--truth", folder / "labels", "--prediction", out, "--json").stdout
    assert one["pq"] == pytest.approx(json.loads(said)["pq"])
    text = call("evaluate", "--models", model, *judged).stdout
    assert text.splitlines()[0] == "models:"
    assert text.splitlines()[1].split()[:3] == ["model", "ap50", "ap75"]


def compared(folder, out, *flags):
    return (
        *("compare", "--images", folder / "images", "--labels", folder / "labels", "-o", out),
        *("--tile", 64, "--batch-size", 1, "--validations", 1, *flags),
    )


def test_architectures_are_compared_on_one_split(folder, tmp_path):
    done = call_apart(*compared(folder, tmp_path, "--steps", 3, "--seed", 1, "--json"))
    said = json.loads(done.stdout)
    names = [row["model"] for row in said["comparison"]]
    assert names == ["unet", "mask-rcnn"]
    for name in names:
        assert f"{name} · 60 cells in 3 images, held out 1 of 4 images" in done.stderr
    judged = {line.split(" · ")[1] for line in done.stderr.splitlines() if " · AP50 " in line}
    judged = {name for name in judged if name.endswith(".png")}
    (image,) = judged
    stem = Path(image).stem
    assert said["not_trained"] == []
    assert "held-out cells" in said["conclusion"]
    assert said["better"] in (*names, None)
    with (tmp_path / "comparison.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row, written in zip(said["comparison"], rows, strict=True):
        assert {"ap50", "ap75", "mean_ap", "f1_50", "pq", "train_minutes"} < set(row)
        assert row["steps"] == 3
        assert {key: str(value) for key, value in row.items()} == written
        assert read_card(tmp_path / f"{row['model']}.safetensors").architecture == row["model"]
        scored = call(
            *("evaluate", "--truth", folder / "labels" / f"{stem}.tif", "--json"),
            *("--prediction", tmp_path / "predicted" / row["model"] / f"{stem}.tif"),
        )
        assert json.loads(scored.stdout)["pq"] == pytest.approx(row["pq"])
    for row in said["differences"]:
        one, other = row["model"], row["against"]
        for part, key in (
            (f"{one}_finds_{other}_misses", "found_alone"),
            (f"false_in_{one}_not_in_{other}", "false_alone"),
        ):
            labels = tifffile.imread(tmp_path / "differences" / part / f"{stem}.tif")
            assert len(np.unique(labels[labels > 0])) == row[key]


def test_an_architecture_whose_package_is_broken_is_a_sentence_and_the_other_is_trained(
    folder, tmp_path, monkeypatch
):
    missing = tmp_path / "path" / "torchvision" / "__init__.py"
    missing.parent.mkdir(parents=True)
    missing.write_text("raise ModuleNotFoundError('No module', name='torchvision')")
    path = os.pathsep.join([str(missing.parents[1]), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path)
    judge = ("--val-images", folder / "images", "--val-labels", folder / "labels")
    done = call_apart(*compared(folder, tmp_path / "out", "--steps", 1, *judge))
    assert "mask-rcnn · not trained. Mask R-CNN needs torchvision, which cannot be" in done.stderr
    assert "unet · 80 cells in 4 images, held out 4 images" in done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "comparison:"
    assert lines[1].split()[:4] == ["model", "ap50", "ap75", "mean_ap"]
    assert lines[2].split()[0] == "unet"
    assert lines[3] == "not_trained:"
    assert "conclusion: unet alone was trained: there is nothing to compare it with." in lines


@pytest.mark.skipif(sys.platform == "win32", reason="there are no process groups")
def test_ctrl_c_ends_a_comparison_and_keeps_what_was_learnt(folder, tmp_path):
    child = subprocess.Popen(
        [sys.executable, "-m", "napari_unet.cli"]
        + [str(each) for each in compared(folder, tmp_path, "--steps", 100_000)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with child:
        for line in child.stderr:
            if line.startswith("unet · step 1 "):
                break
        os.killpg(child.pid, signal.SIGINT)  # as a terminal does: all of its processes
        said = child.stderr.read()
    assert child.returncode == 130
    assert said.strip().endswith("and nothing is compared.")
    assert "Traceback" not in said
    assert read_card(tmp_path / "unet.safetensors").architecture == "unet"
    assert not (tmp_path / "comparison.csv").exists()


def test_tuned_values_are_stored_only_when_asked(folder, model, tmp_path):
    detuned = tmp_path / "detuned.safetensors"
    card = dataclasses.replace(read_card(model), instances=InstanceConfig(min_score=1.0))
    detuned.write_bytes(model.read_bytes())
    write_card(detuned, card)
    before = detuned.read_bytes()
    judged = ("--images", folder / "images", "--truth", folder / "labels", "--tune")
    done = call("evaluate", "--models", detuned, *judged, "--json")
    (found,) = json.loads(done.stdout)["tuned"]
    assert found["min_score"] < 1
    assert not found["saved"]
    assert found["mean_ap_best"] > found["mean_ap_before"] + found["may_be_chance"]
    assert "not stored: --save stores it" in done.stderr
    assert detuned.read_bytes() == before
    done = call("evaluate", "--models", detuned, *judged, "--save", "--json")
    stored = read_card(detuned).instances
    assert (stored.threshold, stored.min_score) == (found["threshold"], found["min_score"])
    assert json.loads(done.stdout)["models"][0]["mean_ap"] == pytest.approx(found["mean_ap_best"])


@pytest.mark.parametrize("preset", ["paper-2015", "falk-2019"])
def test_weights(folder, tmp_path, preset):
    call("weights", folder / "labels" / "cell*.tif", "-o", tmp_path, "--preset", preset)
    weights = tifffile.imread(tmp_path / "cell3.tif")
    assert weights.shape == (96, 112)
    assert weights.dtype == np.float32
    assert weights.min() > 0


def test_weights_take_w0_and_sigma(folder, tmp_path):
    labels = folder / "labels" / "cell0.tif"
    call_apart("weights", labels, "-o", tmp_path / "a", "--w0", 0)
    call("weights", labels, "-o", tmp_path / "b", "--w0", 20, "--sigma", 8)
    a, b = (tifffile.imread(tmp_path / name / "cell0.tif") for name in "ab")
    assert len(np.unique(a)) == 2
    assert b.max() > a.max() + 5


def test_info(model):
    here = json.loads(call_apart("info", "--json").stdout)
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
    assert f"no model file {Path('neurons').absolute()}." in said(
        "predict", "neurons", images, *out
    )
    start = ("train", "--images", images, "--labels", labels, *out)
    assert "neurons." in said(*start, "--start-from", "neurons")
    assert "choose one of unet" in said(*start, "--architecture", "resnet")
    assert "tpu" in said(*start, "--device", "tpu", "--steps", 1)
    assert "Steps is 0: choose 1 or more" in said(*start, "--steps", 0)
    assert "--minutes: -1 is not in 0.01" in said(*start, "--minutes", -1)
    assert "is a folder" in said(*start[:-1], labels, "--steps", 1)
    assert "cannot be made" in said("weights", labels, "-o", images / "cell0.png" / "x")

    compare = compared(folder, tmp_path / "x")
    assert "no architecture 'forest': choose one of unet" in said(
        *compare, "--architectures", "forest"
    )
    assert "nuclei and phase are both a unet" in said(*compare, "--start-from", "nuclei", "phase")

    judge = ("evaluate", "--truth", labels)
    assert "--models need --images" in said(*judge, "--models", model)
    assert "one of the arguments --prediction --models is required" in said(*judge)
    assert "--save stores what --tune finds" in said(*judge, "--prediction", labels, "--save")
    assert "--tune needs --models" in said(*judge, "--prediction", labels, "--tune")
    report = (*judge, "--prediction", labels, "-o")
    assert "the ending .csv or .json" in said(*report, tmp_path / "report.xls")
    assert "cannot be written" in said(*report, images / "cell0.png" / "report.csv")
    models = (*judge, "--images", images, "--models", model)
    assert "neurons." in said(*models, "neurons")

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
    done = call_apart(
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


def test_labels_go_through_every_format_and_back(folder, tmp_path):
    source, steps = folder / "labels", ["roi", "coco", "seg", "geojson", "zarr", "tif"]
    for step in steps:
        sized = ["--images", folder / "images"] if step == "coco" else []
        sized = ["--size", 96, 112] if step == "zarr" else sized
        target = tmp_path / step
        paths = sorted(source.iterdir()) if source.name == "zarr" else [source]
        done = call("convert", *paths, *sized, "-o", target, "--to", step, "--json")
        assert [row["cells"] for row in json.loads(done.stdout)["written"]] == [20] * 4, step
        source = target
    for i in range(4):
        before = tifffile.imread(folder / "labels" / f"cell{i}.tif")
        np.testing.assert_array_equal(tifffile.imread(tmp_path / "tif" / f"cell{i}.tif"), before)


def test_one_trains_and_scores_with_labels_of_any_format(folder, tmp_path):
    call_apart("convert", folder / "labels", "-o", tmp_path / "roi", "--to", "roi")
    call("convert", folder / "labels", "-o", tmp_path / "seg", "--to", "seg")
    model = tmp_path / "model.safetensors"
    data = ["--images", folder / "images", "--labels", tmp_path / "roi"]
    call("train", *data, "-o", model, "--steps", 1)
    assert model.exists()
    done = call(
        *("evaluate", "--truth", tmp_path / "seg", "--prediction", folder / "labels", "--json")
    )
    assert json.loads(done.stdout)["ap50"] == 1
    call("measure", tmp_path / "seg", "--images", folder / "images", "-o", tmp_path / "cells.csv")


def test_no_result_takes_the_place_of_an_image_beside_what_is_read(folder, model, tmp_path):
    """Of regions or masks beside an image, and of a PNG beside the TIFF that it was made of."""
    image, beside = np.full((96, 112), 777, np.uint16), tmp_path / "data"
    beside.mkdir()
    tifffile.imwrite(beside / "cell0.tif", image)
    shutil.copy(folder / "images/cell0.png", beside)
    call("convert", folder / "labels/cell0.tif", "-o", beside, "--to", "roi")
    call("convert", folder / "labels/cell0.tif", "-o", beside, "--to", "seg")
    size = ("--size", 96, 112)
    for command in (
        ("convert", beside / "cell0.zip", "-o", beside, "--to", "tif", *size),
        ("convert", beside / "cell0_seg.npy", "-o", beside, "--to", "tif"),
        ("convert", folder / "labels/cell0.tif", "-o", beside, "--to", "tif",
         "--images", beside / "cell0.tif"),
        ("weights", beside / "cell0.zip", "-o", beside),
        ("predict", model, beside / "cell0.png", "-o", beside, "--device", "cpu"),
    ):  # fmt: skip
        assert "lies where files are read from" in call(*command, expect=2).stderr
        np.testing.assert_array_equal(tifffile.imread(beside / "cell0.tif"), image)
    (beside / "cell0.tif").unlink()
    several = ("predict", model, beside / "cell0.png", folder / "images/cell1.png")
    for _ in range(2):  # what the table of results tells of may be made anew
        call(*several, "-o", beside, "--device", "cpu")
    assert (beside / "cell0.tif").exists()


def test_an_empty_table_of_results_is_a_sentence(folder, model, tmp_path):
    (tmp_path / "results.csv").touch()
    done = call("predict", model, folder / "images", "-o", tmp_path, expect=2)
    assert "results.csv is no table of results" in done.stderr


def test_a_damaged_zarr_ends_no_batch(folder, model, tmp_path):
    plane = imageio.imread(folder / "images" / "cell0.png")
    zarr.create_array(tmp_path / "bad.zarr", data=plane, dimension_names=("y", "x"))
    chunk = next(path for path in (tmp_path / "bad.zarr" / "c").rglob("*") if path.is_file())
    chunk.write_bytes(chunk.read_bytes()[:20])
    both = (tmp_path / "bad.zarr", folder / "images" / "cell1.png")
    done = call("predict", model, *both, "-o", tmp_path / "out", "--json", "--device", "cpu")
    statuses = [each["status"] for each in json.loads(done.stdout)["written"]]
    assert statuses == ["done"]
    assert "left out: " in done.stderr
    assert "bad.zarr” cannot be read" in done.stderr


def test_what_was_lost_of_cells_is_said_wherever_they_are_read(folder, tmp_path):
    call("convert", folder / "labels/cell0.tif", "-o", tmp_path, "--to", "coco")
    path = tmp_path / "cell0.json"
    said = json.loads(path.read_text())
    said["annotations"].append({**said["annotations"][0], "id": 999, "iscrowd": 1})
    path.write_text(json.dumps(said))
    scored = call("evaluate", "--truth", folder / "labels/cell0.tif", "--prediction", path)
    measured = call("measure", path, "-o", tmp_path / "cells.csv")
    weighed = call("weights", path, "-o", tmp_path / "weights")
    for done in (scored, measured, weighed):
        assert "cell0.json: 1 crowds" in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="other disks have no such names")
def test_reports_of_files_whose_names_are_no_utf8(folder, tmp_path):
    for name in ("truth", "found"):
        (tmp_path / name).mkdir()
        shutil.copy(folder / "labels/cell0.tif", os.fsencode(tmp_path / name) + b"/c\xe9ll.tif")
    for report in ("scores.csv", "scores.json"):
        judge = ("evaluate", "--truth", tmp_path / "truth", "--prediction", tmp_path / "found")
        call(*judge, "-o", tmp_path / report)
    assert b"c\xe9ll.tif" in (tmp_path / "scores.csv").read_bytes()
    (row,) = json.loads((tmp_path / "scores.json").read_text())["per_image"]
    assert os.fsencode(row["image"]) == b"c\xe9ll.tif"


def test_axes_said_of_images_with_channels_fit_their_labels(tmp_path):
    image, labels = np.zeros((3, 40, 50), np.uint8), np.zeros((40, 50), np.uint16)
    labels[5:10, 5:10] = 1
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="minisblack")
    tifffile.imwrite(tmp_path / "a_masks.tif", labels)
    files = (tmp_path / "a_masks.tif", "--images", tmp_path / "a.tif", "-o", tmp_path / "a.csv")
    call("measure", *files, "--axes", "CYX")
    assert "intensity_mean_ch3" in (tmp_path / "a.csv").read_text().splitlines()[0]


def test_regions_of_a_stack_take_their_size_from_it(folder, tmp_path):
    stack = np.zeros((3, 96, 112), np.uint16)
    stack[2, 4:9, 4:9] = 1
    tifffile.imwrite(tmp_path / "b.tif", stack, metadata={"axes": "TYX"}, photometric="minisblack")
    call("convert", tmp_path / "b.tif", "-o", tmp_path / "roi", "--to", "roi")
    files = (tmp_path / "roi/b.zip", "--images", tmp_path / "b.tif", "-o", tmp_path / "out")
    call("convert", *files, "--to", "tif")
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out/b.tif"), stack)


def test_what_cannot_be_converted_is_a_sentence(folder, tmp_path):
    labels, out = folder / "labels", tmp_path / "out"
    call("convert", labels, "-o", tmp_path / "roi", "--to", "roi")
    for arguments, words in (
        ([labels, "-o", labels, "--to", "tif"], "would be written over"),
        ([labels, "-o", out, "--to", "roi", "--size", 9, 9], "not 9 × 9"),
        (
            [labels / "cell0.tif", tmp_path / "roi/cell0.zip", "-o", out, "--to", "coco"],
            "Two files",
        ),
        ([tmp_path / "nowhere", "-o", out, "--to", "coco"], "does not exist"),
    ):
        assert words in call("convert", *arguments, expect=2).stderr
    assert not out.exists()


@pytest.mark.parametrize("size", [(0, 0), (-5, 5), (5, 0)])
def test_an_image_without_pixels_is_refused_before_anything_is_written(folder, tmp_path, size):
    call("convert", folder / "labels/cell0.tif", "-o", tmp_path / "roi", "--to", "roi")
    regions = tmp_path / "roi/cell0.zip"
    flags = ("--to", "tif", "--size", *size)
    assert "--size" in call("convert", regions, "-o", tmp_path / "out", *flags, expect=2).stderr
    assert not (tmp_path / "out").exists()


def test_one_image_belongs_to_one_file_whatever_they_are_called(folder, tmp_path):
    call("convert", folder / "labels/cell0.tif", "-o", tmp_path / "roi", "--to", "roi")
    regions = (tmp_path / "roi/cell0.zip").rename(tmp_path / "RoiSet.zip")
    image = folder / "images/cell1.png"
    call("convert", regions, "-o", tmp_path / "tif", "--to", "tif", "--images", image)
    before = tifffile.imread(folder / "labels/cell0.tif")
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "tif/RoiSet.tif"), before)


def test_frames_of_a_stack_with_a_dot_in_its_name_come_back_from_coco(tmp_path):
    stack = np.zeros((2, 8, 9), np.uint16)
    stack[:, 1:4, 1:4] = 1
    tifffile.imwrite(tmp_path / "st.1.tif", stack, metadata={"axes": "TYX"}, ome=True)
    call("convert", tmp_path / "st.1.tif", "-o", tmp_path, "--to", "coco")
    call("convert", tmp_path / "st.1.json", "-o", tmp_path / "tif", "--to", "tif")
    written = sorted(path.name for path in (tmp_path / "tif").iterdir())
    assert written == ["st.1_0001.tif", "st.1_0002.tif"]


@pytest.fixture
def stacks(folder, tmp_path):
    """The four images and labels as the frames of one stack each."""
    paths = []
    for kind, ending in (("images", "png"), ("labels", "tif")):
        read = imageio.imread if kind == "images" else tifffile.imread
        frames = [read(folder / kind / f"cell{i}.{ending}") for i in range(4)]
        paths.append(tmp_path / kind / "cells.ome.tif")
        paths[-1].parent.mkdir()
        tifffile.imwrite(paths[-1], np.stack(frames), metadata={"axes": "TYX"}, ome=True)
    return paths


def test_stacks_are_measured_frame_by_frame(folder, stacks, tmp_path):
    image, labels = stacks
    table = tmp_path / "cells.csv"
    call("measure", labels, folder / "labels/cell0.tif", "-o", table)
    with table.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    counted = Counter((Path(row["file"]).name, row["frame"]) for row in rows)
    frames = {("cells.ome.tif", str(frame)): 20 for frame in range(4)}
    assert counted == {**frames, ("cell0.tif", "0"): 20}
    call("measure", labels, "--images", image, "-o", table)
    with table.open(encoding="utf-8") as file:
        assert all(135 < float(row["intensity_mean"]) < 145 for row in csv.DictReader(file))
    short = tmp_path / "short" / "cells.tif"
    short.parent.mkdir()
    tifffile.imwrite(short, tifffile.imread(image)[:3], metadata={"axes": "TYX"}, imagej=True)
    done = call("measure", labels, "--images", short, "-o", table, expect=2)
    assert "has 4 planes and" in done.stderr


def test_stacks_are_scored_frame_by_frame(folder, stacks, tmp_path):
    _, truth = stacks
    found = tifffile.imread(truth)
    found[2] = 0
    path = tmp_path / "found" / "cells.tif"
    path.parent.mkdir()
    tifffile.imwrite(path, found, metadata={"axes": "TYX"}, imagej=True)
    done = call("evaluate", "--truth", truth, "--prediction", path, "--per-image", "--json")
    scores = json.loads(done.stdout)
    assert scores["images"] == 4
    assert scores["ap50"] == 0.75
    assert [row["ap50"] for row in scores["per_image"]] == [1, 1, 0, 1]
    assert scores["per_image"][2]["image"] == "cells.ome.tif T=2"
    single = folder / "labels/cell0.tif"
    (tmp_path / "one").mkdir()
    shutil.copy(single, tmp_path / "one" / "cells.tif")
    done = call("evaluate", "--truth", truth, "--prediction", tmp_path / "one", expect=2)
    assert "one plane" in done.stderr


def test_axes_are_said_to_what_measures_and_scores(stacks, tmp_path):
    nameless = []
    for path in stacks:
        nameless.append(tmp_path / f"nameless {path.parent.name}" / "cells.tif")
        nameless[-1].parent.mkdir()
        pages = tifffile.imread(path)
        tifffile.imwrite(nameless[-1], pages, photometric="minisblack", metadata=None)
    image, labels = nameless
    measure = ("measure", labels, "--images", image, "-o", tmp_path / "cells.csv", "--json")
    assert "say it with --axes" in call(*measure, expect=2).stderr
    assert json.loads(call(*measure, "--axes", "tyx").stdout)["cells"] == 80
    assert "4 channels" in call(*measure, "--axes", "CYX", expect=2).stderr
    call("convert", stacks[1], "-o", tmp_path / "roi", "--to", "roi")
    rois = ("measure", tmp_path / "roi", *measure[2:], "--axes", "TYX")
    assert json.loads(call(*rois).stdout)["cells"] == 80
    judge = ("evaluate", "--truth", labels, "--json")
    assert "say it with --axes" in call(*judge, "--prediction", labels, expect=2).stderr
    for found in (labels, tmp_path / "roi"):
        scores = json.loads(call(*judge, "--prediction", found, "--axes", "TYX").stdout)
        assert (scores["images"], scores["ap50"]) == (4, 1)
    models = (*judge, "--images", image, "--models", "nuclei", "--axes", "TYX")
    assert "--axes are for --prediction" in call(*models, expect=2).stderr


def test_a_zarr_of_labels_is_measured_and_scored(folder, tmp_path):
    labels, table = folder / "labels/cell0.tif", tmp_path / "cells.csv"
    call("convert", labels, "-o", tmp_path / "labels", "--to", "zarr")
    for found in (tmp_path / "labels", tmp_path / "labels" / "cell0.zarr"):
        assert json.loads(call("measure", found, "-o", table, "--json").stdout)["cells"] == 20
        done = call("evaluate", "--truth", labels, "--prediction", found, "--json")
        assert json.loads(done.stdout)["ap50"] == 1
    plane = imageio.imread(folder / "images" / "cell0.png")
    (tmp_path / "images").mkdir()
    image = tmp_path / "images" / "cell0.ome.zarr"
    zarr.create_array(image, data=plane, dimension_names=("y", "x"))
    for images in (image, image.parent, folder / "images" / "cell0.png"):
        call("measure", tmp_path / "labels", "--images", images, "-o", table)
        with table.open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert all(135 < float(row["intensity_mean"]) < 145 for row in rows)


def test_images_and_labels_of_one_folder_are_learnt_as_such(folder, tmp_path):
    mix = tmp_path / "mix"
    shutil.copytree(folder / "images", mix)
    for path in (folder / "labels").iterdir():
        shutil.copy(path, mix / f"{path.stem}_masks.tif")
    (model, table) = (tmp_path / "model.safetensors", tmp_path / "cells.csv")
    call("train", "--images", mix, "--labels", mix, "--steps", 1, "-o", model)
    done = call("measure", mix, "--images", mix, "-o", table, "--json")
    assert json.loads(done.stdout) == {"table": str(table), "files": 4, "cells": 80}


def test_an_image_that_cannot_be_learnt_is_named(folder, tmp_path):
    path = tmp_path / "cell0.tif"
    tifffile.imwrite(path, np.full((96, 112), np.nan, np.float32))
    done = call(
        *("train", "--images", path, "--labels", folder / "labels/cell0.tif", "--steps", 1),
        *("-o", tmp_path / "model.safetensors"),
        expect=2,
    )
    assert f"{path} holds NaN" in done.stderr


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
    assert "written over" in call_apart("measure", path, "-o", path, expect=2).stderr
    assert path.read_bytes() == before


def test_scoring_writes_over_neither_side(folder, tmp_path):
    paths = []
    for kind in ("truth", "found"):
        call("convert", folder / "labels/cell1.tif", "-o", tmp_path / kind, "--to", "coco")
        paths.append(tmp_path / kind / "cell1.json")
    before = paths[0].read_bytes()
    judge = ("evaluate", "--truth", paths[0], "--prediction", paths[1])
    for path in paths:
        assert "written over" in call(*judge, "-o", path, expect=2).stderr
    assert paths[0].read_bytes() == paths[1].read_bytes() == before
    models = ("--images", folder / "images/cell1.png", "--models", "nuclei", "-o", paths[0])
    assert "written over" in call("evaluate", "--truth", paths[0], *models, expect=2).stderr
