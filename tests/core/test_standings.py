"""Which of several is ahead, and whether that may be chance."""

from __future__ import annotations

import dataclasses
import re

import pytest

from napari_unet.core.standings import Outcome, Standing


def standing(name, mean_ap, cells):
    scores = dict.fromkeys(("ap50", "ap75", "f1_50", "pq", "seconds"), 0.5)
    scores |= {"mean_ap": mean_ap, "n_true": float(cells)}
    return Standing(name, "m", scores, 2_000_000, 1.5, 60, 12.0, 700_000_000)


def outcome(cells, **mean_ap):
    return Outcome(tuple(standing(*one, cells) for one in mean_ap.items()), {}, ())


@pytest.mark.parametrize(
    ("cells", "values", "better", "words"),
    [
        (400, (0.5, 0.6), "b", "b is ahead of a by 0.100 mean AP on 400 held-out cells; 0.015"),
        (400, (0.6, 0.59), None, "a is ahead of b by 0.010 mean AP on 400 .* may be chance"),
        (4, (0.5, 0.6), None, "b is ahead of a by 0.100 .* 0.150 may be chance"),
        (400, (0.6, 0.6), None, "a and b are equal in mean AP on 400 held-out cells"),
    ],
)
def test_ahead_by_more_than_chance(cells, values, better, words):
    found = outcome(cells, **dict(zip("ab", values, strict=True)))
    assert found.better == better
    assert re.search(words, found.conclude())


def test_the_sentence_calls_them_as_the_person_knows_them():
    assert outcome(400, a=0.2, b=0.6).conclude({"a": "One"}).startswith("b is ahead of One by")


def test_one_alone_is_ahead_of_nobody():
    found = outcome(100, a=0.5)
    assert found.better is None
    assert found.conclude() == "a alone was trained: there is nothing to compare it with."


def test_a_third_one_counts_only_where_it_is_second():
    assert outcome(400, a=0.2, b=0.6, c=0.5).conclude().startswith("b is ahead of c by 0.100")


def test_a_row_has_memory_in_megabytes():
    row = standing("a", 0.4, 4).row()
    assert (row["model"], row["mean_ap"], row["memory_mb"]) == ("a", 0.4, 700.0)
    assert "gpu_memory_mb" not in row
    told = dataclasses.replace(standing("a", 0.4, 4), memory=None, gpu_memory=3_000_000).row()
    assert (told["memory_mb"], told["gpu_memory_mb"]) == (None, 3.0)


def test_costs_are_in_the_units_that_a_person_reads():
    assert standing("a", 0.4, 4).costs == {"seconds": 0.5, "minutes": 1.5, "memory": 0.7}
    unknown = dataclasses.replace(standing("a", 0.4, 4), memory=None)
    assert "memory" not in unknown.costs
