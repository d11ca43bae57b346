"""One training over several processes, as `torchrun` starts them.

Each process draws its share of every batch; gradients, batch statistics and the number of
pixels that count are those of the whole batch, so that the model is the one a single process
would have made. The first process judges, says and saves.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.distributed.nn import functional as differentiable
from torch.nn.parallel import DistributedDataParallel

from napari_unet.core.config import TrainConfig
from napari_unet.core.device import resolve_device
from napari_unet.core.errors import InputError
from napari_unet.core.models.base import Batch, Segmenter


def join(config: TrainConfig) -> None:
    """Meet the other processes, where `torchrun` has started any.

    Raises
    ------
    InputError
        If the batch cannot be shared equally, or there are fewer GPUs than processes.
    """
    count = int(os.environ.get("WORLD_SIZE", 1))
    if count == 1 or "RANK" not in os.environ:
        return
    if config.batch_size % count:
        raise InputError(
            f"Batch is {config.batch_size} and {count} processes share it: choose a multiple of "
            f"{count}."
        )
    if distributed.is_initialized():
        return
    if resolve_device(config.device, config.precision).device != "cuda":
        distributed.init_process_group("gloo")
        return
    number, gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if number >= gpus:
        raise InputError(f"There are {gpus} GPUs here: start as many processes, or --device cpu.")
    torch.cuda.set_device(number)
    distributed.init_process_group("nccl")


def leave() -> None:
    """Wait for the others and part from them."""
    if distributed.is_initialized():
        distributed.barrier()
        distributed.destroy_process_group()


def count() -> int:
    """How many processes train."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def is_first() -> bool:
    """Whether this is the process that judges, says and saves."""
    return not distributed.is_initialized() or distributed.get_rank() == 0


def share(numbers: range) -> Sequence[int]:
    """The tiles of a batch that this process draws."""
    return numbers[distributed.get_rank() :: count()] if distributed.is_initialized() else numbers


def agree(value: float) -> float:
    """What the first process says: clocks differ."""
    if count() == 1:
        return value
    said: list[Any] = [value]
    distributed.broadcast_object_list(said, src=0)
    return float(said[0])


def mean(value: Tensor) -> Tensor:
    """The mean over all processes."""
    if count() == 1:
        return value
    total = value.detach().clone().float()
    distributed.all_reduce(total)
    return total / count()


def spread(segmenter: Segmenter) -> nn.Module:
    """What gives the loss of a batch, and in `backward` the gradients of all processes."""
    loss = _Loss(segmenter)
    if count() == 1:
        return loss
    if next(segmenter.net.parameters()).is_cuda:
        nn.SyncBatchNorm.convert_sync_batchnorm(segmenter.net)
    else:
        _share_statistics(segmenter.net)
    return DistributedDataParallel(loss)


class _Loss(nn.Module):
    """The sum of a segmenter's losses as a module, which is what torch can spread."""

    def __init__(self, segmenter: Segmenter) -> None:
        super().__init__()
        self.net = segmenter.net
        self._segmenter = segmenter

    def forward(self, batch: Batch) -> Tensor:
        return torch.stack(list(self._segmenter.loss(batch).values())).sum()


class _SharedBatchNorm(nn.BatchNorm2d):
    """Statistics over the batch of all processes; torch's own needs a GPU."""

    def forward(self, maps: Tensor) -> Tensor:
        if not self.training:
            return super().forward(maps)
        values = maps.float()
        moments = torch.stack([values.mean((0, 2, 3)), values.square().mean((0, 2, 3))])
        middle, square = differentiable.all_reduce(moments) / count()
        variance = (square - middle.square()).clamp(min=0)
        with torch.no_grad():
            pixels = count() * values.numel() / values.shape[1]
            unbiased = variance * (pixels / (pixels - 1))
            for name, now in (("running_mean", middle), ("running_var", unbiased)):
                getattr(self, name).lerp_(now, self.momentum)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked.add_(1)
        factor = self.weight * torch.rsqrt(variance + self.eps)
        offset = self.bias - middle * factor
        shared: Tensor = values * factor[:, None, None] + offset[:, None, None]
        return shared.to(maps.dtype)


def _share_statistics(net: nn.Module) -> None:
    for module in net.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = _SharedBatchNorm
