"""Training as a generator of events. One page; the parts are in the rooms it imports."""

from __future__ import annotations

import copy
import dataclasses
import math
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from napari_unet.core.annotation import check_labels, check_trainable
from napari_unet.core.card import ModelCard
from napari_unet.core.checkpoint import Model, save_model
from napari_unet.core.config import TRAIN_PRESETS, TrainConfig, check_limits
from napari_unet.core.dataset import Split, TileSampler, split_samples
from napari_unet.core.device import (
    DeviceReport,
    free_memory,
    is_out_of_memory,
    resolve_device,
)
from napari_unet.core.errors import InputError
from napari_unet.core.models.base import Segmenter
from napari_unet.core.prediction import autocast, place
from napari_unet.core.starting import cell_diameters, check_output, start_model
from napari_unet.core.training_log import TrainingLog
from napari_unet.core.types import (
    Judging,
    Prepared,
    Repainted,
    Sample,
    Stepped,
    TrainEvent,
    Validated,
    Warned,
)
from napari_unet.core.validation import Validator

_FIRST_LOOK = 8.0  # seconds
_SMALLEST_TILE = 64  # px of the network
_TURNED = 3  # looks in a row with a worse loss on the held-out part than the best before


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

    Stop is `close()`: it takes effect at the step that is running, and the best state so far is
    saved. `send(samples)` in answer to Stepped hands over the same samples painted on since: the
    next batches are drawn from them, but for what is held out.

    Parameters
    ----------
    samples : sequence of Sample
        Images of any sizes with the same number of channels.
    config : TrainConfig, optional
        By default that of the preset.
    architecture, preset : str
        A name in the registry of models, and "default" or "paper". `start_from` overrides them.
    start_from : path, optional
        A model file to go on from.
    validation : sequence of Sample
        What to judge by; by default `config.val_fraction` of the samples is held out.
    class_names : sequence of str
        Of classes 1 … K, for the card.
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
    check_trainable(samples)
    for sample in validation:
        check_labels(sample.labels, sample.image.shape[1:], f"labels of {sample.name}")
    check_output(output)
    where = resolve_device(config.device, config.precision)
    torch.manual_seed(config.seed)
    everything = [*samples, *validation]
    card, segmenter = start_model(everything, config, architecture, preset, start_from, class_names)
    config = dataclasses.replace(config, normalize=card.normalize)
    card.training.update(images=len(samples), device=where.words)
    place(segmenter.net, where)
    if validation:
        split = split_samples(samples, 0, config.seed)
        judge, held_out = list(validation), f"{len(validation)} images"
    else:
        split = split_samples(samples, config.val_fraction, config.seed)
        judge, held_out = split.held_out, split.words
    fit = split.train
    yield _prepared(fit, segmenter, where, held_out)
    if not judge:
        yield Warned("Too little is painted to hold some of it out: the last state will be kept.")
    path = None if output is None else Path(output)
    run = _Run(segmenter, card, config, where, fit, judge, path, start_from is not None)
    try:
        if start_from is not None and judge:
            yield from run.validate()
        while run.fraction < 1:
            try:
                event = run.step()
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                yield run.shrink(error)
                continue
            painted = yield event
            if painted is not None:
                yield run.learn_from(painted, split)
            if judge and run.validation_due():
                yield from run.validate()
        model = yield from run.finish()
    except (GeneratorExit, KeyboardInterrupt):
        run.save()
        raise
    return model


