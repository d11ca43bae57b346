"""The exponential terms of the border weight map in torch: batched, on the device that trains.

The same search as the compiled one of `border_weights`, written in passes over whole tensors:
along the columns two running maxima find the nearest labels, along the rows each offset within
reach is one pass. It reads memory some hundred times where the compiled kernel stays in the
cache, so it pays on a GPU, where it also spares the transfer, and nowhere else.
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor
from torch.nn import functional

from napari_unet.core.border_weights import reach_of
from napari_unet.core.config import WeightConfig

_FAR = 1e8  # a squared distance that no image has; float32 holds whole numbers up to 1.6e7


def border_term(labels: Tensor, config: WeightConfig) -> Tensor:
    """As `border_weights.border_term`, for a batch of images.

    Parameters
    ----------
    labels : (B, H, W) integer tensor
        > 0 a cell instance, anything else background; values below 2³¹.
    config : WeightConfig
        Its class weights stay out of it.

    Returns
    -------
    (B, H, W) float32 tensor on the device of `labels`
        The compiled one's to float32 rounding: within 4e-6 at w0 = 10.
    """
    cells = labels.clamp(min=0).to(torch.int32)
    reach = max(reach_of(config.w0, config.sigma), reach_of(config.w1, config.sigma1))
    far = min(math.ceil(reach), max(cells.shape[1:]))
    first, second = _search_rows(*_search_columns(cells), far)
    d1, d2 = first.sqrt(), second.sqrt()
    term = config.w0 * torch.exp((d1 + d2).square() * (-0.5 / config.sigma**2))
    term += config.w1 * torch.exp(first * (-0.5 / config.sigma1**2))
    if not config.inside:
        term *= ~_body(cells, config)
    return term


def _search_columns(cells: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Squared distance to the nearest label in the column, that label, and the second's."""
    above1, above, above2 = _look_back(cells)
    below1, below, below2 = (found.flip(1) for found in _look_back(cells.flip(1)))
    nearer, same = above1 <= below1, above == below
    first = torch.minimum(above1, below1)
    one = torch.where(nearer | same, above2, above1)
    other = torch.where(nearer & ~same, below1, below2)
    second = torch.minimum(one, other)
    label = torch.where(nearer, above, below)
    return _square(first), label, _square(second)


def _look_back(cells: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rows back to the last label at or above each pixel, that label, rows to one before it.

    The second is where the label last changed: a running maximum over the places where a label
    follows another one.
    """
    row = torch.arange(cells.shape[1], device=cells.device)[None, :, None].expand(cells.shape)
    nowhere = torch.full_like(row, -1)
    last = torch.where(cells > 0, row, nowhere).cummax(1).values
    before = functional.pad(last[:, :-1], (0, 0, 1, 0), value=-1)
    was = cells.gather(1, before.clamp(min=0))
    changed = (cells > 0) & (before >= 0) & (was != cells)
    second = torch.where(changed, before, nowhere).cummax(1).values
    label = torch.where(last >= 0, cells.gather(1, last.clamp(min=0)), 0)
    return _rows_back(row, last), label, _rows_back(row, second)


def _rows_back(row: Tensor, place: Tensor) -> Tensor:
    return torch.where(place >= 0, (row - place).float(), math.sqrt(_FAR))


def _square(distance: Tensor) -> Tensor:
    return distance.square().clamp_(max=_FAR)


def _search_rows(first: Tensor, label: Tensor, second: Tensor, far: int) -> tuple[Tensor, Tensor]:
    """Squared distances to the two nearest distinct labels, by the columns up to `far` away."""
    width = first.shape[2]
    lines = [
        functional.pad(line, (far, far), value=value)
        for line, value in ((first, _FAR), (label, 0), (second, _FAR))
    ]
    d1, nearest, d2 = first, label, second
    for offset in range(1, far + 1):
        for start in (far - offset, far + offset):
            c1, name, c2 = (line[:, :, start : start + width] for line in lines)
            c1, c2 = c1 + offset**2, c2 + offset**2
            loser = torch.maximum(c1, d1)
            d2 = torch.minimum(d2, c2)
            d2 = torch.where(name != nearest, torch.minimum(d2, loser), d2)
            nearest = torch.where(c1 < d1, name, nearest)
            d1 = torch.minimum(c1, d1)
    return d1, d2


def _body(cells: Tensor, config: WeightConfig) -> Tensor:
    """What stays foreground: cells but for the ridge between touching ones, see `cut_ridge`."""
    body = cells > 0
    if not config.ridge:
        return body
    padded = functional.pad(cells, (1, 1, 1, 1))
    height, width = cells.shape[1:]
    for down, right in itertools.product(range(3), range(3)):
        if config.ridge == "half" and (down, right) >= (1, 1):
            continue  # only the neighbours that come before in memory
        neighbour = padded[:, down : down + height, right : right + width]
        body = body & ((neighbour == 0) | (neighbour == cells))
    return body
