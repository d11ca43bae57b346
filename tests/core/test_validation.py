from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from napari_unet.core import validation
from napari_unet.core.device import resolve_device
from napari_unet.core.events import exhaust
from napari_unet.core.validation import Validator


@pytest.mark.parametrize("architecture", ["unet", "mask-rcnn"])
@pytest.mark.parametrize("corner", [(0, 0), (211, 301), (400, 37)])
def test_a_part_of_a_large_image_is_judged_as_in_the_image(
    architecture, corner, discs, learnt, quick, monkeypatch
):
    model, _ = learnt(architecture)
    shape = (560, 560)
    labels, complete = np.zeros(shape, np.int32), np.zeros(shape, bool)
    box = tuple(slice(at, at + size) for at, size in zip(corner, discs.labels.shape, strict=True))
    labels[box], complete[box] = discs.labels, True
    image = np.random.default_rng(0).normal(100, 5, (1, *shape))
    image[:, *box] = discs.image * (200 / discs.image.max())
    sample = dataclasses.replace(discs, image=image, labels=labels, complete=complete)
    where = resolve_device("cpu", "float32")

    def judge():
        validator = Validator([sample], model.segmenter, quick, where)
        return exhaust(validator.score(model.segmenter)), validator.margin, validator.mark

    part = judge()
    assert part[0]["ap50"] > 0.3
    looked_at = []

    def all_of_it(region, margin, step, whole):
        looked_at.append(whole)
        return slice(0, whole[0]), slice(0, whole[1])

    monkeypatch.setattr(validation, "surround", all_of_it)
    whole = judge()
    assert looked_at == [shape]
    assert part[1:] == whole[1:]
    assert part[0] == pytest.approx(whole[0], rel=1e-4)
