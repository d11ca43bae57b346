"""Block by block as all candidates of the image at once, whatever the tiles and blocks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.core.block_candidates import label_block
from napari_unet.core.candidates import MASK, Candidates
from napari_unet.core.config import InstanceConfig
from napari_unet.core.crowd import Crowd
from napari_unet.core.models.candidate_stitcher import CandidateStitcher
from napari_unet.core.tiling import Tile, grid

STRIDE, CONTEXT = 4, 16

configs = st.builds(
    InstanceConfig,
    threshold=st.sampled_from([0.2, 0.5, 0.7]),
    min_size=st.sampled_from([0, 5, 60]),
    min_score=st.sampled_from([0.0, 0.3]),
    overlap=st.sampled_from([0.2, 0.5, 0.7]),
    fill_holes=st.booleans(),
    drop_border=st.booleans(),
)
shapes = st.tuples(st.integers(1, 90), st.integers(1, 90))


def make_candidates(rng, shape, count, largest, steps=0):
    """Random boxes, some of them drawn again a little elsewhere, with blobs and rings in them."""
    height, width = shape
    sizes = rng.integers(8, 8 * largest, (count, 2)) / 8
    corners = rng.uniform(-4, 1, (count, 2)) + rng.random((count, 2)) * (width + 3, height + 3)
    for i in np.flatnonzero(rng.random(count) < 0.5):
        corners[i] = corners[i - 1] + rng.uniform(-2, 2, 2)
    corners = np.round(corners * 8) / 8
    boxes = np.concatenate([corners, corners + sizes], axis=1).astype(np.float32)
    scores = rng.random(count).astype(np.float32)
    if steps:  # few steps make many ties
        scores = (np.ceil(scores * steps) / steps).astype(np.float32)
    rows, columns = np.mgrid[:MASK, :MASK] - (MASK - 1) / 2
    far = np.hypot(rows, columns) / MASK
    outer, hole = rng.uniform(0.2, 0.9, (count, 1, 1)), rng.uniform(-0.3, 0.4, (count, 1, 1))
    masks = np.clip((outer - far) * 8, 0, 1) * np.clip((far - hole) * 8, 0, 1)
    masks *= rng.uniform(0.6, 1, (count, MASK, MASK))
    kinds = rng.integers(1, 4, count).astype(np.uint8)
    return Candidates(boxes, scores, (255 * masks).astype(np.uint8), kinds, shape)


def see(candidates, tile):
    """Those that a tile has as wholes in its context, from where that begins."""
    top, left = tile.start
    seen = candidates.moved(-top, -left, tile.size)
    low, high = seen.boxes[:, :2].min(axis=1), seen.boxes[:, 2:]
    return seen.take((low >= 0) & (high[:, 1] <= tile.size[0]) & (high[:, 0] <= tile.size[1]))


def stitch(tiles, found, region):
    stitcher = CandidateStitcher(region)
    for tile, output in zip(tiles, found, strict=True):
        stitcher.add(tile, output)
    return stitcher


def keep(tiles, found, shape):
    """What the tiles give as it is read again: in pixels of the image."""
    kept = []
    for tile, output in zip(tiles, found, strict=True):
        here = stitch([tile], [output], tile.write).evidence()
        kept.append(here.moved(tile.write[0].start, tile.write[1].start, shape))
    return kept


def tiles_at(tiles):
    def find(region):
        return [
            number
            for number, tile in enumerate(tiles)
            if all(
                start < side.stop and start + size > side.start
                for start, size, side in zip(tile.start, tile.size, region, strict=True)
            )
        ]

    return find


def put_together(tiles, kept, shape, block, config):
    """Anchors + 1 at each pixel, and what each block says of each cell."""
    labels, said = np.zeros(shape, np.int64), []
    height, width = block
    for y in range(0, shape[0], height):
        for x in range(0, shape[1], width):
            part = slice(y, min(y + height, shape[0])), slice(x, min(x + width, shape[1]))
            found = label_block(Crowd(kept.__getitem__, tiles_at(tiles), config), shape, part)
            assert not found.is_cut
            present = np.unique(found.labels[found.labels > 0])
            np.testing.assert_array_equal(present, np.arange(1, len(found.anchors) + 1))
            labels[part] = np.append(0, found.anchors + 1)[found.labels]
            said += zip(found.anchors, found.classes, found.scores, strict=True)
    return labels, said


def check(labels, said, whole):
    """As the prediction of the whole image, but for the numbers."""
    values, first = np.unique(whole.labels, return_index=True)
    names = np.where(values > 0, first + 1, 0)
    np.testing.assert_array_equal(labels, names[np.searchsorted(values, whole.labels)])
    of_name = dict(zip(names, values, strict=True))
    for anchor, kind, score in said:
        number = of_name[anchor + 1]
        assert kind == whole.classes[number - 1]
        assert score == whole.scores[number - 1]


@given(st.integers(0, 2**32 - 1), shapes, shapes, st.integers(4, 60), configs, st.booleans())
@settings(max_examples=60)
def test_blocks_give_the_cells_of_the_whole(seed, shape, block, tile, config, ties):
    """Of any candidates, whatever each tile has found, also of cells wider than the context."""
    rng = np.random.default_rng(seed)
    tiles = grid(shape, tile, CONTEXT, STRIDE)
    found = [
        see(make_candidates(rng, size, rng.integers(0, 30), 40, 5 if ties else 0), at_origin)
        for size, at_origin in ((each.size, Tile(each.write, (0, 0), each.size)) for each in tiles)
    ]
    whole = stitch(tiles, found, (slice(0, shape[0]), slice(0, shape[1]))).result(config)
    labels, said = put_together(
        tiles, keep(tiles, found, shape), shape, (max(8, block[0]), max(8, block[1])), config
    )
    check(labels, said, whole)


@given(st.integers(0, 2**32 - 1), shapes, shapes, st.integers(4, 60), configs)
@settings(max_examples=60)
def test_tiles_and_blocks_give_the_cells_of_one_piece(seed, shape, block, tile, config):
    """Of cells smaller than the context, which every tile that they reach into sees as wholes."""
    rng = np.random.default_rng(seed)
    cells = make_candidates(rng, shape, int(rng.integers(0, 80)), CONTEXT)
    tiles = grid(shape, tile, CONTEXT, STRIDE)
    found = [see(cells, each) for each in tiles]
    labels, said = put_together(
        tiles, keep(tiles, found, shape), shape, (max(8, block[0]), max(8, block[1])), config
    )
    in_image = cells.within((slice(0, shape[0]), slice(0, shape[1])))
    check(labels, said, in_image.label(config))


def make_row(step, shape):
    """Squares of 12 px in a row, each less sure than the one before."""
    starts = np.arange(0, shape[1] - 12, step)
    count = len(starts)
    boxes = np.stack([starts, np.full(count, 2), starts + 12, np.full(count, 14)], axis=1)
    return Candidates(
        boxes.astype(np.float32),
        np.linspace(1, 0.5, count, dtype=np.float32),
        np.full((count, MASK, MASK), 255, np.uint8),
        np.ones(count, np.uint8),
        shape,
    )


@pytest.mark.parametrize(("step", "far"), [(4, True), (10, False)])
def test_what_decides_a_candidate_is_followed_as_far_as_it_goes_and_no_further(step, far):
    """With two thirds of each in the one before, every second is a cell, as the first one is."""
    shape, config = (16, 400), InstanceConfig(min_size=0)
    row = make_row(step, shape)
    tiles = grid(shape, 32, CONTEXT, STRIDE)
    kept = keep(tiles, [see(row, each) for each in tiles], shape)
    read = []

    def watch(tile):
        read.append(tile)
        return kept[tile]

    last = slice(0, 16), slice(360, 400)
    found = label_block(Crowd(watch, tiles_at(tiles), config), shape, last)
    whole = row.label(config).labels
    np.testing.assert_array_equal(found.labels > 0, whole[last] > 0)
    names, first = np.unique(whole, return_index=True)
    present = np.isin(names, whole[last]) & (names > 0)
    np.testing.assert_array_equal(found.anchors, np.sort(first[present]))
    assert len(read) == len(set(read))
    assert (min(read) == 0) is far
