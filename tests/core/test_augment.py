from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_unet.core.augment import change_grey_values, draw_grid, find_reach, resample
from napari_unet.core.config import AugmentConfig

STILL = AugmentConfig(elastic=0, rotate=False, flip=False, scale=1.0, intensity=0, noise=0)


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_without_changes_a_tile_is_a_cut_of_the_image():
    image = torch.randn(2, 40, 50)
    grid = draw_grid(16, (20.5, 30.5), STILL, random())
    torch.testing.assert_close(
        resample(image, grid, "bilinear"), image[:, 13:29, 23:39], atol=1e-4, rtol=0
    )


def test_outside_the_image_is_its_mirror():
    image = torch.randn(1, 20, 20)
    tile = resample(image, draw_grid(20, (3.5, 9.5), STILL, random()), "bilinear")
    padded = np.pad(image.numpy(), ((0, 0), (6, 0), (0, 0)), mode="reflect")[:, :20]
    np.testing.assert_allclose(tile, padded, atol=1e-4)


def test_target_and_image_are_moved_alike_and_the_target_is_not_mixed():
    image = ndimage.gaussian_filter(np.random.default_rng(0).random((1, 96, 96)), (0, 6, 6))
    maps = torch.from_numpy((image > np.median(image)).astype(np.float32) * 7)
    grid = draw_grid(64, (48, 48), AugmentConfig(), random(3))
    moved = resample(torch.from_numpy(image.astype(np.float32)), grid, "bilinear")
    target = resample(maps, grid, "nearest")
    assert set(np.unique(target)) <= {0, 7}
    agreement = ((moved.numpy() > np.median(image)) == (target.numpy() > 0)).mean()
    assert agreement > 0.97


def test_displacements_have_the_standard_deviation_of_the_paper():
    config = AugmentConfig(elastic=10, rotate=False, flip=False, scale=1.0)
    still = draw_grid(33, (50, 50), STILL, random())
    generator = random()
    corners = [
        (draw_grid(33, (50, 50), config, generator) - still)[0, 0].numpy() for _ in range(400)
    ]
    assert 9 < np.std(corners) < 11


@pytest.mark.parametrize(
    "change", [{}, {"rotate": True}, {"scale": 2.0}, {"elastic": 10}, {"flip": True}]
)
def test_tiles_come_from_no_farther_than_is_said(change):
    config, generator = dataclasses.replace(STILL, **change), random()
    farthest = [float(draw_grid(64, (0, 0), config, generator).abs().max()) for _ in range(400)]
    assert np.percentile(farthest, 95) <= find_reach(64, config)
    assert max(farthest) > 0.8 * find_reach(64, config)


def test_the_same_seed_gives_the_same_tile():
    draws = [draw_grid(16, (8, 8), AugmentConfig(), random(5)) for _ in range(2)]
    assert torch.equal(*draws)
    tiles = [change_grey_values(torch.ones(1, 8, 8), AugmentConfig(), random(5)) for _ in range(2)]
    assert torch.equal(*tiles)
    assert not torch.equal(tiles[0], torch.ones(1, 8, 8))


def test_grey_values_stay_as_they_are_without_augmentation():
    tile = torch.randn(3, 8, 8)
    torch.testing.assert_close(change_grey_values(tile, STILL, random()), tile)


def test_mixed_channels_are_means_of_all_and_equal_ones_stay_equal():
    config = dataclasses.replace(STILL, mix=1.0)
    tile = torch.stack([torch.zeros(8, 8), torch.ones(8, 8)])
    mixed = change_grey_values(tile, config, random(2))
    assert (mixed > 0).all()
    assert (mixed < 1).all()
    alike = torch.randn(1, 8, 8).expand(3, 8, 8)
    torch.testing.assert_close(change_grey_values(alike, config, random()), alike)
