"""From probabilities to cells: splitting, growing back, filtering, and real shapes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage as ndi

from napari_unet.core.config import InstanceConfig
from napari_unet.core.distances import relative_distance
from napari_unet.core.errors import InputError
from napari_unet.core.instances import fill_holes, grow_where_cells_meet, label_instances
from napari_unet.core.metrics import evaluate

DEFAULT = InstanceConfig()
PLAIN = InstanceConfig(split="none", min_size=0, fill_holes=False)


def probabilities(*maps):
    return np.stack(maps).astype(np.float32)


def cells(mask, config=DEFAULT):
    """The labels made of a map that is 0.9 on the mask and 0.1 elsewhere."""
    return label_instances(probabilities(np.where(mask, 0.9, 0.1)), config).labels


def ellipse(shape, center, radii):
    rows, columns = np.indices(shape)
    return ((rows - center[0]) / radii[0]) ** 2 + ((columns - center[1]) / radii[1]) ** 2 <= 1


def cut_ridges(labels):
    """Foreground that has no other instance among its eight neighbours: a training target."""
    some = np.where(labels > 0, labels, np.iinfo(labels.dtype).max)
    return (labels > 0) & (ndi.maximum_filter(labels, 3) == ndi.minimum_filter(some, 3))


def two_squares():
    labels = np.zeros((30, 40), np.int32)
    labels[5:25, 5:20], labels[5:25, 20:35] = 1, 2
    return labels


@st.composite
def blobs(draw):
    """Smooth random probabilities of one or two classes."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (draw(st.integers(1, 2)), draw(st.integers(1, 48)), draw(st.integers(1, 48)))
    field = ndi.gaussian_filter(rng.standard_normal(shape), (0, 2, 2)) * 8
    return (np.exp(field) / (1 + np.exp(field).sum(axis=0))).astype(np.float32)


configs = st.builds(
    InstanceConfig,
    threshold=st.sampled_from([0.2, 0.5, 0.7]),
    min_size=st.sampled_from([0, 5, 20]),
    min_score=st.sampled_from([0.0, 0.8]),
    split=st.sampled_from(["watershed", "none"]),
    fill_holes=st.booleans(),
    drop_border=st.booleans(),
)


@given(blobs(), configs)
@settings(max_examples=80, deadline=None)
def test_what_always_holds(maps, config):
    found = label_instances(maps, config)
    n = int(found.labels.max(initial=0))
    assert found.labels.dtype == np.int32
    assert found.labels.shape == maps.shape[1:]
    assert np.array_equal(np.unique(found.labels[found.labels > 0]), np.arange(1, n + 1))
    assert found.classes.dtype == np.uint8
    assert found.scores.dtype == np.float32
    assert found.classes.shape == found.scores.shape == (n,)
    assert np.shares_memory(found.probabilities, maps)
    for i in range(1, n + 1):
        cell = found.labels == i
        assert cell.sum() >= config.min_size
        assert ndi.label(cell)[1] == 1, "an instance is one 4-connected piece"
        assert found.classes[i - 1] == maps[:, cell].sum(axis=1).argmax() + 1
        assert found.scores[i - 1] == pytest.approx(maps[:, cell].sum(axis=0).max(), abs=1e-5)
        assert found.scores[i - 1] >= config.min_score
        if config.drop_border:
            assert not np.any([cell[0].any(), cell[-1].any(), cell[:, 0].any(), cell[:, -1].any()])


def test_what_no_pixel_is_sure_of_is_left_out():
    squares = two_squares()
    squares[:, 17:23] = 0
    foreground, depth = np.where(squares > 0, 0.9, 0.1), relative_distance(squares)
    depth[squares == 1] *= 0.3  # nothing whole is seen there
    maps = probabilities(foreground, depth)
    found = label_instances(maps, replace(DEFAULT, min_score=0.5), classes=1)
    assert found.scores == pytest.approx([0.9])
    assert np.array_equal(found.labels, np.where(squares == 2, 1, 0))
    everything = label_instances(maps, replace(DEFAULT, min_score=0.0), classes=1)
    assert everything.scores == pytest.approx([0.27, 0.9])


@given(blobs())
@settings(max_examples=50, deadline=None)
def test_splitting_only_parts_components(maps):
    """Nothing is lost or won by it but the cuts that growing gives back."""
    config = replace(DEFAULT, min_size=3, fill_holes=False)
    whole = label_instances(maps, replace(config, split="none")).labels
    parts = label_instances(maps, config).labels
    mask = maps.sum(axis=0) > config.threshold
    assert np.array_equal((whole > 0) & mask, (parts > 0) & mask)
    for i in np.unique(parts[mask & (parts > 0)]):
        assert len(np.unique(whole[mask & (parts == i)])) == 1


