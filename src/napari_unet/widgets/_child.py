"""One run of the compute process: its pipes, the two threads that serve them, its last words."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from napari_unet.core.errors import InputError
from napari_unet.messages import Channel, Failed

COMMAND = (sys.executable, "-P", "-m", "napari_unet.compute")

# The canvas takes a core at times. A torch thread that spins while it waits for the one there made
# a step nine times as slow (2 cores, one busy: 946 ms an image, 227 ms when waiting threads
# sleep; with both cores free 99 and 116 ms).
_ENVIRONMENT = {"OMP_WAIT_POLICY": "PASSIVE"}

_DETAILS = 8_000  # bytes of standard error that are worth a report
_DYING = 0.5  # s from the end of the pipe to the end of the process
if sys.platform == "win32":
    _FLAGS = subprocess.CREATE_NO_WINDOW | subprocess.BELOW_NORMAL_PRIORITY_CLASS
else:
    _FLAGS = 0


@dataclass(frozen=True)
class Ended:
    """The pipe of the child has closed; nothing comes after it."""


class Child:
    """A compute process. Everything here returns at once, but for `close`.

    Parameters
    ----------
    command : sequence of str
        What to start.
    inbox : queue
        A thread puts (child, reply) there for each reply, and (child, Ended()) once at the end.

    Raises
    ------
    OSError
        If the process cannot be started.
    """

    def __init__(self, command: Sequence[str], inbox: queue.SimpleQueue[Any]) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - the child writes to it; see close()
        try:
            self._process = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                env=_ENVIRONMENT | os.environ,
                creationflags=_FLAGS,
            )
        except OSError:
            self._log.close()
            raise
        self.ready = False
        self._verdict = ""
        self._inbox = inbox
        self._outbox: queue.SimpleQueue[tuple[int, Callable[[], Any]] | None] = queue.SimpleQueue()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        self._channel = Channel(self._stdout, self._stdin)
        self._threads = [
            threading.Thread(target=work, name=f"compute{work.__name__}", daemon=True)
            for work in (self._read, self._write)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process is there."""
        return self._process.poll() is None

    def post(self, job: int, make: Callable[[], Any]) -> None:
        """Have a thread make a message and send it, or None; what goes wrong fails the job."""
        self._outbox.put((job, make))

    def kill(self, verdict: str) -> None:
        """End it now; the verdict goes on "Training ended because …"."""
        self._verdict = self._verdict or verdict
        self._process.kill()

    def close(self, patience: float) -> None:
        """Ask it to end by closing its input; kill it when it has not after `patience` s."""
        self._outbox.put(None)
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for thread in self._threads:
            thread.join(1.0)
        self._stdout.close()
        self._log.close()

    def obituary(self) -> tuple[str, str]:
        """Why it ended, to go on "Training ended because …", and the end of its standard error."""
        try:
            code = self._process.wait(_DYING)
        except subprocess.TimeoutExpired:
            self.kill("the compute process no longer answered: try again")
            code = self._process.wait()
        length = self._log.seek(0, 2)
        self._log.seek(max(0, length - _DETAILS))
        return self._verdict or _cause(code), self._log.read().decode(errors="replace")

    def _read(self) -> None:
        try:
            while True:
                self._inbox.put((self, self._channel.receive()))
        except (EOFError, OSError):
            pass  # it has ended
        finally:
            self._inbox.put((self, Ended()))

    def _write(self) -> None:
        while (posted := self._outbox.get()) is not None:
            self._deliver(*posted)
            del posted  # it may hold arrays
        with contextlib.suppress(OSError):
            self._stdin.close()

    def _deliver(self, job: int, make: Callable[[], Any]) -> None:
        try:
            message = make()
        except Exception as error:  # noqa: BLE001 - the end of a thread: it travels on
            self._inbox.put((self, Failed(job, _sentence(error))))
            return
        if message is not None:
            with contextlib.suppress(OSError):  # it has ended, as the other thread says
                self._channel.send(message)


def _sentence(error: Exception) -> str:
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, MemoryError):
        return "The memory of this computer ran out: use a smaller image or close other programs."
    return f"The image cannot be read: {error} ({type(error).__name__})."


def _cause(code: int) -> str:
    if code in (-9, -15):
        return (
            "the compute process was killed from outside, most likely because memory ran out: "
            "choose a smaller tile or batch, or close other programs"
        )
    if code < 0:
        what = f"crashed ({signal.strsignal(-code) or -code})"
    elif code > 1:
        what = f"crashed (exit code {code:#x})"
    else:
        what = f"ended unexpectedly (exit code {code})"
    return f"the compute process {what}: try again, and report the details if it recurs"
