from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_unet.core.card import read_card
from napari_unet.core.checkpoint import Model, load_model, save_model
from napari_unet.core.config import AugmentConfig, InstanceConfig, PredictConfig
from napari_unet.core.errors import InputError
from napari_unet.core.events import exhaust
from napari_unet.core.models import MODELS, find_model
from napari_unet.core.models.unet import UNetSegmenter
from napari_unet.core.prediction import predict
from napari_unet.core.training import train
from napari_unet.core.training_log import log_path
from napari_unet.core.types import Judging, Prepared, Repainted, Sample, Stepped, Validated, Warned
from napari_unet.core.validation import Validator


def run(samples, config, **options):
    events = []
    model = exhaust(train(samples, config, **options), events.append)
    return model, events


@dataclasses.dataclass
class Story:
    """A training to its end, for tests that ask different things of the same."""

    path: Path
    model: Model
    events: list


@pytest.fixture(scope="module")
def story(drawn, quick, tmp_path_factory):
    path = tmp_path_factory.mktemp("story") / "model.safetensors"
    return Story(path, *run([drawn], quick, output=path))


def measure_centers(labels):
    return [
        np.argwhere(labels == i).mean(0).round().astype(int) for i in range(1, labels.max() + 1)
    ]


def weights(model):
    return {k: v.clone() for k, v in model.segmenter.net.state_dict().items()}


def test_events_tell_the_whole_story(story):
    events = story.events
    prepared = events[0]
    assert isinstance(prepared, Prepared)
    assert "regions" in prepared.held_out
    steps = [event for event in events if isinstance(event, Stepped)]
    assert [event.step for event in steps] == list(range(1, 61))
    assert steps[-1].fraction == 1
    assert steps[-1].loss < steps[0].loss
    looks = [event for event in events if isinstance(event, Validated)]
    assert [event.step for event in looks] == [20, 40, 60]
    best = max(looks, key=lambda event: (event.mean_ap, event.step))
    assert story.model.card.scores["step"] == best.step
    assert read_card(story.path).scores == story.model.card.scores