class _Run:
    """The moving parts of one training: network, average, optimiser, clock, best state."""

    def __init__(
        self,
        segmenter: Segmenter,
        card: ModelCard,
        config: TrainConfig,
        where: DeviceReport,
        fit: Sequence[Sample],
        judge: Sequence[Sample],
        output: Path | None,
        fine_tuning: bool,
    ) -> None:
        self.segmenter, self.card, self.config, self.where = segmenter, card, config, where
        self.output, self.fine_tuning = output, fine_tuning
        self.learning_rate = config.learning_rate * (config.fine_tuning if fine_tuning else 1)
        self.sampler = TileSampler(
            fit, segmenter, config.weights, config.normalize, where.device, config.seed
        )
        self.validator = Validator(judge, segmenter, config, where)
        self.optimizer = _make_optimizer(segmenter, config)
        self.average = copy.deepcopy(segmenter.net)
        self.tile = segmenter.training_tile(config.tile)
        self.batch_size = config.batch_size
        self.best: Model | None = None
        self.steps = self.images = 0
        self.loss = torch.zeros(())
        self.began = time.perf_counter()
        self.validated_at, self.validation_took = self.began, 0.0
        self.lowest, self.rising = math.inf, 0
        self.log = TrainingLog()

    @property
    def fraction(self) -> float:
        """How much of the budget is used."""
        if self.config.steps is not None:
            return self.steps / self.config.steps
        return (time.perf_counter() - self.began) / (60 * self.config.minutes)

    def step(self) -> Stepped:
        """One optimiser step; its loss is read after the next one has been queued."""
        net, config = self._ready_net(), self.config
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate * _schedule(self.fraction)
        batch = self.sampler.draw(self.batch_size, self.tile, config.augment)
        with autocast(self.where):
            loss = torch.stack(list(self.segmenter.loss(batch).values())).sum()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 10.0)
        self.optimizer.step()
        _average(self.average, net, self.steps)
        if not math.isfinite(float(self.loss)):
            raise InputError(
                f"The loss became infinite at step {self.steps}: choose a lower learning rate."
            )
        shown, self.loss = (loss.detach() if self.steps == 0 else self.loss), loss.detach()
        self.steps += 1
        self.images += self.batch_size
        seconds = time.perf_counter() - self.began
        fraction = min(1.0, self.fraction)
        event = Stepped(
            step=self.steps,
            fraction=fraction,
            seconds=seconds,
            remaining=seconds * (1 - fraction) / max(fraction, 1e-9),
            loss=float(shown),
            images_per_second=self.images / seconds,
        )
        self.log.add(event)
        return event

    def shrink(self, error: RuntimeError) -> Warned:
        """Go on with half of the batch, or then of the tile, after the memory ran out."""
        least = self.segmenter.training_tile(_SMALLEST_TILE)
        if self.batch_size > 1:
            self.batch_size //= 2
        elif self.tile > least:
            half = self.segmenter.training_tile(round(self.tile / self.segmenter.pixel / 2))
            self.tile = max(least, half)
        else:
            raise error
        self.optimizer.zero_grad(set_to_none=True)
        free_memory(self.where)
        return Warned(
            f"The memory of {self.where.name} ran out: training goes on with batches of "
            f"{self.batch_size} and tiles of {self.tile} px."
        )

    def learn_from(self, samples: Sequence[Sample], split: Split) -> Repainted | Warned:
        """Draw from the samples as they are now, if they can be learned from."""
        try:
            check_trainable(samples)
            fit = split.refresh(samples)
            self.sampler.take(fit)
        except InputError as error:
            return Warned(f"What was painted since is left out. {error}")
        return Repainted(len(cell_diameters(fit)))

    def _ready_net(self) -> nn.Module:
        """The net in training mode; what a start model knows of whole data sets is kept.

        A few crops have other means and deviations than all images it will see.
        """
        net = self.segmenter.net.train()
        if self.fine_tuning:
            for module in net.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return net

    def validation_due(self) -> bool:
        """At equal steps of a step budget; else by the clock, at a tenth of the time at most.

        The first looks come early, so that the person soon sees cells.
        """
        if self.fraction >= 1:
            return True
        if self.config.steps is not None:
            return self.steps % max(1, self.config.steps // self.config.validations) == 0
        now = time.perf_counter()
        regular = 60 * self.config.minutes / self.config.validations
        early = _FIRST_LOOK + (now - self.began) / 4
        pause = max(min(regular, early), 9 * self.validation_took)
        return now - self.validated_at > pause

    def validate(self) -> Generator[Judging | Validated | Warned, None, None]:
        """Score the averaged network, and keep it if it is the best so far."""
        begin = time.perf_counter()
        scores = yield from self.validator.score(self._averaged())
        best = -1.0 if self.best is None else self.best.card.scores["mean_ap"]
        # of equals the later one, which has seen more, but never in place of a start model: on
        # one crop it had forgotten other images while the held-out cells were found as before
        better = scores["mean_ap"] > best or (scores["mean_ap"] == best and not self.fine_tuning)
        event = Validated(step=self.steps, best=better, **scores)
        self.log.add(event)
        if better:
            self.best = self._snapshot({"step": self.steps, **scores})
            self._save(self.best)
        self.validated_at = time.perf_counter()
        self.validation_took = self.validated_at - begin
        yield event
        self.rising = self.rising + 1 if scores["loss"] > 1.05 * self.lowest else 0
        self.lowest = min(self.lowest, scores["loss"])
        if self.rising == _TURNED:
            yield Warned(
                "The held-out part gets worse while training goes on: the best state is kept; "
                "painting more cells will help more than more time."
            )

    def finish(self) -> Generator[Judging, None, Model]:
        """The best state, or the last one where nothing judged, with its threshold; saved."""
        self.best = self.best or self._snapshot({})
        card = self.best.card
        instances, scores = yield from self.validator.tune(
            self.best.segmenter, self.config.instances, card.scores
        )
        card = dataclasses.replace(card, instances=instances, scores=scores)
        self.best = Model(self.best.segmenter, card)
        self._save(self.best)
        return self.best

    def save(self) -> None:
        """What there is so far, quickly: somebody waits."""
        judged = self.best is not None and self.best.card.scores["mean_ap"] > 0
        if self.steps and not judged:
            self._save(self._snapshot({}))

    def _averaged(self) -> Segmenter:
        return _with_net(self.segmenter, self.average)

    def _snapshot(self, scores: dict[str, Any]) -> Model:
        kept = type(self.segmenter)(self.segmenter.config)
        kept.net.load_state_dict(self.average.state_dict())
        place(kept.net.eval(), self.where)
        seconds = time.perf_counter() - self.began
        training = {**self.card.training, "steps": self.steps, "seconds": round(seconds, 1)}
        return Model(kept, dataclasses.replace(self.card, scores=scores, training=training))

    def _save(self, model: Model) -> None:
        if self.output is not None:
            save_model(model, self.output)
            self.log.write(self.output)


def _prepared(
    fit: Sequence[Sample], segmenter: Segmenter, where: DeviceReport, held_out: str
) -> Prepared:
    return Prepared(
        device=where.name,
        precision=where.precision,
        images=len(fit),
        cells=len(cell_diameters(fit)),
        held_out=held_out,
        parameters=sum(p.numel() for p in segmenter.net.parameters()),
    )


def _make_optimizer(segmenter: Segmenter, config: TrainConfig) -> torch.optim.Optimizer:
    parameters = segmenter.net.parameters()
    if config.optimizer == "sgd":
        return torch.optim.SGD(parameters, config.learning_rate, momentum=0.99)
    return torch.optim.AdamW(parameters, config.learning_rate, weight_decay=config.weight_decay)


@torch.no_grad()
def _average(mean: nn.Module, net: nn.Module, steps: int) -> None:
    """Keep the mean of about the last tenth of the steps, 100 at most: what is judged and saved."""
    share = max(0.01, 10 / (10 + steps))
    for kept, value in zip(mean.state_dict().values(), net.state_dict().values(), strict=True):
        if kept.is_floating_point():
            kept.lerp_(value, share)
        else:
            kept.copy_(value)


def _schedule(fraction: float, warm_up: float = 0.05) -> float:
    """Linear warm-up, then half a cosine to zero."""
    if fraction < warm_up:
        return (fraction + 0.002) / (warm_up + 0.002)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (fraction - warm_up) / (1 - warm_up))))


def _with_net(segmenter: Segmenter, net: nn.Module) -> Segmenter:
    clone = object.__new__(type(segmenter))
    clone.__dict__.update(segmenter.__dict__, net=net)
    return clone
