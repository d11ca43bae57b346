"""The compute process: `python -m napari_unet.compute`. Requests in, the core's events out.

torch lives here and never in napari's process, where it would share the interpreter lock with
the canvas and can bring OpenGL down. Jobs are generators that take turns, one `next()` each, so
that a prediction runs while training goes on. The process ends when its standard input closes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import faulthandler
import hashlib
import importlib
import os
import queue
import signal
import sys
import threading
import traceback
import warnings
from collections import deque
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, sleep
from typing import Any, TypeAlias

import numpy as np

from napari_unet import __version__
from napari_unet.core.errors import InputError
from napari_unet.core.types import Sample, Stepped, TileDone, Warned
from napari_unet.core.windows import shift
from napari_unet.messages import (
    Channel,
    Done,
    Failed,
    Happened,
    NotReady,
    Predict,
    Ready,
    Repaint,
    Started,
    Stop,
    Stopped,
    Stopping,
    Train,
)
from napari_unet.shared_arrays import attach, attach_sample

Work: TypeAlias = Generator[Any, Any, Any]
Jobs: TypeAlias = Mapping[type, Callable[[Any, dict[str, Any]], Work]]
"""Kind of request → generator function of (request, result). What the job puts into `result`,
also in its `finally` when it is stopped, travels with Done or Stopped."""

_LAST_WORDS = 60.0  # seconds for a running step and its saving after the pipe has closed


def train(request: Train, result: dict[str, Any]) -> Work:
    """Train; the result's "model" is the path that was written, or None."""
    from napari_unet.core.training import resume, train

    output = Path(request.output)
    before = _written_at(output)
    result["model"] = None
    samples = [attach_sample(sample) for sample in request.samples]
    own = [_copy(sample) for sample in samples]
    validation = [attach_sample(sample) for sample in request.validation]
    if request.resume:
        work = resume(own, output, validation=validation)
    else:
        work = train(
            own,
            request.config,
            architecture=request.architecture,
            preset=request.preset,
            start_from=request.start_from,
            validation=validation,
            class_names=request.class_names,
            output=output,
        )
    try:
        with contextlib.closing(work), contextlib.suppress(StopIteration):
            event = next(work)
            while True:
                news = yield event
                event = work.send(None if news is None else [_repainted(samples[0], news)])
    finally:
        # of a training that goes on the best state may have been there before
        if _written_at(output) != before or (request.resume and output.exists()):
            result["model"] = str(output)


def _copy(sample: Sample) -> Sample:
    """Labels that stay as they are: those that are shared may be painted on."""
    return dataclasses.replace(sample, labels=sample.labels.copy())


def _repainted(sample: Sample, news: Repaint) -> Sample:
    complete = None
    if news.complete is not None:
        bits = np.unpackbits(np.frombuffer(news.complete, np.uint8), count=sample.labels.size)
        complete = bits.reshape(sample.labels.shape).astype(bool)
    return dataclasses.replace(_copy(sample), complete=complete, classes=news.classes)


def predict(request: Predict, result: dict[str, Any]) -> Work:
    """Predict into the shared arrays; the result tells of the cells.

    It has "cells", "seconds", "classes", "scores", and "mapped": of how many classes the first
    maps are the probabilities, also when it is stopped.
    """
    from napari_unet.core.prediction import predict

    begin = perf_counter()
    labels = attach(request.labels)
    model = _load(request.model, request.config.device)
    result["mapped"] = len(model.card.classes) if model.segmenter.maps else 0
    zoom = yield from _look(request, model)
    tiles = predict(
        model,
        attach(request.image),
        request.config,
        region=request.region,
        out=attach(request.maps),
        name=request.name,
        centre=request.centre,
        grey=request.grey,
        zoom=zoom,
    )
    prediction = yield from _shifted(tiles, *request.origin)
    labels[...] = prediction.labels
    result["cells"] = len(prediction.scores)
    result["classes"] = prediction.classes
    result["scores"] = prediction.scores
    result["seconds"] = perf_counter() - begin


def _shifted(tiles: Generator[Any, None, Any], rows: int, columns: int) -> Work:
    """The same events and result, with what is done in pixels of the plane."""
    while True:
        try:
            event = next(tiles)
        except StopIteration as end:
            return end.value
        if isinstance(event, TileDone):
            event = dataclasses.replace(event, region=shift(event.region, rows, columns))
        yield event


