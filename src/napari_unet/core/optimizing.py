"""The optimiser: its rate over time, what it remembers, and the running mean of the weights."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from napari_unet.core.config import TrainConfig
from napari_unet.core.models.base import Segmenter


def make_optimizer(segmenter: Segmenter, config: TrainConfig) -> torch.optim.Optimizer:
    """The one that the configuration names, over the weights of the network."""
    parameters = segmenter.net.parameters()
    if config.optimizer == "sgd":
        return torch.optim.SGD(parameters, config.learning_rate, momentum=0.99)
    return torch.optim.AdamW(parameters, config.learning_rate, weight_decay=config.weight_decay)


def average_in(mean: nn.Module, net: nn.Module, steps: int) -> None:
    """Keep the mean of about the last tenth of the steps, 100 at most: what is judged and saved."""
    move(mean, net, max(0.01, 10 / (10 + steps)))


@torch.no_grad()
def move(kept: nn.Module, net: nn.Module, share: float) -> None:
    """Bring the weights of `kept` by a share of the way to those of `net`."""
    for value, other in zip(kept.state_dict().values(), net.state_dict().values(), strict=True):
        if value.is_floating_point():
            value.lerp_(other, share)
        else:
            value.copy_(other)


def flatten(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """What the optimiser remembers of each parameter, as `<parameter>.<name>`."""
    return {
        f"{number}.{name}": value
        for number, memory in optimizer.state_dict()["state"].items()
        for name, value in memory.items()
        if isinstance(value, Tensor)
    }


def restore(optimizer: torch.optim.Optimizer, flat: dict[str, Tensor]) -> None:
    """Give back what `flatten` took; the parameters are the same ones in the same order."""
    state = optimizer.state_dict()
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for key, value in flat.items():
        number, name = key.split(".")
        like = parameters[int(number)]
        if value.shape == like.shape:  # laid out as the parameter is, as before
            value = torch.empty_like(like).copy_(value)
        state["state"].setdefault(int(number), {})[name] = value
    optimizer.load_state_dict(state)


def schedule(fraction: float, warm_up: float = 0.05) -> float:
    """Linear warm-up, then half a cosine to zero."""
    if fraction < warm_up:
        return (fraction + 0.002) / (warm_up + 0.002)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (fraction - warm_up) / (1 - warm_up))))
