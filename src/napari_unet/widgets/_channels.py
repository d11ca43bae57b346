"""Which channels the network sees: those of the image, some of them, or of several layers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari.layers import Image

from napari_unet.widgets import _layers, _planes
from napari_unet.widgets._pixels import Pixels
from napari_unet.widgets._planes import PlaneIndex

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

_COLORS = ("red", "green", "blue")


@dataclass(frozen=True, eq=False)
class Channels:
    """The channels that were chosen of one image.

    Attributes
    ----------
    picked : tuple of int, optional
        Along its axis of channels or colours, in order; None for all.
    layers : tuple of Image
        Layers that are one channel each, in the order of the layer list, the image among them:
        napari opens files of several channels like this. Empty for the image alone.
    """

    picked: tuple[int, ...] | None = None
    layers: tuple[Image, ...] = ()

    def pixels(self, image: Image, index: PlaneIndex) -> Pixels:
        """What reads these channels of a plane of the image."""
        picked = self.picked or tuple(range(_planes.count_channels(image)))
        layers = self.layers or (image,)
        return Pixels([_planes.channels_source(layer, index, picked) for layer in layers])

    def count(self, image: Image) -> int:
        """How many they are."""
        return len(self.layers) or len(self.picked or ()) or _planes.count_channels(image)

    def among(self, layers: Iterable[Layer]) -> Channels:
        """The same without the layers that are gone, in the order of the others."""
        left = tuple(layer for layer in layers if layer in self.layers)
        if left == self.layers:
            return self
        return dataclasses.replace(self, layers=left if len(left) > 1 else ())

    def __eq__(self, other: object) -> bool:
        # layers are compared by what they are: arrays in them have no truth value
        return (
            isinstance(other, Channels)
            and self.picked == other.picked
            and list(map(id, self.layers)) == list(map(id, other.layers))
        )

    __hash__ = None  # type: ignore[assignment]  # nobody keeps them in a set


def list_alike(viewer: ViewerModel, image: Image) -> list[Image]:
    """The images that can be channels beside `image`, itself among them, as they are listed.

    They are of one channel, of the same size and at the same place.
    """

    def describe(layer: Image) -> tuple[object, ...]:
        place = layer.affine.affine_matrix.tolist(), layer.scale.tolist(), layer.translate.tolist()
        return _planes.spatial_shape(layer), layer.multiscale, place

    if _planes.count_channels(image) > 1:
        return [image]
    own = describe(image)
    return [
        layer
        for layer in viewer.layers
        if isinstance(layer, Image)
        and not _layers.role_of(layer)
        and _planes.count_channels(layer) == 1
        and describe(layer) == own
    ]


def name_channels(image: Image) -> list[str]:
    """What the channels of an image are called."""
    if image.rgb:
        return list(_COLORS)
    return [f"channel {number}" for number in range(1, _planes.count_channels(image) + 1)]
