"""Room that threads share: who needs more than is left waits until others are done."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition

THREADS = min(4, os.cpu_count() or 1)
"""So many threads make cells: NumPy and SciPy let each other work, mostly."""


class Room:
    """So much of something, such as pixels held in memory, is taken at most at a time."""

    def __init__(self, size: int) -> None:
        self._size = self._left = size
        self._changed = Condition()

    @contextmanager
    def take(self, size: int) -> Iterator[None]:
        """Have so much of it for a while; all of it, where more is asked for than there is."""
        size = min(size, self._size)
        with self._changed:
            self._changed.wait_for(lambda: self._left >= size)
            self._left -= size
        try:
            yield
        finally:
            with self._changed:
                self._left += size
                self._changed.notify_all()
