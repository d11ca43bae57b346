from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage as ndi

from napari_unet.core.config import InstanceConfig
from napari_unet.core.evidence import Maps
from napari_unet.core.instances import label_instances
from napari_unet.core.tiling import grid
from napari_unet.core.unfinished import label_finished, meet

PLAIN = InstanceConfig(threshold=0.5, min_size=0, min_score=0.0, split="none", fill_holes=False)


def blobs(shape, seed, size=3.0):
    noise = ndi.gaussian_filter(np.random.default_rng(seed).random(shape), size)
    ranks = noise.ravel().argsort().argsort().reshape(shape) / noise.size
    return np.where(ranks > 0.7, 0.9, 0.1).astype(np.float32)[np.newaxis]


def same_cells(one, other):
    """Whether two label images differ in their numbers alone."""
    pairs = np.unique(np.stack([one.ravel(), other.ravel()]), axis=1)
    apart = len(np.unique(pairs[0])) == pairs.shape[1] == len(np.unique(pairs[1]))
    return apart and ((one > 0) == (other > 0)).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 9999), st.tuples(st.integers(0, 200), st.integers(0, 150)))
def test_tile_by_tile_become_the_cells_of_the_whole(seed, centre):
    shape = (200, 150)
    maps = blobs(shape, seed)
    whole = (slice(0, 200), slice(0, 150))
    shown, finished = np.zeros(shape, np.int32), []
    for tile in grid(shape, 40, 0, 1, centre=centre):
        finished.append(tile.write)
        piece = label_finished(Maps(maps, 1), whole, finished, [tile.write], shown, PLAIN)
        outside = shown.copy()
        shown[piece.region] = piece.labels
        outside[piece.region] = shown[piece.region]
        np.testing.assert_array_equal(shown, outside)
    expected, cell = label_instances(maps, PLAIN, 1).labels, maps[0] > 0.5
    assert (shown[cell] > 0).all()
    # what reaches further than over one seam may keep two numbers until all is labelled at once
    for number, box in enumerate(ndi.find_objects(expected), 1):
        if max(part.stop - part.start for part in box) < 40:
            numbers = np.unique(shown[(expected == number) & cell])
            assert len(numbers) == 1
            assert not (cell & (shown == numbers[0]) & (expected != number)).any()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 9999), st.integers(1, 6))
def test_what_is_not_done_stays_as_it_was(seed, count):
    shape, region = (160, 140), (slice(10, 130), slice(20, 120))
    maps = blobs((120, 100), seed)
    tiles = [tile.write for tile in grid(shape, 40, 0, 1, region, centre=(50, 50))][:count]
    before = np.full(shape, 77, np.int32)
    piece = label_finished(Maps(maps, 1), region, tiles, tiles, before, PLAIN)
    done = np.zeros(shape, bool)
    for tile in tiles:
        done[tile] = True
    after = before.copy()
    after[piece.region] = piece.labels
    assert (after[~done] == 77).all()
    expected = np.zeros(shape, np.int32)
    expected[region] = label_instances(maps * done[region], PLAIN, 1).labels
    assert same_cells(after[done], expected[done])
    assert piece.cells == len(np.unique(after[done & (expected > 0)]))


def test_all_at_once_is_the_labelling_of_the_whole():
    shape = (200, 150)
    maps, whole = blobs(shape, 3), (slice(0, 200), slice(0, 150))
    tiles = [tile.write for tile in grid(shape, 64, 0, 1)]
    piece = label_finished(Maps(maps, 1), whole, tiles, tiles, np.zeros(shape, np.int32), PLAIN)
    assert piece.region == whole
    assert same_cells(piece.labels, label_instances(maps, PLAIN, 1).labels)


def test_regions_meet_where_they_have_pixels_in_common():
    here = (slice(0, 5), slice(0, 5))
    assert meet(here, (slice(4, 9), slice(4, 9)))
    assert not meet(here, (slice(5, 9), slice(0, 5)))