def _look(request: Predict, model: Any) -> Work:
    """The zoom at which the model knows the cells; one image is looked at once."""
    from napari_unet.core.prediction import look_for_zoom

    if request.middle is None or request.looked_at is None or not model.card.any_size:
        return None
    middle = attach(request.middle)
    key = (
        *_key(request.model, request.config.device),
        request.config,
        None if request.grey is None else request.grey.tobytes(),
        hashlib.blake2b(np.ascontiguousarray(middle)).digest(),
    )
    if key not in _zooms:
        zoom = yield from look_for_zoom(
            model, middle, request.looked_at, request.config, grey=request.grey, name=request.name
        )
        if len(_zooms) >= _REMEMBERED:
            del _zooms[next(iter(_zooms))]
        _zooms[key] = zoom
    return _zooms[key]


JOBS: Jobs = {Train: train, Predict: predict}
_TITLES = {Train: "Training", Predict: "Prediction"}

_loaded: dict[tuple[Any, ...], Any] = {}
_zooms: dict[tuple[Any, ...], float] = {}
_REMEMBERED = 100  # images


def _key(path: str, device: str) -> tuple[Any, ...]:
    return path, device, _written_at(Path(path))


def _load(path: str, device: str) -> Any:
    """The model at this path; the last one is kept, until its file changes."""
    from napari_unet.core.checkpoint import load_model

    key = _key(path, device)
    if key not in _loaded:
        _loaded.clear()
        _loaded[key] = load_model(path, device)
    return _loaded[key]


def _written_at(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino


def warm_up() -> Ready:
    """Import torch and take one tiny optimiser step, so that the first real one is quick.

    Raises
    ------
    ImportError, OSError
        If torch is not there or its libraries cannot be loaded.
    """
    import torch

    from napari_unet.core.device import resolve_device

    for room in ("training", "prediction"):
        importlib.import_module(f"napari_unet.core.{room}")
    report = resolve_device()
    reason = report.reason
    try:
        net = torch.nn.Conv2d(1, 1, 3).to(report.device)
        optimizer = torch.optim.AdamW(net.parameters())
        net(torch.ones(1, 1, 8, 8, device=report.device)).sum().backward()
        optimizer.step()
    except RuntimeError as error:  # a GPU that is full or too old: the CPU still works
        reason = f"{explain('A first step', error)} Choose the device cpu to work without it."
    return Ready(__version__, report.device, report.name, report.precision, reason, report.hint)


def rehearse() -> Work:
    """Train for one step on a synthetic image, with what is chosen where nobody chooses.

    What is loaded, compiled and laid out at its first use then is ready for the person's click.
    """
    from napari_unet.core.config import TrainConfig
    from napari_unet.core.samples import make_sample
    from napari_unet.core.start_models import START_MODELS
    from napari_unet.core.training import train

    sample = make_sample("fluorescence", (256, 256))
    yield from train([sample], TrainConfig(steps=1), start_from=next(iter(START_MODELS)))


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


def explain(title: str, error: Exception) -> str:
    """One sentence for the person: what went wrong and what to do."""
    text = str(error)
    smaller = "choose a smaller tile or batch, or close other programs"
    if isinstance(error, InputError):
        return text
    if type(error).__name__ == "OutOfMemoryError" or "MPS backend out of memory" in text:
        return f"{title} failed: the memory of the GPU ran out; {smaller} that use it."
    if isinstance(error, MemoryError) or "can't allocate memory" in text:
        return f"{title} failed: the memory of this computer ran out; {smaller}."
    first = text.strip().splitlines()[0] if text.strip() else "no reason was given"
    return f"{title} failed: {first.rstrip('.')} ({type(error).__name__})."


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
    try:
        ready: Ready | NotReady = prepare()
    except ImportError as error:
        ready = NotReady(_what_is_missing(error), traceback.format_exc())
    except (OSError, RuntimeError, InputError) as error:
        ready = NotReady(explain("Starting torch", error), traceback.format_exc())
    with contextlib.suppress(BrokenPipeError):
        channel.send(ready)
        if isinstance(ready, Ready):
            serve(channel, jobs, rehearsal())


def _what_is_missing(error: ImportError) -> str:
    if isinstance(error, ModuleNotFoundError):
        return (
            f"{error.name} is not installed beside napari: run `pip install napari-unet-cells` in "
            "napari's environment."
        )
    package = (error.name or "torch").partition(".")[0]
    return (
        f"{package} cannot be loaded ({error}): run `pip install --force-reinstall {package}` in "
        "napari's environment."
    )


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
