"""Which of the candidates of an image of any size are cells, of whatever part one asks.

A candidate is a cell unless it is one of surer ones that are cells, found again, and what becomes
of these hangs on others in turn. But where it is none of the surer ones, cells or not, nothing else
matters: so only heaps of candidates, such as a cell found again in the next tile, are
followed, from tile to tile as far as they go. What one asks for first makes no difference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.box_index import share_boxes
from napari_unet.core.candidates import Candidates, cut_out, draw_mask
from napari_unet.core.config import InstanceConfig
from napari_unet.core.regions import overlap, within
from napari_unet.core.types import Region

Rank: TypeAlias = tuple[float, int, int]
"""−score, tile and place in it: the surest candidates come first, as in `Candidates.label`."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """A candidate as pixels of the image.

    Attributes
    ----------
    rank : Rank
    box : (4,) float32 array
        x1, y1, x2, y2 in pixels of the image.
    region : Region
        The pixels of the box, as far as it lies in the image.
    soft : (h, w) float32 array
        Probability of the cell at each pixel of it.
    inside : (h, w) bool array
        Where that is above the threshold.
    kind : int
        Class 1 … K.
    """

    rank: Rank
    box: NDArray[np.float32]
    region: Region
    soft: NDArray[np.float32]
    inside: NDArray[np.bool_]
    kind: int

    @property
    def score(self) -> float:
        return -self.rank[0]


@dataclass(frozen=True, eq=False)
class Crowd:
    """The candidates of all tiles of an image, of which only those that matter are read.

    Attributes
    ----------
    read : callable
        From the number of a tile to its candidates, in pixels of the image and of its shape.
    tiles_at : callable
        From a region to the numbers of all tiles whose candidates may reach into it.
    config : InstanceConfig
    """

    read: Callable[[int], Candidates]
    tiles_at: Callable[[Region], Sequence[int]]
    config: InstanceConfig
    _tiles: dict[int, Candidates] = field(default_factory=dict, init=False, repr=False)
    _drawn: dict[tuple[int, int], Drawn] = field(default_factory=dict, init=False, repr=False)
    _is_cell: dict[Rank, bool] = field(default_factory=dict, init=False, repr=False)

    def cells_at(self, region: Region) -> list[Drawn]:
        """The cells whose boxes reach into a region, the surest first."""
        found = self._find(region)
        self._decide(found)
        return [one for one in sorted(found, key=lambda one: one.rank) if self._is_cell[one.rank]]

    def _decide(self, candidates: Sequence[Drawn]) -> None:
        waiting, contested = list(candidates), {}
        while waiting:
            one = waiting.pop()
            if one.rank in self._is_cell or one.rank in contested:
                continue
            surer = self._find(one.region, one.rank)
            if self._is_one_of(surer, one):
                contested[one.rank] = one, surer
                waiting += surer
            else:
                self._is_cell[one.rank] = bool(one.inside.any())
        for rank in sorted(contested):  # what decides a candidate is surer: it is decided
            one, surer = contested[rank]
            cells = [other for other in surer if self._is_cell[other.rank]]
            self._is_cell[rank] = bool(one.inside.any()) and not self._is_one_of(cells, one)

    def _find(self, region: Region, surer_than: Rank | None = None) -> list[Drawn]:
        rows, columns = region
        found = []
        for tile in self.tiles_at(region):
            here = self._read(tile)
            boxes = here.boxes
            wanted = (
                (boxes[:, 2] >= columns.start)
                & (boxes[:, 0] <= columns.stop)
                & (boxes[:, 3] >= rows.start)
                & (boxes[:, 1] <= rows.stop)
                & (here.scores >= self.config.min_score)
            )
            for place in np.flatnonzero(wanted).tolist():
                if surer_than is None or (-float(here.scores[place]), tile, place) < surer_than:
                    found.append(self._draw(here, tile, place))
        return found

    def _read(self, tile: int) -> Candidates:
        if tile not in self._tiles:
            self._tiles[tile] = self.read(tile)
        return self._tiles[tile]

    def _draw(self, here: Candidates, tile: int, place: int) -> Drawn:
        if (tile, place) not in self._drawn:
            region, soft = draw_mask(here.boxes[place], here.masks[place], here.shape)
            self._drawn[tile, place] = Drawn(
                (-float(here.scores[place]), tile, place),
                here.boxes[place],
                region,
                soft,
                cut_out(soft, self.config),
                int(here.classes[place]),
            )
        return self._drawn[tile, place]

    def _is_one_of(self, others: Sequence[Drawn], one: Drawn) -> bool:
        """Whether a candidate is the same as others, as `Candidates.label` tells."""
        share = self.config.overlap
        boxes = np.array([other.box for other in others], np.float32).reshape(-1, 4)
        if (share_boxes(one.box, boxes) > share).any():
            return True
        free = one.inside.copy()
        for other in others:
            common = overlap(one.region, other.region)
            free[within(common, one.region)] &= ~other.inside[within(common, other.region)]
        area = np.count_nonzero(one.inside)
        return bool(area - np.count_nonzero(free) > share * area)
