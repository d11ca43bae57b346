"""What one click on Predict asked for, fixed at that moment, and whether it still holds."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from napari.layers import Image
from numpy.typing import NDArray

from napari_unet.core.card import ModelCard, read_card
from napari_unet.core.config import PredictConfig
from napari_unet.core.errors import InputError
from napari_unet.core.lazy_image import READ_WHOLE
from napari_unet.core.linking import Tracks
from napari_unet.core.stack import MEASURED, choose_evenly
from napari_unet.core.types import Region
from napari_unet.widgets import _planes
from napari_unet.widgets._connections import Connections
from napari_unet.widgets._pixels import Pixels, stack_overview
from napari_unet.widgets._planes import PlaneIndex
from napari_unet.widgets._session import Session


@dataclass(frozen=True)
class Progress:
    """So many tiles of so many planes: `tile` of `tiles` are done of the `plane`-th, from 1."""

    tile: int
    tiles: int
    plane: int = 1
    planes: int = 1


class Asked:
    """The image, its channels and planes, and the model, as they were when Predict was clicked.

    Attributes
    ----------
    name : str
        Of the image.
    region : Region or None
        Of the plane; None for all of it.
    planes : list of PlaneIndex
        One after another; more than one for a whole stack.
    centre : (row, column) or None
        The middle of the visible field, from which on the tiles are predicted.
    tracks : Tracks or None
        Of a stack whose cells are to keep their numbers from plane to plane.
    """

    def __init__(
        self,
        session: Session,
        model: Path,
        config: PredictConfig,
        region: Region | None = None,
        whole_stack: bool = False,
        link: bool = False,
    ) -> None:
        image = session.image
        if image is None:
            raise InputError("No image is open: open one, or a sample from File ▸ Open Sample.")
        self.name = image.name
        self.model, self.config, self.region = model, config, region
        self.centre = _find_centre(session)
        index = session.plane_index(image)
        self.planes = _planes.list_planes(image, index) if whole_stack else [index]
        self.tracks = Tracks() if link and whole_stack else None
        if self.tracks is not None and _planes.count_axes(self.planes) > 1:
            raise InputError(
                f"“{image.name}” has planes along more than one axis, and ids can be linked along "
                "one: uncheck Link ids under Advanced."
            )
        rows, columns = session.plane_shape()
        if region is None and rows * columns > READ_WHOLE:
            raise InputError(
                f"“{image.name}” has {rows * columns / 1e6:.0f} million pixels a plane: predict "
                "what is in view, or its file, as a TIFF or OME-Zarr, under Folder of images."
            )
        self.box: Region = region or (slice(0, rows), slice(0, columns))
        self.plane_shape = rows, columns
        self.overview = _overview(session, self.planes) if whole_stack else None
        self._chosen = session.chosen
        self._image: weakref.ref[Image] = weakref.ref(image)
        self._changed = False
        self._connections = Connections()
        self._connections.connect(image.events.data, self._on_data)

    @cached_property
    def card(self) -> ModelCard:
        """That of the model; read in a thread, when tiles are labelled."""
        return read_card(self.model)

    def pixels(self, session: Session, index: PlaneIndex) -> Pixels:
        """What reads a plane, of the channels that were chosen then."""
        return self._chosen.pixels(self.image(session), index)

    def alike(self, session: Session) -> list[Pixels]:
        """Those of a whole stack whose cells tell how large its cells are; none of one plane."""
        if len(self.planes) == 1:
            return []
        return [self.pixels(session, index) for index in choose_evenly(self.planes, MEASURED)]

    def image(self, session: Session) -> Image:
        """The layer, or an InputError that says what became of it."""
        image = self._image()
        if image is None or image not in session.viewer.layers:
            raise InputError(f"“{self.name}” was closed meanwhile: its prediction is left out.")
        if self._changed:
            raise InputError(
                f"“{self.name}” has other data now: its prediction is left out, predict again."
            )
        return image

    def forget(self) -> None:
        """Listen to the image no more."""
        self._connections.undo()

    def _on_data(self, event: Any = None) -> None:
        self._changed = True


def _find_centre(session: Session) -> tuple[float, float] | None:
    try:
        rows, columns = session.visible_region()
    except InputError:  # nothing of it is in view, so no part of it comes first
        return None
    return (rows.start + rows.stop) / 2, (columns.start + columns.stop) / 2


def _overview(session: Session, planes: list[PlaneIndex]) -> Callable[[], NDArray[Any]]:
    """What tells how bright the whole stack is, read once: no plane flickers against the next."""
    return cache(stack_overview([session.image_reader(index) for index in planes]))
