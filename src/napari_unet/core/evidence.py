"""What a network says of a region, of which cells can be made again and again without it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.block_labels import label_in_blocks
from napari_unet.core.config import EvidenceKind, InstanceConfig
from napari_unet.core.instances import label_instances
from napari_unet.core.types import Prediction, Region

_LARGE = 4096**2  # px: labelled as a whole, so many take 0.7 GB


class Evidence(Protocol):
    """Maps of pixels, or candidates for cells; `kind` tells which settings say something to it."""

    kind: ClassVar[EvidenceKind]

    def label(self, config: InstanceConfig) -> Prediction:
        """Make cells of it."""

    def cut(self, box: Region, done: NDArray[np.bool_]) -> Evidence:
        """That of a box of the region; nothing is known of its pixels that are not `done`."""


@dataclass(frozen=True, eq=False)
class Maps:
    """What a network says of each pixel.

    Attributes
    ----------
    values : (M, h, w) float32 array
        As `instances.label_instances` takes them.
    classes : int
        How many of the first of them are probabilities of classes.
    """

    kind: ClassVar[EvidenceKind] = "maps"
    values: NDArray[np.float32]
    classes: int

    def label(self, config: InstanceConfig) -> Prediction:
        label = label_in_blocks if self.values[0].size > _LARGE else label_instances
        return label(self.values, config, self.classes)

    def cut(self, box: Region, done: NDArray[np.bool_]) -> Maps:
        return Maps(np.where(done, self.values[(slice(None), *box)], 0), self.classes)
