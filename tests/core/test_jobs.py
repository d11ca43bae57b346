"""What the compute process works out before the net does."""

from __future__ import annotations

import dataclasses

import numpy as np

from napari_unet import jobs
from napari_unet.core import prediction
from napari_unet.core.card import ModelCard
from napari_unet.core.checkpoint import Model
from napari_unet.core.config import PredictConfig
from napari_unet.core.events import exhaust
from napari_unet.messages import Predict
from napari_unet.shared_arrays import SharedArrays

ZOOMS = {1: 1.0, 2: 2.0, 3: 0.5}


def test_planes_that_are_alike_have_one_zoom_and_each_is_looked_at_once(monkeypatch, tmp_path):
    looks = []

    def look(model, image, *_, **__):
        looks.append(int(image[0, 0, 0]))
        return ZOOMS[looks[-1]]
        yield

    monkeypatch.setattr(prediction, "look_for_zoom", look)
    monkeypatch.setattr(jobs, "_zooms", {})
    model = Model(None, ModelCard("unet", {}, channels=1, any_size=True))
    arrays = SharedArrays()
    shared = {grey: arrays.share(np.full((1, 8, 8), grey, np.uint8)) for grey in ZOOMS}
    box = (slice(0, 8), slice(0, 8))
    alone = Predict(
        1, str(tmp_path / "a.safetensors"), shared[1], PredictConfig(), None, shared[1], shared[1],
        middles=(shared[2],), looked_at=box,
    )  # fmt: skip
    among = dataclasses.replace(alone, middles=tuple(shared.values()))
    assert exhaust(jobs._look(alone, model)) == 2.0
    assert exhaust(jobs._look(among, model)) == 1.0
    assert exhaust(jobs._look(among, model)) == 1.0
    assert looks == [2, 1, 3]
    assert exhaust(jobs._look(dataclasses.replace(alone, looked_at=None), model)) is None
    arrays.let_go()
