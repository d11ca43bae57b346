from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from napari_unet.core.config import AugmentConfig, TrainConfig, WeightConfig
from napari_unet.core.dataset import TileSampler, split_samples
from napari_unet.core.metrics import evaluate
from napari_unet.core.models.unet import UNetConfig, UNetSegmenter
from napari_unet.core.normalize import normalize
from napari_unet.core.types import Sample

PLAN = UNetConfig(base=4, depth=2)
STILL = AugmentConfig(elastic=0, rotate=False, flip=False, scale=1, intensity=0, noise=0)


def sampler(samples, seed=0, plan=PLAN):
    return TileSampler(samples, UNetSegmenter(plan), TrainConfig(seed=seed), "cpu")


def test_batches_have_the_shapes_that_the_network_needs(discs):
    batch = sampler([discs]).draw(range(3), 64, AugmentConfig())
    assert batch.image.shape == (3, 1, 64, 64)
    assert batch.index.shape == batch.weight.shape == (3, 64, 64)
    assert batch.index.dtype == torch.int64
    plan = UNetConfig(base=4, depth=2, padding="valid")
    batch = sampler([discs], plan=plan).draw([0], 64, AugmentConfig())
    assert batch.image.shape == (1, 1, 64 + 48, 64 + 48)
    assert batch.index.shape == (1, 64, 64)


def test_the_same_seed_draws_the_same_tiles(discs):
    first, second = (sampler([discs], 3).draw(range(2), 32, AugmentConfig()) for _ in range(2))
    assert torch.equal(first.image, second.image)
    assert torch.equal(first.index, second.index)


def test_unsaid_area_weighs_nothing_and_is_no_centre(discs):
    labels = discs.labels.copy()
    complete = np.zeros(labels.shape, bool)
    complete[:, :60] = True
    labels[~complete] = 0
    sample = dataclasses.replace(discs, labels=labels, complete=complete)
    image = np.where(complete, 1000, 0)[None] + np.arange(160)  # tells said from unsaid
    drawn = sampler([dataclasses.replace(sample, image=image)])
    seen = 0
    for number in range(20):
        batch = drawn.draw([number], 32, STILL)
        said = batch.image[:, 0] > 0.5
        assert (batch.weight[~said] == 0).all()
        assert (batch.weight[said] > 0).all()
        seen += int((~said).sum())
    assert seen


def test_a_tile_of_the_images_size_is_the_image(discs):
    square = dataclasses.replace(discs, image=discs.image[:, :, :128], labels=discs.labels[:, :128])
    batch = sampler([square]).draw([0], 128, STILL)
    ready = normalize(square.image)
    np.testing.assert_allclose(batch.image[0], ready, atol=1e-3)
    (target,) = UNetSegmenter(PLAN).targets([square], WeightConfig())
    np.testing.assert_array_equal(batch.index[0], target.maps[0])


def sparse(discs, *corners, edge=128, shape=(640, 640)):
    """A large noisy image with a complete square at each of some corners."""
    labels, complete = np.zeros(shape, np.int32), np.zeros(shape, bool)
    for row, column in corners:
        box = slice(row, row + edge), slice(column, column + edge)
        labels[box], complete[box] = discs.labels[:edge, :edge], True
    image = np.random.default_rng(0).normal(100, 10, (1, *shape)) + 50 * (labels > 0)
    return dataclasses.replace(discs, image=image, labels=labels, complete=complete)


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("augment", [STILL, AugmentConfig()])
@pytest.mark.parametrize(
    ("corner", "edge"), [((250, 250), 128), ((0, 300), 128), ((512, 512), 128), ((630, 630), 10)]
)
def test_of_a_large_image_what_is_painted_and_around_it_is_all_that_tiles_show(
    discs, padding, augment, corner, edge, monkeypatch
):
    sample = sparse(discs, corner, edge=edge)
    segmenter = UNetSegmenter(dataclasses.replace(PLAN, padding=padding))
    config = TrainConfig(tile=64, augment=augment)
    part = TileSampler([sample], segmenter, config, "cpu")
    monkeypatch.setattr("napari_unet.core.dataset._cut_out", lambda whole, reach: [whole])
    whole = TileSampler([sample], segmenter, config, "cpu")
    assert part._sources[0].image.shape < whole._sources[0].image.shape
    differ = 0
    for number in range(60):
        one, other = (each.draw([number], 64, augment) for each in (part, whole))
        differ += not torch.allclose(one.image, other.image, atol=1e-2)
        for name in ("index", "weight", "border"):  # but for roundings
            assert (getattr(one, name) != getattr(other, name)).float().mean() < 1e-3
    assert differ <= (0 if augment is STILL else 1)  # what lies very far is mirrored


def test_of_paint_here_and_there_in_a_large_image_each_place_is_learned_from(discs):
    sample = sparse(discs, (0, 0), (1900, 1850), (1900, 1700), shape=(2048, 2048))
    sample.labels[1900:, 1850:] = 0  # of this place it is said that it is empty
    (near, far) = sampler([sample])._sources
    assert near.image[0].numel() + far.image[0].numel() < 1_000_000
    drawn = [len(source.anchors) for source in (near, far)]
    # of all places half are amid cells, half anywhere: of both as many as there are
    cells, known = (
        np.count_nonzero(mask[:1000]) / np.count_nonzero(mask)
        for mask in (sample.labels > 0, sample.complete)
    )
    assert drawn[0] / sum(drawn) == pytest.approx((cells + known) / 2, abs=0.01)
    np.testing.assert_allclose(sampler([sample])._mass, np.divide(drawn, sum(drawn)))


