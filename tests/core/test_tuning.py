"""Threshold and least score on maps whose best cut is known."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.core.candidates import MASK, Candidates
from napari_unet.core.config import InstanceConfig
from napari_unet.core.errors import InputError
from napari_unet.core.events import exhaust
from napari_unet.core.evidence import Maps
from napari_unet.core.metrics import score_image
from napari_unet.core.tuning import Seen, Tried, _score_ways, _ways, choices_for, find_margin, tune


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
    maps = Maps(probability[None].astype(np.float32), 1)
    return Seen(maps, truth, np.ones(truth.shape, bool))


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
    seen.evidence.values[0, 90:93, 0:3] = 0.9
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
    choices = choices_for("maps")
    ways = _ways(config, choices)
    assert ways[0] == config
    assert len(ways) == len(set(ways)) == 1 + math.prod(map(len, choices.values()))
    assert all(way.min_size == 7 for way in ways)
    assert all(way.threshold == 0.5 for way in ways[:6])


@given(st.floats(0.3, 0.95), st.floats(0.05, 0.6), st.integers(0, 5))
@settings(max_examples=10, deadline=None)
def test_labelling_together_is_labelling_each(inside, rim, seed):
    seen = discs(inside, rim, seed)
    ways = _ways(InstanceConfig(), choices_for("maps"))
    for way, score in zip(ways, _score_ways(seen, ways), strict=True):
        labels = seen.evidence.label(way).labels
        assert score.summary() == score_image(seen.truth, labels, seen.known).summary()


def crossing(overlap: float) -> Seen:
    """Eight pairs of squares, in each the less sure one with `overlap` of it in the other."""
    boxes, scores = [], []
    truth = np.zeros((96, 96), np.int32)
    step = round(16 * (1 - overlap))
    for label, (y, x) in enumerate(np.ndindex(4, 2)):
        top, left = 24 * y + 2, 48 * x + 2
        truth[top : top + 16, left + 16 : left + 16 + step] = 2 * label + 2
        truth[top : top + 16, left : left + 16] = 2 * label + 1
        boxes += [(left, top, left + 16, top + 16), (left + step, top, left + step + 16, top + 16)]
        scores += [0.9, 0.8]
    masks = np.full((len(boxes), MASK, MASK), 255, np.uint8)
    kinds = np.ones(len(boxes), np.uint8)
    found = Candidates(
        np.array(boxes, np.float32), np.array(scores, np.float32), masks, kinds, truth.shape
    )
    return Seen(found, truth, np.ones(truth.shape, bool))


@pytest.mark.parametrize("lies_over", [True, False])
def test_the_overlap_at_which_two_found_cells_are_one_is_chosen_for_candidates_alone(lies_over):
    seen = crossing(0.625)
    if not lies_over:  # the less sure ones are found again
        seen.truth[seen.truth % 2 == 0] = 0
    config = InstanceConfig(overlap=0.5 if lies_over else 0.7)
    tuned = exhaust(tune([seen], config))
    assert tuned.after == dataclasses.replace(config, overlap=0.7 if lies_over else 0.3)
    assert tuned.values == {
        "threshold": 0.5, "min_score": 0.25, "overlap": tuned.after.overlap,
    }  # fmt: skip
    assert tuned.words == f"threshold 0.5, least score 0.25 and overlap {tuned.after.overlap:g}"
    assert choices_for("maps").keys() < choices_for("candidates").keys()
