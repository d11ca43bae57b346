"""Weights of a network made to fit other channels and further classes, without any training."""

from __future__ import annotations

import math

import torch
from torch import Tensor


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
