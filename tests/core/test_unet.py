from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.core.annotation import weight_map
from napari_unet.core.config import (
    WEIGHT_PRESETS,
    AugmentConfig,
    TrainConfig,
    WeightConfig,
)
from napari_unet.core.dataset import TileSampler
from napari_unet.core.models import MODELS, find_model
from napari_unet.core.models.unet import PixelBatch, UNetSegmenter
from napari_unet.core.models.unet_net import UNet, UNetConfig, trim
from napari_unet.core.types import Sample

VALID = UNetConfig(base=4, depth=2, padding="valid", normalization="none")
PAPER = UNetSegmenter.configure("paper", 1, 1, np.array([20.0]))


def batch_of(image, index, weight):
    """Without a distance; half of the weight is of the border."""
    return PixelBatch(image, index, weight / 2, weight / 2, torch.zeros(index.shape))


def test_the_paper_preset_is_the_papers_network():
    net = UNet(PAPER)
    assert sum(p.numel() for p in net.parameters()) == 31_030_658
    with torch.inference_mode():
        assert net(torch.zeros(1, 1, 572, 572)).shape == (1, 2, 388, 388)
    kinds = [type(m).__name__ for m in net.modules()]
    assert "BatchNorm2d" not in kinds
    convolutions = [m for m in net.modules() if isinstance(m, torch.nn.Conv2d)]
    assert len(convolutions) == 19  # 18 of 3×3 and the last of 1×1; with 4 up-convolutions, 23
    assert all(c.padding == (0, 0) for c in convolutions)


def test_initial_weights_have_the_standard_deviation_of_the_paper():
    torch.manual_seed(0)
    for layer in UNet(PAPER).modules():
        if isinstance(layer, torch.nn.Conv2d) and layer.weight.numel() > 5000:
            incoming = layer.in_channels * math.prod(layer.kernel_size)
            assert float(layer.weight.detach().std()) == pytest.approx(
                math.sqrt(2 / incoming), rel=0.05
            )


def test_one_optimiser_step_on_the_papers_tile_lowers_the_loss():
    torch.manual_seed(0)
    segmenter = UNetSegmenter(PAPER)
    segmenter.net.eval()  # without dropout, the same tile gives the same loss
    image = torch.randn(1, 1, 576, 576)
    index = (image[:, 0, 96:-96, 96:-96] > 0).long()
    batch = batch_of(image, index, torch.ones(index.shape))
    optimizer = torch.optim.SGD(segmenter.net.parameters(), 1e-3, momentum=0.99)
    first = segmenter.loss(batch)["cross-entropy"]
    first.backward()
    optimizer.step()
    with torch.inference_mode():
        assert float(segmenter.loss(batch)["cross-entropy"]) < first.item()


@pytest.mark.parametrize("classes", [1, 3])
def test_loss_is_the_weighted_cross_entropy_by_brute_force(classes):
    torch.manual_seed(1)
    segmenter = UNetSegmenter(UNetConfig(classes=classes, base=4, depth=1))
    segmenter.net.eval()
    image = torch.randn(2, 1, 8, 8)
    index = torch.randint(0, classes + 1, (2, 8, 8))
    weight = torch.rand(2, 8, 8) * (torch.rand(2, 8, 8) > 0.3)
    logits = segmenter.net(image).detach().double().numpy()
    energy = 0.0
    for b in range(2):
        for y in range(8):
            for x in range(8):
                a = logits[b, :, y, x]
                p = np.exp(a) / np.exp(a).sum()
                energy -= float(weight[b, y, x]) * math.log(p[int(index[b, y, x])])
    expected = energy / int((weight > 0).sum())
    loss = segmenter.loss(batch_of(image, index, weight))["cross-entropy"]
    assert loss.item() == pytest.approx(expected, rel=1e-5)


