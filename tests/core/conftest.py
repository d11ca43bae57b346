from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from napari_unet.core.checkpoint import Model
from napari_unet.core.config import AugmentConfig, TrainConfig
from napari_unet.core.events import exhaust
from napari_unet.core.training import train
from napari_unet.core.types import Sample


@pytest.fixture(scope="session")
def drawn() -> Sample:
    """What `discs` is a copy of, for the fixtures that are made once."""
    rng = np.random.default_rng(0)
    labels = np.zeros((128, 160), np.int32)
    rows, columns = np.mgrid[:128, :160]
    centers = [(20 + 40 * (i // 4), 22 + 38 * (i % 4)) for i in range(12)]
    centers[1] = (20, 22 + 19)
    for label, (y, x) in enumerate(centers, 1):
        labels[((rows - y) ** 2 + (columns - x) ** 2 <= 81) & (labels == 0)] = label
    image = 200 * (labels > 0) + rng.normal(100, 10, labels.shape)
    return Sample(image[None].astype(np.uint16), labels, name="discs")


@pytest.fixture
def discs(drawn: Sample) -> Sample:
    """Twelve bright discs on a dark ground, two of them touching, all said."""
    return copy.deepcopy(drawn)


@pytest.fixture(scope="session")
def quick() -> TrainConfig:
    """A training of a few seconds that is the same on every machine."""
    return TrainConfig(
        steps=60,
        batch_size=2,
        tile=96,
        validations=3,
        device="cpu",
        precision="float32",
        augment=AugmentConfig(elastic=2, scale=1.1),
    )


@pytest.fixture(scope="session")
def learnt(
    drawn: Sample, quick: TrainConfig, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], tuple[Model, Path]]:
    """A model of an architecture that has learnt the discs, and its file; trained once."""

    @cache
    def find(architecture: str) -> tuple[Model, Path]:
        path = tmp_path_factory.mktemp(architecture) / "model.safetensors"
        config = dataclasses.replace(quick, val_fraction=0)
        return exhaust(train([drawn], config, architecture=architecture, output=path)), path

    return find
