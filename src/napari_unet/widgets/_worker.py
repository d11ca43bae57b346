"""Light work off the GUI thread. No other module of the panels starts a thread."""

from __future__ import annotations

import itertools
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

from napari.utils.notifications import notification_manager, show_warning
from qtpy.compat import isalive
from qtpy.QtCore import QObject, Qt, Signal

from napari_unet.core.errors import InputError

_threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="napari-unet")


def run(
    function: Callable[..., Any],
    *args: Any,
    on_done: Callable[[Any], None],
    on_error: Callable[[str], None] | None = None,
    owner: object,
) -> None:
    """Call `function(*args)` in a thread, then `on_done(result)` in the GUI thread.

    Parameters
    ----------
    function : callable
        Touches no layer and no widget; takes copies of arrays that the person may paint on.
    on_done : callable
        Gets the result. Not called when `owner` is gone by then.
    on_error : callable, optional
        Gets one sentence. Without it an `InputError` is shown as napari's warning. Any other
        exception is a fault of ours and always goes to napari's notifications as well.
    owner : object
        Who asked, such as the dock.
    """
    number, post = next(_numbers), _post()
    _calls[number] = _Call(on_done, on_error, weakref.ref(owner))
    # the thread knows no more than a number: nothing of Qt is left to it to let go of
    _threads.submit(function, *args).add_done_callback(
        lambda future: post.arrived.emit(number, future)
    )


class InOrder:
    """Runs one request after another, none left out: for work that needs what came before it."""

    def __init__(self, owner: object) -> None:
        self._owner = weakref.ref(owner)
        self._waiting: deque[tuple[Any, ...]] = deque()
        self._busy = False

    def run(
        self,
        function: Callable[..., Any],
        *args: Any,
        on_done: Callable[[Any], None],
        on_error: Callable[[str], None] | None = None,
    ) -> None:
        """As `run` of this module."""
        self._waiting.append((function, args, on_done, on_error))
        if not self._busy:
            self._start()

    def _start(self) -> None:
        owner = self._owner()
        if owner is None or not self._waiting:
            return
        function, args, on_done, on_error = self._waiting.popleft()
        self._busy = True
        run(
            function,
            *args,
            on_done=lambda result: self._end(on_done, result),
            on_error=lambda sentence: self._end(on_error or show_warning, sentence),
            owner=owner,
        )

    def _end(self, slot: Callable[[Any], None], value: Any) -> None:
        self._busy = False
        slot(value)
        if not self._busy:
            self._start()


class Latest(InOrder):
    """Runs one request at a time; of those that come meanwhile only the newest is kept.

    For work that follows a slider: the last word counts, those before it are skipped.
    """

    @property
    def busy(self) -> bool:
        """Whether a request runs or waits."""
        return self._busy or bool(self._waiting)

    def run(
        self,
        function: Callable[..., Any],
        *args: Any,
        on_done: Callable[[Any], None],
        on_error: Callable[[str], None] | None = None,
    ) -> None:
        """As `run` of this module."""
        self._waiting.clear()
        super().run(function, *args, on_done=on_done, on_error=on_error)


@dataclass(frozen=True)
class _Call:
    """Who waits for the outcome of one call."""

    on_done: Callable[[Any], None]
    on_error: Callable[[str], None] | None
    owner: weakref.ref[object]

    def deliver(self, future: Future[Any]) -> None:
        owner = self.owner()
        if owner is None or (isinstance(owner, QObject) and not isalive(owner)):
            return
        error = future.exception()
        if error is None:
            self.on_done(future.result())
        elif isinstance(error, InputError):
            (self.on_error or show_warning)(str(error))
        else:
            notification_manager.receive_error(type(error), error, error.__traceback__)
            if self.on_error is not None:
                self.on_error(f"{type(error).__name__}: {error}")


_calls: dict[int, _Call] = {}
_numbers = itertools.count()


class _Post(QObject):
    """Brings outcomes from the threads into the GUI thread.

    One for all calls, and never deleted: what a thread emits can arrive, and be over and done with
    here, while the thread is still within `emit`. A sender that was deleted by then crashed Qt.
    """

    arrived = Signal(int, object)

    def __init__(self) -> None:
        super().__init__()
        self.arrived.connect(self._deliver, Qt.ConnectionType.QueuedConnection)

    def _deliver(self, number: int, future: Future[Any]) -> None:
        _calls.pop(number).deliver(future)


@cache
def _post() -> _Post:
    """First called in the GUI thread, so that it lives there."""
    return _Post()
