"""Threshold and least score on maps whose best cut is known."""

from __future__ import annotations

import dataclasses
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.core.config import InstanceConfig
from napari_unet.core.errors import InputError
from napari_unet.core.events import exhaust
from napari_unet.core.instances import label_instances
from napari_unet.core.metrics import score_image
from napari_unet.core.tuning import CHOICES, Seen, Tried, _score_ways, _ways, find_margin, tune


def discs(inside: float, rim: float, seed: int = 0) -> Seen:
    """Sixteen discs of probability `inside`, each in a rim of probability `rim`."""
    rows, columns = np.mgrid[:96, :96]
    truth, halo = np.zeros((96, 96), np.int32), np.zeros((96, 96), bool)
    for label, (y, x) in enumerate(np.ndindex(4, 4), 1):
        distance = np.hypot(rows - 12 - 24 * y, columns - 12 - 24 * x)
        truth[distance <= 6] = label
        halo |= distance <= 10
    noise = np.random.default_rng(seed).uniform(-0.02, 0.02, truth.shape)
    probability = np.where(truth > 0, inside, np.where(halo, rim, 0.05)) + noise
    label = partial(label_instances, probability[None].astype(np.float32))
    return Seen(label, truth, np.ones(truth.shape, bool))


def test_the_threshold_goes_where_the_outlines_are():
    tuned = exhaust(tune([discs(0.9, 0.55)], InstanceConfig()))
    assert tuned.after == tuned.best == InstanceConfig(threshold=0.6)  # the least that changes
    assert tuned.scores_best["mean_ap"] == 1
    assert tuned.gain > tuned.margin == find_margin(16)
    assert str(tuned) == (
        f"threshold 0.5 → 0.6: mean AP {tuned.scores_before['mean_ap']:.3f} → 1.000 on 16 cells."
    )


def test_what_is_best_already_stays():
    tuned = exhaust(tune([discs(0.9, 0.05)], InstanceConfig()))
    assert tuned.after == tuned.best == tuned.before == InstanceConfig()
    assert "are the best on 16 cells: mean AP 1.000" in str(tuned)


def test_a_gain_that_may_be_chance_changes_nothing():
    seen = discs(0.9, 0.55)
    many = exhaust(tune([seen, seen], InstanceConfig()))
    assert many.after == many.best != many.before
    assert "32 cells of 2 images" in str(many)
    few = dataclasses.replace(many, margin=many.gain + 0.01)
    assert few.after == few.before
    assert "threshold 0.5 and least score 0.25 stay: threshold 0.5 → 0.6 is ahead" in str(few)


def test_debris_is_left_out_on_both_sides():
    seen = discs(0.9, 0.05)
    seen.truth[0, 0] = 99
    (maps,) = seen.label.args
    maps[0, 90:93, 0:3] = 0.9
    config = InstanceConfig(min_size=0)
    assert exhaust(tune([seen], config)).scores_before["ap50"] == 16 / 18
    without = dataclasses.replace(seen, min_size=20)
    assert exhaust(tune([without], config)).scores_before["ap50"] == 1


def test_an_event_for_each_image_and_images_without_anything_said_are_left_out():
    seen = discs(0.9, 0.05)
    unsaid = dataclasses.replace(seen, known=np.zeros(seen.truth.shape, bool))
    assert list(tune([seen, unsaid, seen], InstanceConfig())) == [Tried(1), Tried(2)]
    for nothing in ([], [unsaid], [dataclasses.replace(seen, truth=0 * seen.truth)]):
        with pytest.raises(InputError, match="no true cell to tune on"):
            exhaust(tune(nothing, InstanceConfig()))


def test_the_ways_are_all_choices_once_and_begin_with_the_least_change():
    config = InstanceConfig(threshold=0.5, min_score=0.33, min_size=7)
    ways = _ways(config)
    assert ways[0] == config
    assert len(ways) == len(set(ways)) == 1 + len(CHOICES[0][1]) * len(CHOICES[1][1])
    assert all(way.min_size == 7 for way in ways)
    assert all(way.threshold == 0.5 for way in ways[:6])


@given(st.floats(0.3, 0.95), st.floats(0.05, 0.6), st.integers(0, 5))
@settings(max_examples=10, deadline=None)
def test_labelling_together_is_labelling_each(inside, rim, seed):
    seen = discs(inside, rim, seed)
    ways = _ways(InstanceConfig())
    for way, score in zip(ways, _score_ways(seen, ways), strict=True):
        labels = seen.label(way).labels
        assert score.summary() == score_image(seen.truth, labels, seen.known).summary()
