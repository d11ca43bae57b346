"""The candidates of tiles put together, for families that find whole cells."""

from __future__ import annotations

from napari_unet.core.candidates import Candidates
from napari_unet.core.models.base import Stitcher
from napari_unet.core.regions import shift
from napari_unet.core.tiling import Tile
from napari_unet.core.types import Region


class CandidateStitcher(Stitcher):
    """Keeps the candidates that reach into what a tile decides, and labels once.

    A cell on a seam is found in both tiles, each of which has it as a whole in its context, and
    which are the same is told of all candidates at once. So a cell smaller than the context is that
    of the whole image, whatever the tiles.
    """

    def __init__(self, region: Region) -> None:
        self._region = region
        self._shape = region[0].stop - region[0].start, region[1].stop - region[1].start
        self._found: list[Candidates] = []

    def add(self, tile: Tile, output: Candidates) -> Candidates:
        decided = output.within(shift(tile.write, -tile.start[0], -tile.start[1]))
        (rows, columns), (top, left) = self._region, (tile.write[0].start, tile.write[1].start)
        found = decided.moved(top - rows.start, left - columns.start, self._shape)
        self._found.append(found)
        return found

    def evidence(self) -> Candidates:
        return Candidates.join(self._found, self._shape)
