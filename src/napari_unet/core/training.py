"""Training as a generator of events; the moving parts are in `run`."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path

import torch

from napari_unet.core import parallel
from napari_unet.core.annotation import check_labels, check_trainable
from napari_unet.core.card import card_from_dict, read_card
from napari_unet.core.checkpoint import Model
from napari_unet.core.class_numbers import check_known, match_classes, renumber
from napari_unet.core.config import TRAIN_PRESETS, TrainConfig, check_limits, from_dict
from napari_unet.core.dataset import split_samples
from napari_unet.core.device import is_out_of_memory, resolve_device
from napari_unet.core.errors import InputError
from napari_unet.core.interrupted import forget, identify, read_interrupted
from napari_unet.core.models import find_model
from napari_unet.core.prediction import place
from napari_unet.core.run import Run
from napari_unet.core.starting import check_output, start_model
from napari_unet.core.types import Sample, TrainEvent, Warned


def train(
    samples: Sequence[Sample],
    config: TrainConfig | None = None,
    *,
    architecture: str = "unet",
    preset: str = "default",
    start_from: Path | str | None = None,
    validation: Sequence[Sample] = (),
    class_names: Sequence[str] = (),
    output: Path | str | None = None,
) -> Generator[TrainEvent, Sequence[Sample] | None, Model]:
    """Train a model on what is painted.

    Under `torchrun` its processes share each batch, see `parallel`.

    Stop is `close()`: it takes effect at the step that is running, and the best state so far is
    saved; `resume` goes on from there. `send(samples)` in answer to Stepped hands over the same
    samples painted on since: the next batches are drawn from them, but for what is held out.

    Parameters
    ----------
    samples : sequence of Sample
        Images of any sizes with the same number of channels.
    config : TrainConfig, optional
        By default that of the preset.
    architecture, preset : str
        A name in the registry of models, and one of its presets; `start_from`
        overrides them.
    start_from : path, optional
        A model file to go on from.
    validation : sequence of Sample
        What to judge by; by default `config.val_fraction` of the samples is held out.
    class_names : sequence of str
        Of classes 1 … K, for the card. A class that the start model knows by this name gets its
        number.
    output : path, optional
        Where the model is saved: at every best validation, and in the end; a table of losses and
        scores lies beside it, see `training_log`.

    Yields
    ------
    Prepared, then Stepped after each optimiser step, Judging and Validated, Warned

    Returns
    -------
    Model
        The best state by mean AP on the held-out part, else the last averaged one.

    Raises
    ------
    InputError
        If nothing can be learnt from the samples, in one sentence.
    """
    config = config or TRAIN_PRESETS.get(preset, TrainConfig())
    check_limits(config)
    if config.steps is not None and config.steps < 1:
        raise InputError(f"Steps is {config.steps}: choose 1 or more.")
    check_samples(samples, validation)
    check_output(output)
    parallel.join(config)
    where = resolve_device(config.device, config.precision)
    torch.manual_seed(config.seed)
    class_names, numbers = match_classes(_classes_of(start_from), class_names)
    samples, validation = renumber(samples, numbers), renumber(validation, numbers)
    everything = [*samples, *validation]
    card, segmenter = start_model(everything, config, architecture, preset, start_from, class_names)
    config = dataclasses.replace(config, normalize=card.normalize, instances=card.instances)
    card.training.update(images=len(samples), device=where.words)
    split = split_samples(samples, config.val_fraction, config.seed, validation)
    path = None if output is None else Path(output)
    place(segmenter.net, where)
    given = identify(everything)
    run = Run(segmenter, card, config, where, split, path, start_from is not None, given)
    if path is not None and parallel.is_first():
        forget(path)  # of another training
    return (yield from _work(run, numbers))


def resume(
    samples: Sequence[Sample],
    output: Path | str,
    *,
    validation: Sequence[Sample] = (),
    class_names: Sequence[str] = (),
) -> Generator[TrainEvent, Sequence[Sample] | None, Model]:
    """Go on with a training that was stopped or killed, exactly where it was.

    With the same samples the model is that of a training that was never stopped: bit by bit on
    a CPU and with a budget of steps; a budget of minutes counts those that were used.

    Parameters
    ----------
    samples, validation : sequence of Sample
        Those it was begun with, in their order; they may have been painted on since, and further
        ones may follow. What was held out still is.
    output : path
        The model that it was to write; the settings are those it was begun with.
    class_names : sequence of str
        Of classes 1 … K of the samples, where they may have other numbers than then.

    Yields, returns
        As `train`.

    Raises
    ------
    InputError
        If no stopped training of this model is known, or the samples or classes are others.
    """
    kept = read_interrupted(output)
    config: TrainConfig = from_dict(TrainConfig, kept.facts["config"])
    card = card_from_dict(kept.facts["card"])
    check_samples(samples, validation)
    names, numbers = match_classes(card.classes, class_names)
    samples, validation = renumber(samples, numbers), renumber(validation, numbers)
    check_known([*samples, *validation], card.classes, names)
    split = kept.split(samples, validation)
    parallel.join(config)
    where = resolve_device(config.device, config.precision)
    family = find_model(card.architecture)
    plan = from_dict(family.config_type, card.config)
    segmenter = family.with_weights(plan, kept.part("net"))
    place(segmenter.net, where)
    given, fine_tuning = identify([*samples, *validation]), kept.facts["fine_tuning"]
    run = Run(segmenter, card, config, where, split, Path(output), fine_tuning, given)
    run.restore(kept)
    return (yield from _work(run, numbers))


def check_samples(samples: Sequence[Sample], validation: Sequence[Sample] = ()) -> None:
    """Raise an `InputError` where nothing can be learnt from samples, or judged by others."""
    check_trainable(samples)
    for sample in validation:
        check_labels(sample.labels, sample.image.shape[1:], f"labels of {sample.name}")


def _classes_of(model: Path | str | None) -> tuple[str, ...]:
    return () if model is None else read_card(model).classes


def _work(
    run: Run, numbers: Mapping[int, int]
) -> Generator[TrainEvent, Sequence[Sample] | None, Model]:
    yield run.prepared()
    yield from run.judge_again()
    if not run.split.held_out:
        yield Warned("Too little is painted to hold some of it out: the last state will be kept.")
    try:
        while True:
            run.tick()
            while run.validation_due():
                yield from run.validate()
            if run.fraction >= 1:
                break
            try:
                event = run.step()
            except RuntimeError as error:
                if not is_out_of_memory(error) or parallel.count() > 1:
                    raise
                yield run.learner.shrink(error)
                continue
            painted = yield event
            if painted is not None:
                yield run.learn_from(renumber(painted, numbers))
            warned = run.keep_if_due()
            if warned is not None:
                yield warned
        model = yield from run.finish()
    except (GeneratorExit, KeyboardInterrupt):
        run.save()
        run.keep()
        raise
    if run.output is not None:
        forget(run.output)
    parallel.leave()
    return model
