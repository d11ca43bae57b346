"""A walk through places of one plane: each step moves the view to the next of them."""

from __future__ import annotations

import weakref
from collections.abc import Sequence

import numpy as np
from napari.layers import Image

from napari_unet.core.errors import InputError
from napari_unet.core.types import Region
from napari_unet.widgets import _planes
from napari_unet.widgets._planes import PlaneIndex
from napari_unet.widgets._session import Session


class Walk:
    """Where the person stands among the places of a plane, for each kind of place."""

    def __init__(self, session: Session, image: Image, index: PlaneIndex) -> None:
        self._session, self._index = session, index
        self._image: weakref.ref[Image] = weakref.ref(image)
        self._at: dict[str, int] = {}

    def step(self, kind: str, places: Sequence[Region]) -> int:
        """Show the next of `places`, after the last the first again; gives its number from 1.

        Raises
        ------
        InputError
            If the image was closed meanwhile, or there is no place of this kind.
        """
        image, viewer = self._image(), self._session.viewer
        if image is None or image not in viewer.layers:
            raise InputError("The image was closed meanwhile: evaluate another one.")
        if not places:
            raise InputError(f"No cell is {kind}.")
        at = self._at[kind] = (self._at.get(kind, -1) + 1) % len(places)
        self._show_plane(image)
        _planes.centre_on(viewer, image, self._index, places[at])
        return at + 1

    def _show_plane(self, image: Image) -> None:
        """Move the sliders to the plane, where the person has gone on to another one."""
        viewer = self._session.viewer
        if self._session.plane_index(image) == self._index:
            return
        world = np.asarray(image.data_to_world([float(place or 0) for place in self._index]))
        spare = viewer.dims.ndim - image.ndim
        for axis, place in enumerate(self._index):
            if place is not None:
                viewer.dims.set_point(axis + spare, float(world[axis]))
