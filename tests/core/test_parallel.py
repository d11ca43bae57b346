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


def train(data, processes, *flags):
    """The weights and what was printed."""
    path = data / f"{processes}.safetensors"
    launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command = ["-m", "napari_unet.cli", "train", "--images", data / "images"]
    command += ["--labels", data / "labels", "-o", path, *SMALL, *flags]
    done = subprocess.run(
        [sys.executable, *(launch if processes > 1 else []), *map(str, command)],
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return load_file(path), json.loads(done.stdout), done.stderr


@pytest.mark.parametrize(
    ("goes_on", "architecture"), [(False, "unet"), (True, "unet"), (False, "mask-rcnn")]
)
def test_two_processes_make_the_model_of_one(data, goes_on, architecture):
    # not Adam: it divides by the gradient's size, and where that is about 0 rounding decides
    flags = ("--optimizer", "sgd", "--learning-rate", 1e-3, "--architecture", architecture)
    if goes_on:  # from a model that finds nothing yet, as the first process sees
        train(data, 1, *flags)
        start = (data / "1.safetensors").rename(data / "start.safetensors")
        flags += ("--start-from", start)
    one, said_by_one, _ = train(data, 1, *flags)
    two, said_by_two, errors = train(data, 2, *flags)
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
