"""A U-Net run from the top of an image to its bottom, a strip of rows at a time.

The maps of a large tile take hundreds of megabytes; those of small tiles do not, but what surrounds
each of them is computed anew, and of tiles of 512 px that is half of the work. Here every
convolution keeps the last rows of what it has seen for the next strip: nothing is computed twice,
nothing but some rows is kept, and the result is that of the network.

Maps travel as they come out of a convolution: the pass that puts rows together rectifies them.
"""

from __future__ import annotations

from collections import deque

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from napari_unet.core.models.unet_net import Convolutions, UNet, find_cuts, fold, trim

_PIXELS = 2**17  # of a strip: 24 maps of it are 6 MB in bfloat16


def run_in_strips(net: UNet, image: Tensor, margin: int = 0, pixels: int = _PIXELS) -> Tensor:
    """What `net(image, margin)` gives.

    Parameters
    ----------
    net : UNet
        With `padding="same"`, in evaluation mode.
    image : (B, C, H, W) tensor
        H and W are multiples of 2^depth.
    margin : int
        Pixels at each side that are not asked for.
    pixels : int
        About so many are seen at a time.
    """
    batch, _, height, width = image.shape
    step = max(2, pixels // (batch * width) // 2 * 2)
    cuts, found = find_cuts(len(net.up), margin), []
    level = _Level(net, cuts, height)
    for row in range(0, height, step):
        maps = level.see(image[:, :, row : row + step], last=row + step >= height)
        if maps is not None:
            found.append(net.say(maps.relu_()))
    return trim(torch.cat(found, dim=2), margin - cuts[0])


class _Rows:
    """The rows of a map of some height so far, as far as somebody still needs them.

    Without `cut` pixels at each side.
    """

    def __init__(self, height: int, cut: int = 0, *, rectify: bool = False) -> None:
        self._first, self._stop, self._cut = cut, height - cut, cut  # from the next row that comes
        self._rectify = rectify
        self._parts: deque[tuple[int, Tensor]] = deque()
        self.end = 0

    def add(self, rows: Tensor | None) -> None:
        """Rows that follow those before."""
        if rows is None:
            return
        count, width = rows.shape[2:]
        first, stop = max(0, self._first), max(0, self._stop)
        self._first, self._stop = self._first - count, self._stop - count
        rows = rows[:, :, first:stop, self._cut : width - self._cut]
        if rows.shape[2]:
            self._parts.append((self.end, rows))
            self.end += rows.shape[2]

    def like(self) -> Tensor:
        """Some of them, which tell shape, kind and place of all."""
        return self._parts[-1][1]

    def write(self, out: Tensor, top: int) -> None:
        """Fill (B, C, n, W) with the rows from `top` on, which never comes down again.

        Outside of what there is are zeros.
        """
        while self._parts[0][0] + self._parts[0][1].shape[2] <= top:
            self._parts.popleft()
        out[:, :, : max(0, -top)] = 0
        out[:, :, max(0, self.end - top) :] = 0
        for start, rows in self._parts:
            first, end = max(start, top), min(start + rows.shape[2], top + out.shape[2])
            if end <= first:
                break
            part = rows[:, :, first - start : end - start]
            target = out[:, :, first - top : end - top]
            if self._rectify:
                torch.clamp_min(part, 0, out=target)
            else:
                target.copy_(part)


class _Convolution:
    """A 3×3 convolution, with its normalisation, of maps that are joined by channel."""

    def __init__(self, convolve: nn.Conv2d, normalize: _BatchNorm | None, *inputs: _Rows) -> None:
        weight, self._bias = fold(convolve, normalize)
        device = weight.device.type
        if torch.is_autocast_enabled(device):  # once, not for every strip
            weight = weight.to(torch.get_autocast_dtype(device))
        self._weight = weight
        self._inputs = inputs
        self._done = 0

    def go_on(self, last: bool) -> Tensor | None:
        """The rows of which all that they depend on is there by now; at last all."""
        end = min(rows.end for rows in self._inputs) - (not last)
        if end <= self._done:
            return None
        channels, each = self._weight.shape[1], self._inputs[0].like()
        shape = (each.shape[0], channels, end - self._done + 2, each.shape[3])
        joined = torch.empty(
            shape, dtype=each.dtype, device=each.device, memory_format=torch.channels_last
        )
        at = 0
        for rows in self._inputs:
            count = rows.like().shape[1]
            rows.write(joined[:, at : at + count], self._done - 1)
            at += count
        self._done = end
        return functional.conv2d(joined, self._weight, self._bias, padding=(0, 1))


class _Twice:
    """The two convolutions of a level, down or up."""

    def __init__(self, convolutions: nn.Module, height: int, *inputs: _Rows) -> None:
        assert isinstance(convolutions, Convolutions)
        first, second = convolutions.stages()
        self._between = _Rows(height, rectify=True)
        self._first = _Convolution(*first, *inputs)
        self._second = _Convolution(*second, self._between)

    def go_on(self, last: bool) -> Tensor | None:
        """As of `_Convolution`."""
        self._between.add(self._first.go_on(last))
        return self._second.go_on(last)


class _Level:
    """What the network does at one resolution and all coarser ones."""

    def __init__(self, net: UNet, cuts: list[int], height: int, level: int = 0) -> None:
        self._below: _Level | None = None
        cut = cuts[level]
        inner = height - 2 * cut
        if level == len(net.up):
            self._seen = _Rows(height, cut, rectify=level > 0)
            self._down = _Twice(net.down[level], inner, self._seen)
            return
        self._seen = _Rows(height, rectify=level > 0)
        self._down = _Twice(net.down[level], height, self._seen)
        self._below = _Level(net, cuts, height // 2, level + 1)
        self._left: Tensor | None = None
        self._rise = net.up[level]
        self._skip = _Rows(height, cut, rectify=True)
        risen = 2 * cuts[level + 1]  # as far as what is below is cut
        self._risen = _Rows(height - 2 * risen, cut - risen)
        self._up = _Twice(net.merge[level], inner, self._skip, self._risen)

    def see(self, rows: Tensor | None, last: bool) -> Tensor | None:
        """The rows that are done when these have been seen."""
        self._seen.add(rows)
        found = self._down.go_on(last)
        if self._below is None:
            return found
        self._skip.add(found)
        below = self._below.see(self._pool(found), last)
        self._risen.add(None if below is None else self._rise(below.relu_()))
        return self._up.go_on(last)

    def _pool(self, found: Tensor | None) -> Tensor | None:
        """Every two rows and columns as one; a row that is left waits for the next."""
        if found is None:
            return None
        if self._left is not None:
            found = torch.cat([self._left, found], dim=2)
        even = found.shape[2] // 2 * 2
        self._left = found[:, :, even:] if even < found.shape[2] else None
        return functional.max_pool2d(found[:, :, :even], 2) if even else None
