"""What a training costs beside its bare arithmetic, and beside a loop with MONAI.

    python benchmarks/training_speed.py [--steps 40] [--rounds 3] [--device auto]

In one run and in turns, with the same network, batch (4 tiles of 256²) and, unless said, precision:

- ours: `train` itself, with augmentation, weights, averaging and clipping, held-out looks left out;
- bare: forward, mean cross-entropy, backward and optimiser step on tensors that are ready;
- MONAI (where it is installed): its dictionary transforms for the same augmentation on the same
  images, its sampler around cells and data loader, with none and one worker; the former in float32
  too, and as its tutorials have it: in float32, channels first, memory given back and got anew, in
  a process of its own.

Prints images a second and the ratios of the times. Needs a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import itertools
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import torch
from torch.nn import functional

from napari_unet.core.allocation import keep_freed_memory
from napari_unet.core.annotation import weight_map
from napari_unet.core.config import TrainConfig
from napari_unet.core.device import resolve_device
from napari_unet.core.models.unet import UNetSegmenter
from napari_unet.core.normalize import normalize
from napari_unet.core.optimizing import make_optimizer
from napari_unet.core.prediction import autocast, place
from napari_unet.core.samples import make_sample
from napari_unet.core.starting import cell_diameters
from napari_unet.core.training import train
from napari_unet.core.types import Sample, Stepped

BATCH, TILE, SIZE = 4, 256, 512
_WARM = 8  # steps before the clock runs


def seconds_a_step(work: Iterator[object], steps: int) -> float:
    """Mean time of a step, after some that do not count."""
    taken = itertools.islice(work, _WARM, None)
    next(taken)
    begin = time.perf_counter()
    for _ in itertools.islice(taken, steps):
        pass
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return (time.perf_counter() - begin) / steps


def ours(sample: Sample, config: TrainConfig) -> Iterator[object]:
    """The steps of a training."""
    for event in train([sample], config):
        if isinstance(event, Stepped):
            yield event


def bare(
    segmenter: UNetSegmenter,
    batches: Iterator[tuple],
    device: str,
    precision: str = "auto",
    layout: torch.memory_format = torch.channels_last,
) -> Iterator[None]:
    """Forward, loss, backward, step; what is not a tensor of the batch costs nothing here."""
    where = resolve_device(device, precision)
    net = place(copy.deepcopy(segmenter.net), where).to(memory_format=layout).train()
    optimizer = make_optimizer(segmenter.with_net(net), TrainConfig())
    for image, index, weight in batches:
        image = image.contiguous(memory_format=layout)
        with autocast(where):
            logits = net(image)[:, :2]
            nll = functional.cross_entropy(logits.float(), index, reduction="none")
            loss = (nll * weight).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        yield


def ready(device: str) -> Iterator[tuple]:
    """The same random batch over and over."""
    image = torch.rand(BATCH, 1, TILE, TILE, device=device)
    image = image.contiguous(memory_format=torch.channels_last)
    index = (image[:, 0] > 0.5).long()
    weight = torch.ones(BATCH, TILE, TILE, device=device)
    return itertools.repeat((image, index, weight))


def monai_batches(sample: Sample, workers: int, device: str) -> Iterator[tuple]:
    """Batches by MONAI's own transforms and loader."""
    from monai.data import CacheDataset, DataLoader
    from monai.transforms import (
        Compose,
        Rand2DElasticd,
        RandAdjustContrastd,
        RandCropByPosNegLabeld,
        RandFlipd,
        RandGaussianNoised,
        RandScaleIntensityd,
        RandShiftIntensityd,
    )

    keys = ["image", "index", "weight"]
    item = {
        "image": torch.from_numpy(normalize(sample.image)),
        "index": torch.from_numpy((sample.labels > 0).astype(np.float32))[None],
        "weight": torch.from_numpy(weight_map(sample, TrainConfig().weights))[None],
    }
    transforms = Compose([
        RandCropByPosNegLabeld(keys, "index", (TILE, TILE), num_samples=1),
        Rand2DElasticd(
            keys, spacing=(128, 128), magnitude_range=(5, 15), prob=1.0, rotate_range=3.14,
            scale_range=0.3, mode=["bilinear", "nearest", "nearest"], padding_mode="reflection",
        ),
        RandFlipd(keys, 0.5, 0),
        RandFlipd(keys, 0.5, 1),
        RandScaleIntensityd("image", 0.25, 1.0),
        RandShiftIntensityd("image", 0.1, prob=1.0),
        RandAdjustContrastd("image", 1.0, (0.75, 1.3)),
        RandGaussianNoised("image", 1.0, std=0.03),
    ])  # fmt: skip
    data = CacheDataset([item] * 64, transforms, progress=False)
    loader = DataLoader(data, batch_size=BATCH, shuffle=True, num_workers=workers)
    while True:
        for batch in loader:
            image, index, weight = (batch[key].as_tensor().to(device) for key in keys)
            yield image, index[:, 0].long(), weight[:, 0]


def monai(
    given: argparse.Namespace,
    workers: int,
    precision: str,
    layout: torch.memory_format = torch.channels_last,
) -> float:
    """Seconds of a step of MONAI's loop."""
    sample, segmenter = material()
    batches = monai_batches(sample, workers, resolve_device(given.device).device)
    return seconds_a_step(bare(segmenter, batches, given.device, precision, layout), given.steps)


def in_new_process(measure: Callable[..., float], *arguments: object) -> float:
    """What it measures where nobody has said how memory is kept."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as processes:
        return processes.submit(measure, *arguments).result()


def material() -> tuple[Sample, UNetSegmenter]:
    """The image with its cells, and a network for it."""
    sample = make_sample("fluorescence", (SIZE, SIZE))
    return sample, UNetSegmenter(UNetSegmenter.configure("default", 1, 1, cell_diameters([sample])))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="auto")
    given = parser.parse_args()
    keep_freed_memory()  # as the command line and the compute process do
    where = resolve_device(given.device)
    sample, segmenter = material()
    config = TrainConfig(
        steps=10_000, batch_size=BATCH, tile=TILE, device=given.device, val_fraction=0
    )
    loops: dict[str, Callable[[], float]] = {
        "ours": lambda: seconds_a_step(ours(sample, config), given.steps),
        "bare": lambda: seconds_a_step(
            bare(segmenter, ready(where.device), given.device), given.steps
        ),
    }
    if importlib.util.find_spec("monai") is None:
        print("MONAI is not installed: left out.")
    else:
        loops |= {
            "MONAI, no worker": lambda: monai(given, 0, "auto"),
            "MONAI, a worker": lambda: monai(given, 1, "auto"),
            "MONAI, no worker, float32": lambda: monai(given, 0, "float32"),
            "MONAI as in its tutorials": lambda: in_new_process(
                monai, given, 0, "float32", torch.contiguous_format
            ),
        }
    taken: dict[str, list[float]] = {name: [] for name in loops}
    for _ in range(given.rounds):
        for name, loop in loops.items():
            taken[name].append(loop())
    middle = {name: statistics.median(values) for name, values in taken.items()}
    print(f"{where.words}; batches of {BATCH} tiles of {TILE}², median of {given.rounds} rounds")
    print("| loop | images/s | time of a step | × bare |")
    print("|---|---|---|---|")
    for name, value in middle.items():
        ratio = value / middle["bare"]
        print(f"| {name} | {BATCH / value:.1f} | {1e3 * value:.0f} ms | {ratio:.2f} |")


if __name__ == "__main__":
    main()
