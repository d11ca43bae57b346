"""What a network says of the tiles of a large image, on disk, and the cells of blocks of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.block_cells import BlockCells
from napari_unet.core.formats.labelled import Shape
from napari_unet.core.types import Region

if TYPE_CHECKING:
    from napari_unet.core.large_job import Job


class TileStore(ABC):
    """One for each kind of `Evidence`, in the scratch of a job.

    A tile is written whole or not at all, and is done if it is there. Any process may write any
    tile and label any block whose surroundings are written, in any order, and again.
    """

    def __init__(self, job: Job) -> None:
        self.job = job

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) of the image."""
        return self.job.shape[1], self.job.shape[2]

    def create(self) -> None:  # noqa: B027
        """Make what has to be there before the first tile; what is there already stays."""

    @abstractmethod
    def has(self, index: int) -> bool:
        """Whether a tile is there."""

    @abstractmethod
    def write(self, index: int, evidence: Any) -> None:
        """Keep what `Stitcher.evidence` gives for what a tile decides."""

    @abstractmethod
    def label(self, block: Region) -> BlockCells:
        """The cells of a block, as the evidence of the whole image would give them."""

    @abstractmethod
    def wholes(self, block: Region, anchors: NDArray[np.int64]) -> Iterator[Shape]:
        """Each cell that begins in a block as a whole, where others lie over it too.

        Parameters
        ----------
        block : Region
        anchors : (n,) int64 array
            Of all cells of the image, in the order of their numbers; the result has them.
        """
