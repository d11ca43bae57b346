"""What the network of Mask R-CNN is taught, where only some of the cells are painted.

A box can overlap a cell that is not painted by no more than the share of the box that is unsaid.
Where that is less than the overlap below which a box is background, it surely is; any other box
without a painted cell is neither a cell nor background.

Nothing is drawn by chance, as in torchvision: of the anchors all count, cells as much as
background; of the proposed boxes every n-th in the order of how likely they seemed.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor
from torch.nn import functional

from napari_unet.core import parallel
from napari_unet.core.candidates import MASK
from napari_unet.core.models.mask_rcnn_net import MaskRCNN
from napari_unet.core.models.mask_rcnn_targets import CellBatch, Cells

_BETA = 1 / 9  # torchvision's, of the smooth L1 loss of boxes


def losses(net: MaskRCNN, batch: CellBatch, room: int) -> dict[str, Tensor]:
    """Whether anchors and boxes are cells, how boxes are corrected, and masks.

    Parameters
    ----------
    net : MaskRCNN
    batch : CellBatch
    room : int
        At most so many boxes of a tile are looked at, half of them cells.
    """
    size = batch.image.shape[2], batch.image.shape[3]
    levels = net(batch.image)
    anchors, counts, objectness, deltas = net.rate_anchors(batch.image, levels)
    proposed = net.propose(size, anchors, counts, objectness, deltas, 2 * room)
    return {
        **_teach_anchors(net, batch, anchors, objectness, deltas),
        **_teach_boxes(net, batch, levels, proposed, room),
    }


def _teach_anchors(
    net: MaskRCNN, batch: CellBatch, anchors: list[Tensor], objectness: Tensor, deltas: Tensor
) -> dict[str, Tensor]:
    targets = [{"boxes": cells.boxes} for cells in batch.cells]
    said, matched = net.proposing.assign_targets_to_anchors(anchors, targets)
    sure = net.proposing.proposal_matcher.low_threshold
    said = [_leave_out_unsaid(*each, sure) for each in zip(said, anchors, batch.cells, strict=True)]
    is_cell = torch.stack(said)
    cell, ground = is_cell == 1, is_cell == 0
    wanted = torch.stack(net.proposing.box_coder.encode(matched, anchors))
    cross = functional.binary_cross_entropy_with_logits(
        objectness, is_cell.clamp(min=0), reduction="none"
    )
    off = functional.smooth_l1_loss(deltas[cell], wanted[cell], beta=_BETA, reduction="sum")
    cells = _count(net, cell.sum())
    return {
        "proposals": (
            (cross * cell).sum() / cells + (cross * ground).sum() / _count(net, ground.sum())
        )
        / 2,
        "proposed boxes": off / cells,
    }


def _teach_boxes(
    net: MaskRCNN,
    batch: CellBatch,
    levels: OrderedDict[str, Tensor],
    proposed: list[Tensor],
    room: int,
) -> dict[str, Tensor]:
    """Losses of the heads, on proposed boxes and the cells' own."""
    proposed = [
        torch.cat([cells.boxes, boxes]) for cells, boxes in zip(batch.cells, proposed, strict=True)
    ]
    matched, classes = net.boxes.assign_targets_to_proposals(
        proposed, [c.boxes for c in batch.cells], [c.classes for c in batch.cells]
    )
    sure = net.boxes.proposal_matcher.low_threshold
    boxes, kinds, wanted, drawn, masks = [], [], [], [], []
    for cells, each, of, kind in zip(batch.cells, proposed, matched, classes, strict=True):
        kind = _leave_out_unsaid(kind, each, cells, sure)
        found = _spread((kind > 0).nonzero()[:, 0], room // 2)
        chosen = torch.cat([found, _spread((kind == 0).nonzero()[:, 0], room - len(found))])
        boxes.append(each[chosen])
        kinds.append(kind[chosen])
        own = cells.boxes[of[found]]
        wanted.append(net.boxes.box_coder.encode_single(own, each[found]))
        found = found[cells.whole[of[found]]]
        drawn.append(each[found])
        masks.append(cells.masks(each[found], of[found], MASK))
    size = batch.image.shape[2], batch.image.shape[3]
    logits, deltas = net.rate_boxes(levels, boxes, size)
    kind, mask = torch.cat(kinds), torch.cat(masks)
    logits_of_masks = net.draw_masks(levels, drawn, size)
    count = _count(net, torch.tensor(len(kind), device=logits.device))
    off = functional.smooth_l1_loss(
        deltas[kind > 0], torch.cat(wanted), beta=_BETA, reduction="sum"
    )
    cross = functional.binary_cross_entropy_with_logits(logits_of_masks, mask, reduction="sum")
    pixels = _count(net, torch.tensor(mask.numel(), device=logits.device))
    return {
        "classes": functional.cross_entropy(logits, kind, reduction="sum") / count,
        "boxes": off / count,
        "masks": cross / pixels,
    }


def _leave_out_unsaid(kind: Tensor, boxes: Tensor, cells: Cells, sure: float) -> Tensor:
    """Kinds of boxes, −1 for what may be a cell that is not painted."""
    unsure = (kind == 0) & (cells.unsaid_share(boxes) >= sure)
    return torch.where(unsure, -1, kind)


def _spread(places: Tensor, count: int) -> Tensor:
    """At most `count` of them, at equal distances."""
    if len(places) <= count:
        return places
    return places[torch.linspace(0, len(places) - 1, count, device=places.device).long()]


def _count(net: MaskRCNN, count: Tensor) -> Tensor:
    """How many count in the whole batch, at least 1; one process alone judges."""
    return (parallel.mean(count) if net.training else count).clamp(min=1)
