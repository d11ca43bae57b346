"""A work is run to its end, relayed in other words, and closed where its consumer ends."""

from __future__ import annotations

import pytest

from napari_unet.core.events import exhaust, relay


def count(told):
    try:
        yield from range(3)
        return "result"
    finally:
        told.append("closed")


def test_a_result_comes_through_and_each_event_is_seen():
    told, seen = [], []
    assert exhaust(count(told), seen.append) == "result"
    assert exhaust(count(told)) == "result"
    assert seen == [0, 1, 2]
    assert told == ["closed", "closed"]


def test_what_the_watcher_raises_closes_the_work_first():
    told = []

    def watch(number):
        if number == 1:
            raise KeyError(number)

    with pytest.raises(KeyError):
        exhaust(count(told), watch)
    assert told == ["closed"]


def test_events_are_relayed_in_other_words_and_close_reaches_the_work():
    told, seen = [], []
    assert exhaust(relay(count(told), str), seen.append) == "result"
    assert seen == ["0", "1", "2"]
    work = relay(count(told), str)
    assert next(work) == "0"
    work.close()
    assert told == ["closed", "closed"]