@pytest.mark.parametrize("said_as", ["paint", "region"])
def test_cells_alone_at_a_place_say_nothing_of_what_is_around_them(discs, said_as):
    """That background is said elsewhere in the image holds for them too."""
    sample = sparse(discs, (0, 0), shape=(1600, 1600))
    painted, region = np.zeros((2, *sample.labels.shape), bool)
    (painted if said_as == "paint" else region)[1500:, 1500:] = True
    labels = np.where(painted, -1, sample.labels)
    sample = dataclasses.replace(sample, labels=labels, complete=region)
    sources = sampler([sample])._sources
    assert len(sources) == 2
    said = sum(np.count_nonzero(source.target[1]) for source in sources)
    assert said == np.count_nonzero(labels > 0) + 100 * 100


def test_whole_images_are_held_out_where_there_are_enough(discs):
    samples = [dataclasses.replace(discs, name=str(i)) for i in range(10)]
    split = split_samples(samples, 0.2, seed=0)
    names = [{sample.name for sample in part} for part in (split.train, split.held_out)]
    assert len(names[1]) == 2
    assert not names[0] & names[1]
    assert split.words == "2 of 10 images"
    again = split_samples(samples, 0.2, seed=0)
    assert [s.name for s in again.held_out] == [s.name for s in split.held_out]
    others = {tuple(s.name for s in split_samples(samples, 0.2, k).held_out) for k in range(9)}
    assert len(others) > 3


def test_of_a_lone_image_blocks_are_held_out_and_no_pixel_is_on_both_sides(discs):
    split = split_samples([discs], 0.3, seed=0)
    (train,), (held_out,) = split.train, split.held_out
    assert not (train.complete & held_out.complete).any()
    assert (train.complete | held_out.complete).all()
    assert (train.labels[held_out.complete] == 0).all()
    assert "regions" in split.words
    ids = [set(np.unique(part.labels[part.labels > 0])) for part in (train, held_out)]
    assert not ids[0] & ids[1], "a cell lies on both sides"
    scores = evaluate(held_out.labels.clip(0), discs.labels, held_out.complete)
    assert scores["ap50"] == 1, "the truth itself is not perfect on the held-out part"


@pytest.mark.parametrize("fraction", [0.0, 0.2])
def test_without_two_cells_on_each_side_nothing_is_held_out(fraction):
    labels = np.zeros((64, 64), np.int32)
    labels[5:9, 5:9] = 1
    sample = Sample(np.zeros((1, 64, 64)), labels)
    split = split_samples([sample], fraction, 0)
    assert split.held_out == []
    assert split.train == [sample]
    assert split.words == ""


def test_of_what_is_painted_later_nothing_held_out_is_fitted(discs):
    split = split_samples([discs], 0.3, seed=0)
    (same,) = split.refresh([discs])
    np.testing.assert_array_equal(same.labels, split.train[0].labels)
    (judged,) = split.judged
    more = np.where(discs.labels == 0, 13, discs.labels).astype(np.int32)
    (fit,) = split.refresh([dataclasses.replace(discs, labels=more)])
    assert not fit.labels[judged].any()
    np.testing.assert_array_equal(fit.labels[~judged], more[~judged])
    images = [dataclasses.replace(discs, name=str(i)) for i in range(5)]
    split = split_samples(images, 0.2, seed=0)
    assert split.refresh(images) == split.train


def test_of_a_frame_with_cells_in_one_corner_some_cells_are_held_out():
    labels = np.zeros((1024, 1024), np.int32)
    for i, (row, column) in enumerate(np.ndindex(6, 6)):
        labels[60 * row + 5 : 60 * row + 30, 60 * column + 5 : 60 * column + 30] = i + 1
    sample = Sample(np.zeros((1, 1024, 1024)), labels)
    for seed in range(5):
        split = split_samples([sample], 0.2, seed)
        (held_out,), (train,) = split.held_out, split.train
        assert min(len(np.unique(part.labels[part.labels > 0])) for part in (held_out, train)) >= 2


@pytest.mark.parametrize("seed", range(12))
def test_of_few_cells_and_little_background_some_is_held_out_whatever_is_drawn_first(seed):
    labels = np.zeros((512, 512), np.int32)
    for number in range(16):
        row, column = divmod(number, 4)
        labels[20 + 128 * row :][:30, 20 + 128 * column :][:, :30] = number + 1
    labels[80:110, 20:50] = -1
    sample = Sample(labels[None].astype(np.float32), labels)
    split = split_samples([sample], 0.2, seed)
    kept, held_out = (
        {int(label) for part in side for label in np.unique(part.labels[part.labels > 0])}
        for side in (split.train, split.held_out)
    )
    assert len(held_out) >= 2
    assert len(kept) >= 2
    assert any((part.labels == -1).any() for part in split.train)