@settings(max_examples=40, deadline=None)
@given(depth=st.integers(1, 4), high=st.integers(2, 8), wide=st.integers(2, 8), data=st.data())
def test_what_is_computed_without_a_margin_is_what_lies_in_it(depth, high, wide, data):
    torch.manual_seed(0)
    net = UNet(UNetConfig(base=4, depth=depth, distance=True)).eval()
    image = torch.rand(1, 1, high * 2**depth, wide * 2**depth)
    margin = data.draw(st.integers(0, (min(image.shape[2:]) - 1) // 2))
    with torch.inference_mode():
        whole, inner = net(image), net(image, margin)
    torch.testing.assert_close(inner, trim(whole, margin), atol=1e-4, rtol=1e-4)


def test_hardly_any_of_the_margin_is_computed_on_the_expansive_path():
    net, seen = UNet(UNetConfig(base=4, depth=4)).eval(), []
    for merge in net.merge:
        merge.register_forward_hook(lambda _, given, found: seen.append(found.shape[-1]))
    with torch.inference_mode():
        net(torch.zeros(1, 1, 448, 448), 96)
    assert seen == [40, 72, 134, 260]  # 32, 64, 128, 256 are asked for


def test_unsaid_pixels_carry_no_gradient():
    segmenter = UNetSegmenter(UNetConfig(base=4, depth=1))
    segmenter.net.eval()
    image = torch.randn(1, 1, 8, 8)
    weight = torch.zeros(1, 8, 8)
    weight[0, :4] = 1
    index = torch.zeros(1, 8, 8, dtype=torch.long)
    loss = segmenter.loss(batch_of(image, index, weight))["cross-entropy"]
    index[0, 4:] = 1
    assert segmenter.loss(batch_of(image, index, weight))["cross-entropy"].item() == loss.item()


def test_the_distance_is_learnt_by_its_weighted_relative_entropy():
    segmenter = UNetSegmenter(UNetConfig(base=4, depth=1, distance=True))
    segmenter.net.eval()
    image, distance = torch.randn(1, 1, 8, 8), torch.rand(1, 8, 8)
    index, weight = torch.zeros(1, 8, 8, dtype=torch.long), torch.rand(1, 8, 8)
    estimate = torch.sigmoid(segmenter.net(image)[:, 2]).detach()
    terms = [
        (t * torch.log(t / p)) for t, p in ((distance, estimate), (1 - distance, 1 - estimate))
    ]
    expected = float((weight * (terms[0] + terms[1])).sum() / 64)
    batch = PixelBatch(image, index, weight / 4, 3 * weight / 4, distance)
    got = segmenter.loss(batch)["distance"]
    assert got.item() == pytest.approx(expected, rel=1e-4)
    none = segmenter.loss(dataclasses.replace(batch, distance=estimate))["distance"]
    assert none.item() == pytest.approx(0, abs=1e-6)


def test_where_the_distance_parts_cells_the_border_weighs_it_alone():
    segmenter = UNetSegmenter(UNetConfig(base=4, depth=1, distance=True))
    segmenter.net.eval()
    image, index = torch.randn(1, 1, 8, 8), torch.zeros(1, 8, 8, dtype=torch.long)
    one, distance = torch.ones(1, 8, 8), torch.rand(1, 8, 8)
    plain = segmenter.loss(PixelBatch(image, index, one, torch.zeros_like(one), distance))
    beside = segmenter.loss(PixelBatch(image, index, one, 10 * one, distance))
    assert beside["cross-entropy"].item() == pytest.approx(plain["cross-entropy"].item())
    assert beside["distance"].item() == pytest.approx(11 * plain["distance"].item(), rel=1e-5)


def test_targets_weigh_classes_by_the_papers_w_c_and_nothing_unsaid():
    labels = np.zeros((20, 20), np.int32)
    labels[2:6, 2:6] = 1
    labels[10:16, 10:16] = 2
    complete = np.zeros((20, 20), bool)
    complete[:18, :18] = True
    sample = Sample(np.zeros((1, 20, 20)), labels, complete, {2: 2})
    segmenter = UNetSegmenter(UNetConfig(classes=2))
    (target,) = segmenter.targets([sample], WeightConfig(w0=0, class_weights="balanced"))
    index, weight, *_ = target.maps
    assert (weight[~complete] == 0).all()
    counts = {0: 18 * 18 - 16 - 36, 1: 16, 2: 36}
    for k, n in counts.items():
        expected = 18 * 18 / (3 * n)
        assert weight[complete & (index == k)] == pytest.approx(expected, rel=1e-6)


def test_of_falks_weights_the_rim_is_of_the_class_and_both_parts_make_the_whole():
    labels = np.zeros((40, 40), np.int32)
    labels[5:15, 5:35], labels[19:30, 5:35] = 1, 2
    sample, falk = Sample(np.zeros((1, 40, 40)), labels), WEIGHT_PRESETS["falk-2019"]
    (target,) = UNetSegmenter(UNetConfig()).targets([sample], falk)
    _, weight, border, _ = target.maps
    np.testing.assert_allclose(weight + border, weight_map(sample, falk), atol=1e-5)
    beside = weight[15, 10]  # v_bal + (1 − v_bal)·exp(−1/2σ1²)
    assert beside == pytest.approx(0.1 + 0.9 * math.exp(-1 / 200), rel=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_names_in_the_registry_are_the_models_own(name):
    assert find_model(name).name == name


def test_where_nothing_is_said_the_start_model_is_recalled_by_brute_force():
    torch.manual_seed(2)
    plan = UNetConfig(classes=2, base=4, depth=1, distance=True)
    start, segmenter = UNetSegmenter(plan), UNetSegmenter(plan)
    for each in (start, segmenter):
        each.net.eval()
    image, index = torch.randn(2, 1, 8, 8), torch.zeros(2, 8, 8, dtype=torch.long)
    weight = (torch.rand(2, 8, 8) > 0.5).float()
    batch = batch_of(image, index, weight)
    assert "recalled" not in segmenter.loss(batch)
    recalled = segmenter.recall(batch, start)
    before, now = (each.net(image).detach().double().numpy() for each in (start, segmenter))
    total = 0.0
    for b, y, x in np.argwhere(weight.numpy() == 0):
        p, q = (np.exp(a[b, :3, y, x]) / np.exp(a[b, :3, y, x]).sum() for a in (before, now))
        s, t = (1 / (1 + math.exp(-a[b, 3, y, x])) for a in (before, now))
        total += float((p * np.log(p / q)).sum())
        total += s * math.log(s / t) + (1 - s) * math.log((1 - s) / (1 - t))
    terms = segmenter.loss(recalled)
    assert terms["recalled"].item() == pytest.approx(total / int((weight > 0).sum()), rel=1e-4)
    assert start.loss(start.recall(batch, start))["recalled"].item() == pytest.approx(0, abs=1e-6)
    said_all = dataclasses.replace(recalled, weight=torch.ones(2, 8, 8))
    assert segmenter.loss(said_all)["recalled"].item() == 0


@pytest.mark.parametrize("radius", [5, 10, 20])
def test_an_unpadded_network_is_trained_on_with_cells_of_any_size(radius):
    """It has no zoom: what it learned is in the pixels of the images."""
    torch.manual_seed(0)
    rows, columns = np.indices((160, 160))
    labels = np.zeros((160, 160), np.int32)
    for label, (y, x) in enumerate([(40, 40), (40, 120), (120, 40), (120, 120)], 1):
        labels[np.hypot(rows - y, columns - x) <= radius] = label
    sample = Sample((labels > 0)[None].astype(np.float32), labels)
    fitted = UNetSegmenter(VALID).fit(1, 1, 20 / (2 * radius))
    assert fitted.pixel == 1
    sampler = TileSampler([sample], fitted, TrainConfig(), "cpu")
    batch = sampler.draw([0], fitted.tile_edge(64), AugmentConfig())
    assert torch.isfinite(sum(fitted.loss(batch).values()))
