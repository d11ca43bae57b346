"""Which of several is ahead, and whether that may be chance."""

from __future__ import annotations

import dataclasses
import re

import pytest

from napari_unet.core.standings import Outcome, Standing


def outcome(cells, **mean_ap):
    one = Standing("", "m", {}, 2_000_000, 1.5, 60, 12.0, 700_000_000)
    standings = tuple(
        dataclasses.replace(one, name=name, scores={"mean_ap": value, "n_true": float(cells)})
        for name, value in mean_ap.items()
    )
    return Outcome(standings, {}, ())


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
    assert re.search(words, found.sentence)


def test_one_alone_is_ahead_of_nobody():
    found = outcome(100, a=0.5)
    assert found.better is None
    assert found.sentence == "a alone was trained: there is nothing to compare it with."


def test_a_third_one_counts_only_where_it_is_second():
    assert outcome(400, a=0.2, b=0.6, c=0.5).sentence.startswith("b is ahead of c by 0.100")


def test_a_row_has_memory_in_megabytes():
    (one,) = outcome(4, a=0.5).standings
    row = one.row()
    assert (row["model"], row["memory_mb"], row["gpu_memory_mb"]) == ("a", 700.0, None)
    assert {"mean_ap", "parameters", "minutes", "steps", "images_per_second"} <= set(row)
