"""What a model family is; training, prediction, checkpoint and docks know nothing else of it."""

from __future__ import annotations

import copy
import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_unet.core.candidates import Candidates
from napari_unet.core.config import InstanceConfig, WeightConfig
from napari_unet.core.evidence import Evidence
from napari_unet.core.models.adapting import Undrawn, add_classes, spread_over
from napari_unet.core.models.zoom import nearest_zoom
from napari_unet.core.tiling import Tile, round_to_stride
from napari_unet.core.types import Prediction, Region, Sample

if TYPE_CHECKING:
    from napari_unet.core.large_job import Job
    from napari_unet.core.tile_store import TileStore


@dataclass(frozen=True, eq=False)
class Target(ABC):
    """What one image teaches, as maps of its size: what any family's target can be made of.

    Tiles of the maps are warped as the image is, by the nearest pixel, and `Segmenter.collate`
    makes the family's own batch of them. A target that cannot be warped pixel by pixel, such as
    boxes, is found there, in the warped tile: so it is that of the tile as the network sees it.

    Attributes
    ----------
    maps : (M, H, W) float32 array
        All that it teaches.
    """

    maps: NDArray[np.float32]

    @property
    @abstractmethod
    def known(self) -> NDArray[np.bool_]:
        """(H, W) bool: where it teaches something; tiles are drawn around such pixels."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Tiles with context around them; each family adds the target of their centre.

    Attributes
    ----------
    image : (B, C, h + 2·margin, w + 2·margin) float32 tensor
    """

    image: Tensor


class Stitcher(ABC):
    """Takes the tiles of one image in any order and makes a prediction of them."""

    @abstractmethod
    def add(self, tile: Tile, output: Any) -> Candidates | None:
        """Take what `Segmenter.predict_tile` gave for one tile.

        Returns the candidates of which cells will be made, in pixels of the region; None where
        cells are made of maps.
        """

    @abstractmethod
    def evidence(self) -> Evidence:
        """All that was added, in pixels of the region."""

    def result(self, config: InstanceConfig) -> Prediction:
        """Label what was added; may be called again with another config."""
        return self.evidence().label(config)


class Segmenter(ABC):
    """A model family: a network, what it learns from paint, and how its tiles become cells.

    Attributes
    ----------
    name : str
        In the registry.
    config_type : type
        The frozen dataclass that builds the network; it has `channels`, `classes` and `zoom`.
    first_weights, class_layer : str
        In the network's `state_dict`, what sees the channels and what tells the classes apart.
    net : nn.Module
    stride : int
        Tiles begin at multiples of it.
    tile_context : int
        Pixels around a tile that its prediction depends on.
    train_margin : int
        Pixels that the network eats on each side of a training tile.
    maps : int
        Maps of an image's size that its predictions consist of; 0 where they are other things.
    tile : int
        Edge of what is predicted at a time, in pixels of the network, where nobody says otherwise.
    pixel : float
        Pixels of the image to one of the network, which sees cells of any size at one size.
    """

    name: ClassVar[str]
    config_type: ClassVar[type]
    first_weights: ClassVar[str]
    class_layer: ClassVar[str]
    tile: ClassVar[int]
    config: Any
    net: nn.Module
    stride: int
    tile_context: int
    train_margin: int
    maps: int
    pixel: float = 1.0

    def tile_edge(self, edge: int) -> int:
        """Edge in pixels of the image of a tile that has about `edge` for the network."""
        return round_to_stride(round(edge * self.pixel), self.stride)

    @classmethod
    @abstractmethod
    def configure(
        cls, preset: str, channels: int, classes: int, diameters: NDArray[np.float64]
    ) -> Any:
        """Choose the network for the painted cells.

        Parameters
        ----------
        preset : str
            One of those that the registry names.
        channels, classes : int
            Of the images, and K of the cells.
        diameters : (n,) float64 array
            Equivalent diameters of the painted cells in pixels.
        """

    @abstractmethod
    def __init__(self, config: Any) -> None: ...

    @classmethod
    def begin(cls, preset: str, config: Any) -> Segmenter:
        """A network to be trained; with weights of others where the preset asks for them.

        Raises
        ------
        InputError
            If weights that the preset begins with are not to be had.
        """
        return cls(config)

    @classmethod
    def with_weights(cls, config: Any, weights: Mapping[str, Tensor]) -> Self:
        """A network with the weights of another one.

        Raises
        ------
        RuntimeError
            If they are those of another plan.
        """
        with Undrawn():
            segmenter = cls(config)
        segmenter.net.load_state_dict(weights)
        return segmenter

    def fit(self, channels: int, classes: int, zoom: float) -> Segmenter:
        """The same network for other images: the weights are shared or derived, not trained.

        Parameters
        ----------
        channels : int
            Where they are others than it was trained on, it sees their mean in each of its own;
            one channel stands for all of them.
        classes : int
            K of the cells, not fewer than it knows: each further one looks like the last.
        zoom : float
            Pixels of the network to one of the image; the nearest that the family has is taken.
        """
        zoom = nearest_zoom(zoom)
        config = dataclasses.replace(self.config, channels=channels, classes=classes, zoom=zoom)
        if config == self.config:
            return self
        weights = dict(self.net.state_dict())
        more = classes - self.config.classes
        if more:
            add_classes(weights, self.class_layer, more)
        if channels != self.config.channels:
            weights[self.first_weights] = spread_over(weights[self.first_weights], channels)
        fitted = type(self).with_weights(config, weights)
        fitted.net.train(self.net.training)
        return fitted

    def with_net(self, net: nn.Module) -> Self:
        """The same with another network of its kind, such as one of averaged weights."""
        clone = copy.copy(self)
        clone.net = net
        return clone

    @abstractmethod
    def targets(self, samples: Sequence[Sample], weights: WeightConfig) -> Sequence[Target]:
        """Turn annotations into targets; class weights are balanced over all samples."""

    @abstractmethod
    def collate(self, image: Tensor, maps: Tensor) -> Batch:
        """The family's batch of (B, C, …) tiles and the (B, M, h, w) maps of their targets."""

    def recall(self, batch: Any, start: Any) -> Any:
        """The batch with what the model that training started from says of what nobody said.

        A loss may keep that, so that a few cells are not learned at the cost of all others; by
        default nothing is kept.
        """
        return batch

    @abstractmethod
    def loss(self, batch: Any) -> dict[str, Tensor]:
        """Named terms, each a scalar; training minimises their sum."""

    @abstractmethod
    def predict_tile(self, image: Tensor, *, average_turns: bool = False) -> Any:
        """From (B, C, h + 2·context, w + 2·context) to what the stitcher takes, one a tile.

        `average_turns` asks for the mean over the 8 rotations and mirrorings, where the family's
        output has one.
        """

    @classmethod
    @abstractmethod
    def store(cls, job: Job) -> TileStore:
        """Where `Stitcher.evidence` of each tile of an image is kept that is too large for one."""

    @abstractmethod
    def stitcher(self, region: Region, out: NDArray[np.float32] | None = None) -> Stitcher:
        """Collect tiles over `region`; maps go to `out`, (M, h, w) of the region, where given.

        M is `maps`.
        """
