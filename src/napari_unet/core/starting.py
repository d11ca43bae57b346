"""Where a training starts from: a new network made for the painted cells, or a model file."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

import napari_unet
from napari_unet.core.card import ModelCard
from napari_unet.core.checkpoint import load_model
from napari_unet.core.config import TRAIN_PRESETS, TrainConfig, to_dict
from napari_unet.core.errors import InputError
from napari_unet.core.files import write_atomically
from napari_unet.core.models import find_model
from napari_unet.core.models.base import Segmenter
from napari_unet.core.prediction import check_channels
from napari_unet.core.types import Sample


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
        if classes > len(model.card.classes):
            raise InputError(
                f"The annotation has {classes} classes, but the start model knows "
                f"{len(model.card.classes)}: start from another model or from scratch."
            )
        card = dataclasses.replace(
            model.card, instances=config.instances, training=training, scores={}
        )
        _check_images(card, samples)
        return card, model.segmenter
    if preset not in TRAIN_PRESETS:
        raise InputError(f"There is no preset {preset!r}: choose {' or '.join(TRAIN_PRESETS)}.")
    family = find_model(architecture)
    plan = family.configure(preset, channels, classes, cell_diameters(samples))
    names = tuple(class_names) or ("cell",)
    names += tuple(f"class {k}" for k in range(len(names) + 1, classes + 1))
    card = ModelCard(
        architecture=architecture,
        config=to_dict(plan),
        channels=channels,
        classes=names,
        normalize=config.normalize,
        instances=config.instances,
        training=training,
    )
    _check_images(card, samples)
    return card, family(plan)


def _check_images(card: ModelCard, samples: Sequence[Sample]) -> None:
    for sample in samples:
        check_channels(card, len(sample.image), sample.name)


def check_output(output: Path | str | None) -> None:
    """Find out before the work whether its result can be kept."""
    if output is None:
        return
    path = Path(output)
    if path.is_dir():
        raise InputError(f"{path} is a folder: name a file for the model.")
    if not path.exists():
        write_atomically(path, Path.touch)
        path.unlink()


def cell_diameters(samples: Sequence[Sample]) -> NDArray[np.float64]:
    """Equivalent diameters 2·√(area/π) of all painted cells, in pixels."""
    areas = [np.unique(s.labels[s.labels > 0], return_counts=True)[1] for s in samples]
    diameters: NDArray[np.float64] = np.sqrt(np.concatenate(areas) * (4 / math.pi))
    return diameters
