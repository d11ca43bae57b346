"""Running a generator of events to its end, and relaying its events in other words."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from typing import Any, TypeVar

Event = TypeVar("Event")
Result = TypeVar("Result")


def exhaust(
    work: Generator[Any, None, Result], watch: Callable[[Any], object] | None = None
) -> Result:
    """Run `work` to its end, show each event to `watch`, and return its result.

    Whatever `watch` raises ends the work at once, which keeps what it has.
    """
    with contextlib.closing(relay(work, watch or (lambda event: event))) as watched:
        while True:
            try:
                next(watched)
            except StopIteration as end:
                result: Result = end.value
                return result


def relay(
    work: Generator[Any, None, Result], change: Callable[[Any], Event]
) -> Generator[Event, None, Result]:
    """Yield what `change` makes of each event of `work`, and return its result.

    Where this is closed, so is `work`.
    """
    with contextlib.closing(work):
        while True:
            try:
                event = next(work)
            except StopIteration as end:
                result: Result = end.value
                return result
            yield change(event)
