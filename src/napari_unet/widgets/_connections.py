"""What a widget of ours has connected to things that outlive it, undone in one go."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol


class Connectable(Protocol):
    """A signal of napari, psygnal or Qt."""

    def connect(self, slot: Callable[..., Any]) -> Any: ...

    def disconnect(self, slot: Callable[..., Any]) -> Any: ...


class Connections:
    """A list of connections and other things to undo, newest first."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], Any]] = []

    def connect(self, signal: Connectable, slot: Callable[..., Any]) -> None:
        """Connect `slot`; `undo` disconnects it."""
        signal.connect(slot)
        self._undo.append(partial(signal.disconnect, slot))

    def add(self, undo: Callable[[], Any]) -> None:
        """`undo()` calls this too."""
        self._undo.append(undo)

    def undo(self) -> None:
        """Let go of everything; safe to call again."""
        while self._undo:
            try:
                self._undo.pop()()
            except RuntimeError as error:  # where Qt has ended first, there is nothing to let go of
                if "deleted" not in str(error):
                    raise
