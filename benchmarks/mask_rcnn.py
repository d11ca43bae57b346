"""What Mask R-CNN costs beside torchvision's own step, and beside its bare forward passes.

    python benchmarks/mask_rcnn.py [--steps 30] [--rounds 3] [--size 4096] [--device auto]

In one run and in turns, with the same network, tiles (4 of 256²) and precision:

- ours: `train` itself, with augmentation, targets of sparse paint, averaging and clipping, held-out
  looks left out;
- torchvision: its `GeneralizedRCNN` around the same trunk, pyramid, anchors and heads, with as many
  proposals and samples a tile, on images and targets that are ready: its losses, backward, step.

Then a synthetic image of `--size` is predicted whole, beside the network alone (`predict_tile`) on
as many windows of the same size that are ready, with the highest resident memory above what there
was before. Needs a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import resource
import statistics
import time
from collections import OrderedDict
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.mask_rcnn import MaskRCNNPredictor
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from napari_unet.core.checkpoint import Model
from napari_unet.core.config import PredictConfig, TrainConfig
from napari_unet.core.dataset import TileSampler
from napari_unet.core.device import DeviceReport, resolve_device
from napari_unet.core.events import exhaust
from napari_unet.core.models.mask_rcnn import MaskRCNNSegmenter
from napari_unet.core.models.mask_rcnn_net import MaskRCNN
from napari_unet.core.models.mask_rcnn_targets import CellBatch
from napari_unet.core.prediction import autocast, place, predict
from napari_unet.core.samples import make_sample
from napari_unet.core.starting import cell_diameters
from napari_unet.core.tiling import grid
from napari_unet.core.training import train
from napari_unet.core.types import Sample, Stepped
from training_speed import BATCH, TILE, seconds_a_step

_WINDOWS = 6  # that the bare forward passes go round in


class Proposing(nn.Module):
    """torchvision's proposals from all levels but the finest, as in our network."""

    def __init__(self, rpn: nn.Module) -> None:
        super().__init__()
        self.rpn = rpn

    def forward(self, images: object, levels: OrderedDict[str, Tensor], targets: object) -> object:
        coarse = OrderedDict(itertools.islice(levels.items(), 1, None))
        return self.rpn(images, coarse, targets)


def ours(sample: Sample, config: TrainConfig) -> Iterator[object]:
    """The steps of a training."""
    for event in train([sample], config, architecture="mask-rcnn"):
        if isinstance(event, Stepped):
            yield event


def torchvisions(net: MaskRCNN, batch: CellBatch, room: int, where: DeviceReport) -> Iterator[None]:
    """Steps of torchvision's training of the same network on one batch that is ready."""
    net = copy.deepcopy(net)
    rpn, heads = net.proposing, net.boxes
    for name in ("_pre_nms_top_n", "_post_nms_top_n"):
        setattr(rpn, name, {"training": 2 * room, "testing": 2 * room})
    rpn.pre_nms_top_n = rpn.post_nms_top_n = lambda: 2 * room
    heads.fg_bg_sampler.batch_size_per_image = room
    # its losses want a box and a mask of each class, the background too
    neurons, width = (
        heads.box_predictor.cls_score.in_features,
        heads.mask_predictor.conv5_mask.in_channels,
    )
    heads.box_predictor = FastRCNNPredictor(neurons, 2)
    heads.mask_predictor = MaskRCNNPredictor(width, width, 2)
    still = GeneralizedRCNNTransform(
        min(batch.image.shape[2:]), max(batch.image.shape[2:]), [0.0] * 3, [1.0] * 3
    )
    model = GeneralizedRCNN(net, Proposing(rpn), heads, still)
    place(model, where).train()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    images = list(batch.image)
    targets = [
        {
            "boxes": cells.boxes,
            "labels": cells.classes,
            "masks": torch.stack([cells.number == i for i in range(1, len(cells.boxes) + 1)]),
        }
        for cells in batch.cells
    ]
    while True:
        with autocast(where):
            loss = sum(model(images, targets).values())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        yield


def time_steps(given: argparse.Namespace, where: DeviceReport) -> None:
    sample = make_sample("fluorescence", (512, 512))
    config = TrainConfig(
        steps=10_000, batch_size=BATCH, tile=TILE, device=given.device, val_fraction=0
    )
    plan = MaskRCNNSegmenter.configure("default", 3, 1, cell_diameters([sample]))
    rgb = Sample(np.repeat(sample.image, 3, axis=0), sample.labels, sample.complete)
    segmenter = MaskRCNNSegmenter(plan)
    place(segmenter.net, where)
    sampler = TileSampler([rgb], segmenter, config, where.device)
    batch = sampler.draw(range(BATCH), segmenter.tile_edge(TILE), config.augment)
    room = segmenter._room(batch.image)
    loops = {
        "ours": lambda: ours(rgb, config),
        "torchvision": lambda: torchvisions(segmenter.net, batch, room, where),
    }
    taken: dict[str, list[float]] = {name: [] for name in loops}
    for _ in range(given.rounds):
        for name, loop in loops.items():
            taken[name].append(seconds_a_step(loop(), given.steps))
    cells = sum(len(each.boxes) for each in batch.cells)
    print(f"{where.words}; {BATCH} tiles of {TILE}², about {cells} cells, {given.rounds} rounds")
    print("| step | time | × torchvision |\n|---|---|---|")
    middle = {name: statistics.median(values) for name, values in taken.items()}
    for name, value in middle.items():
        print(f"| {name} | {1e3 * value:.0f} ms | {value / middle['torchvision']:.2f} |")


def time_prediction(given: argparse.Namespace, where: DeviceReport) -> None:
    sample = make_sample("fluorescence", (512, 512))
    config = TrainConfig(steps=given.learnt, device=given.device, val_fraction=0)
    model = exhaust(train([sample], config, architecture="mask-rcnn"))
    segmenter, card = model.segmenter, model.card
    repeats = -(-given.size // 512)
    image = np.tile(sample.image, (1, repeats, repeats))[:, : given.size, : given.size]
    how = PredictConfig(device=given.device)
    exhaust(predict(model, image[:, :1024, :1024], how))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begin = time.perf_counter()
    found = exhaust(predict(Model(segmenter, card), image, how))
    ours = time.perf_counter() - begin
    above = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    context, stride = segmenter.tile_context, segmenter.stride
    region = (slice(0, given.size), slice(0, given.size))
    tiles = grid((given.size, given.size), how.tile, context, stride, region)
    # what is looked at has as many cells as the image
    windows = [
        torch.from_numpy(
            np.ascontiguousarray(image[None, :, 64 * i :, 64 * i :][..., : t.size[0], : t.size[1]])
        ).float()
        / float(image.max())
        for i, t in enumerate(tiles[:_WINDOWS])
    ]
    begin = time.perf_counter()
    with torch.inference_mode(), autocast(where):
        for i in range(len(tiles)):
            segmenter.predict_tile(windows[i % len(windows)])
    bare = time.perf_counter() - begin
    print(
        f"{given.size}², {found.labels.max()} cells: {ours:.1f} s, {given.size**2 / ours / 1e6:.2f}"
        f" Mpx/s, {bare / ours:.2f} × the network alone; {above:.0f} MB above the start"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--learnt", type=int, default=60, help="steps before predicting")
    parser.add_argument("--device", default="auto")
    given = parser.parse_args()
    where = resolve_device(given.device)
    time_steps(given, where)
    time_prediction(given, where)


if __name__ == "__main__":
    main()
