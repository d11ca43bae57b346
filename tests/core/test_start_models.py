"""What a network becomes for other channels, classes and sizes, and the models in the package."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_unet.core.card import ModelCard, read_card
from napari_unet.core.checkpoint import Model, load_model, save_model
from napari_unet.core.config import InstanceConfig, PredictConfig, TrainConfig, to_dict
from napari_unet.core.errors import InputError
from napari_unet.core.events import exhaust
from napari_unet.core.models.unet import UNetConfig, UNetSegmenter
from napari_unet.core.prediction import predict
from napari_unet.core.samples import make_sample
from napari_unet.core.start_models import START_MODELS, find_model_file
from napari_unet.core.starting import start_model
from napari_unet.core.types import Looking, Sample, TileDone

PLAN = UNetConfig(channels=3, base=4, depth=2)
CPU = PredictConfig(device="cpu", precision="float32")
STRICT = InstanceConfig(threshold=0.99)


@pytest.fixture
def trained(tmp_path):
    """The file of a model of three channels that takes any number of them."""
    torch.manual_seed(0)
    segmenter = UNetSegmenter(PLAN)
    card = ModelCard("unet", to_dict(PLAN), channels=3, diameter=20.0, any_channels=True)
    path = tmp_path / "start.safetensors"
    save_model(Model(segmenter, card), path)
    return path


def cells(size: int, channels: int = 1) -> Sample:
    """Two square cells of `size` px."""
    labels = np.zeros((200, 300), np.int32)
    labels[10 : 10 + size, 10 : 10 + size], labels[-size:, -size:] = 1, 2
    image = np.random.default_rng(0).random((channels, 200, 300)) + (labels > 0)
    return Sample(image, labels)


def probabilities(model, image):
    return exhaust(predict(model, image, CPU)).probabilities


def test_one_channel_is_three_equal_ones(trained):
    model, image = load_model(trained, "cpu"), cells(18).image
    np.testing.assert_allclose(
        probabilities(model, image), probabilities(model, np.repeat(image, 3, axis=0)), atol=1e-5
    )
    assert probabilities(model, np.repeat(image, 5, axis=0)).shape == (1, 200, 300)


def test_only_a_model_that_says_so_takes_any_channels(trained):
    model = load_model(trained, "cpu")
    strict = Model(model.segmenter, dataclasses.replace(model.card, any_channels=False))
    with pytest.raises(InputError, match="grey"):
        probabilities(strict, cells(18).image)


@pytest.mark.parametrize(
    ("size", "zoom"), [(18, 1.0), (24, 1.0), (40, 0.5), (60, 1 / 3), (5, 2.0), (90, 0.25)]
)
def test_cells_of_another_size_are_zoomed_to_that_of_the_start_model(trained, size, zoom):
    card, segmenter = start_model([cells(size)], TrainConfig(), "unet", "default", trained, ())
    assert segmenter.config.zoom == zoom
    assert (card.channels, card.any_channels) == (1, False)
    assert card.config == to_dict(segmenter.config)


def discs(radius: int) -> np.ndarray:
    """An image of bright discs, 3.5 radii from one to the next, as dim and noisy as a camera's."""
    rng = np.random.default_rng(0)
    steps = np.arange(220) % round(3.5 * radius) - 1.75 * radius
    bright = steps[:, None] ** 2 + steps[None, :180] ** 2 <= radius**2
    image = ndimage.gaussian_filter(100.0 * bright, 0.7) + rng.normal(20, 2, bright.shape)
    return image[None]


@pytest.mark.parametrize(("radius", "zoom"), [(4, 2.0), (12, 1.0), (26, 0.5)])
def test_a_model_for_any_size_looks_first(monkeypatch, radius, zoom):
    model = load_model("nuclei", "cpu")
    model = Model(model.segmenter, dataclasses.replace(model.card, any_size=True, diameter=24.0))
    made, events = [1.0], []
    fit = UNetSegmenter.fit

    def note(self, channels, classes, wanted):
        fitted = fit(self, channels, classes, wanted)
        made.append(fitted.config.zoom)
        return fitted

    monkeypatch.setattr(UNetSegmenter, "fit", note)
    image = discs(radius)
    whole = exhaust(predict(model, image, CPU), events.append)
    assert made[-1] == zoom
    kinds = [type(event) for event in events]
    assert kinds == sorted(kinds, key=[Looking, TileDone].index)
    assert {*kinds} == {Looking, TileDone}
    part = exhaust(predict(model, image, CPU, region=(slice(30, 90), slice(20, 99))))
    np.testing.assert_allclose(part.probabilities, whole.probabilities[:, 30:90, 20:99], atol=1e-4)


def test_nothing_to_look_at_is_left_as_it_is():
    model = load_model("nuclei", "cpu")
    model = Model(model.segmenter, dataclasses.replace(model.card, any_size=True, diameter=24.0))
    dim = np.random.default_rng(0).normal(20, 2, (1, 80, 80))
    events = []
    exhaust(predict(model, dim, dataclasses.replace(CPU, instances=STRICT)), events.append)
    assert [type(event) for event in events] == [Looking, TileDone]


def test_more_classes_share_what_the_one_had(trained):
    sample = dataclasses.replace(cells(18), classes={1: 1, 2: 3})
    card, segmenter = start_model(
        [sample], TrainConfig(), "unet", "default", trained, ("round", "long")
    )
    assert card.classes == ("round", "long", "class 3")
    image = cells(18).image
    one = probabilities(load_model(trained, "cpu"), image)
    three = probabilities(Model(segmenter, card), image)
    np.testing.assert_allclose(three.sum(axis=0), one[0], atol=1e-5)
    np.testing.assert_allclose(three[0], three[2], atol=1e-6)


def test_images_of_two_kinds_are_refused():
    with pytest.raises(InputError, match="3 channels and image has 1"):
        start_model([cells(18), cells(18, 3)], TrainConfig(), "unet", "default", None, ())


def test_a_file_called_as_a_start_model_is_meant_by_its_path(trained, tmp_path, monkeypatch):
    trained.rename(tmp_path / "nuclei")
    monkeypatch.chdir(tmp_path)
    path = find_model_file("./nuclei")
    assert path == find_model_file(path) == tmp_path / "nuclei"
    here = load_model("./nuclei", "cpu")
    assert here.segmenter.config == PLAN
    assert here.card == read_card("./nuclei") != read_card("nuclei")


LOOKS = {"nuclei": "fluorescence", "nuclei-mask-rcnn": "fluorescence", "phase": "phase"}


@pytest.mark.parametrize("name", START_MODELS)
def test_every_start_model_is_in_the_package(name):
    path = find_model_file(name)
    card = read_card(path)
    assert card.any_channels
    assert card.diameter > 0
    assert path.stat().st_size < 12e6
    model = load_model(name, "cpu")
    assert all(p.dtype == torch.float32 for p in model.segmenter.net.parameters())
    sample = make_sample(LOOKS[name], (256, 256))
    found = exhaust(predict(model, sample.image, CPU))
    assert found.labels.max() > 0.5 * len(np.unique(sample.labels))
    assert (found.labels > 0).mean() < 0.5
