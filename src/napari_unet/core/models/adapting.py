"""Weights that a network takes over, made to fit other channels and further classes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import init
from torch.overrides import TorchFunctionMode

_DRAWS = (
    init.uniform_,
    init.normal_,
    init.kaiming_uniform_,
    Tensor.uniform_,
    Tensor.normal_,
)


class Undrawn(TorchFunctionMode):
    """Networks made in this context have no first weights: others will take their place.

    Drawing them took nine tenths of the 40 ms in which the U-Net of a start model is made.
    """

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if function in _DRAWS:
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return function(*args, **kwargs)


def spread_over(weight: Tensor, channels: int) -> Tensor:
    """Weights of a first convolution that see the mean of so many channels in each of their own.

    Parameters
    ----------
    weight : (N, C, h, w) tensor
    channels : int

    Returns
    -------
    (N, channels, h, w) tensor
    """
    return weight.sum(1, keepdim=True).expand(-1, channels, -1, -1) / channels


def add_classes(weights: dict[str, Tensor], layer: str, more: int) -> None:
    """Give a layer that tells classes apart further ones that look like the last.

    Parameters
    ----------
    weights : dict of str to Tensor
        A `state_dict`; the entries `layer.weight` and `layer.bias` are replaced.
    layer : str
    more : int
        Together with the last they are as probable as it was alone.
    """
    for name in (f"{layer}.weight", f"{layer}.bias"):
        last = weights[name][-1:]
        weights[name] = torch.cat([weights[name][:-1], last.repeat_interleave(1 + more, 0)])
    weights[f"{layer}.bias"][-1 - more :] -= math.log(1 + more)
