"""A generator of events that works in a process of its own: its memory is its own, and its death.

What it needs at most can be told of it alone, and where the system ends it, such as for want of
memory, that is a sentence here and not the end.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import sys
import traceback
from collections.abc import Callable, Generator
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

from napari_unet.core.allocation import keep_freed_memory
from napari_unet.core.errors import InputError
from napari_unet.core.events import exhaust

Event = TypeVar("Event")
Result = TypeVar("Result")

_EVENT, _RESULT, _ERROR = "event", "result", "error"


def work_apart(
    work: Callable[..., Generator[Event, None, Result]], *arguments: Any
) -> Generator[Event, None, Result]:
    """Run a generator in a new process, and relay what it yields and returns.

    Stop is `close()`: it closes the generator there, at the event that is under way, and waits
    until that has happened. Ctrl-C is left to this process, which may close it.

    Parameters
    ----------
    work : callable
        Gives the generator; of a module, so that the other process can import it.
    *arguments
        Of `work`; they, the events and the result are pickled.

    Raises
    ------
    InputError
        As `work`; where it fails in another way or its process dies, with what is known of why.
        The traceback stands on standard error.
    """
    context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, work, arguments))
    process.start()
    theirs.close()  # else its end would not be seen here
    try:
        while True:
            kind, said = ours.recv()
            if kind == _RESULT:
                result: Result = said
                return result
            if kind == _ERROR:
                raise InputError(said)
            yield said
    except EOFError:
        process.join()
        raise InputError(_say_death(process.exitcode or 0)) from None
    finally:
        ours.close()
        process.join()


def peak_memory() -> int | None:
    """Bytes of memory that this process has held at most so far; None where it cannot be told.

    Linux gives `ru_maxrss` of a process the peak of the one that started it to begin with, so it
    is read from elsewhere there.
    """
    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text(encoding="utf-8").splitlines()
        return next((1024 * int(line.split()[1]) for line in lines if "VmHWM" in line), None)
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return None


def _serve(
    connection: Connection,
    work: Callable[..., Generator[Any, None, Any]],
    arguments: tuple[Any, ...],
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    keep_freed_memory()
    # a pipe that breaks says that nobody listens any more: `exhaust` has closed the work by then
    with contextlib.suppress(ConnectionError), connection:
        send = partial(_send, connection)
        try:
            send(_RESULT, exhaust(work(*arguments), partial(send, _EVENT)))
        except InputError as error:
            send(_ERROR, str(error))
        except ConnectionError:
            raise
        except Exception as error:  # noqa: BLE001 - said here and there, and nothing goes on
            traceback.print_exc()
            send(_ERROR, f"It failed: {error or 'no reason was given'} ({type(error).__name__}).")


def _send(connection: Connection, kind: str, said: Any) -> None:
    connection.send((kind, said))


def _say_death(code: int) -> str:
    how = f"by signal {-code}" if code < 0 else f"with code {code}"
    return (
        f"Its process was ended {how}, as the system does where memory runs out: choose a smaller "
        "batch or tile, or close other programs."
    )
