"""Block by block as the whole image at once, whatever the blocks."""

from __future__ import annotations

import time
from unittest import mock

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from scipy import ndimage as ndi

from napari_unet.core import block_labels, evidence
from napari_unet.core.block_labels import label_block, label_in_blocks
from napari_unet.core.config import InstanceConfig
from napari_unet.core.errors import InputError
from napari_unet.core.instances import label_instances
from napari_unet.core.room import Room

configs = st.builds(
    InstanceConfig,
    threshold=st.sampled_from([0.2, 0.5, 0.7]),
    min_size=st.sampled_from([0, 5, 20, 60]),
    min_score=st.sampled_from([0.0, 0.6]),
    split=st.sampled_from(["watershed", "none"]),
    fill_holes=st.booleans(),
    drop_border=st.booleans(),
)


@st.composite
def maps_of_images(draw):
    """Smooth random maps, the last one a distance or none, in steps as they are stored.

    There may be much background around them, which is not labelled.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    classes, distance = draw(st.integers(1, 2)), draw(st.booleans())
    shape = draw(st.integers(1, 90)), draw(st.integers(1, 90))
    smooth = draw(st.sampled_from([1.0, 1.5, 2.5, 5.0]))
    field = rng.standard_normal((classes + distance, *shape))
    field = ndi.gaussian_filter(field, (0, smooth, smooth)) * 4 * smooth
    field -= draw(st.sampled_from([-0.5, 0.0, 1.0]))
    maps = np.exp(field) / (1 + np.exp(field[:classes]).sum(axis=0))
    maps[classes:] = 1 / (1 + np.exp(-field[classes:]))
    steps = draw(st.sampled_from([20, 65535]))  # few steps make many ties
    around = [(draw(st.sampled_from([0, 0, 10, 60])), draw(st.integers(0, 30))) for _ in range(2)]
    maps = np.pad(maps, [(0, 0), *around])
    return (np.round(maps * steps) / steps).astype(np.float32), classes


@st.composite
def cuts(draw, length):
    """Starts and ends of the blocks along one axis."""
    size = draw(st.integers(8, 60))
    return [slice(start, min(start + size, length)) for start in range(0, length, size)]


def put_together(maps, classes, config, rows, columns, **options):
    """The labels of all blocks as anchors + 1, and what each block said of each cell."""
    shape = maps.shape[1:]
    labels, said = np.zeros(shape, np.int64), []
    for block in ((y, x) for y in rows for x in columns):
        found = label_block(
            lambda region: maps[:, region[0], region[1]], shape, block, config, classes, **options
        )
        assert np.array_equal(
            np.unique(found.labels[found.labels > 0]), range(1, count_cells(found) + 1)
        )
        labels[block] = np.append(0, found.anchors + 1)[found.labels]
        said += zip(found.anchors, found.classes, found.scores, strict=True)
    return labels, said


def count_cells(found):
    assert len(found.anchors) == len(found.classes) == len(found.scores)
    return len(found.anchors)


def anchors_of(labels):
    """Each pixel's cell by the index of its first pixel, + 1."""
    values, first = np.unique(labels, return_index=True)
    first = np.where(values > 0, first + 1, 0)
    return first[np.searchsorted(values, labels)]


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_blocks_give_the_labels_of_the_whole(data):
    maps, classes = data.draw(maps_of_images())
    config = data.draw(configs)
    whole = label_instances(maps, config, classes)
    rows, columns = (data.draw(cuts(length)) for length in maps.shape[1:])
    halo = data.draw(st.integers(1, 40))
    labels, said = put_together(maps, classes, config, rows, columns, halo=halo)
    expected = anchors_of(whole.labels)
    np.testing.assert_array_equal(labels, expected)
    of_cell = dict(zip(expected[expected > 0], whole.labels[whole.labels > 0], strict=True))
    for anchor, kind, score in said:
        label = of_cell[anchor + 1]
        assert kind == whole.classes[label - 1]
        assert score == whole.scores[label - 1]


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_maps_in_memory_are_labelled_in_blocks_as_in_one(data):
    """Many small cells and some that are larger than half a block, for which all is labelled."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    shape = data.draw(st.integers(60, 200)), data.draw(st.integers(60, 200))
    field = ndi.gaussian_filter(rng.standard_normal((2, *shape)), (0, 1.5, 1.5)) * 6
    dark = data.draw(st.sampled_from([1.0, 2.0, 3.0]))
    maps = (1 / (1 + np.exp(dark - field))).astype(np.float32)
    config, classes, block = data.draw(configs), 1, data.draw(st.integers(40, 80))
    whole = label_instances(maps, config, classes)
    with mock.patch.object(block_labels, "label_instances", wraps=label_instances) as labelled:
        found = label_in_blocks(maps, config, classes, block=block, halo=8)
    areas = [call.args[0][0].size for call in labelled.call_args_list]
    event("at once" if areas == [maps[0].size] else "in blocks")
    np.testing.assert_array_equal(anchors_of(found.labels), anchors_of(whole.labels))
    inside = whole.labels > 0
    same = dict(zip(found.labels[inside], whole.labels[inside], strict=True))
    order = np.array([same[label] - 1 for label in range(1, len(found.scores) + 1)], int)
    np.testing.assert_array_equal(found.classes, whole.classes[order])
    np.testing.assert_array_equal(found.scores, whole.scores[order])
    np.testing.assert_array_equal(found.probabilities, whole.probabilities)


def test_small_cells_are_never_labelled_at_once():
    """In an image of many blocks, and with all that any step of labelling sees around them."""
    cells = [(20 + 30 * y, 15 + 30 * x) for y in range(8) for x in range(9)]
    maps = rings((260, 290), cells, 9, 9)
    with mock.patch.object(block_labels, "label_instances", wraps=label_instances) as labelled:
        found = label_in_blocks(maps, InstanceConfig(), block=64, halo=24)
    sizes = [call.args[0][0].size for call in labelled.call_args_list]
    assert len(sizes) >= 20
    assert max(sizes) < 0.5 * maps[0].size
    assert found.labels.max() == len(cells)


def test_where_a_window_would_not_show_a_component_all_is_labelled_at_once():
    maps = rings((120, 120), [(60, 60)], 18, 18)
    with mock.patch.object(block_labels, "label_instances", wraps=label_instances) as labelled:
        found = label_in_blocks(maps, InstanceConfig(), block=80, halo=2, widest=30)
    assert labelled.call_args.args[0].shape == maps.shape
    assert found.labels.max() == 1


def test_threads_hold_no_more_windows_than_there_is_room_for(monkeypatch):
    monkeypatch.setattr(block_labels, "_ROOM", Room(1))
    monkeypatch.setattr(block_labels, "THREADS", 4)
    maps, inside, most = rings((200, 200), [(40, 40), (150, 150)], 12, 12), [], []

    def label(*given):
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.005)
        found = label_instances(*given)
        inside.pop()
        return found

    monkeypatch.setattr(block_labels, "label_instances", label)
    label_in_blocks(maps, InstanceConfig(), block=50, halo=8)
    assert set(most) == {1}


def test_what_is_said_of_a_large_image_is_labelled_in_blocks(monkeypatch):
    parts = []
    monkeypatch.setattr(
        evidence,
        "label_in_blocks",
        lambda *given: (parts.append(given), label_in_blocks(*given))[1],
    )
    maps = evidence.Maps(rings((60, 60), [(20, 20), (40, 45)], 8, 8), 1)
    as_one = maps.label(InstanceConfig())
    assert not parts
    monkeypatch.setattr(evidence, "_LARGE", 60 * 60 - 1)
    assert np.array_equal(maps.label(InstanceConfig()).labels, as_one.labels)
    assert parts
    assert as_one.labels.max() == 2


def rings(shape, centers, radius, width):
    rows, columns = np.indices(shape)
    mask = np.zeros(shape, bool)
    for y, x in centers:
        far = np.hypot(rows - y, columns - x)
        mask |= (far <= radius) & (far > radius - width)
    return np.where(mask, 0.9, 0.1).astype(np.float32)[None]


def test_the_hole_of_a_cell_wider_than_the_first_window_is_filled():
    maps = rings((200, 200), [(100, 100)], 80, 6)
    cuts = [slice(start, start + 20) for start in range(0, 200, 20)]
    labels, _ = put_together(maps, 1, InstanceConfig(split="none"), cuts, cuts, halo=4)
    expected = anchors_of(label_instances(maps, InstanceConfig(split="none")).labels)
    assert labels[100, 100] > 0
    np.testing.assert_array_equal(labels, expected)


def test_a_component_wider_than_any_window_is_cut_but_nothing_is_lost():
    """Every pixel has a cell, small cells elsewhere are whole, and the blocks say what happened."""
    mask = np.zeros((120, 120), bool)
    mask[50:70] = True
    mask[10:20, 10:20] = mask[90:100, 36:52] = True
    maps = np.where(mask, 0.9, 0.1).astype(np.float32)[None]
    config = InstanceConfig(split="none")
    cuts = [slice(start, start + 40) for start in range(0, 120, 40)]
    labels, _ = put_together(maps, 1, config, cuts, cuts, halo=10, widest=80)
    assert np.array_equal(labels > 0, mask)
    assert len(np.unique(labels[10:20, 10:20])) == len(np.unique(labels[90:100, 36:52])) == 1
    blocks = [
        label_block(
            lambda region: maps[:, region[0], region[1]], mask.shape, (rows, cuts[1]), config,
            halo=10, widest=80,
        )
        for rows in cuts
    ]  # fmt: skip
    assert [block.is_cut for block in blocks] == [False, True, False]


def test_no_window_is_wider_than_the_widest():
    maps = rings((300, 300), [(150, 150)], 140, 8)
    edges = []

    def read(region):
        edges.extend(side.stop - side.start for side in region)
        return maps[:, region[0], region[1]]

    block = slice(120, 160), slice(0, 40)
    label_block(read, (300, 300), block, InstanceConfig(), halo=8, widest=100)
    assert 56 < max(edges) <= 100


def test_maps_that_are_not_finite_are_refused():
    maps = np.full((1, 40, 40), np.nan, np.float32)
    with pytest.raises(InputError, match="not finite"):
        label_block(
            lambda region: maps[:, region[0], region[1]], (40, 40), (slice(0, 20),) * 2,
            InstanceConfig(),
        )  # fmt: skip