@given(blobs())
@settings(max_examples=50, deadline=None)
def test_components_flip_with_the_image(maps):
    """The same partition, whatever the numbers; the flood of a ridge may break a tie otherwise."""
    plain = label_instances(maps, PLAIN).labels
    mask = maps.sum(axis=0) > PLAIN.threshold
    for axis in (1, 2):
        back = np.flip(label_instances(np.flip(maps, axis), PLAIN).labels, axis - 1)
        pairs = np.unique(np.stack([plain[mask], back[mask]]), axis=1)
        assert pairs.shape[1] == plain.max(initial=0) == back.max(initial=0)


def test_the_ridge_between_touching_cells_is_given_back():
    truth = two_squares()
    assert np.array_equal(cells(cut_ridges(truth)), truth)


def test_the_ridge_is_parted_where_it_is_least_probable():
    mask = cut_ridges(two_squares())
    foreground = np.where(mask, 0.9, 0.1)
    foreground[:, 19] = 0.3  # the more probable column of the ridge
    foreground[:, 20] = 0.05
    found = label_instances(probabilities(foreground), DEFAULT).labels
    assert np.array_equal(found[10], [0] * 5 + [1] * 15 + [2] * 15 + [0] * 5)


def test_a_cell_grows_nowhere_else():
    mask = ellipse((40, 60), (20, 15), (10, 10)) | ellipse((40, 60), (20, 42), (10, 10))
    assert np.array_equal(cells(mask) > 0, mask)
    assert cells(mask).max() == 2


@pytest.mark.parametrize(("gap", "filled"), [(1, True), (2, True), (3, False), (6, False)])
def test_only_a_narrow_gap_is_a_ridge(gap, filled):
    labels = np.zeros((20, 40), np.int32)
    labels[5:15, 5:15], labels[5:15, 15 + gap : 35] = 4, 7
    grown = grow_where_cells_meet(labels, np.full(labels.shape, 0.1, np.float32))
    assert np.all((grown[5:15, 15 : 15 + gap] > 0) == filled)
    outside = np.ones(labels.shape, bool)
    outside[5:15, 5:35] = False
    assert not grown[outside].any()
    assert np.array_equal(grown[labels > 0], labels[labels > 0])


def test_a_gap_within_one_cell_is_no_ridge():
    labels = np.zeros((20, 20), np.int32)
    labels[4:16, 4:16] = 1
    labels[4:14, 9:11] = 0
    assert np.array_equal(grow_where_cells_meet(labels, np.zeros(labels.shape, np.float32)), labels)


@pytest.mark.parametrize("radius", [5, 10, 25, 60])
def test_joined_discs_are_split_whatever_their_size(radius):
    shape = (3 * radius, 5 * radius)
    left = ellipse(shape, (1.5 * radius, 1.4 * radius), (radius, radius))
    right = ellipse(shape, (1.5 * radius, 3.1 * radius), (radius, radius))
    found = cells(left | right)
    result = evaluate(left + 2 * (right & ~left), found)
    assert result["n_pred"] == 2
    assert result["ap75"] == 1
    assert np.all(found[left | right] > 0)
    assert cells(left | right, replace(DEFAULT, split="none")).max() == 1


def bent_rod():
    rows, columns = np.indices((80, 120))
    return (np.abs(np.hypot(rows - 90, columns - 60) - 60) < 6) & (rows < 70)


def wavy_disc():
    rows, columns = np.indices((100, 100))
    angle = np.arctan2(rows - 50, columns - 50)
    return np.hypot(rows - 50, columns - 50) < 28 + 3 * np.sin(7 * angle) + 2 * np.cos(3 * angle)


def spindle():
    return ellipse((60, 140), (30, 70), (9, 16)) | ellipse((60, 140), (30, 70), (4, 60))


@pytest.mark.parametrize(
    "mask",
    [
        ellipse((40, 120), (20, 60), (8, 50)),
        ellipse((40, 40), (20, 20), (3, 12)),
        np.pad(np.ones((12, 90), bool), 5),
        bent_rod(),
        wavy_disc(),
        spindle(),
        np.ones((30, 30), bool),
        np.ones((1, 50), bool),
    ],
    ids=["ellipse", "small ellipse", "rod", "bent rod", "wavy", "spindle", "frame", "line"],
)
def test_one_cell_stays_one(mask):
    assert np.array_equal(cells(mask), mask)


def test_parts_below_the_smallest_cell_stay_with_their_cell():
    mask = ellipse((60, 60), (30, 30), (14, 14))
    mask[29:31, 44:48] = True
    mask[28:32, 48:52] = True  # a knob on a stalk, 24 pixels in all
    assert cells(mask, replace(DEFAULT, min_size=30)).max() == 1


def test_holes():
    ring = ellipse((60, 60), (30, 30), (25, 25)) & ~ellipse((60, 60), (30, 30), (12, 12))
    filled = ellipse((60, 60), (30, 30), (25, 25))
    assert np.array_equal(cells(ring), filled)
    plain = replace(DEFAULT, split="none")
    assert np.array_equal(cells(ring, plain), filled)
    assert np.array_equal(cells(ring, replace(plain, fill_holes=False)), ring)


