"""Models judged by images with known cells."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from napari_unet.core.card import ModelCard
from napari_unet.core.checkpoint import Model
from napari_unet.core.config import InstanceConfig, PredictConfig, to_dict
from napari_unet.core.errors import InputError
from napari_unet.core.evaluation import (
    score_cells,
    score_labels,
    score_model,
    summarize,
    tune_model,
)
from napari_unet.core.events import exhaust
from napari_unet.core.metrics import Scored, score_image
from napari_unet.core.models.unet import UNetConfig, UNetSegmenter
from napari_unet.core.prediction import predict

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


def test_the_labels_of_each_image_are_handed_over(discs, untrained):
    given = []
    samples = [discs, dataclasses.replace(discs, image=discs.image[..., ::-1].copy(), name="back")]
    exhaust(score_model(untrained, samples, CPU, keep=lambda *each: given.append(each)))
    assert [sample.name for sample, _ in given] == ["discs", "back"]
    for sample, labels in given:
        found = exhaust(predict(untrained, sample.image, CPU)).labels
        np.testing.assert_array_equal(labels, found)


def test_a_row_is_of_means_and_of_the_median_time(discs):
    perfect, nothing = (
        score_labels(discs, labels) for labels in (discs.labels, np.zeros_like(discs.labels))
    )
    scored = [Scored("a", perfect, 9.0), Scored("b", nothing, 1.0), Scored("c", perfect, 2.0)]
    row = summarize(scored)
    assert row["ap50"] == row["mean_ap"] == pytest.approx(2 / 3)
    assert (row["images"], row["n_true"], row["seconds"]) == (3, 36, 2.0)


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


def test_cells_that_overlap_are_scored_as_wholes():
    truth = np.zeros((2, 30, 30), np.int32)
    truth[0, 2:22, 2:22], truth[1, 8:28, 8:28], truth[1, 0, 0] = 1, 2, 3
    whole = score_cells(tuple(truth), tuple(truth[::-1]), min_size=2)
    assert (whole.n_true, whole.n_pred, whole.ap[-1]) == (2, 2, 1)
    flat = np.where(truth[1] > 0, truth[1], truth[0])
    scores = score_cells(tuple(truth), flat, min_size=2)
    assert scores.iou_sum == pytest.approx(1 + (400 - 14**2) / 400)
    said = np.where(truth[0] > 0, 1, -1)
    said[:, 25:] = 0
    assert score_cells(said, flat).n_pred == score_image(said, flat, said != 0).n_pred == 3
    assert score_cells(np.zeros((4, 4), np.int32), flat[:4, :4], complete=None) is not None


def test_an_image_that_does_not_fit_is_a_sentence(discs, untrained):
    rgb = dataclasses.replace(discs, image=np.repeat(discs.image, 3, axis=0), name="stained")
    for work in (score_model, tune_model):
        with pytest.raises(InputError, match="stained is of 3 channels"):
            exhaust(work(untrained, [rgb], CPU))


def test_tuning_finds_back_what_was_detuned(discs, learnt):
    model, _ = learnt("unet")
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
