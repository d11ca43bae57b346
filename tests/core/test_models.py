"""What every registered model must do, whatever it is."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_unet.core.checkpoint import load_model
from napari_unet.core.config import PredictConfig
from napari_unet.core.events import exhaust
from napari_unet.core.metrics import evaluate
from napari_unet.core.models import MODELS, find_model
from napari_unet.core.prediction import predict
from napari_unet.core.types import TileDone

PREDICT = PredictConfig(device="cpu", precision="float32", tile=64)


@pytest.mark.parametrize("architecture", MODELS)
def test_overfit_predict_save_load_predict_the_same(architecture, discs, learnt):
    model, path = learnt(architecture)
    seen = []
    first = exhaust(predict(model, discs.image, PREDICT), seen.append)
    assert [event.done for event in seen if isinstance(event, TileDone)] == [1, 2, 3, 4, 5, 6]
    assert evaluate(discs.labels, first.labels)["ap50"] > 0.9
    second = exhaust(predict(load_model(path, "cpu"), discs.image, PREDICT))
    np.testing.assert_array_equal(first.labels, second.labels)
    np.testing.assert_array_equal(first.scores, second.scores)
    assert len(first.classes) == len(first.scores) == first.labels.max()


@pytest.mark.parametrize("architecture", MODELS)
def test_for_weights_that_are_known_none_are_drawn(architecture):
    family = find_model(architecture)
    plan = family.config_type(channels=2)
    net = family(plan).net
    before = torch.get_rng_state()
    same = family.with_weights(plan, net.state_dict()).net
    assert torch.equal(torch.get_rng_state(), before)
    family(plan)
    assert not torch.equal(torch.get_rng_state(), before)
    for (name, value), (other, taken) in zip(
        net.state_dict().items(), same.state_dict().items(), strict=True
    ):
        assert name == other
        assert torch.equal(value, taken), name
    for buffer, taken in zip(net.buffers(), same.buffers(), strict=True):
        assert torch.equal(buffer, taken)