def test_no_hole_where_another_cell_or_the_frame_is():
    labels = np.zeros((30, 30), np.int32)
    labels[2:28, 2:28] = 1
    labels[6:24, 6:24] = 0
    labels[12:16, 12:16] = 2
    assert np.array_equal(fill_holes(labels), labels)
    open_to_the_frame = np.ones((10, 10), np.int32)
    open_to_the_frame[3:6, :4] = 0
    assert np.array_equal(fill_holes(open_to_the_frame), open_to_the_frame)


def test_small_and_cut_cells_are_left_out():
    mask = np.zeros((40, 40), bool)
    mask[10:20, 10:20] = True  # 100 px
    mask[30:33, 30:33] = True  # 9 px
    mask[0:8, 30:38] = True  # at the border
    assert cells(mask, replace(DEFAULT, min_size=9)).max() == 3
    assert cells(mask, replace(DEFAULT, min_size=10)).max() == 2
    kept = cells(mask, replace(DEFAULT, min_size=9, drop_border=True))
    assert kept.max() == 2
    assert not kept[:8].any()


def test_class_and_score():
    first, second = np.zeros((20, 40)), np.zeros((20, 40))
    first[5:15, 5:15], second[5:15, 5:15] = 0.5, 0.25
    first[5:15, 25:35], second[5:15, 25:35] = 0.125, 0.75
    found = label_instances(probabilities(first, second), DEFAULT)
    assert found.classes.tolist() == [1, 2]
    assert found.scores.tolist() == [0.75, 0.875]


def test_a_pixel_is_cell_above_the_threshold_of_the_sum():
    maps = probabilities(np.full((8, 8), 0.25), np.full((8, 8), 0.25))
    assert label_instances(maps, replace(DEFAULT, threshold=0.5)).labels.max() == 0
    assert label_instances(maps, replace(DEFAULT, threshold=0.49)).labels.min() == 1


def test_nothing_found():
    found = label_instances(np.zeros((2, 9, 7), np.float32), DEFAULT)
    assert found.labels.shape == (9, 7)
    assert not found.labels.any()
    assert found.classes.size == found.scores.size == 0


@pytest.mark.parametrize(
    ("maps", "sentence"),
    [
        (np.zeros((4, 4)), "shape"),
        (np.zeros((0, 4, 4)), "shape"),
        (np.zeros((1, 0, 4)), "shape"),
        (np.full((1, 4, 4), np.nan), "not finite"),
    ],
)
def test_bad_input_is_one_sentence(maps, sentence):
    with pytest.raises(InputError, match=sentence):
        label_instances(maps, DEFAULT)


def imperfect_map(labels, rng):
    """What a net might say of these cells: ridges cut, half of them missed, blurred, noisy."""
    target = cut_ridges(labels)
    patches = ndi.gaussian_filter(rng.standard_normal(labels.shape), 6)
    target |= (labels > 0) & (patches < 0)
    blurred = ndi.gaussian_filter(target.astype(np.float32), 1).clip(0.01, 0.99)
    noise = ndi.gaussian_filter(rng.standard_normal(labels.shape), 2)
    logits = np.log(blurred / (1 - blurred)) + 0.6 * noise / noise.std()
    return probabilities(1 / (1 + np.exp(-logits)))


@pytest.mark.parametrize(
    ("name", "every", "lowest"), [("dsb2018_fluo", 20, 0.9), ("usiigaci_phase", 5, 0.85)]
)
def test_real_shapes_are_found_again(shared_data: Path, name, every, lowest):
    rng = np.random.default_rng(0)
    files = sorted((shared_data / name / "train" / "labels").glob("*.tif"))[::every]
    truth = [tifffile.imread(file).astype(np.int32) for file in files]
    maps = [imperfect_map(labels, rng) for labels in truth]
    plain = replace(DEFAULT, split="none")
    split = evaluate(truth, [label_instances(one, DEFAULT).labels for one in maps])
    whole = evaluate(truth, [label_instances(one, plain).labels for one in maps])
    assert split["ap50"] > lowest
    assert split["ap50"] > whole["ap50"] + 0.02
    assert split["ap75"] > whole["ap75"] + 0.02


def test_a_learned_distance_parts_cells_that_no_neck_shows():
    labels = two_squares()
    foreground = (labels > 0).astype(np.float32)
    whole = label_instances(probabilities(foreground), DEFAULT)
    assert whole.labels.max() == 1
    found = label_instances(probabilities(foreground, relative_distance(labels)), DEFAULT, 1)
    assert evaluate(labels, found.labels)["ap75"] == 1
    assert found.probabilities.shape == (1, 30, 40)


def test_a_learned_distance_leaves_one_cell_whole():
    for radii in ((5, 5), (14, 5), (14, 12)):
        labels = ellipse((40, 40), (20, 20), radii).astype(np.int32)
        maps = probabilities(labels, relative_distance(labels))
        np.testing.assert_array_equal(label_instances(maps, DEFAULT, 1).labels, labels)
