"""A U-Net in strips says what it says of the whole image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.core.models import unet
from napari_unet.core.models.unet import UNetSegmenter
from napari_unet.core.models.unet_net import UNet, UNetConfig
from napari_unet.core.models.unet_strips import run_in_strips


def trained(config: UNetConfig) -> UNet:
    """A network whose statistics are not those of a new one."""
    torch.manual_seed(0)
    net = UNet(config).eval()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2.0)
            torch.nn.init.normal_(module.weight, 1.0, 0.2)
            torch.nn.init.normal_(module.bias)
    return net


@settings(max_examples=40, deadline=None)
@given(
    depth=st.integers(1, 4),
    high=st.integers(1, 6),
    wide=st.integers(1, 3),
    margin=st.integers(0, 40),
    pixels=st.integers(1, 3000),
    batch=st.integers(1, 2),
    normalization=st.sampled_from(["batch", "none"]),
)
def test_strips_equal_the_whole(depth, high, wide, margin, pixels, batch, normalization):
    config = UNetConfig(channels=2, base=4, depth=depth, distance=True, normalization=normalization)
    net = trained(config)
    image = torch.rand(batch, 2, high * 2**depth, wide * 2**depth)
    margin = min(margin, (min(image.shape[2:]) - 1) // 2)
    with torch.inference_mode():
        whole, strips = net(image, margin), run_in_strips(net, image, margin, pixels)
    torch.testing.assert_close(strips, whole, atol=1e-4, rtol=1e-4)


def test_normalisation_by_the_convolution_is_the_same():
    net = trained(UNetConfig(base=4, depth=2))
    maps = torch.rand(1, 1, 16, 16)
    layers = net.down[0]
    plain = torch.nn.Sequential(*layers).eval()
    with torch.inference_mode():
        torch.testing.assert_close(layers(maps), plain(maps), atol=1e-5, rtol=1e-5)


def test_the_normalisation_of_several_gpus_is_not_left_out():
    net, image = trained(UNetConfig(base=4, depth=2)), torch.rand(1, 1, 16, 16)
    with torch.inference_mode():
        alone = net(image)
        shared = torch.nn.SyncBatchNorm.convert_sync_batchnorm(net)
        torch.testing.assert_close(shared(image), alone)
        torch.testing.assert_close(run_in_strips(shared, image), alone, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("zoom", [0.5, 1.0, 2.0])
def test_a_large_tile_is_predicted_in_strips_and_alike(zoom, monkeypatch):
    segmenter = UNetSegmenter(UNetConfig(base=4, depth=2, distance=True, zoom=zoom))
    segmenter.net = trained(segmenter.config)
    edge = round(256 / zoom)
    image = torch.from_numpy(np.random.default_rng(0).random((1, 1, edge, edge), np.float32))
    calls = []
    monkeypatch.setattr(
        unet, "run_in_strips", lambda *given: (calls.append(given), run_in_strips(*given))[1]
    )
    with torch.inference_mode():
        whole = segmenter.predict_tile(image)
        assert not calls
        monkeypatch.setattr(unet, "_LARGE", 2**14)
        strips = segmenter.predict_tile(image)
    assert calls
    torch.testing.assert_close(strips, whole, atol=1e-5, rtol=1e-4)
