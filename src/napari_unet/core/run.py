"""One training under way: its clock, what is held out, the best state so far, what is kept."""

from __future__ import annotations

import copy
import dataclasses
import math
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from napari_unet.core import parallel
from napari_unet.core.annotation import check_trainable
from napari_unet.core.card import ModelCard, card_from_dict
from napari_unet.core.checkpoint import Model, save_model
from napari_unet.core.config import InstanceConfig, TrainConfig, from_dict, to_dict
from napari_unet.core.dataset import Split
from napari_unet.core.device import DeviceReport
from napari_unet.core.errors import InputError
from napari_unet.core.interrupted import Interrupted, keep
from napari_unet.core.learner import Learner
from napari_unet.core.models.base import Segmenter
from napari_unet.core.starting import MOST_CELLS
from napari_unet.core.training_log import TrainingLog
from napari_unet.core.types import (
    Judging,
    Prepared,
    Repainted,
    Sample,
    Stepped,
    Validated,
    Warned,
)
from napari_unet.core.validation import Validator

_FIRST_LOOK = 8.0  # seconds
_TURNED = 3  # looks in a row with a worse loss on the held-out part than the best before
_KEPT_EVERY = 20.0  # seconds: not more is lost where the process is killed

_UNKNOWN = 0.1  # about the mean AP of a start model on cells that are not what it knows

_SURER = 0.95
"""Of the loss of a start model: five crops of images it knows well came to 0.98 … 1.02 of it where
AP50 on others fell, to 0.92 and 0.93 where it rose or stayed."""

_COUNTERS = ("validated_step", "validation_took", "lowest", "rising", "echoed")


