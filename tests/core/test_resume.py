"""A training that was stopped or killed goes on as if it had not been."""

from __future__ import annotations

import csv
import dataclasses
import os
import signal
import subprocess
import sys
import time
from functools import cache

import numpy as np
import pytest
import tifffile
import torch

from napari_unet.core import run as run_module
from napari_unet.core.errors import InputError
from napari_unet.core.events import exhaust
from napari_unet.core.label_files import read_labels
from napari_unet.core.models.unet import UNetSegmenter
from napari_unet.core.pixels import read_image
from napari_unet.core.resumable import is_resumable, state_path
from napari_unet.core.training import resume, train
from napari_unet.core.training_log import log_path
from napari_unet.core.types import Judging, Sample, Stepped, Validated, Warned


@pytest.fixture
def config(quick):
    return dataclasses.replace(quick, steps=12, validations=3)


def weights(model):
    return model.segmenter.net.state_dict()


def stop_after(work, kind, count):
    """The events up to the `count`-th of a kind, where the training is stopped."""
    seen = []
    for event in work:
        seen.append(event)
        if sum(isinstance(each, kind) for each in seen) == count:
            break
    work.close()
    return seen


def figures(events):
    """What a training said, without what a clock or a restart changes."""
    return [(event.step, event.loss) for event in events if isinstance(event, Stepped | Validated)]


