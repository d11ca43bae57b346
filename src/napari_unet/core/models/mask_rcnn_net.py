"""The network of Mask R-CNN (He et al. 2017), put together of torchvision's parts.

A residual trunk, a feature pyramid (Lin et al. 2017), a network that proposes boxes, and heads
that classify a box, correct it and draw the mask in it. The pyramid has a level more than usual,
twice as fine: a nucleus is 6 px wide in the finest one of photographs. Boxes and masks do not
depend on the class: of few painted cells all teach them.

Images are not rescaled here. The trunk is normalised over the batch, which, unlike a
normalisation over the tile, keeps tiled and whole prediction the same; a batch of few boxes
would be too small for that, so the heads are not.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import resnet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign, clip_boxes_to_image, nms

from napari_unet.core.candidates import MASK
from napari_unet.core.models.adapting import spread_over

_TRUNKS: dict[str, tuple[type[Any], list[int]]] = {
    "light": (resnet.BasicBlock, [1, 1, 1, 1]),
    "resnet18": (resnet.BasicBlock, [2, 2, 2, 2]),
    "resnet34": (resnet.BasicBlock, [3, 4, 6, 3]),
    "resnet50": (resnet.Bottleneck, [3, 4, 6, 3]),
}
_LAYERS = ("layer1", "layer2", "layer3", "layer4")
_SIZES = (1.0, 2**0.5)  # anchors of a level, × its smallest
_RATIOS = (0.5, 1.0, 2.0)  # height over width of anchors
_UNLIKELY = 0.02  # boxes that are proposed with less are not looked at
_SAME = 0.7  # intersection over union of two boxes that are surely of one cell
_FINE = "fine"  # the level of every second pixel: boxes are drawn in it, but not proposed
_RATED, _MASKS = 64, 8  # boxes: the heads see whole lots of them; a mask costs more
_DRAWN = 128  # boxes at a time: each takes half a megabyte in the light network
_COARSER = 192.0  # px: boxes from a quarter of it on are drawn in the next level, and so on


class _Proposing(RegionProposalNetwork):  # type: ignore[misc]
    """Proposes as many boxes as there is `room` for, not a number made for photographs."""

    room: int = 1000

    def pre_nms_top_n(self) -> int:
        return 2 * self.room

    def post_nms_top_n(self) -> int:
        return self.room


class MaskRCNN(nn.Module):
    """The network.

    Parameters
    ----------
    channels, classes : int
        Of the images, and K of the cells.
    trunk : {"light", "resnet18", "resnet34", "resnet50"}
        "light" is one residual block a level, without the last level.
    width : int
        Channels of the pyramid and of the mask head.
    neurons : int
        Of each of the two layers that classify boxes.
    anchor : float
        Edge in pixels of the smallest anchor; they double from level to level.
    """

    def __init__(
        self, channels: int, classes: int, trunk: str, width: int, neurons: int, anchor: float
    ) -> None:
        super().__init__()
        whole = resnet.ResNet(*_TRUNKS[trunk])
        stem = nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(stem.weight, mode="fan_out", nonlinearity="relu")
        layers = [whole.layer1, whole.layer2, whole.layer3, whole.layer4]
        layers = layers[:3] if trunk == "light" else layers
        self.stem = nn.Sequential(stem, whole.bn1, whole.relu)
        self.shrink = whole.maxpool
        self.trunk = nn.ModuleList(layers)
        expansion = _TRUNKS[trunk][0].expansion
        self.pyramid = FeaturePyramidNetwork(
            [64, *(64 * 2**level * expansion for level in range(len(layers)))], width
        )
        levels = [anchor * 2**level for level in range(len(layers))]
        anchors = AnchorGenerator(
            tuple(tuple(size * edge for size in _SIZES) for edge in levels),
            (_RATIOS,) * len(levels),
        )
        self.proposing = _Proposing(
            anchors, RPNHead(width, len(_SIZES) * len(_RATIOS)), 0.5, 0.3, 256, 0.5,
            {"training": 0, "testing": 0}, {"training": 0, "testing": 0}, 0.7, _UNLIKELY,
        )  # fmt: skip
        names = [_FINE, *(str(level) for level in range(len(levels)))]
        pools = [
            # cells are no larger than their bins: one sample of each tells as much as many
            MultiScaleRoIAlign(names, bins, sampling_ratio=1, canonical_scale=_COARSER)
            for bins in (7, MASK // 2)
        ]
        drawn = (width,) * (2 if trunk == "light" else 4)
        self.boxes = RoIHeads(
            pools[0], TwoMLPHead(width * 7 * 7, neurons),
            _OneBox(neurons, 1 + classes), 0.5, 0.5, 256, 0.5, None, 0.0, _SAME, 0,
            pools[1], MaskRCNNHeads(width, drawn, 1), MaskRCNNPredictor(width, width, 1),
        )  # fmt: skip

    def take_trunk(self, weights: dict[str, Tensor]) -> None:
        """Begin with the weights of a `torchvision.models.resnet.ResNet` of the same trunk.

        The first convolution sees other channels than RGB as the mean of them.
        """
        stem = self.stem[0]
        assert isinstance(stem, nn.Conv2d)
        first = weights["conv1.weight"]
        if stem.in_channels != first.shape[1]:
            first = spread_over(first, stem.in_channels)
        stem.load_state_dict({"weight": first})
        for layer, name in ((self.stem[1], "bn1"), *zip(self.trunk, _LAYERS, strict=False)):
            own = {k.removeprefix(f"{name}."): v for k, v in weights.items() if k.startswith(name)}
            # those of a detector are frozen and count no batches
            layer.load_state_dict({**own, **_counts_of(layer, own)})

    def forward(self, image: Tensor) -> OrderedDict[str, Tensor]:
        """The levels of the pyramid, finest first; float32, as boxes need."""
        levels = OrderedDict({_FINE: self.stem(image)})
        maps = self.shrink(levels[_FINE])
        for level, layer in enumerate(self.trunk):
            maps = layer(maps)
            levels[str(level)] = maps
        return OrderedDict((name, each.float()) for name, each in self.pyramid(levels).items())

    def rate_anchors(
        self, image: Tensor, levels: OrderedDict[str, Tensor]
    ) -> tuple[list[Tensor], list[int], Tensor, Tensor]:
        """Anchors of each image, how many a level has, and of each how likely it is a cell.

        Returns
        -------
        anchors : list of (A, 4) tensors
        counts : list of int
        objectness : (B, A) float32 tensor
            Logits.
        deltas : (B, A, 4) float32 tensor
            From the anchor to the box, as torchvision's `BoxCoder` has them.
        """
        maps = [each for name, each in levels.items() if name != _FINE]
        logits, shifts = self.proposing.head(maps)
        sizes = [(image.shape[2], image.shape[3])] * len(image)
        anchors = self.proposing.anchor_generator(ImageList(image, sizes), maps)
        flat = [_flatten(each, 1) for each in logits]
        objectness = torch.cat(flat, dim=1)[..., 0].float()
        deltas = torch.cat([_flatten(each, 4) for each in shifts], dim=1).float()
        return anchors, [each.shape[1] for each in flat], objectness, deltas

    def propose(
        self,
        size: tuple[int, int],
        anchors: list[Tensor],
        counts: list[int],
        objectness: Tensor,
        deltas: Tensor,
        room: int,
    ) -> list[Tensor]:
        """At most `room` boxes of each image, most likely first; (n, 4), x1, y1, x2, y2."""
        self.proposing.room = room
        boxes = self.proposing.box_coder.decode(deltas.detach().flatten(0, 1), anchors)
        boxes = boxes.reshape(len(anchors), -1, 4)
        found: list[Tensor]
        found, _ = self.proposing.filter_proposals(boxes, objectness, [size] * len(boxes), counts)
        return found

    def rate_boxes(
        self, levels: OrderedDict[str, Tensor], boxes: list[Tensor], size: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Of all boxes the logits of background and classes, and one correction of each."""
        count, boxes = _fill_up(boxes, _RATED)
        maps = self.boxes.box_roi_pool(levels, boxes, [size] * len(boxes))
        logits, deltas = self.boxes.box_predictor(self.boxes.box_head(maps))
        return logits[:count].float(), deltas[:count].float()

    def choose(
        self,
        proposed: list[Tensor],
        deltas: Tensor,
        sureness: Tensor,
        size: tuple[int, int],
        least: float,
    ) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Of each image the corrected boxes, most sure first, without those that are the same.

        A cell may still have several: which of them are one is decided later and in one way or
        another, see `Candidates.label`.

        Returns
        -------
        list of (boxes, scores, places)
            (n, 4), (n,) and the place of each in `deltas` and `sureness`, which are of all images.
        """
        decoded = self.boxes.box_coder.decode(deltas, proposed).reshape(-1, 4)
        found, begin = [], 0
        for each in proposed:
            places = torch.arange(begin, begin + len(each), device=deltas.device)
            begin += len(each)
            boxes = clip_boxes_to_image(decoded[places], size)
            good = (sureness[places] > least) & (boxes[:, 2:] - boxes[:, :2] >= 1).all(1)
            boxes, places = boxes[good], places[good]
            kept = nms(boxes, sureness[places], _SAME)
            found.append((boxes[kept], sureness[places[kept]], places[kept]))
        return found

    def draw_masks(
        self, levels: OrderedDict[str, Tensor], boxes: list[Tensor], size: tuple[int, int]
    ) -> Tensor:
        """(n, MASK, MASK) logits of all boxes."""
        count, boxes = _fill_up(boxes, _MASKS)
        maps = self.boxes.mask_roi_pool(levels, boxes, [size] * len(boxes))
        parts = [
            self.boxes.mask_predictor(self.boxes.mask_head(part))[:, 0]
            for part in maps.split(_DRAWN)
        ]
        return torch.cat(parts)[:count].float()


class _OneBox(FastRCNNPredictor):  # type: ignore[misc]
    """A class for each box, and one correction of it whatever its class."""

    def __init__(self, neurons: int, classes: int) -> None:
        super().__init__(neurons, classes)
        self.bbox_pred = nn.Linear(neurons, 4)


def _fill_up(boxes: list[Tensor], lot: int) -> tuple[int, list[Tensor]]:
    """How many boxes there are, and with them as many empty ones as make whole lots.

    For each number of boxes that it has not seen oneDNN makes kernels anew and keeps them, between
    which freed memory is lost: numbers that differ from step to step made a training grow.
    """
    count = sum(len(each) for each in boxes)
    *others, last = boxes
    return count, [*others, functional.pad(last, (0, 0, 0, -count % lot))]


def _counts_of(layer: nn.Module, given: dict[str, Tensor]) -> dict[str, Tensor]:
    """What a layer has and is not given: how many batches its normalisations have seen."""
    return {
        name: value
        for name, value in layer.state_dict().items()
        if name not in given and name.endswith("num_batches_tracked")
    }


def _flatten(maps: Tensor, values: int) -> Tensor:
    """(B, A·values, h, w) to (B, h·w·A, values), in the order of the anchors."""
    count, _, height, width = maps.shape
    maps = maps.reshape(count, -1, values, height, width)
    return maps.permute(0, 3, 4, 1, 2).reshape(count, -1, values)
