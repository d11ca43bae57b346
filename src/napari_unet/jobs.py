"""What the compute process can be asked for: generators of the core's events.

torch is imported when a job runs, or by `warm_up`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib
import statistics
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any, TypeAlias

import numpy as np

from napari_unet import __version__
from napari_unet.core.regions import shift
from napari_unet.core.types import Sample, TileDone
from napari_unet.failures import explain
from napari_unet.messages import Compete, Predict, PredictFiles, Ready, Repaint, Train
from napari_unet.shared_arrays import attach, attach_sample

Work: TypeAlias = Generator[Any, Any, Any]
Jobs: TypeAlias = Mapping[type, Callable[[Any, dict[str, Any]], Work]]
"""Kind of request → generator function of (request, result). What the job puts into `result`,
also in its `finally` when it is stopped, travels with Done or Stopped."""

_REMEMBERED = 100  # images

_loaded: dict[tuple[Any, ...], Any] = {}
_zooms: dict[tuple[Any, ...], float] = {}


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
        names = request.class_names
        work = resume(own, output, validation=validation, class_names=names)
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


def compete(request: Compete, result: dict[str, Any]) -> Work:
    """Train a model of each kind; the result's "outcome" tells how they did."""
    from napari_unet.core.contest import compete
    from napari_unet.core.entries import choose_entries

    result["outcome"] = yield from compete(
        choose_entries(start_from=request.start_from),
        [attach_sample(sample) for sample in request.samples],
        request.config,
        Path(request.folder),
        class_names=request.class_names,
    )


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

    It has "cells", "seconds", "classes" and "scores".
    """
    from napari_unet.core.prediction import predict

    begin = perf_counter()
    labels = attach(request.labels)
    model = _load(request.model, request.config.device)
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


def predict_files(request: PredictFiles, result: dict[str, Any]) -> Work:
    """Predict files into files; what is done of each is an event."""
    from napari_unet.core.batch import Batch, predict_files

    batch = Batch(
        request.model,
        request.config,
        Path(request.folder),
        link=request.link,
        resume=request.resume,
    )
    yield from predict_files(batch, [(Path(image), Path(to)) for image, to in request.pairs])


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

    if request.looked_at is None or not model.card.any_size:
        return None
    zooms = []
    for shared in request.middles:
        middle = attach(shared)
        key = (
            *_key(request.model, request.config.device),
            request.config,
            None if request.grey is None else request.grey.tobytes(),
            hashlib.blake2b(np.ascontiguousarray(middle)).digest(),
        )
        if key not in _zooms:
            zoom = yield from look_for_zoom(
                model,
                middle,
                request.looked_at,
                request.config,
                grey=request.grey,
                name=request.name,
            )
            if len(_zooms) >= _REMEMBERED:
                del _zooms[next(iter(_zooms))]
            _zooms[key] = zoom
        zooms.append(_zooms[key])
    return statistics.median_low(zooms)


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


JOBS: Jobs = {Train: train, Compete: compete, Predict: predict, PredictFiles: predict_files}


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
