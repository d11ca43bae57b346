"""What the bridge knows of a training or prediction that is under way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.candidates import Candidates
from napari_unet.core.card import ModelCard, read_card
from napari_unet.core.config import PredictConfig, TrainConfig
from napari_unet.core.evidence import Evidence, Maps
from napari_unet.core.normalize import percentiles
from napari_unet.core.regions import shift
from napari_unet.core.types import Region, Sample, TileDone
from napari_unet.core.windows import take_middle, take_window
from napari_unet.messages import Compete, Predict, PredictFiles, Repaint, Train
from napari_unet.shared_arrays import SharedArray, SharedArrays
from napari_unet.widgets._pixels import Pixels


@dataclass(eq=False)
class Job:
    """One request and what has been heard of it.

    `make` copies the arrays into shared memory and gives the request; it takes its time and is
    called from a thread. `posted` means handed to that thread, `started` that the process has
    taken it up. `patience` is how many seconds it may need to answer Stop.
    """

    number: int
    title: str
    make: Callable[[Job], Train | Compete | Predict | PredictFiles]
    output: Path | None = None
    patience: float = 0.0
    posted: bool = False
    started: bool = False
    tried_twice: bool = False
    stopping: bool = False
    deadline: float = float("inf")
    overdue: str = ""
    heard: float = 0.0
    longest: float = 0.0
    arrays: SharedArrays = field(default_factory=SharedArrays)
    results: dict[str, SharedArray] = field(default_factory=dict)
    labels: SharedArray | None = None
    classes: int = 0
    found: list[Candidates] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._written = self._written_at()

    def hear(self) -> None:
        """Keep the longest time between two signs of life: a slow machine is not a dead one."""
        now = monotonic()
        self.longest = max(self.longest, now - self.heard)
        self.heard = now

    def allow(self, seconds: float, what: str) -> None:
        """From now on it has so long to do what it should."""
        self.deadline = monotonic() + seconds
        self.overdue = (
            f"the {self.title.lower()} did not {what} within {seconds:.0f} s and the compute "
            "process was ended: the next job starts a new one"
        )

    def repaint(self, sample: Sample) -> Repaint | None:
        """Write the labels over those that the process was given; for a thread.

        None where they are those of an image of another size.
        """
        if self.labels is None or self.labels.shape != sample.labels.shape:
            return None
        self.arrays[self.labels][...] = sample.labels
        complete = None if sample.complete is None else np.packbits(sample.complete).tobytes()
        return Repaint(self.number, complete, dict(sample.classes))

    def result(self, name: str) -> NDArray[Any]:
        """The shared array that the process fills: "labels" or "maps"."""
        return self.arrays[self.results[name]]

    def add(self, event: TileDone) -> None:
        """Keep what was found in a tile."""
        if event.done == 1:  # it began anew with smaller tiles, where memory ran out
            self.found.clear()
        if event.found is not None:
            self.found.append(event.found)

    def evidence(self) -> Evidence:
        """What the process has said of the region so far."""
        maps = self.result("maps")
        if len(maps):
            return Maps(maps, self.classes)
        return Candidates.join(self.found, (maps.shape[1], maps.shape[2]))

    @property
    def saved(self) -> bool:
        """Whether its output has been written since the job began."""
        return self._written_at() != self._written

    def _written_at(self) -> int | None:
        try:
            return None if self.output is None else self.output.stat().st_mtime_ns
        except OSError:
            return None


def training(
    number: int,
    samples: Sequence[Sample],
    config: TrainConfig,
    *,
    output: Path | str,
    start_from: Path | str | None = None,
    validation: Sequence[Sample] = (),
    **more: Any,
) -> Job:
    """The job of `Compute.train`."""

    def make(job: Job) -> Train:
        share = job.arrays.share_sample
        shared = tuple(share(sample) for sample in samples)
        job.labels = shared[0].labels
        return Train(
            job=number,
            samples=shared,
            config=config,
            output=str(output),
            start_from=None if start_from is None else str(start_from),
            validation=tuple(share(sample) for sample in validation),
            **more,
        )

    return Job(number, "Training", make, Path(output))


def contest(
    number: int, samples: Sequence[Sample], config: TrainConfig, folder: Path, **more: Any
) -> Job:
    """The job of `Compute.compete`; it says nothing while a process of its own loads torch."""

    def make(job: Job) -> Compete:
        shared = tuple(job.arrays.share_sample(sample) for sample in samples)
        return Compete(number, shared, config, str(folder), **more)

    return Job(number, "The comparison", make, patience=60.0)


def prediction(
    number: int,
    model: Path | str,
    pixels: Pixels,
    config: PredictConfig | None,
    region: Region | None,
    name: str,
    centre: tuple[float, float] | None = None,
    overview: Callable[[], NDArray[Any]] | None = None,
    alike: Sequence[Pixels] = (),
) -> Job:
    """The job of `Compute.predict`; of the image it reads what the region needs."""

    def make(job: Job) -> Predict:
        card = read_card(model)
        whole = pixels.shape[1:]
        part = region or (slice(0, whole[0]), slice(0, whole[1]))
        window = take_window(card, part, whole)
        top, left = window[0].start, window[1].start
        share, shape = job.arrays.share, tuple(side.stop - side.start for side in part)
        image = share(pixels.read(window))
        grey = percentiles((overview or pixels.overview)(), card.normalize, name)
        middles = [_middle(each, card) for each in alike or [pixels]] if card.any_size else []
        job.classes = len(card.classes)
        job.results["maps"] = job.arrays.reserve((card.maps, *shape), np.float32)
        job.results["labels"] = job.arrays.reserve(shape, np.int32)
        return Predict(
            job=number,
            model=str(model),
            image=image,
            config=config or PredictConfig(),
            region=shift(part, -top, -left),
            name=name,
            origin=(top, left),
            centre=None if centre is None else (centre[0] - top, centre[1] - left),
            grey=grey,
            middles=tuple(share(middle) for middle, _ in middles),
            looked_at=middles[0][1] if middles else None,
            **job.results,
        )

    return Job(number, "Prediction", make)


def files(
    number: int,
    model: Path | str,
    config: PredictConfig,
    pairs: Sequence[tuple[Path, Path]],
    folder: Path,
    **more: Any,
) -> Job:
    """The job of `Compute.predict_files`."""

    def make(job: Job) -> PredictFiles:
        named = tuple((str(image), str(result)) for image, result in pairs)
        return PredictFiles(number, str(model), config, str(folder), named, **more)

    return Job(number, "Prediction", make)


def _middle(pixels: Pixels, card: ModelCard) -> tuple[NDArray[Any], Region]:
    """What tells how large the cells of the image are, and the part of it to look at."""
    whole = pixels.shape[1:]
    region = take_middle(whole)
    window = take_window(card, region, whole)
    return pixels.read(window), shift(region, -window[0].start, -window[1].start)
