"""The overlap-tile grid: what to read, with how much mirrored context, and where to write.

Every tile starts at a multiple of the network's stride and brings `context` pixels of real or
mirrored surroundings, so that a tiled prediction equals that of the whole image
(Ronneberger et al. 2015, figure 2).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.types import Region


@dataclass(frozen=True)
class Tile:
    """One tile of the grid.

    Attributes
    ----------
    write : Region
        The part of the image that this tile decides; the tiles' parts cover it exactly once.
    start : (int, int)
        Row and column where its context begins; may lie before the image.
    size : (int, int)
        Rows and columns to read from there, context included; may end after the image.
    """

    write: Region
    start: tuple[int, int]
    size: tuple[int, int]


def grid(
    shape: tuple[int, int],
    tile: int,
    context: int,
    stride: int,
    region: Region | None = None,
    centre: tuple[float, float] | None = None,
) -> list[Tile]:
    """Cover `region` of an image of `shape` with tiles.

    Parameters
    ----------
    shape : (H, W)
        Of the image.
    tile : int
        Wanted edge of what a tile decides, in pixels; rounded up to a multiple of `stride` and
        made smaller where the region is.
    context : int
        Pixels around it that its result depends on; a multiple of `stride`.
    stride : int
        Of the network: the tiles' origins are multiples of it.
    region : Region, optional
        The whole image by default.
    centre : (row, column), optional
        The tiles come in rings around the one that is nearest to this point of the image; row by
        row by default.
    """
    bounds = region or (slice(0, shape[0]), slice(0, shape[1]))
    axes = [list(_intervals(part.start, part.stop, tile, stride)) for part in bounds]
    tiles = [
        Tile(
            write=(slice(max(y0, bounds[0].start), y1), slice(max(x0, bounds[1].start), x1)),
            start=(y0 - context, x0 - context),
            size=(
                _round_up(y1 - y0, stride) + 2 * context,
                _round_up(x1 - x0, stride) + 2 * context,
            ),
        )
        for y0, y1 in axes[0]
        for x0, x1 in axes[1]
    ]
    return tiles if centre is None else _outward(tiles, [len(axis) for axis in axes], centre)


def _outward(tiles: list[Tile], counts: Sequence[int], centre: tuple[float, float]) -> list[Tile]:
    """The tiles, listed row by row, in rings around the one nearest to `centre`."""
    middles = np.array([[(s.start + s.stop) / 2 for s in tile.write] for tile in tiles])
    places = np.stack(np.unravel_index(np.arange(len(tiles)), counts), axis=1)
    distance = np.hypot(*(middles - centre).T)
    ring = np.abs(places - places[distance.argmin()]).max(axis=1)
    return [tiles[number] for number in np.lexsort((distance, ring))]


def divide(tile: Tile, edge: int, context: int) -> list[Tile]:
    """Cut a tile into such that decide `edge`² pixels at most, with as much context each.

    Parameters
    ----------
    tile : Tile
        One that begins to decide where its context ends.
    edge, context : int
        In pixels; multiples of the network's stride.
    """
    axes = []
    for part, start, size in zip(tile.write, tile.start, tile.size, strict=True):
        inner = size - 2 * context
        axes.append(
            [
                (
                    slice(part.start + at, min(part.start + at + edge, part.stop)),
                    start + at,
                    min(edge, inner - at) + 2 * context,
                )
                for at in range(0, inner, edge)
            ]
        )
    return [
        Tile((rows, columns), (top, left), (height, width))
        for rows, top, height in axes[0]
        for columns, left, width in axes[1]
    ]


def read(image: NDArray[Any], start: tuple[int, int], size: tuple[int, int]) -> NDArray[Any]:
    """Cut a box out of a (C, H, W) image, mirroring what lies outside of it.

    The mirror stands on the border pixel (NumPy's "reflect"), as often as is needed.
    """
    rows = mirror(np.arange(start[0], start[0] + size[0]), image.shape[1])
    columns = mirror(np.arange(start[1], start[1] + size[1]), image.shape[2])
    if rows[-1] - rows[0] == size[0] - 1 and columns[-1] - columns[0] == size[1] - 1:
        return image[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return image[:, rows[:, None], columns[None, :]]


def mirror(index: NDArray[np.intp], length: int) -> NDArray[np.intp]:
    """Map any index onto 0 … length − 1 by mirroring at the first and the last pixel."""
    if length == 1:
        return np.zeros_like(index)
    folded = np.abs(index) % (2 * length - 2)
    inside: NDArray[np.intp] = np.minimum(folded, 2 * length - 2 - folded)
    return inside


def round_to_stride(size: int, stride: int) -> int:
    """The multiple of `stride` nearest to `size`, but at least one."""
    return max(stride, round(size / stride) * stride)


def _intervals(start: int, stop: int, tile: int, stride: int) -> Iterator[tuple[int, int]]:
    """Cut start … stop into equal parts of at most `tile` that begin at multiples of `stride`."""
    first = start // stride * stride
    count = -(-(stop - first) // _round_up(tile, stride))
    step = _round_up(-(-(stop - first) // count), stride)
    for begin in range(first, stop, step):
        yield begin, min(begin + step, stop)


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
