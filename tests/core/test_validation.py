from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from napari_unet.core import validation
from napari_unet.core.device import resolve_device
from napari_unet.core.events import exhaust
from napari_unet.core.models.unet import UNetConfig, UNetSegmenter
from napari_unet.core.validation import Validator


def large(discs, *corners, shape=(700, 700), noise=40):
    """A noisy image in which the discs are painted at each of some corners, and all is said."""
    labels, complete = np.zeros(shape, np.int32), np.zeros(shape, bool)
    image = np.random.default_rng(0).normal(100, noise, (1, *shape))
    for number, corner in enumerate(corners):
        box = tuple(slice(at, at + n) for at, n in zip(corner, discs.labels.shape, strict=True))
        labels[box] = np.where(discs.labels > 0, discs.labels + 100 * number, 0)
        complete[box] = True
        image[:, *box] = discs.image * (200 / discs.image.max())
    return dataclasses.replace(discs, image=image, labels=labels, complete=complete)


@pytest.mark.parametrize("corner", [(0, 0), (211, 301), (570, 37)])
def test_a_part_of_a_large_image_is_seen_as_in_the_image(corner, discs, quick, monkeypatch):
    torch.manual_seed(0)
    segmenter = UNetSegmenter(UNetConfig(base=4, depth=3))
    sample, where = large(discs, corner), resolve_device("cpu", "float32")

    def look():
        return exhaust(Validator([sample], segmenter, quick, where)._look(segmenter))[0].values

    segmenter.net.eval()
    part = look()
    monkeypatch.setattr(
        validation, "window_around", lambda r, m, s, shape: (slice(0, shape[0]), slice(0, shape[1]))
    )
    np.testing.assert_array_equal(part, look())


@pytest.mark.parametrize("architecture", ["unet", "mask-rcnn"])
def test_places_far_from_each_other_are_one_image(architecture, discs, learnt, quick):
    """Its score is that of all of it, without all of it being looked at."""
    model, _ = learnt(architecture)
    sample = large(discs, (0, 0), (1300, 1200), shape=(1460, 1400), noise=5)
    where = resolve_device("cpu", "float32")
    validator = Validator([sample], model.segmenter, quick, where)
    scores = exhaust(validator.score(model.segmenter))
    assert sum(view.image[0].size for view in validator._views) < sample.labels.size / 4

    def look_at_all(known, around):
        return [(slice(0, known.shape[0]), slice(0, known.shape[1]))]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(validation, "cover", look_at_all)
        whole = Validator([sample], model.segmenter, quick, where)
        assert exhaust(whole.score(model.segmenter)) == pytest.approx(scores, abs=0.01)
        assert whole.margin == validator.margin
    assert scores["ap50"] > 0.5
