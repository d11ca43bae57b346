"""Models judged by images with known cells."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from napari_unet.core.card import ModelCard
from napari_unet.core.checkpoint import Model
from napari_unet.core.config import InstanceConfig, PredictConfig, to_dict
from napari_unet.core.errors import InputError
from napari_unet.core.evaluation import score_labels, score_model, tune_model
from napari_unet.core.events import exhaust
from napari_unet.core.metrics import score_image
from napari_unet.core.models.unet import UNetConfig, UNetSegmenter
from napari_unet.core.prediction import predict
from napari_unet.core.training import train

CPU = PredictConfig(device="cpu", precision="float32")


@pytest.fixture(scope="module")
def untrained() -> Model:
    plan = UNetConfig(base=4, depth=1, channels=1, classes=1)
    return Model(UNetSegmenter(plan), ModelCard("unet", to_dict(plan), channels=1))


def test_scores_are_those_of_the_prediction(discs, untrained):
    work = score_model(untrained, iter([discs, discs]), CPU)
    events = [next(work), next(work)]
    with pytest.raises(StopIteration) as end:
        next(work)
    assert end.value.value == events
    labels = exhaust(predict(untrained, discs.image, CPU)).labels
    for event in events:
        assert event.name == "discs"
        assert event.seconds > 0
        assert event.scores.summary() == score_image(discs.labels, labels).summary()


def test_what_is_known_is_what_the_sample_says(discs):
    region = np.zeros(discs.labels.shape, bool)
    region[:, :50] = True
    half = dataclasses.replace(discs, labels=np.where(region, discs.labels, 0), complete=region)
    scores = score_labels(half, discs.labels)
    assert scores is not None
    assert (scores.n_true, scores.ap[0]) == (len(np.unique(half.labels)) - 1, 1)
    assert scores.n_pred == scores.n_true
    tiny = discs.labels.copy()
    tiny[0, 0] = 99
    assert score_labels(discs, tiny).n_pred == 13
    assert score_labels(discs, tiny, min_size=2).n_pred == 12


def test_an_image_that_does_not_fit_is_a_sentence(discs, untrained):
    rgb = dataclasses.replace(discs, image=np.repeat(discs.image, 3, axis=0), name="stained")
    for work in (score_model, tune_model):
        with pytest.raises(InputError, match="stained is of 3 channels"):
            exhaust(work(untrained, [rgb], CPU))


def test_tuning_finds_back_what_was_detuned(discs, quick):
    model = exhaust(train([discs], dataclasses.replace(quick, val_fraction=0.0)))
    bad = InstanceConfig(threshold=0.99, min_score=0.99)
    config = dataclasses.replace(CPU, instances=bad)
    before = model.card
    tuned = exhaust(tune_model(model, [discs], config))
    assert tuned.before == bad
    assert tuned.scores_best["mean_ap"] > tuned.scores_before["mean_ap"] + 0.3
    assert tuned.after == tuned.best
    assert model.card == before
    (scored,) = exhaust(score_model(model, [discs], dataclasses.replace(CPU, instances=tuned.best)))
    assert scored.scores.summary()["mean_ap"] == pytest.approx(tuned.scores_best["mean_ap"])
