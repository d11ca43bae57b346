"""The bridge to the compute process: jobs out, the core's events back as Qt signals."""

from __future__ import annotations

import itertools
import queue
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic
from typing import Any

from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer, Signal

from napari_unet import __version__
from napari_unet.core.config import PredictConfig, TrainConfig
from napari_unet.core.evidence import Evidence
from napari_unet.core.types import Region, Sample, Stepped, TileDone
from napari_unet.messages import (
    Done,
    Failed,
    Happened,
    NotReady,
    Ready,
    Started,
    Stop,
    Stopped,
    Stopping,
)
from napari_unet.widgets._child import COMMAND, Child, Ended
from napari_unet.widgets._jobs import Job, contest, files, prediction, training
from napari_unet.widgets._pixels import Pixels

_TICK = 20  # ms between two looks at the inbox
_BUDGET = 0.005  # s that one look may take
_CROWDED = 20  # replies waiting from which on a step is passed over: the next one says as much
_STARTING = 300.0  # s until a process that is not ready is given up: a cold disk is slow
_SAVING = 120.0  # s for a stopped job to save what it has
_SHARED = 30.0  # s to answer Stop where other jobs take turns, which would be lost too


class Compute(QObject):
    """Runs trainings and predictions in a process of their own and says how they go.

    Every job ends with exactly one of `done`, `stopped` and `failed`, unless `close` comes first.
    All methods return at once, but for `close`; signals come from the event loop, never from
    within a call.

    Signals
    -------
    ready(report : messages.Ready)
        The process is warm; `report` says on which device it works.
    happened(job : int, event)
        An event of `napari_unet.core.types`.
    done(job : int, result : dict)
        Training: "model" (path). Prediction: "cells", "seconds", "classes" (n,), "scores" (n,),
        "labels" (h, w) int32 and "evidence" (`core.evidence`), of the region. Files: nothing.
        Comparison: "outcome", a `core.standings.Outcome`.
    stopped(job : int, result : dict)
        Training: "model", the path where something was saved, else None. Prediction that had begun:
        "evidence" as above, final where a tile was done.
    failed(job : int, message : str, details : str)
        One sentence for the person, and what a report of the fault needs.

    Parameters
    ----------
    parent : QObject, optional
    command : sequence of str
        What to start as the compute process.
    patience : float
        Seconds, at least, that a stopped job has to answer before the process is ended.
    """

    ready = Signal(object)
    happened = Signal(int, object)
    done = Signal(int, object)
    stopped = Signal(int, object)
    failed = Signal(int, str, str)

    def __init__(
        self,
        parent: QObject | None = None,
        *,
        command: Sequence[str] = COMMAND,
        patience: float = 5.0,
    ) -> None:
        super().__init__(parent)
        self._command, self._patience = tuple(command), patience
        self._numbers = itertools.count(1)
        self._inbox: queue.SimpleQueue[tuple[Child | None, Any]] = queue.SimpleQueue()
        self._jobs: dict[int, Job] = {}
        self._children: list[Child] = []  # one or none; a list, so that the finalizer sees it
        self._report: Ready | None = None
        self._deadline = 0.0
        self._timer = QTimer(self)
        self._timer.setInterval(_TICK)
        self._timer.timeout.connect(self._tick)
        # Also at the end of the interpreter, where nobody calls close().
        self._finalizer = weakref.finalize(self, _end, self._children, self._jobs, patience)

    @property
    def report(self) -> Ready | None:
        """What the process last said about its device; None before it has."""
        return self._report

    @property
    def busy(self) -> bool:
        """Whether a job is under way."""
        return bool(self._jobs)

    def start(self) -> None:
        """Start the process, if there is none, so that it is warm before the first job."""
        self._timer.start()
        if self._children and (self._children[0].alive or self._jobs):
            return  # a death in the middle of jobs is `_mourn`'s
        self._bury()
        self._deadline = monotonic() + _STARTING
        try:
            self._children.append(Child(self._command, self._inbox))
        except OSError as error:
            self._inbox.put((None, NotReady(f"The compute process cannot be started: {error}.")))

    def train(
        self,
        samples: Sequence[Sample],
        config: TrainConfig,
        *,
        output: Path | str,
        architecture: str = "unet",
        preset: str = "default",
        start_from: Path | str | None = None,
        validation: Sequence[Sample] = (),
        class_names: Sequence[str] = (),
        resume: bool = False,
    ) -> int:
        """Train on snapshots that nobody changes any more; see `core.training.train`.

        With `resume` go on with a training that was stopped: `core.training.resume`.
        """
        job = training(
            next(self._numbers),
            samples,
            config,
            output=output,
            start_from=start_from,
            validation=validation,
            architecture=architecture,
            preset=preset,
            class_names=tuple(class_names),
            resume=resume,
        )
        return self._begin(job)

    def repaint(self, job: int, sample: Sample) -> None:
        """Have a training of one sample learn from it as it is now; nothing where it has ended."""
        known = self._jobs.get(job)
        if known is not None and known.posted and not known.stopping and self._children:
            self._children[0].post(job, lambda: known.repaint(sample))

    def compete(
        self,
        sample: Sample,
        config: TrainConfig,
        folder: Path,
        *,
        start_from: Sequence[Path] = (),
        class_names: Sequence[str] = (),
    ) -> int:
        """Train a model of each kind on one snapshot; see `core.contest.compete`."""
        starts, names = tuple(map(str, start_from)), tuple(class_names)
        number = next(self._numbers)
        return self._begin(
            contest(number, [sample], config, folder, start_from=starts, class_names=names)
        )

    def predict(
        self,
        model: Path | str,
        pixels: Pixels,
        config: PredictConfig | None = None,
        *,
        region: Region | None = None,
        name: str = "image",
        centre: tuple[float, float] | None = None,
        overview: Callable[[], NDArray[Any]] | None = None,
        alike: Sequence[Pixels] = (),
    ) -> int:
        """Predict a region of an image from `centre` outward; see `core.prediction.predict`.

        Both are in pixels of the plane, the region within it. `pixels` and `overview`, what tells
        how bright it is and by default `Pixels.overview`, are read in a thread; so are planes
        that are `alike`, whose cells tell how large its cells are, by default its own.
        """
        number = next(self._numbers)
        return self._begin(
            prediction(number, model, pixels, config, region, name, centre, overview, alike)
        )

    def predict_files(
        self,
        model: Path | str,
        config: PredictConfig,
        pairs: Sequence[tuple[Path, Path]],
        folder: Path,
        *,
        link: bool = False,
        resume: bool = True,
    ) -> int:
        """Predict (image, result) files; see `core.batch.predict_files`, whose events come."""
        number = next(self._numbers)
        return self._begin(files(number, model, config, pairs, folder, link=link, resume=resume))

    def evidence(self, job: int) -> Evidence | None:
        """What a prediction under way has said so far; None where there is nothing."""
        known = self._jobs.get(job)
        if known is None or not known.started or not known.results:
            return None
        return known.evidence()

    def stop(self, job: int) -> None:
        """End a job at its next yield and keep what it has. A job that has ended is left alone."""
        known = self._jobs.get(job)
        if known is None or known.stopping:
            return
        if known.posted and not self._children:
            return  # the process died: that it failed is on its way
        known.stopping = True
        if not known.posted:
            result = {} if known.output is None else {"model": None}
            self._inbox.put((None, Stopped(job, result)))
            return
        slowest = max(each.longest for each in self._jobs.values())
        least = self._patience if len(self._jobs) == 1 else max(self._patience, _SHARED)
        known.allow(max(least, known.patience, 3 * slowest), "answer Stop")
        self._children[0].post(job, lambda: Stop(job))

    def close(self) -> None:
        """End the process. Trainings that run save what they have; no job says anything more."""
        self._timer.stop()
        _end(self._children, self._jobs, self._patience)

    def _begin(self, job: Job) -> int:
        self.start()
        self._jobs[job.number] = job
        if self._children and self._children[0].ready:
            self._post(job)
        return job.number

    def _post(self, job: Job) -> None:
        job.posted, job.heard = True, monotonic()
        self._children[0].post(job.number, lambda: job.make(job))

    def _tick(self) -> None:
        until = monotonic() + _BUDGET
        while monotonic() < until and not self._inbox.empty():
            child, reply = self._inbox.get()
            if child is None or child in self._children:
                self._receive(reply)
        self._watch()
        starting = self._children and not self._children[0].ready
        if self._inbox.empty() and not self._jobs and not starting:
            self._timer.stop()  # a process that dies idle is replaced by the next job

    def _receive(self, reply: Any) -> None:
        if isinstance(reply, Ready):
            self._welcome(reply)
        elif isinstance(reply, NotReady):
            self._lose(reply)
        elif isinstance(reply, Ended):
            self._mourn()
        elif reply.job in self._jobs:  # else it was stopped or lost here before it answered
            self._hear(self._jobs[reply.job], reply)

    def _hear(self, job: Job, reply: Any) -> None:
        job.hear()
        if isinstance(reply, Done | Stopped | Failed):
            self._finish(job, reply)
        elif isinstance(reply, Started):
            job.started = True
        elif isinstance(reply, Stopping):
            job.allow(_SAVING, "save its model")
        elif isinstance(reply, Happened) and not self._overtaken(reply):
            if isinstance(reply.event, TileDone):
                job.add(reply.event)
            self.happened.emit(job.number, reply.event)

    def _overtaken(self, reply: Happened) -> bool:
        return isinstance(reply.event, Stepped) and self._inbox.qsize() > _CROWDED

    def _welcome(self, report: Ready) -> None:
        if report.version != __version__:
            self._lose(NotReady("napari-unet-cells was updated meanwhile: restart napari."))
            return
        self._children[0].ready = True
        self._report = report
        for job in self._jobs.values():
            if not job.stopping:
                self._post(job)
        self.ready.emit(report)

    def _finish(self, job: Job, reply: Done | Stopped | Failed) -> None:
        del self._jobs[job.number]
        if isinstance(reply, Failed):
            saved = f" The best state so far is saved in {job.output}." if job.saved else ""
            self._free(job)
            self.failed.emit(job.number, reply.message + saved, reply.details)
            return
        result = dict(reply.result)
        if job.results and job.started:
            result["evidence"] = job.evidence()
            if isinstance(reply, Done):
                result["labels"] = job.result("labels")
        self._free(job)
        (self.done if isinstance(reply, Done) else self.stopped).emit(job.number, result)

    def _free(self, job: Job) -> None:
        job.arrays.free()
        if self._children:
            self._children[0].post(job.number, job.arrays.let_go)

    def _watch(self) -> None:
        """End a process that does not answer."""
        if not self._children:
            return
        child, now = self._children[0], monotonic()
        for job in self._jobs.values():
            if now > job.deadline:
                child.kill(job.overdue)
        if not child.ready and now > self._deadline:
            child.kill(f"the compute process was not ready after {_STARTING:.0f} s: try again")

    def _mourn(self) -> None:
        """The process has died: say so for its jobs, and repeat those that it never took up."""
        cause, details = self._children[0].obituary()
        self._bury()
        for job in self._jobs.values():
            if job.posted and not (job.started or job.stopping or job.tried_twice):
                job.posted, job.tried_twice = False, True
                self.start()
            else:
                sentence = f"{job.title} ended because {cause}."
                self._inbox.put((None, Failed(job.number, sentence, details)))

    def _lose(self, why: NotReady) -> None:
        """The process cannot work: no job of it ever will."""
        self._bury()
        for job in self._jobs:
            self._inbox.put((None, Failed(job, why.message, why.details)))

    def _bury(self) -> None:
        while self._children:
            self._children.pop().close(0.0)


def _end(children: list[Child], jobs: dict[int, Job], patience: float) -> None:
    """End the process; one that works is given time to save."""
    while children:
        children.pop().close(patience if jobs else 0.0)
    while jobs:
        jobs.popitem()[1].arrays.free()
