"""Model families trained in turn on one annotation, judged by the same held-out cells.

All get the same samples, the same settings and the same part held out. That part also chooses the
best state and the threshold of each: it tells which family is ahead, not how well either will do
on images that it has nothing to do with.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from napari_unet.core.annotation import supervision
from napari_unet.core.apart import peak_memory, work_apart
from napari_unet.core.config import PredictConfig, TrainConfig
from napari_unet.core.dataset import split_samples
from napari_unet.core.disagreement import write_disagreements
from napari_unet.core.entries import Entry
from napari_unet.core.errors import InputError
from napari_unet.core.evaluation import score_model, summarize
from napari_unet.core.events import relay
from napari_unet.core.files import name_results
from napari_unet.core.label_files import write_labels
from napari_unet.core.metrics import Scored
from napari_unet.core.standings import ContestEvent, Failed, Outcome, Standing, Told
from napari_unet.core.training import check_samples, train
from napari_unet.core.types import Prepared, Sample, Stepped, TrainEvent


def compete(
    entries: Sequence[Entry],
    samples: Sequence[Sample],
    config: TrainConfig,
    folder: Path,
    *,
    validation: Sequence[Sample] = (),
    class_names: Sequence[str] = (),
) -> Generator[ContestEvent, None, Outcome]:
    """Train each entry and judge it by what is held out.

    One after the other, each in a process of its own: none takes time or memory from another, and
    where one dies the others go on. Stop is `close()`: the best state so far of the one that is
    being trained is saved.

    Parameters
    ----------
    entries : sequence of Entry
    samples, config, validation, class_names
        As for `training.train`; the same for all.
    folder : Path
        Gets the model of each entry, `predicted/NAME/IMAGE.tif` with its cells in each held-out
        image, and `differences`, see `disagreement`.

    Yields
    ------
    Told, Failed

    Returns
    -------
    Outcome

    Raises
    ------
    InputError
        If nothing can be learnt from the samples or nothing is held out, two held-out images have
        one name, the folder cannot be written to, or not one entry can be trained.
    """
    check_samples(samples, validation)
    held_out = _hold_out(samples, config, validation)
    predicted = {
        entry.name: _place(folder / "predicted" / entry.name, held_out) for entry in entries
    }
    standings, failed = [], {}
    for entry in entries:
        task = Task(entry, samples, config, validation, class_names, held_out)
        work = work_apart(take_part, task, folder, predicted[entry.name])
        try:
            standings.append((yield from relay(work, partial(Told, entry.name))))
        except InputError as error:
            failed[entry.name] = str(error)
            yield Failed(entry.name, str(error))
    if not standings:
        raise InputError(" ".join(dict.fromkeys(failed.values())))
    done = {one.name: predicted[one.name] for one in standings}
    return Outcome(
        tuple(standings), failed, write_disagreements(held_out, done, folder / "differences")
    )


@dataclass(frozen=True, eq=False)
class Task:
    """What one entry is given: arguments of `compete`, and what it is judged by."""

    entry: Entry
    samples: Sequence[Sample]
    config: TrainConfig
    validation: Sequence[Sample]
    class_names: Sequence[str]
    held_out: Sequence[Sample]


def take_part(
    task: Task, folder: Path, predicted: Sequence[Path]
) -> Generator[TrainEvent | Scored, None, Standing]:
    """Train one entry, then predict and score what is held out; its labels go to `predicted`."""
    entry, path = task.entry, folder / f"{task.entry.name}.safetensors"
    noted: dict[type, Any] = {}
    begin = perf_counter()
    work = train(
        task.samples,
        task.config,
        architecture=entry.architecture,
        preset=entry.preset,
        start_from=entry.start_from,
        validation=task.validation,
        class_names=task.class_names,
        output=path,
    )

    def note(event: TrainEvent) -> TrainEvent:
        noted[type(event)] = event
        return event

    model = yield from relay(work, note)
    minutes = (perf_counter() - begin) / 60
    memory, gpu_memory = peak_memory(), torch.cuda.max_memory_allocated() or None
    targets = iter(predicted)
    config = PredictConfig(device=task.config.device, precision=task.config.precision)
    scored = yield from score_model(
        model, task.held_out, config, keep=lambda _, labels: write_labels(next(targets), labels)
    )
    stepped: Stepped | None = noted.get(Stepped)  # none where the budget was over at once
    return Standing(
        name=entry.name,
        model=str(path),
        scores=summarize(scored),
        parameters=noted[Prepared].parameters,
        minutes=minutes,
        steps=stepped.step if stepped else 0,
        images_per_second=stepped.images_per_second if stepped else 0.0,
        memory=memory,
        gpu_memory=gpu_memory,
    )


def _hold_out(
    samples: Sequence[Sample], config: TrainConfig, validation: Sequence[Sample]
) -> list[Sample]:
    """What each training holds out by itself: the split depends on samples and settings alone."""
    split = split_samples(samples, config.val_fraction, config.seed, validation)
    known = [one for one in split.held_out if supervision(one.labels, one.complete).any()]
    if not known:
        raise InputError(
            "Too little is painted to hold some of it out, so that nothing could tell which one "
            "is better: paint more, or give other images to judge by."
        )
    return known


def _place(folder: Path, held_out: Sequence[Sample]) -> list[Path]:
    """A file in `folder` for each held-out image."""
    return name_results([Path(sample.name) for sample in held_out], folder)
