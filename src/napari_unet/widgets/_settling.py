"""What is shown of a plane that was predicted: its cells fitted in, and what is said of each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.config import InstanceConfig
from napari_unet.core.evidence import Evidence
from napari_unet.core.formats.labelled import Shape
from napari_unet.core.formats.predicted import list_wholes
from napari_unet.core.mosaic import diameters, fit_into, follow, instances_outside
from napari_unet.core.tables import Table
from napari_unet.core.types import Prediction, Region
from napari_unet.core.whole_cells import Outlines, fill_outlines, keep_whole, outline
from napari_unet.widgets._asked import Asked
from napari_unet.widgets._planes import Reader


@dataclass(frozen=True, eq=False)
class Settled:
    """The labels of a plane, or of a region of it, and its cells.

    Attributes
    ----------
    labels : (H, W) int32 array
    diameters : (n,) float64 array
        In pixels.
    cells : Table
        `label`, `class` (of several classes their names) and `score` of each.
    kept : (m,) intp array
        Numbers of the cells around the region, which were there before.
    wholes : Outlines, optional
        Of all cells of the plane, each whole as far as that is known; None where they were not
        asked for, or the model finds none.
    """

    labels: NDArray[np.int32]
    diameters: NDArray[np.float64]
    cells: Table
    kept: NDArray[np.intp]
    wholes: Outlines | None = None


def settle(
    asked: Asked,
    prediction: Prediction | Evidence,
    config: InstanceConfig | None,
    read_before: Reader,
    wholes_before: Outlines | None = None,
) -> Settled:
    """Make of what the net says of a plane what is to be shown; for a thread.

    Parameters
    ----------
    asked : Asked
    prediction : Prediction or Evidence
        Of the region that was asked for, or of the plane.
    config : InstanceConfig, optional
        By which evidence is labelled; as was asked for by default.
    read_before : Reader
        What gives the plane around the region as it is shown.
    wholes_before : Outlines, optional
        The whole cells that are shown; None where none are wanted.
    """
    classes, region = asked.card.classes, asked.region
    if not isinstance(prediction, Prediction):
        prediction = prediction.label(config or asked.config.instances or asked.card.instances)
    found = labels = np.array(prediction.labels)
    kept = np.zeros(0, np.intp)
    plane = labels
    if region is not None:
        before = read_before()
        labels = fit_into(before, labels, region)
        kept = np.flatnonzero(instances_outside(before, region))
        plane = before.copy()
        plane[region] = labels
    if asked.tracks is not None:
        labels = asked.tracks.link(labels)
    number = follow(found, labels)
    cells: dict[str, NDArray[Any]] = {"label": number[1:]}
    if len(classes) > 1:
        cells["class"] = np.array([classes[number - 1] for number in prediction.classes], object)
    cells["score"] = np.round(prediction.scores.astype(np.float64), 3)
    wholes = None
    if wholes_before is not None and prediction.instances is not None:
        new = [
            _move(cell, region, int(number[cell.label]))
            for cell in list_wholes(prediction, classes)
        ]
        old = [cell for cell in fill_outlines(wholes_before) if cell.label in kept]
        wholes = outline(keep_whole(plane, new, old, region))
    return Settled(labels, diameters(labels), cells, kept, wholes)


def _move(cell: Shape, region: Region | None, number: int) -> Shape:
    """A cell of a region in pixels of the plane, under another number."""
    if region is None:
        return replace(cell, label=number)
    row, column = (at + part.start for at, part in zip(cell.origin, region, strict=True))
    return replace(cell, label=number, origin=(row, column))
