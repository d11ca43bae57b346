"""The compute process: `python -m napari_unet.compute`. Requests in, the core's events out.

torch lives here and never in napari's process, where it would share the interpreter lock with
the canvas and can bring OpenGL down. Jobs are generators that take turns, one `next()` each, so
that a prediction runs while training goes on. The process ends when its standard input closes.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import queue
import signal
import sys
import threading
import traceback
import warnings
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import sleep
from typing import Any

from napari_unet.core.allocation import keep_freed_memory
from napari_unet.core.errors import InputError
from napari_unet.core.types import Stepped, Warned
from napari_unet.failures import explain, say_what_is_missing
from napari_unet.jobs import JOBS, Jobs, Work, rehearse, warm_up
from napari_unet.messages import (
    Channel,
    Compete,
    Done,
    Failed,
    Happened,
    NotReady,
    Predict,
    PredictFiles,
    Ready,
    Repaint,
    Started,
    Stop,
    Stopped,
    Stopping,
    Train,
)

_TITLES = {
    Train: "Training",
    Compete: "The comparison",
    Predict: "Prediction",
    PredictFiles: "Prediction",
}
_LAST_WORDS = 60.0  # seconds for a running step and its saving after the pipe has closed


def serve(channel: Channel, jobs: Jobs = JOBS, rehearsal: Work | None = None) -> None:
    """Run jobs until the channel closes. Jobs that are running then are closed, not cut off.

    As long as there is nothing to do the rehearsal goes on, until the first job comes.
    """
    serving = _Serving(channel, jobs, rehearsal)
    with contextlib.suppress(BrokenPipeError), contextlib.closing(serving) as loop:
        while loop.turn():
            pass


@dataclass
class _Running:
    title: str
    work: Work
    result: dict[str, Any]
    news: Any = None
    listens: bool = False


class _Serving:
    """The jobs under way and whose turn it is."""

    def __init__(self, channel: Channel, jobs: Jobs, rehearsal: Work | None) -> None:
        self._channel, self._jobs, self._rehearsal = channel, jobs, rehearsal
        self._running: dict[int, _Running] = {}
        self._turns: deque[int] = deque()
        self._current: int | None = None
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._show_warning = warnings.showwarning
        warnings.showwarning = self._forward_warning
        threading.Thread(target=self._read, name="requests", daemon=True).start()

    def turn(self) -> bool:
        """Take up what was asked, then let one job do one step. False when the channel closed."""
        while not self._turns or not self._inbox.empty():
            if self._rehearsal is not None and self._inbox.empty():
                self._rehearse(self._rehearsal)
                continue
            request = self._inbox.get()
            if request is None:
                return False
            self._take_up(request)
        job = self._turns.popleft()
        self._turns.append(job)
        self._current = job
        self._step(job, self._running[job])
        self._current = None
        return True

    def close(self) -> None:
        """End all jobs at the yield where they are."""
        for run in self._running.values():
            run.work.close()
        self._running.clear()
        self._end_rehearsal()
        warnings.showwarning = self._show_warning

    def _read(self) -> None:
        try:
            while True:
                self._inbox.put(self._channel.receive())
        except (EOFError, OSError):
            pass  # napari has gone, or wants this process to go
        finally:
            self._inbox.put(None)
        sleep(_LAST_WORDS)
        os._exit(1)  # nobody is left to end a job that never yields

    def _take_up(self, request: Any) -> None:
        if isinstance(request, Stop):
            self._stop(request.job)
            return
        if isinstance(request, Repaint):
            if request.job in self._running:
                self._running[request.job].news = request
            return
        self._end_rehearsal()
        self._channel.send(Started(request.job))
        result: dict[str, Any] = {}
        work = self._jobs[type(request)](request, result)
        self._running[request.job] = _Running(_TITLES[type(request)], work, result)
        self._turns.append(request.job)

    def _rehearse(self, rehearsal: Work) -> None:
        try:
            next(rehearsal)
        except StopIteration:
            self._rehearsal = None
        except Exception:  # noqa: BLE001 - what fails here will fail, and be said, in a job
            traceback.print_exc()
            self._rehearsal = None

    def _end_rehearsal(self) -> None:
        if self._rehearsal is not None:
            self._rehearsal.close()
            self._rehearsal = None

    def _step(self, job: int, run: _Running) -> None:
        try:
            news, run.news = (run.news, None) if run.listens else (None, run.news)
            event = run.work.send(news)
            run.listens = isinstance(event, Stepped)
        except StopIteration:
            self._end(job, Done(job, run.result))
        except Exception as error:  # noqa: BLE001 - the boundary of the process: it travels on
            self._fail(job, run.title, error)
        else:
            self._channel.send(Happened(job, event))

    def _stop(self, job: int) -> None:
        if job not in self._running:
            return  # its Done or Failed is under way
        run = self._running[job]
        self._channel.send(Stopping(job))
        self._current = job
        try:
            run.work.close()
        except Exception as error:  # noqa: BLE001 - as above
            self._fail(job, run.title, error)
        else:
            self._end(job, Stopped(job, run.result))
        self._current = None

    def _fail(self, job: int, title: str, error: Exception) -> None:
        details = (
            "" if isinstance(error, InputError) else "".join(traceback.format_exception(error))
        )
        self._end(job, Failed(job, explain(title, error), details))
        if "CUDA error" in str(error):
            # The CUDA context is lost for good: only a new process can compute again.
            self._channel.send(NotReady("The GPU had to be given up after an error.", details))
            raise SystemExit(1)

    def _end(self, job: int, reply: Done | Stopped | Failed) -> None:
        del self._running[job]
        self._turns.remove(job)
        self._channel.send(reply)

    def _forward_warning(
        self, message: Warning | str, category: type[Warning], *where: Any, **more: Any
    ) -> None:
        if self._current is None:
            self._show_warning(message, category, *where, **more)
        else:
            self._channel.send(Happened(self._current, Warned(str(message))))


def main(
    jobs: Jobs = JOBS,
    prepare: Callable[[], Ready] = warm_up,
    rehearsal: Callable[[], Work] = rehearse,
) -> None:
    """Get ready, say so, and serve the process that started this one."""
    channel = _take_streams()
    faulthandler.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for napari; its end is ours
    _stand_back()
    keep_freed_memory()
    try:
        ready: Ready | NotReady = prepare()
    except ImportError as error:
        ready = NotReady(say_what_is_missing(error), traceback.format_exc())
    except (OSError, RuntimeError, InputError) as error:
        ready = NotReady(explain("Starting torch", error), traceback.format_exc())
    with contextlib.suppress(BrokenPipeError):
        channel.send(ready)
        if isinstance(ready, Ready):
            serve(channel, jobs, rehearsal())


def _take_streams() -> Channel:
    """Keep standard output for messages alone: what libraries print goes to standard error.

    The input is duplicated too: Python aborts at its end when a thread still reads `sys.stdin`.
    """
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return Channel(requests, replies)


def _stand_back() -> None:
    """Leave the processor to the canvas, and be the one to go when memory runs out."""
    if hasattr(os, "nice"):
        os.nice(5)
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("500", encoding="ascii")


if __name__ == "__main__":
    main()
