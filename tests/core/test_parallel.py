"""Two processes make the model that one would have made."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import tifffile
import torch
from safetensors.torch import load_file

from napari_unet.cli import main
from napari_unet.core import parallel
from napari_unet.core.config import TrainConfig
from napari_unet.core.errors import InputError

SMALL = [
    *("--steps", 6, "--tile", 64, "--batch-size", 4, "--validations", 2, "--device", "cpu"),
    *("--precision", "float32", "--json"),
]


@pytest.fixture
def data(discs, tmp_path):
    for kind, pixels in (("images", discs.image[0]), ("labels", discs.labels)):
        (tmp_path / kind).mkdir()
        for name in "ab":
            tifffile.imwrite(tmp_path / kind / f"{name}.tif", pixels)
    return tmp_path


def command(data, path, *flags):
    given = ["train", "--images", data / "images", "--labels", data / "labels", "-o", path]
    return [*map(str, (*given, *SMALL, *flags))]


def train(data, capsys, *flags):
    """The weights and what was printed."""
    path = data / "1.safetensors"
    assert main(command(data, path, *flags)) == 0
    return load_file(path), json.loads(capsys.readouterr().out)


def train_in_two(data, *flags):
    """The same of two processes, and what they told."""
    path = data / "2.safetensors"
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [sys.executable, *launch, "-m", "napari_unet.cli", *command(data, path, *flags)],
        capture_output=True,
        text=True,
        timeout=240,  # a busy machine is no fault
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return load_file(path), json.loads(done.stdout), done.stderr


@pytest.mark.parametrize(
    ("goes_on", "architecture"), [(False, "unet"), (True, "unet"), (False, "mask-rcnn")]
)
def test_two_processes_make_the_model_of_one(data, capsys, goes_on, architecture):
    # not Adam: it divides by the gradient's size, and where that is about 0 rounding decides
    flags = ("--optimizer", "sgd", "--learning-rate", 1e-3, "--architecture", architecture)
    if goes_on:  # from a model that finds nothing yet, as the first process sees
        train(data, capsys, *flags)
        start = (data / "1.safetensors").rename(data / "start.safetensors")
        flags += ("--start-from", start)
    one, said_by_one = train(data, capsys, *flags)
    two, said_by_two, errors = train_in_two(data, *flags)
    assert one.keys() == two.keys()
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, atol=1e-5, rtol=1e-3)
    assert said_by_two["scores"]["loss"] == pytest.approx(said_by_one["scores"]["loss"], rel=1e-3)
    assert errors.count("step 1 ·") == 1


def test_a_batch_that_cannot_be_shared_is_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(InputError, match="3 processes share it: choose a multiple of 3"):
        parallel.join(TrainConfig(batch_size=4, device="cpu"))


def test_alone_nothing_is_shared():
    parallel.join(TrainConfig(batch_size=5, device="cpu"))
    assert parallel.count() == 1
    assert parallel.is_first()
    assert list(parallel.share(range(3, 6))) == [3, 4, 5]
    assert parallel.agree(0.25) == 0.25
    assert parallel.mean(torch.tensor(3)).item() == 3