class Run:
    """A learner, its budget and its judge.

    `interrupted` has all that the next step depends on: a training that was stopped goes on as if
    it had not been.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        card: ModelCard,
        config: TrainConfig,
        where: DeviceReport,
        split: Split,
        output: Path | None,
        fine_tuning: bool,
        given: list[list[Any]],
    ) -> None:
        self.segmenter, self.card, self.config, self.where = segmenter, card, config, where
        self.split, self.given = split, given
        # of several processes the first one judges and saves
        self.output = output if parallel.is_first() else None
        self.judges = bool(split.held_out) and parallel.is_first()
        start_cells = card.training.get("start_cells", MOST_CELLS) if fine_tuning else None
        self.learner = Learner(segmenter, config, where, split.train, start_cells)
        judge = split.held_out if self.judges else []
        self.validator = Validator(judge, segmenter, config, where)
        self.best: Model | None = None
        self.fraction = 0.0
        self.began = time.perf_counter()
        self.validated_at, self.validation_took = self.began, 0.0
        self.validated_step = -1
        self.kept_at, self.keeping_took = self.began, 0.0
        self.lowest, self.rising = math.inf, 0
        self.echoed = 0.0  # the share of what is held out that the start model itself had drawn
        self.outdated = False
        self.log = TrainingLog()

    def tick(self) -> None:
        """See how much of the budget is used: `fraction`."""
        self.fraction = parallel.agree(self._used())

    def _used(self) -> float:
        if self.config.steps is not None:
            return self.learner.steps / self.config.steps
        return (time.perf_counter() - self.began) / (60 * self.config.minutes)

    def prepared(self) -> Prepared:
        """What the training begins with."""
        return Prepared(
            device=self.where.name,
            precision=self.where.precision,
            images=len(self.split.train),
            cells=self.learner.cells,
            held_out=self.split.words,
            parameters=sum(p.numel() for p in self.segmenter.net.parameters()),
        )

    def step(self) -> Stepped:
        """One optimiser step."""
        learner = self.learner
        if learner.steps == 1 and self.card.training["start_from"] is not None:
            # the first process has judged: the others do as it does
            careful = bool(parallel.agree(float(learner.start is not None)))
            if learner.start is not None and not careful:
                self._learn_anew()
        loss = learner.step(self.fraction)
        seconds = time.perf_counter() - self.began
        fraction = min(1.0, self._used())
        event = Stepped(
            step=learner.steps,
            fraction=fraction,
            seconds=seconds,
            remaining=seconds * (1 - fraction) / max(fraction, 1e-9),
            loss=loss,
            images_per_second=learner.images / seconds,
        )
        self.log.add(event)
        return event

    def learn_from(self, samples: Sequence[Sample]) -> Repainted | Warned:
        """Draw from the samples as they are now, if they can be learned from."""
        try:
            check_trainable(samples)
            fit = self.split.refresh(samples)
            self.learner.take(fit)
            self.split = dataclasses.replace(self.split, train=fit)
        except InputError as error:
            return Warned(f"What was painted since is left out. {error}")
        return Repainted(self.learner.cells)

    def validation_due(self) -> bool:
        """At equal steps of a step budget; else by the clock, at a tenth of the time at most.

        The first looks come early, so that the person soon sees cells. A start model is looked
        at after the first step, whose loss is seen sooner than that takes.
        """
        steps = self.learner.steps
        if not self.judges or steps == 0 or self.validated_step == steps:
            return False
        if self._start_is_unknown or self.fraction >= 1:
            return True
        if self.config.steps is not None:
            return steps % max(1, self.config.steps // self.config.validations) == 0
        now = time.perf_counter()
        regular = 60 * self.config.minutes / self.config.validations
        early = _FIRST_LOOK + (now - self.began) / 4
        pause = max(min(regular, early), 9 * self.validation_took)
        return now - self.validated_at > pause

    @property
    def _start_is_unknown(self) -> bool:
        return self.learner.start is not None and self.validated_step < 0

    def validate(self) -> Generator[Judging | Validated | Warned, None, None]:
        """Score the averaged network, and keep it if it is the best so far; first the start."""
        begin, step = time.perf_counter(), 0 if self._start_is_unknown else self.learner.steps
        net, scores = yield from (self._judge() if step else self._judge_start())
        better = not self.config.keep_best or self._is_better(scores)
        event = Validated(step=step, best=better, **scores)
        self.log.add(event)
        if better:
            self.best = self._snapshot(net, {"step": step, **scores})
            self._save(self.best)
        self.validated_step = step
        self.validated_at = time.perf_counter()
        self.validation_took = self.validated_at - begin
        self.rising = self.rising + 1 if scores["loss"] > 1.05 * self.lowest else 0
        self.lowest = min(self.lowest, scores["loss"])
        yield event
        if self.rising == _TURNED:
            yield Warned(
                "The held-out part gets worse while training goes on: the best state is kept; "
                "painting more cells will help more than more time."
            )

    def _judge_start(self) -> Generator[Judging | Warned, None, tuple[nn.Module, dict[str, float]]]:
        """Score the start model, and find out how far it can be trusted."""
        net = self.learner.start
        assert net is not None
        start = self.segmenter.with_net(net)
        scores = yield from self.validator.score(start)
        # of few cells some may be missed by chance: `margin` grows as they get fewer
        if scores["mean_ap"] + self.validator.margin < 2 * _UNKNOWN:
            self._learn_anew()
            scores = yield from self.validator.score(start)
            yield Warned(
                "The start model does not find these cells: they are learned anew from its weights."
            )
        else:
            self.echoed = self.validator.echoed
        if self.echoed >= 0.5:
            yield Warned(
                "Most of the held-out cells are as the start model had drawn them, so they cannot "
                "tell whether it gets better: what is learnt is kept as long as it finds them too."
            )
        return net, scores

    def _learn_anew(self) -> None:
        """Take a start model that cannot find the cells for no more than first weights.

        Nothing that it knows of others is worth care then: drawn to it, the network learned next
        to nothing, and its threshold and least score hid that. Cells are made as was asked for.
        """
        asked = from_dict(InstanceConfig, self.card.training["config"]["instances"])
        self.config = dataclasses.replace(self.config, instances=asked)
        self.card = dataclasses.replace(self.card, instances=asked, any_size=False)
        self.validator.instances = asked
        self.learner.learn_anew()

    def _judge(self) -> Generator[Judging, None, tuple[nn.Module, dict[str, float]]]:
        """Score what would be kept, and choose all of what was learnt where that is clearly better.

        Of few cells one learns them and forgets others: see `Learner.careful`.
        """
        learner = self.learner
        net = learner.careful()
        scores = yield from self.validator.score(self.segmenter.with_net(net))
        if learner.start is not None and learner.steps:
            bold = yield from self.validator.score(self.segmenter.with_net(learner.average))
            # twice the margin: one cell of four that was found by chance lost others elsewhere
            if bold[self._measure] > scores[self._measure] + 2 * self.validator.margin:
                return learner.average, bold
        return net, scores

    @property
    def _measure(self) -> str:
        """The score that tells which state is best: of cells that a net drew not their outlines."""
        return "ap50" if self.echoed else "mean_ap"

    def _is_better(self, scores: dict[str, float]) -> bool:
        """Whether a state is kept in the place of the best one so far.

        Of equals the later one, which has seen more. A start model only gives way to what is
        clearly better: by more cells than chance finds, or, where few of them could tell, by the
        loss, of which each held-out pixel is a witness, while no cell is lost. The more of the
        cells are its own, which nothing finds better, the less is asked for: of half of them and
        more only what is clearly worse is not kept.
        """
        if self.best is None:
            return True
        before = self.best.card.scores
        gain: float = scores[self._measure] - before[self._measure]
        if self.learner.start is None or before["step"] > 0:
            return gain >= 0
        asked = self.validator.margin * max(1 - 4 * self.echoed, -1)
        surer = scores["loss"] < _SURER * before["loss"]
        return gain >= asked or (surer and gain >= 0)

    def finish(self) -> Generator[Judging | Warned, None, Model]:
        """The best state, or the last one where nothing judged, with its threshold; saved."""
        self.best = self.best or self._snapshot(self.learner.careful(), {})
        if self.learner.start is not None and self.best.card.scores.get("step") == 0:
            yield Warned(
                "The start model finds the held-out cells as well as what was learnt, so it is "
                "kept: paint where it errs."
            )
            self._save(self.best)  # with its own threshold, chosen by more cells than are here
            return self.best
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
        if self.learner.steps and not judged:
            self._save(self._snapshot(self.learner.careful(), {}))

    def keep_if_due(self) -> Warned | None:
        """Write down where the training is, now and then, for the case that it is killed.

        A disk that refuses, such as a full one, does not end the training: it is said once.
        """
        pause = max(_KEPT_EVERY, 20 * self.keeping_took)
        if time.perf_counter() - self.kept_at <= pause:
            return None
        try:
            self.keep()
        except InputError as error:
            self.kept_at = math.inf
            return Warned(f"The training goes on, but not if it were killed. {error}")
        return None

    def keep(self) -> None:
        """Write down where the training is, beside the model."""
        if self.output is None or not self.learner.steps:
            return
        begin = time.perf_counter()
        keep(self._interrupted(), self.output)
        self.kept_at = time.perf_counter()
        self.keeping_took = self.kept_at - begin

    def restore(self, kept: Interrupted) -> None:
        """Go on where a training with the same samples and config was."""
        now, facts = time.perf_counter(), kept.facts
        self.learner.restore(kept)
        for name in _COUNTERS:
            setattr(self, name, facts.get(name, getattr(self, name)))  # some came later
        self.began = now - facts["seconds"]
        self.validated_at = now - facts["since_validation"]
        self.kept_at = now
        self.log = TrainingLog(facts["log"], facts["seconds"])
        if facts["best"] is not None:
            best = self.segmenter.with_net(copy.deepcopy(self.segmenter.net))
            best.net.load_state_dict(kept.part("best"))
            best.net.eval()
            self.best = Model(best, card_from_dict(facts["best"]))
        self.outdated = facts["judged_by"] != self.validator.mark

    def judge_again(self) -> Generator[Judging, None, None]:
        """Score the best state by what is held out now, where that was painted on."""
        if self.best is None or not self.outdated or not self.judges:
            return
        scores = yield from self.validator.score(self.best.segmenter)
        scores = {**self.best.card.scores, **scores}
        self.best = Model(self.best.segmenter, dataclasses.replace(self.best.card, scores=scores))
        self.lowest, self.rising, self.outdated = scores["loss"], 0, False

    def _interrupted(self) -> Interrupted:
        now = time.perf_counter()
        facts = {
            **self.learner.counts(),
            **{name: getattr(self, name) for name in _COUNTERS},
            "card": to_dict(self.card),
            "config": to_dict(self.config),
            "fine_tuning": self.learner.start is not None,
            "seconds": now - self.began,
            "since_validation": now - self.validated_at,
            "log": self.log.rows,
            "judged_by": self.validator.mark,
            "samples": self.given,
            "best": None if self.best is None else to_dict(self.best.card),
        }
        parts = {
            **self.learner.parts(),
            "best": {} if self.best is None else self.best.segmenter.net.state_dict(),
        }
        return Interrupted.of(parts, self.learner.tensors(), facts, self.split)

    def _snapshot(self, net: nn.Module, scores: dict[str, Any]) -> Model:
        kept = self.segmenter.with_net(copy.deepcopy(net).eval())
        seconds = time.perf_counter() - self.began
        learner = self.learner
        learnt = learner.cells if scores.get("step") != 0 else 0
        training = {
            **self.card.training,
            "cells": learner.start_cells + learnt,
            "steps": learner.steps,
            "seconds": round(seconds, 1),
        }
        return Model(kept, dataclasses.replace(self.card, scores=scores, training=training))

    def _save(self, model: Model) -> None:
        if self.output is not None:
            save_model(model, self.output)
            self.log.write(self.output)
