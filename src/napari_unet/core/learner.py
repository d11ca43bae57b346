"""The network that learns, one optimiser step at a time: batches, rate, running mean, start."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from napari_unet.core import parallel
from napari_unet.core.config import TrainConfig
from napari_unet.core.dataset import TileSampler
from napari_unet.core.device import DeviceReport, free_memory
from napari_unet.core.errors import InputError
from napari_unet.core.interrupted import Interrupted
from napari_unet.core.models.base import Segmenter
from napari_unet.core.optimizing import (
    average_in,
    flatten,
    make_optimizer,
    move,
    restore,
    schedule,
)
from napari_unet.core.prediction import autocast
from napari_unet.core.starting import cell_diameters
from napari_unet.core.types import Sample, Warned

_SMALLEST_TILE = 64  # px of the network

_COUNTERS = ("steps", "images", "batch_size", "tile")


class Learner:
    """What a training changes with each step.

    Everything random is made of the seed and the number of the tile.

    Attributes
    ----------
    segmenter : Segmenter
        With the network that the optimiser moves.
    average : Module
        Running mean of its weights: what is judged and saved.
    start : Module or None
        What it started from, as long as that is worth keeping.
    start_cells : int
        So many cells the start counts as much as; 0 without one.
    cells : int
        Painted ones that are learned from.
    steps, images, batch_size, tile : int
        Optimiser steps and tiles so far; size of a batch, and edge of a tile, now.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        config: TrainConfig,
        where: DeviceReport,
        samples: Sequence[Sample],
        start_cells: int | None,
    ) -> None:
        self.segmenter, self._config, self._where = segmenter, config, where
        fine_tuning = start_cells is not None
        self.start_cells = start_cells or 0
        self._learning_rate = config.learning_rate * (config.fine_tuning if fine_tuning else 1)
        self._sampler = TileSampler(samples, segmenter, config, where.device)
        self.cells = len(cell_diameters(samples))
        self._optimizer = make_optimizer(segmenter, config)
        self.average = copy.deepcopy(segmenter.net)
        self.start = copy.deepcopy(segmenter.net).eval() if fine_tuning else None
        self._loss_of = parallel.spread(segmenter)
        self.tile = segmenter.tile_edge(config.tile)
        self.batch_size = config.batch_size
        self.steps = self.images = 0
        self._loss = torch.zeros(())

    def step(self, fraction: float) -> float:
        """One optimiser step; its loss is read after the next one has been queued.

        Parameters
        ----------
        fraction : float
            Of the budget that is used.

        Returns
        -------
        float
            The loss of the step before; of the first step its own.
        """
        net, config = self._ready_net(), self._config
        for group in self._optimizer.param_groups:
            group["lr"] = self._learning_rate * schedule(fraction)
        tiles = range(self.images, self.images + self.batch_size)
        batch = self._sampler.draw(parallel.share(tiles), self.tile, config.augment)
        with autocast(self._where):
            # at first both say the same (but for dropout), and a person waits for the loss
            if self.start is not None and self.steps:
                batch = self.segmenter.recall(batch, self.segmenter.with_net(self.start))
            loss: Tensor = self._loss_of(batch)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 10.0)
        self._optimizer.step()
        average_in(self.average, net, self.steps)
        if not math.isfinite(float(self._loss)):
            raise InputError(
                f"The loss became infinite at step {self.steps}: choose a lower learning rate."
            )
        loss = parallel.mean(loss.detach())
        shown, self._loss = (loss if self.steps == 0 else self._loss), loss
        self.steps += 1
        self.images += self.batch_size
        return float(shown)

    def _ready_net(self) -> nn.Module:
        """The net in training mode; what a start model knows of whole data sets is kept.

        A few crops have other means and deviations than all images it will see.
        """
        net = self.segmenter.net.train()
        if self.start is not None:
            for module in net.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return net

    def shrink(self, error: RuntimeError) -> Warned:
        """Go on with half of the batch, or then of the tile, after the memory ran out."""
        least = self.segmenter.tile_edge(_SMALLEST_TILE)
        if self.batch_size > 1:
            self.batch_size //= 2
        elif self.tile > least:
            half = self.segmenter.tile_edge(round(self.tile / self.segmenter.pixel / 2))
            self.tile = max(least, half)
        else:
            raise error
        self._optimizer.zero_grad(set_to_none=True)
        free_memory(self._where)
        return Warned(
            f"The memory of {self._where.name} ran out: training goes on with batches of "
            f"{self.batch_size} and tiles of {self.tile} px."
        )

    def take(self, samples: Sequence[Sample]) -> None:
        """Draw from other samples, or from the same ones painted on."""
        self._sampler.take(samples)
        self.cells = len(cell_diameters(samples))

    def learn_anew(self) -> None:
        """Take the start model for no more than first weights: nothing it knows is kept."""
        self.start, self.start_cells = None, 0
        self._learning_rate = self._config.learning_rate

    def careful(self) -> nn.Module:
        """The averaged network; of a start model, drawn to where it started from.

        The mean of the weights before and after fine-tuning keeps what was known and most of
        what was learnt (Wortsman et al. 2022). The start counts as much as the cells it has learned
        from, which may be few; of many some stand for all, else nothing were ever learnt.
        """
        if self.start is None:
            return self.average
        net = copy.deepcopy(self.start)
        move(net, self.average, self.cells / (self.cells + self.start_cells))
        return net

    def parts(self) -> dict[str, dict[str, Tensor]]:
        """Tensors that the next step depends on, by part and name."""
        nets = {name: net.state_dict() for name, net in self._nets().items()}
        return {**nets, "optimizer": flatten(self._optimizer)}

    def tensors(self) -> dict[str, Tensor]:
        """Single tensors that the next step depends on."""
        return {"loss": self._loss, "random": torch.get_rng_state()}

    def counts(self) -> dict[str, Any]:
        """Numbers that the next step depends on."""
        return {name: getattr(self, name) for name in _COUNTERS}

    def restore(self, kept: Interrupted) -> None:
        """Go on where it was."""
        for name, net in self._nets().items():
            net.load_state_dict(kept.part(name))
        restore(self._optimizer, kept.part("optimizer"))
        self._loss = kept.tensors["loss"].to(self._where.device)
        torch.set_rng_state(kept.tensors["random"])
        for name in _COUNTERS:
            setattr(self, name, kept.facts[name])

    def _nets(self) -> Mapping[str, nn.Module]:
        nets = {"net": self.segmenter.net, "average": self.average}
        return nets if self.start is None else {**nets, "start": self.start}