def test_the_same_seed_gives_the_same_model(discs, quick):
    short = dataclasses.replace(quick, steps=6)
    first, second = (weights(run([discs], short)[0]) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    other = weights(run([discs], dataclasses.replace(short, seed=1))[0])
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_stop_saves_what_was_learnt(discs, quick, tmp_path):
    output = tmp_path / "model.safetensors"
    work = train([discs], quick, output=output)
    while not isinstance(next(work), Validated):
        pass
    work.close()
    assert read_card(output).scores["step"] == 20


def test_stop_before_the_first_step_leaves_no_file(discs, quick, tmp_path):
    output = tmp_path / "model.safetensors"
    work = train([discs], quick, output=output)
    next(work)
    work.close()
    assert not output.exists()


def test_a_budget_of_minutes_ends_the_training(discs, quick):
    _, events = run([discs], dataclasses.replace(quick, steps=None, minutes=0.05))
    steps = [event for event in events if isinstance(event, Stepped)]
    assert 2.5 < steps[-1].seconds < 10


def test_a_table_of_losses_and_scores_lies_beside_the_model(story):
    events = story.events
    with log_path(story.path).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    looks = [row for row in rows if row["held_out_loss"]]
    told = [event for event in events if isinstance(event, Validated)]
    assert [float(row["ap50"]) for row in looks] == [event.ap50 for event in told]
    assert [int(row["step"]) for row in rows if row["loss"]] == [20, 40, 60]
    assert sum(int(row["best"]) for row in looks) == sum(event.best for event in told)
    assert sorted(path.name for path in story.path.parent.iterdir()) == [
        "model.safetensors",
        "model.training.csv",
    ]


def test_what_is_painted_meanwhile_enters_the_next_batches(discs, quick):
    half = dataclasses.replace(discs, labels=np.where(discs.labels < 7, discs.labels, 0))
    nothing_said = dataclasses.replace(discs, labels=np.zeros_like(discs.labels))
    work = train([half], dataclasses.replace(quick, val_fraction=0))
    told = [next(work)]
    while not isinstance(told[-1], Stepped):
        told.append(next(work))
    assert work.send([discs]) == Repainted(12)
    assert isinstance(next(work), Stepped)
    refused = work.send([nothing_said])
    assert isinstance(refused, Warned)
    assert refused.message.startswith("What was painted since is left out. Nothing is painted")
    assert isinstance(next(work), Stepped)
    work.close()


def test_less_is_tried_when_the_memory_runs_out(discs, quick, monkeypatch):
    loss = UNetSegmenter.loss

    def greedy(self, batch):
        if batch.index.numel() > 64 * 64:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return loss(self, batch)

    monkeypatch.setattr(UNetSegmenter, "loss", greedy)
    config = dataclasses.replace(quick, steps=2, val_fraction=0, batch_size=4)
    _, events = run([discs], config)
    said = [event.message for event in events if isinstance(event, Warned)][1:]
    assert [words.partition("with ")[2] for words in said] == [
        "batches of 2 and tiles of 96 px.",
        "batches of 1 and tiles of 96 px.",
        "batches of 1 and tiles of 64 px.",
    ]
    assert [event.step for event in events if isinstance(event, Stepped)] == [1, 2]


def test_what_does_not_fit_at_all_is_an_error(discs, quick, monkeypatch):
    def refuse(self, batch):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(UNetSegmenter, "loss", refuse)
    with pytest.raises(torch.OutOfMemoryError):
        run([discs], dataclasses.replace(quick, val_fraction=0))


def test_going_on_scores_the_start_model_first(discs, quick, story):
    _, events = run([discs], dataclasses.replace(quick, steps=2), start_from=story.path)
    assert next(event.step for event in events if isinstance(event, Validated)) == 0


def test_a_held_out_loss_that_turns_is_said_once(discs, quick, monkeypatch):
    losses = iter([0.5, 0.4, 0.5, 0.39, 0.5, 0.5, 0.5, 0.5, 0.5])

    def score(self, segmenter):
        yield Judging(1, 1)
        return {"loss": next(losses), "iou": 0.5, "f1": 0.5, "ap50": 0.5, "mean_ap": 0.5}

    monkeypatch.setattr(Validator, "score", score)
    monkeypatch.setattr(Validator, "tune", lambda self, s, config, scores: nothing(config, scores))
    _, events = run([discs], dataclasses.replace(quick, steps=9, validations=9))
    said = [i for i, event in enumerate(events) if isinstance(event, Warned)]
    assert len(said) == 1
    assert sum(isinstance(event, Validated) for event in events[: said[0]]) == 7


def nothing(*values):
    yield Judging(1, 1)
    return values


def test_too_little_paint_to_hold_out_is_said(discs, quick):
    labels = np.where(discs.labels == 6, 6, 0).astype(np.int32)
    _, events = run(
        [dataclasses.replace(discs, labels=labels)], dataclasses.replace(quick, steps=2)
    )
    assert any(isinstance(event, Warned) for event in events)


def test_a_start_model_of_other_channels_is_refused(discs, quick, tmp_path):
    output = tmp_path / "model.safetensors"
    run([discs], dataclasses.replace(quick, steps=1), output=output)
    rgb = dataclasses.replace(discs, image=np.repeat(discs.image, 3, axis=0), name="he.png")
    with pytest.raises(InputError, match=r"he\.png is of 3 channels"):
        run([rgb], quick, start_from=output)


def test_a_class_painted_meanwhile_is_for_the_next_training(discs, quick):
    painted = dataclasses.replace(discs, classes={1: 2})
    work = train([discs], dataclasses.replace(quick, steps=3))
    events = [next(work)]
    while not isinstance(events[-1], Stepped):
        events.append(next(work))
    warned = work.send([painted])
    assert isinstance(warned, Warned)
    assert "class 2 and the model knows 1" in warned.message
    assert isinstance(next(work), Stepped | Judging | Validated)
    work.close()


@pytest.mark.parametrize("architecture", MODELS)
@pytest.mark.parametrize("seed", [0, 1])
def test_what_is_not_said_is_not_learnt_as_background(discs, quick, seed, architecture):
    """Half of the cells are not painted, and lie where nothing is said: they are found."""
    painted = np.random.default_rng(seed).permutation(np.arange(1, 13))[:6]
    labels = np.where(np.isin(discs.labels, painted), discs.labels, 0)
    away = ndimage.distance_transform_edt(labels == 0)
    labels[(away > 0) & (away < 8) & (discs.labels == 0)] = -1
    hidden = np.setdiff1d(np.arange(1, 13), painted)
    unsaid = np.isin(discs.labels, hidden)
    assert not labels[unsaid].any()
    sample = dataclasses.replace(discs, labels=labels.astype(np.int32))
    config = dataclasses.replace(quick, val_fraction=0)
    model, _ = run([sample], config, architecture=architecture)
    found = exhaust(predict(model, discs.image, PredictConfig(device="cpu", precision="float32")))
    for label in hidden:
        cell = discs.labels == label
        others = np.bincount(found.labels[cell], minlength=2)[1:]
        match = found.labels == 1 + others.argmax()
        assert (cell & match).sum() / (cell | match).sum() > 0.5


@pytest.mark.parametrize("architecture", MODELS)
def test_two_classes_are_learnt(discs, quick, architecture):
    image = discs.image.copy()
    classes = {label: 1 + label % 2 for label in range(1, 13)}
    for label, kind in classes.items():
        if kind == 2:
            image[0][discs.labels == label] //= 2
    sample = dataclasses.replace(discs, image=image, classes=classes)
    config = dataclasses.replace(quick, val_fraction=0, augment=AugmentConfig(intensity=0))
    model, _ = run([sample], config, architecture=architecture, class_names=("a", "b"))
    assert model.card.classes == ("a", "b")
    found = exhaust(predict(model, image, PredictConfig(device="cpu", precision="float32")))
    pairs = {
        (classes[label], int(found.classes[hit - 1]))
        for label, (y, x) in enumerate(measure_centers(sample.labels), 1)
        if (hit := found.labels[y, x])
    }
    right = sum(truth == said for truth, said in pairs)
    assert pairs >= {(1, 1), (2, 2)}
    assert right == len(pairs)


@pytest.mark.parametrize("architecture", MODELS)
def test_a_class_that_the_start_model_does_not_know_is_added(discs, quick, tmp_path, architecture):
    output = tmp_path / "model.safetensors"
    config = dataclasses.replace(quick, steps=1)
    run([discs], config, architecture=architecture, output=output)
    two = dataclasses.replace(discs, classes={3: 2})
    model, _ = run([two], dataclasses.replace(quick, steps=2), start_from=output)
    assert model.card.classes == ("cell", "class 2")
    assert model.segmenter.config.classes == 2


def test_fine_tuning_keeps_the_means_of_the_start_model(discs, quick, tmp_path):
    output = tmp_path / "model.safetensors"
    config = dataclasses.replace(quick, steps=2, val_fraction=0)
    before, _ = run([discs], config, output=output)
    after, _ = run([discs], dataclasses.replace(config, seed=1), start_from=output)
    weights = after.segmenter.net.state_dict()
    for name, value in before.segmenter.net.state_dict().items():
        same = torch.equal(value, weights[name])
        assert same == ("running" in name or "num_batches" in name), name


def test_the_start_model_is_recalled_at_each_step_but_the_first(
    discs, quick, tmp_path, monkeypatch
):
    """At first the network says the same."""
    start, recall, asked = tmp_path / "start.safetensors", UNetSegmenter.recall, []
    config = dataclasses.replace(quick, steps=3, val_fraction=0)
    save_model(run([discs], dataclasses.replace(config, steps=2))[0], start)
    known = load_model(start, "cpu").segmenter.net.state_dict()

    def watch(self, batch, model):
        asked.append(model.net.state_dict())
        return recall(self, batch, model)

    monkeypatch.setattr(UNetSegmenter, "recall", watch)
    run([discs], config, start_from=start)
    assert len(asked) == 2
    for name, weights in known.items():
        assert torch.equal(weights, asked[-1][name])


@pytest.mark.parametrize(
    ("told", "share"),
    [
        ({"cells": 12}, 0.5),
        ({"cells": 900}, 12 / 212),
        ({}, 12 / 212),
        ({"cells": "many"}, 12 / 212),
        ({"cells": -12}, 12 / 212),
    ],
)
def test_a_start_model_counts_as_much_as_the_cells_it_learned_from(
    discs, quick, tmp_path, monkeypatch, told, share
):
    """As some, where they were many or are not told."""
    start = tmp_path / "start.safetensors"
    config = dataclasses.replace(quick, steps=4, val_fraction=0)
    first = run([discs], dataclasses.replace(config, steps=2))[0]
    assert first.card.training["cells"] == 12
    training = {key: value for key, value in first.card.training.items() if key != "cells"}
    card = dataclasses.replace(first.card, training={**training, **told})
    save_model(Model(first.segmenter, card), start)
    before, (second, _) = weights(first), run([discs], config, start_from=start)
    assert second.card.training["cells"] == round(12 / share)
    careful = weights(second)
    monkeypatch.setattr("napari_unet.core.starting._count_known", lambda card: 0)
    bold = weights(run([discs], config, start_from=start)[0])
    for name, value in before.items():
        expected = value + (bold[name] - value) * share
        torch.testing.assert_close(careful[name], expected.to(value.dtype), atol=1e-6, rtol=1e-4)
    assert any(not torch.equal(bold[name], value) for name, value in before.items())


def test_a_start_model_that_cannot_find_the_cells_is_only_where_training_begins(
    discs, quick, tmp_path
):
    start = tmp_path / "start.safetensors"
    model, _ = run([discs], dataclasses.replace(quick, steps=2), output=start)
    hides_all = InstanceConfig(threshold=0.9, min_score=1.0)
    save_model(Model(model.segmenter, dataclasses.replace(model.card, instances=hides_all)), start)
    config = dataclasses.replace(quick, steps=2, validations=1, keep_best=False)
    again, events = run([discs], config, start_from=start, validation=[discs])  # 12 cells
    said = [event.message for event in events if isinstance(event, Warned)]
    assert any("does not find these cells" in each for each in said)
    assert again.card.instances.min_score < 1
    # not drawn back, and with statistics of its own
    before, after = weights(model), weights(again)
    assert again.card.scores["step"] == 2
    statistics = [name for name in before if "running_mean" in name]
    assert all(not torch.equal(before[name], after[name]) for name in statistics)


@pytest.mark.parametrize(
    ("gain", "loss", "echoed", "kept"),
    [
        (0.02, 1.0, 0, 0), (0.5, 1.0, 0, 4), (0.5, 1.1, 0, 4),
        (0.02, 0.9, 0, 4), (0.0, 0.9, 0, 4), (-0.02, 0.9, 0, 0),
        (0.0, 1.0, 0.2, 0), (0.0, 1.0, 0.3, 4), (-0.02, 1.0, 0.3, 4), (-0.3, 1.0, 0.9, 0),
    ],
)  # fmt: skip
def test_a_start_model_gives_way_to_what_is_clearly_better(
    discs, quick, tmp_path, monkeypatch, gain, loss, echoed, kept
):
    """By the cells, or by the loss where no cell is lost; the less, the more are its own."""
    start = tmp_path / "start.safetensors"
    run([discs], dataclasses.replace(quick, steps=2), output=start)
    looks = iter([(0.4, 1.0), (0.4 + gain, loss), (0.4 + gain, loss)])

    def score(self, segmenter):
        yield from ()
        value, loss = next(looks)
        self.echoed = echoed
        return {"loss": loss, "iou": value, "f1": value, "ap50": value, "mean_ap": value}

    monkeypatch.setattr(Validator, "score", score)
    monkeypatch.setattr(
        Validator, "tune", lambda self, net, config, scores: no_tuning(config, scores)
    )
    config = dataclasses.replace(quick, steps=4, validations=1)
    model, events = run([discs], config, start_from=start)
    assert model.card.scores["step"] == kept
    said = [event.message for event in events if isinstance(event, Warned)]
    assert any("start model finds the held-out cells as well" in each for each in said) == (
        not kept
    )


@pytest.mark.parametrize(("loss", "kept"), [(0.0, 4), (0.5, 0)])
def test_cells_that_the_start_model_drew_itself_only_tell_what_is_lost(
    discs, quick, story, monkeypatch, loss, kept
):
    """On accepted cells it is right to the pixel: no state could ever be better."""
    labels = exhaust(predict(story.model, discs.image)).labels
    accepted = dataclasses.replace(discs, labels=labels, complete=np.ones(labels.shape, bool))
    score, looks = Validator.score, []

    def watch(self, segmenter):
        scores = yield from score(self, segmenter)
        looks.append(scores)
        return {**scores, "ap50": scores["ap50"] - loss * (len(looks) > 1)}

    monkeypatch.setattr(Validator, "score", watch)
    config = dataclasses.replace(quick, steps=4, validations=1)
    again, events = run([discs], config, start_from=story.path, validation=[accepted])
    said = [event.message for event in events if isinstance(event, Warned)]
    assert any("as the start model had drawn them" in each for each in said)
    assert looks[0]["mean_ap"] > 0.95
    assert again.card.scores["step"] == kept


def no_tuning(config, scores):
    yield from ()
    return config, scores


def test_stop_before_a_look_saves_the_last_state(discs, quick, tmp_path):
    output = tmp_path / "model.safetensors"
    work = train([discs], quick, output=output)
    while not isinstance(next(work), Stepped):
        pass
    assert not output.exists()
    work.close()
    assert read_card(output).training["steps"] == 1


def test_stop_in_the_middle_of_a_look_saves(discs, quick, tmp_path):
    output = tmp_path / "model.safetensors"
    work = train([discs], quick, output=output)
    while not isinstance(next(work), Judging):
        pass
    work.close()
    assert read_card(output).training["steps"] == 20


def test_an_impossible_budget_is_refused_before_any_work(discs, quick):
    for change in ({"steps": 0}, {"seed": -1}, {"learning_rate": 0.0}):
        with pytest.raises(InputError, match="choose"):
            run([discs], dataclasses.replace(quick, **change))


def test_a_loss_that_is_no_number_does_not_look_finished(discs, quick, tmp_path, monkeypatch):
    broken = {"cross-entropy": torch.tensor(float("nan"), requires_grad=True)}
    monkeypatch.setattr(find_model("unet"), "loss", lambda *_: broken)
    output = tmp_path / "model.safetensors"
    with pytest.raises(InputError, match="lower learning rate"):
        run([discs], quick, output=output)
    assert not output.exists()


def test_a_folder_as_output_is_refused_before_any_work(discs, quick, tmp_path):
    with pytest.raises(InputError, match="is a folder"):
        run([discs], quick, output=tmp_path)


@pytest.mark.parametrize("architecture", MODELS)
def test_images_smaller_than_a_tile_and_of_one_pixel_high_are_trained_on(quick, architecture):
    labels = np.zeros((1, 40), np.int32)
    labels[0, 5:9], labels[0, 20:26] = 1, 2
    image = np.random.default_rng(0).random((1, 1, 40))
    config = dataclasses.replace(quick, steps=2)
    model, _ = run([Sample(image, labels)], config, architecture=architecture)
    found = exhaust(predict(model, image, PredictConfig(device="cpu")))
    assert found.labels.shape == (1, 40)


def test_the_paper_preset_trains(discs, quick):
    config = dataclasses.replace(quick, steps=1, batch_size=1, tile=32, optimizer="sgd")
    model, events = run([discs], config, preset="paper")
    assert events[0].parameters == 31_030_658
    (step,) = (event for event in events if isinstance(event, Stepped))
    assert np.isfinite(step.loss)
    assert model.card.config["padding"] == "valid"
