"""Families trained on one annotation: the same split for all, and a row for each."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from napari_unet.core import contest, training
from napari_unet.core.checkpoint import load_model
from napari_unet.core.config import PredictConfig
from napari_unet.core.contest import compete
from napari_unet.core.entries import Entry, choose_entries
from napari_unet.core.errors import InputError
from napari_unet.core.evaluation import score_model, summarize
from napari_unet.core.events import exhaust
from napari_unet.core.label_files import read_labels
from napari_unet.core.metrics import Scored, score_image
from napari_unet.core.models import MODELS
from napari_unet.core.standings import Failed, Told
from napari_unet.core.training_log import log_path
from napari_unet.core.types import Prepared, Stepped

CPU = PredictConfig(device="cpu", precision="float32")


@pytest.fixture
def images(discs):
    """Five images, of which one is held out."""
    return [dataclasses.replace(discs, name=f"{letter}.png") for letter in "abcde"]


@pytest.fixture
def short(quick):
    return dataclasses.replace(quick, steps=2, batch_size=1, tile=64, validations=1)


@pytest.fixture
def at_once(monkeypatch):
    """Entries are trained in this process, where a test can watch them."""
    tasks = []

    def work_here(work, task, *rest):
        tasks.append(task)
        return work(task, *rest)

    monkeypatch.setattr(contest, "work_apart", work_here)
    return tasks


@pytest.mark.parametrize("given", ["images", "a lone image", "others to judge by"])
def test_all_are_fitted_to_and_judged_by_the_same(
    given, discs, images, short, at_once, tmp_path, monkeypatch
):
    samples = [discs] if given == "a lone image" else images
    validation = [discs] if given == "others to judge by" else []
    splits = {}

    class Watched(training.Run):
        def __init__(self, segmenter, *rest):
            super().__init__(segmenter, *rest)
            splits[segmenter.name] = self.split

    monkeypatch.setattr(training, "Run", Watched)
    config = dataclasses.replace(short, steps=1, seed=7)
    exhaust(compete(choose_entries(), samples, config, tmp_path, validation=validation))
    assert list(splits) == list(MODELS)
    first, *others = splits.values()
    assert first.held_out
    for other in others:
        assert other.words == first.words
        for mine, its in ((first.train, other.train), (first.held_out, other.held_out)):
            assert [sample.name for sample in mine] == [sample.name for sample in its]
            for one, same in zip(mine, its, strict=True):
                np.testing.assert_array_equal(one.image, same.image)
                np.testing.assert_array_equal(one.labels, same.labels)
                np.testing.assert_array_equal(one.complete, same.complete)
    for task in at_once:  # what the split holds out is what each is scored by
        assert [sample.name for sample in task.held_out] == [s.name for s in first.held_out]
        for one, same in zip(task.held_out, first.held_out, strict=True):
            np.testing.assert_array_equal(one.labels, same.labels)
            np.testing.assert_array_equal(one.complete, same.complete)


def test_a_row_for_each_that_its_files_bear_out(images, short, tmp_path):
    said = []
    outcome = exhaust(compete(choose_entries(), images, short, tmp_path), said.append)
    assert [one.name for one in outcome.standings] == list(MODELS)
    assert outcome.failed == {}
    held_out = {event.event.name for event in said if isinstance(event.event, Scored)}
    (name,) = held_out
    (sample,) = (sample for sample in images if sample.name == name)
    for one in outcome.standings:
        own = [event.event for event in said if event.name == one.name]
        (prepared,) = (event for event in own if isinstance(event, Prepared))
        assert (prepared.held_out, prepared.images) == ("1 of 5 images", 4)
        model = load_model(one.model, "cpu")
        weights = model.segmenter.net.parameters()
        assert one.parameters == sum(w.numel() for w in weights) == prepared.parameters
        assert one.steps == sum(isinstance(event, Stepped) for event in own) == 2
        assert one.minutes > 0 < one.images_per_second
        assert one.memory is None or 100e6 < one.memory < 4e9
        assert one.gpu_memory is None
        again = exhaust(score_model(model, [sample], CPU))
        for key, value in summarize(again).items():
            assert key == "seconds" or one.scores[key] == pytest.approx(value)
        labels = read_labels(tmp_path / "predicted" / one.name / f"{name[0]}.tif")
        found = score_image(sample.labels, labels).summary()["mean_ap"]
        assert one.scores["mean_ap"] == pytest.approx(found)
        assert log_path(tmp_path / f"{one.name}.safetensors").exists()
    assert {(tally.name, tally.against) for tally in outcome.tallies} == {
        (one, other) for one in MODELS for other in MODELS if one != other
    }
    for one, other in ((one, other) for one in MODELS for other in MODELS if one != other):
        part = tmp_path / "differences" / f"{one}_finds_{other}_misses"
        assert [path.name for path in part.iterdir()] == [f"{name[0]}.tif"]


def test_one_that_cannot_be_made_is_a_sentence_and_the_others_go_on(
    images, short, at_once, tmp_path, monkeypatch
):
    monkeypatch.setattr("napari_unet.core.models.find_spec", lambda _: None)
    lack, said = MODELS["mask-rcnn"].lack, []
    entries = choose_entries(["mask-rcnn", "unet"])
    outcome = exhaust(compete(entries, images, short, tmp_path), said.append)
    assert said[0] == Failed("mask-rcnn", lack)
    assert outcome.failed == {"mask-rcnn": lack}
    assert [one.name for one in outcome.standings] == ["unet"]
    assert outcome.tallies == ()
    with pytest.raises(InputError, match=f"^{re.escape(lack)}$"):
        exhaust(compete(entries[:1], images, short, tmp_path))


def test_stop_saves_what_the_one_under_way_has_learnt(images, short, tmp_path):
    long = dataclasses.replace(short, steps=10_000)
    work = compete([Entry("unet")], images, long, tmp_path)
    for event in work:
        assert isinstance(event, Told)
        if isinstance(event.event, Stepped):
            break
    work.close()
    load_model(tmp_path / "unet.safetensors", "cpu")
    assert not list((tmp_path / "predicted" / "unet").iterdir())


def test_what_cannot_tell_is_a_sentence_before_any_work(discs, images, short, at_once, tmp_path):
    for samples, config, words in (
        (images, dataclasses.replace(short, val_fraction=0.0), "Too little is painted to hold"),
        ([dataclasses.replace(discs, labels=np.zeros_like(discs.labels))], short, "cell"),
        ([discs, discs, discs, discs], dataclasses.replace(short, val_fraction=0.5), "'discs'"),
    ):
        with pytest.raises(InputError, match=words):
            exhaust(compete(choose_entries(), samples, config, tmp_path / "new"))
    assert at_once == []
