"""Where a training starts from: a new network made for the painted cells, or a model file."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import napari_unet
from napari_unet.core.card import ModelCard
from napari_unet.core.checkpoint import Model, load_model
from napari_unet.core.config import InstanceConfig, TrainConfig, to_dict
from napari_unet.core.errors import InputError
from napari_unet.core.files import write_atomically
from napari_unet.core.models import check_name, find_model
from napari_unet.core.models.base import Segmenter
from napari_unet.core.normalize import settle_polarity
from napari_unet.core.prediction import fit_channels
from napari_unet.core.types import Sample

MOST_CELLS = 200
"""A start model counts as much as the cells that it learned from, but not more than so many: see
`Learner.careful`."""


def start_model(
    samples: Sequence[Sample],
    config: TrainConfig,
    architecture: str,
    preset: str,
    start_from: Path | str | None,
    class_names: Sequence[str],
) -> tuple[ModelCard, Segmenter]:
    """The untrained or given network and the card it will carry.

    Parameters are those of `training.train`; `samples` are all images, those to judge by too.

    Raises
    ------
    InputError
        If the images or classes do not fit the start model, or architecture or preset is unknown.
    """
    _check_alike(samples)
    channels = len(samples[0].image)
    classes = max(1, len(class_names), *(max(s.classes.values(), default=1) for s in samples))
    training = {
        "seed": config.seed,
        "config": to_dict(config),
        "start_from": None if start_from is None else str(start_from),
        "versions": {"napari-unet-cells": napari_unet.__version__, "torch": torch.__version__},
    }
    if start_from is not None:
        model = load_model(start_from, config.device)
        names = _names(class_names or model.card.classes, classes)
        card, segmenter = _go_on(model, samples, names)
        normalize = settle_polarity(samples, card.normalize)
        as_given = config.instances == InstanceConfig()  # nothing else was asked for
        training["start_cells"] = _count_known(model.card)
        card = dataclasses.replace(
            card,
            normalize=normalize,
            instances=card.instances if as_given else config.instances,
            training=training,
            scores={},
        )
        return card, segmenter
    check_name(architecture, preset)
    family = find_model(architecture)
    plan = family.configure(preset, channels, classes, cell_diameters(samples))
    names = _names(class_names, classes)
    segmenter = family.begin(preset, plan)
    card = ModelCard(
        architecture=architecture,
        config=to_dict(plan),
        channels=channels,
        classes=names,
        normalize=settle_polarity(samples, config.normalize),
        instances=config.instances,
        training=training,
        maps=segmenter.maps,
        diameter=_median_diameter(samples) / segmenter.pixel,
        **_reach(segmenter),
    )
    return card, segmenter


def _count_known(card: ModelCard) -> int:
    """The cells that a start model counts as much as; a card may not tell, or tell nonsense."""
    told = card.training.get("cells")
    return min(told, MOST_CELLS) if isinstance(told, int) and told > 0 else MOST_CELLS


def _reach(segmenter: Segmenter) -> dict[str, Any]:
    """How far the network looks, as the card has it."""
    return {
        "context": round(segmenter.tile_context / segmenter.pixel),
        "stride": round(segmenter.stride / segmenter.pixel),
    }


def _names(given: Sequence[str], classes: int) -> tuple[str, ...]:
    names = tuple(given) or ("cell",)
    return names + tuple(f"class {k}" for k in range(len(names) + 1, classes + 1))


def _go_on(
    model: Model, samples: Sequence[Sample], names: tuple[str, ...]
) -> tuple[ModelCard, Segmenter]:
    """The given network, fitted to the channels, classes and sizes of the painted cells."""
    channels, classes = len(samples[0].image), max(len(names), len(model.card.classes))
    segmenter = fit_channels(model, channels, samples[0].name)
    zoom, known, painted = 1 / segmenter.pixel, model.card.diameter, _median_diameter(samples)
    if known and painted:
        zoom = known / painted
    segmenter = segmenter.fit(channels, classes, zoom)
    card = dataclasses.replace(
        model.card,
        config=to_dict(segmenter.config),
        channels=channels,
        any_channels=False,
        maps=segmenter.maps,
        **_reach(segmenter),
        classes=names + model.card.classes[len(names) :],
    )
    return card, segmenter


def _median_diameter(samples: Sequence[Sample]) -> float:
    diameters = cell_diameters(samples)
    return float(np.median(diameters)) if len(diameters) else 0.0


def _check_alike(samples: Sequence[Sample]) -> None:
    channels = len(samples[0].image)
    for sample in samples:
        if len(sample.image) != channels:
            raise InputError(
                f"{sample.name} has {len(sample.image)} channels and {samples[0].name} has "
                f"{channels}: train on images of one kind."
            )


def check_output(output: Path | str | None) -> None:
    """Find out before the work whether its result can be kept."""
    if output is None:
        return
    path = Path(output)
    if path.is_dir():
        raise InputError(f"{path} is a folder: name a file for the model.")
    if not path.exists():
        write_atomically(path, Path.touch)
        path.unlink(missing_ok=True)  # another process of torchrun may have been here


def cell_diameters(samples: Sequence[Sample]) -> NDArray[np.float64]:
    """Equivalent diameters 2·√(area/π) of all painted cells, in pixels."""
    areas = [np.unique(s.labels[s.labels > 0], return_counts=True)[1] for s in samples]
    diameters: NDArray[np.float64] = np.sqrt(np.concatenate(areas) * (4 / math.pi))
    return diameters
