"""What is shown of a plane that was predicted: its cells fitted in, and what is said of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.config import InstanceConfig
from napari_unet.core.evidence import Evidence
from napari_unet.core.mosaic import diameters, fit_into, follow, instances_outside
from napari_unet.core.tables import Table
from napari_unet.core.types import Prediction
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
    """

    labels: NDArray[np.int32]
    diameters: NDArray[np.float64]
    cells: Table
    kept: NDArray[np.intp]


def settle(
    asked: Asked,
    prediction: Prediction | Evidence,
    config: InstanceConfig | None,
    read_before: Reader,
) -> Settled:
    """Make of what the net says of a plane what is to be shown; for a thread.

    Parameters
    ----------
    asked : Asked
    prediction : Prediction or Evidence
        Of the region that was asked for, or of the plane. Evidence is labelled with `config`.
    config : InstanceConfig, optional
    read_before : Reader
        What gives the plane around the region as it is shown.
    """
    classes, region = asked.card.classes, asked.region
    if not isinstance(prediction, Prediction):
        assert config is not None
        prediction = prediction.label(config)
    found = labels = np.array(prediction.labels)
    kept = np.zeros(0, np.intp)
    if region is not None:
        before = read_before()
        labels = fit_into(before, labels, region)
        kept = np.flatnonzero(instances_outside(before, region))
    if asked.tracks is not None:
        labels = asked.tracks.link(labels)
    cells: dict[str, NDArray[Any]] = {"label": follow(found, labels)[1:]}
    if len(classes) > 1:
        cells["class"] = np.array([classes[number - 1] for number in prediction.classes], object)
    cells["score"] = np.round(prediction.scores.astype(np.float64), 3)
    return Settled(labels, diameters(labels), cells, kept)
