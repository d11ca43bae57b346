"""Running a generator of events to its end, for those who do not relay them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from typing import Any, TypeVar

Result = TypeVar("Result")


def exhaust(
    work: Generator[Any, None, Result], watch: Callable[[Any], object] | None = None
) -> Result:
    """Run `work` to its end, show each event to `watch`, and return its result.

    Whatever `watch` raises ends the work at once, which keeps what it has.
    """
    with contextlib.closing(work):
        while True:
            try:
                event = next(work)
            except StopIteration as end:
                result: Result = end.value
                return result
            if watch is not None:
                watch(event)