def read_table(model):
    with log_path(model).open() as file:
        return [row | {"seconds": ""} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def uninterrupted(drawn, tmp_path_factory):
    """A training that nothing stops, with its file and what it said; each made once."""

    @cache
    def find(config, architecture):
        path, events = tmp_path_factory.mktemp(architecture) / "whole.safetensors", []
        work = train([drawn], config, architecture=architecture, output=path)
        return exhaust(work, events.append), path, events

    return find


@pytest.mark.parametrize(
    ("kind", "count", "optimizer", "architecture"),
    [
        (Stepped, 1, "adamw", "unet"),
        (Stepped, 4, "adamw", "unet"),
        (Stepped, 7, "sgd", "unet"),
        (Stepped, 12, "adamw", "unet"),
        (Judging, 3, "adamw", "unet"),
        (Stepped, 4, "adamw", "mask-rcnn"),
        (Stepped, 7, "sgd", "mask-rcnn"),
    ],
)
def test_stop_and_continue_equals_never_having_stopped(
    discs, config, uninterrupted, tmp_path, kind, count, optimizer, architecture
):
    config = dataclasses.replace(config, optimizer=optimizer, learning_rate=1e-3)
    expected, whole, events = uninterrupted(config, architecture)
    path = tmp_path / "model.safetensors"
    work = train([discs], config, architecture=architecture, output=path)
    seen = stop_after(work, kind, count)
    assert is_resumable(path)
    torch.manual_seed(99)
    got = exhaust(resume([discs], path), seen.append)
    assert all(torch.equal(weights(got)[k], v) for k, v in weights(expected).items())
    assert figures(seen) == figures(events)
    assert got.card.scores == expected.card.scores
    tables = [read_table(p) for p in (whole, path)]
    assert tables[0] == tables[1]
    assert not is_resumable(path)
    assert not is_resumable(whole)


def test_dropout_and_a_start_model_go_on_as_well(discs, config, tmp_path, monkeypatch):
    plan = UNetSegmenter.configure

    def narrow(*given):  # the paper's has 31 M parameters
        return dataclasses.replace(plan(*given), base=8)

    monkeypatch.setattr(UNetSegmenter, "configure", narrow)
    config = dataclasses.replace(config, steps=2, validations=1, tile=32, batch_size=1)
    start = tmp_path / "start.safetensors"
    exhaust(train([discs], config, output=start))
    for options in ({"preset": "paper"}, {"start_from": start}):
        expected = exhaust(train([discs], config, output=tmp_path / "whole.safetensors", **options))
        path = tmp_path / "model.safetensors"
        stop_after(train([discs], config, output=path, **options), Stepped, 1)
        got = exhaust(resume([discs], path))
        assert all(torch.equal(weights(got)[k], v) for k, v in weights(expected).items())


def test_what_was_held_out_stays_so_when_more_is_painted(discs, config, tmp_path):
    path = tmp_path / "model.safetensors"
    begun = train([discs], config, output=path)
    next(begun)
    split = begun.gi_yieldfrom.gi_frame.f_locals["run"].split
    stop_after(begun, Stepped, 2)
    labels = discs.labels.copy()
    labels[:10, :10] = 99
    painted = dataclasses.replace(discs, labels=labels)
    work = resume([painted, discs], path)
    next(work)
    again = work.gi_yieldfrom.gi_frame.f_locals["run"].split
    assert np.array_equal(again.judged[0], split.judged[0])
    assert len(again.train) == 2
    held_out = again.held_out[0]
    assert not (held_out.complete & ~split.judged[0]).any()
    assert not (again.train[0].complete & split.judged[0]).any()
    work.close()


def test_a_used_budget_of_minutes_is_used(discs, config, tmp_path):
    path = tmp_path / "model.safetensors"
    config = dataclasses.replace(config, steps=None, minutes=0.5)
    seen = stop_after(train([discs], config, output=path), Stepped, 5)
    used = [event.seconds for event in seen if isinstance(event, Stepped)][-1]
    time.sleep(0.3)
    again = stop_after(resume([discs], path), Stepped, 1)
    assert used < again[-1].seconds < used + 5
    assert again[-1].step == 6


def test_a_new_training_forgets_the_stopped_one(discs, config, tmp_path):
    path = tmp_path / "model.safetensors"
    stop_after(train([discs], config, output=path), Stepped, 2)
    work = train([discs], config, output=path)
    next(work)
    assert not is_resumable(path)
    work.close()


@pytest.mark.parametrize(
    ("samples", "sentence"),
    [
        (lambda discs: [discs], "as image 2, and that is missing here"),
        (lambda discs: [discs, smaller(discs)], "the same images in the same order"),
    ],
)
def test_other_images_are_refused(discs, config, tmp_path, samples, sentence):
    path = tmp_path / "model.safetensors"
    stop_after(train([discs, discs], config, output=path), Stepped, 2)
    with pytest.raises(InputError, match=sentence):
        next(resume(samples(discs), path))
    assert is_resumable(path)


def test_the_images_to_judge_by_have_to_be_given_again(discs, config, tmp_path):
    path = tmp_path / "model.safetensors"
    stop_after(train([discs], config, output=path, validation=[discs]), Stepped, 2)
    with pytest.raises(InputError, match="give the same images"):
        next(resume([discs], path))
    exhaust(resume([discs], path, validation=[discs]))


def test_the_best_state_is_judged_again_by_what_is_held_out_now(discs, config, tmp_path):
    path = tmp_path / "model.safetensors"
    begun = train([discs], config, output=path)
    next(begun)
    (judged,) = begun.gi_yieldfrom.gi_frame.f_locals["run"].split.judged
    stop_after(begun, Stepped, 6)
    labels = np.where(judged & (discs.labels > 0), 0, discs.labels)
    labels[tuple(np.argwhere(judged)[0])] = 50  # the only cell there, one that nobody can find
    work = resume([dataclasses.replace(discs, labels=labels)], path)
    seen = stop_after(work, Stepped, 1)
    assert any(isinstance(event, Judging) for event in seen)


def smaller(sample):
    return Sample(sample.image[:, :100], sample.labels[:100], name="small")


def test_without_a_stopped_training_it_is_said(discs, tmp_path):
    with pytest.raises(InputError, match="No stopped training"):
        next(resume([discs], tmp_path / "model.safetensors"))


@pytest.mark.parametrize("content", [b"", b"nonsense" * 100])
def test_a_damaged_file_is_said(discs, tmp_path, content):
    path = tmp_path / "model.safetensors"
    state_path(path).write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        next(resume([discs], path))


def test_a_killed_process_goes_on(discs, config, tmp_path):
    image, labels = tmp_path / "images" / "a.tif", tmp_path / "labels" / "a.tif"
    image.parent.mkdir()
    labels.parent.mkdir()
    tifffile.imwrite(image, discs.image[0])
    tifffile.imwrite(labels, discs.labels)
    path = tmp_path / "model.safetensors"
    # where it is written down after each step, so that the test need not wait
    code = (
        "import sys; from napari_unet.core import run; run._KEPT_EVERY = 0;"
        "from napari_unet.cli import main; sys.exit(main())"
    )
    command = ["train", "--images", image, "--labels", labels, "-o", path, "--steps", 400]
    flags = ["--tile", 64, "--batch-size", 1, "--device", "cpu", "--precision", "float32"]
    child = subprocess.Popen([sys.executable, "-c", code, *map(str, command + flags)])
    try:
        deadline = time.monotonic() + 120
        while not is_resumable(path) and time.monotonic() < deadline:
            assert child.poll() is None
            time.sleep(0.05)
        time.sleep(0.5)
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    assert is_resumable(path)
    sample = Sample(read_image(image), read_labels(labels), name="a.tif")
    work = resume([sample], path)
    first = stop_after(work, Stepped, 1)[-1]
    assert first.step > 1
    assert run_module._KEPT_EVERY <= 30


def test_a_full_disk_is_said_once_and_does_not_end_the_training(
    discs, config, tmp_path, monkeypatch
):
    def refuse(state, model):
        raise InputError("The disk is full.")

    monkeypatch.setattr(run_module, "keep", refuse)
    monkeypatch.setattr(run_module, "_KEPT_EVERY", 0)
    events = []
    path = tmp_path / "model.safetensors"
    exhaust(train([discs], config, output=path), events.append)
    said = [event.message for event in events if isinstance(event, Warned)]
    assert [each for each in said if "full" in each] == [
        "The training goes on, but not if it were killed. The disk is full."
    ]
    assert path.exists()
