from __future__ import annotations

import dataclasses
import json
import struct

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from napari_unet.core.card import ModelCard, read_card, write_card
from napari_unet.core.checkpoint import Model, load_model, save_model
from napari_unet.core.config import InstanceConfig, NormalizeConfig, to_dict
from napari_unet.core.errors import InputError
from napari_unet.core.models.unet import UNetConfig, UNetSegmenter


@pytest.fixture
def model() -> Model:
    plan = UNetConfig(base=4, depth=1, channels=2, classes=2)
    card = ModelCard(
        "unet",
        to_dict(plan),
        channels=2,
        classes=("nucleus", "mitosis"),
        normalize=NormalizeConfig(low=2),
        instances=InstanceConfig(threshold=0.4),
        scores={"f1": 0.8},
    )
    return Model(UNetSegmenter(plan), card)


def test_a_model_comes_back_as_it_was(model, tmp_path):
    path = tmp_path / "hela.safetensors"
    save_model(model, path)
    back = load_model(path, "cpu")
    assert back.card == model.card == read_card(path)
    assert back.segmenter.config == model.segmenter.config
    for name, tensor in model.segmenter.net.state_dict().items():
        assert torch.equal(tensor, back.segmenter.net.state_dict()[name])


def test_the_file_says_what_it_is(model, tmp_path):
    path = tmp_path / "hela.safetensors"
    save_model(model, path)
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    card = json.loads(json.loads(raw[8 : 8 + length])["__metadata__"]["card"])
    assert card["classes"] == ["nucleus", "mitosis"]


def test_foreign_files_are_refused_in_a_sentence(tmp_path):
    with pytest.raises(InputError, match="no model file"):
        read_card(tmp_path / "nothing.safetensors")
    text = tmp_path / "text.safetensors"
    text.write_text("not a model, but long enough to hold a header")
    with pytest.raises(InputError, match="not a model of napari-unet"):
        load_model(text)
    other = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(1)}, other)
    with pytest.raises(InputError, match="holds weights, but not of a napari-unet model"):
        load_model(other)


@pytest.mark.parametrize("kept", [4, 100, 0.9])
def test_damaged_files_are_refused_in_a_sentence(model, tmp_path, kept):
    path = tmp_path / "hela.safetensors"
    save_model(model, path)
    raw = path.read_bytes()
    path.write_bytes(raw[: kept if kept > 1 else int(kept * len(raw))])
    with pytest.raises(InputError):
        load_model(path)


def test_weights_that_are_not_those_of_the_card_are_refused(model, tmp_path):
    path = tmp_path / "hela.safetensors"
    save_file({"a": torch.zeros(1)}, path, model.card.to_header())
    with pytest.raises(InputError, match="damaged or not those of its card"):
        load_model(path)


def test_a_card_whose_training_is_no_table_is_refused(model, tmp_path):
    path = tmp_path / "hela.safetensors"
    save_model(Model(model.segmenter, dataclasses.replace(model.card, training=["cells"])), path)
    with pytest.raises(InputError, match="what it says of the training is no table"):
        read_card(path)


def test_a_failed_save_leaves_the_old_file(model, tmp_path):
    path = tmp_path / "hela.safetensors"
    save_model(model, path)
    before = path.read_bytes()
    broken = Model(model.segmenter, ModelCard("unet", {"bad": np.zeros(1)}, channels=1))
    with pytest.raises(TypeError):
        save_model(broken, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["nucleus", "a much longer name than that of before", "n"])
def test_another_card_leaves_the_weights_as_they_are(model, tmp_path, name):
    path = tmp_path / "hela.safetensors"
    save_model(model, path)
    weights = path.read_bytes()[-1000:]
    card = dataclasses.replace(
        model.card, classes=(name, "mitosis"), instances=InstanceConfig(threshold=0.61)
    )
    write_card(path, card)
    assert read_card(path) == card
    assert path.read_bytes()[-1000:] == weights
    back = load_model(path, "cpu")
    for key, tensor in model.segmenter.net.state_dict().items():
        assert torch.equal(tensor, back.segmenter.net.state_dict()[key])
    assert list(tmp_path.iterdir()) == [path]


def test_a_card_is_written_into_models_of_the_person_alone(model, tmp_path):
    with pytest.raises(InputError, match="start model “nuclei” comes with the package"):
        write_card("nuclei", model.card)
    with pytest.raises(InputError, match="no model file"):
        write_card(tmp_path / "nothing.safetensors", model.card)
    other = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(1)}, other)
    before = other.read_bytes()
    with pytest.raises(InputError, match="not of a napari-unet model"):
        write_card(other, model.card)
    assert other.read_bytes() == before
