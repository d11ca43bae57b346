"""What the strokes make of a map is what it would be made anew."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_unet.core.annotation import weight_map
from napari_unet.core.config import WEIGHT_PRESETS, WeightConfig
from napari_unet.core.live_map import LiveMap, explain_merging, measure_gaps
from napari_unet.core.types import Sample

SHAPE = (24, 31)
CONFIGS = [
    WeightConfig(sigma=1.5),
    WeightConfig(sigma=1.5, class_weights="none", inside=True),
    WeightConfig(w0=0.0, ridge=False),
    WEIGHT_PRESETS["falk-2019"],
]


def whole(labels, complete, classes, config):
    image = np.zeros((1, *SHAPE), np.uint8)
    return weight_map(Sample(image, labels, complete, classes), config)


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("complete", [None, np.tri(*SHAPE, dtype=bool)])
def test_a_new_map_is_the_weight_map(config, complete):
    rng = np.random.default_rng(0)
    labels = np.kron(rng.integers(-1, 4, (6, 8)), np.ones((4, 4), int))[: SHAPE[0], : SHAPE[1]]
    labels = labels.astype(np.int32)
    classes = {1: 1, 2: 2, 3: 1}
    live = LiveMap(labels, complete, classes, config)
    np.testing.assert_array_equal(live.shown, whole(labels, complete, classes, config))
    assert not live.drifted


@settings(deadline=None, max_examples=60)
@given(
    arrays(np.int32, (3, 6, 8), elements=st.integers(-1, 3)),
    st.sampled_from(CONFIGS),
    st.booleans(),
    st.data(),
)
def test_strokes_end_at_the_weight_map(canvases, config, regions, data):
    labels = np.kron(canvases[0], np.ones((4, 4), int))[: SHAPE[0], : SHAPE[1]].astype(np.int32)
    complete = np.tri(*SHAPE, dtype=bool) if regions else None
    classes = {1: 1, 2: 2}
    live = LiveMap(labels, complete, classes, config)
    for _ in range(3):
        top, left = data.draw(st.integers(0, 20)), data.draw(st.integers(0, 25))
        region = (slice(top, top + 4), slice(left, min(left + 6, SHAPE[1])))
        labels[region] = data.draw(st.integers(-1, 4))
        live.paint(labels, region, classes)
    now = whole(labels, complete, classes, config)
    anew = LiveMap(labels, complete, classes, config)
    np.testing.assert_array_equal(anew.shown, now)
    if not live.drifted:
        np.testing.assert_array_equal(live._counts, anew._counts)
        # the class weights may have moved by up to 2 %
        np.testing.assert_allclose(live.shown, now, rtol=0.03, atol=1e-6)
    if config.class_weights != "balanced" and not live.drifted:
        np.testing.assert_array_equal(live.shown, now)


def test_a_box_is_exact_and_the_rest_is_not_touched():
    labels = np.zeros((200, 200), np.int32)
    labels[10:20, 10:20], labels[150:160, 150:160] = 1, 2
    config = WeightConfig(class_weights="none")
    live = LiveMap(labels, None, {}, config)
    live.shown[0, 199] = 123
    labels[10:20, 23:33] = 3
    rows, _cols = live.paint(labels, (slice(10, 20), slice(23, 33)), {})
    assert live.shown[0, 199] == 123
    assert rows.stop < 100
    live.shown[0, 199] = 1
    image = np.zeros((1, 200, 200), np.uint8)
    np.testing.assert_array_equal(live.shown, weight_map(Sample(image, labels), config))


def test_the_first_background_stroke_changes_what_is_said_everywhere():
    labels = np.zeros(SHAPE, np.int32)
    labels[2:8, 2:8] = 1
    live = LiveMap(labels, None, {}, WeightConfig())
    labels[20, 20] = -1
    live.paint(labels, (slice(20, 21), slice(20, 21)), {})
    assert live.drifted


def test_a_class_that_was_not_there_is_a_drift():
    labels = np.zeros(SHAPE, np.int32)
    labels[2:8, 2:8] = 1
    live = LiveMap(labels, None, {}, WeightConfig())
    labels[10:14, 10:14] = 2
    live.paint(labels, (slice(10, 14), slice(10, 14)), {2: 3})
    assert live.drifted
    assert live._counts.tolist()[3] == 16


def test_figures_say_what_one_sees():
    labels = np.zeros(SHAPE, np.int32)
    labels[2:8, 2:8], labels[2:8, 8:14], labels[16:20, 2:8] = 1, 2, 3
    live = LiveMap(labels, None, {}, WeightConfig(class_weights="none"))
    figures = live.measure(labels)
    # on the ridge, next to one cell and in the other: w0·exp(−1/2σ²) and 1
    assert figures.largest == pytest.approx(1 + 10 * np.exp(-1 / 50), rel=1e-6)
    assert figures.touching == 2
    assert figures.above_one == np.mean(live.shown > 1)
    assert figures.unsaid == 0
    assert figures.histogram.sum() == labels.size
    assert figures.histogram[-1] == np.count_nonzero(live.shown == figures.largest)


@pytest.mark.parametrize(
    ("touching", "ridge", "stride", "words"),
    [
        (0, False, 4, None),
        (2, True, 2, None),
        (2, "half", 1, None),
        (3, False, 1, "3 cells touch and no ridge is cut"),
        (3, "half", 2, "1 px wide and the network sees 2 px as one"),
    ],
)
def test_why_cells_would_be_learnt_as_one(touching, ridge, stride, words):
    said = explain_merging(touching, ridge, stride)
    assert words in said if words else not said


@pytest.mark.parametrize("gap", [1, 3, 6])
def test_gaps_are_measured_from_rim_to_rim(gap):
    labels = np.zeros((40, 60), np.int32)
    labels[5:35, 5:20] = 1
    labels[5:35, 20 + gap : 50] = 2
    gaps = measure_gaps(labels)
    assert gaps is not None
    assert (gaps.narrow, gaps.wide) == (gap, gap)
    assert gaps.sigma == gap + 1


def test_gaps_do_not_depend_on_where_the_tiles_lie():
    labels = np.zeros((300, 300), np.int32)
    labels[200:280, 240:254], labels[200:280, 259:280] = 1, 2
    assert measure_gaps(labels) == measure_gaps(labels[170:, 200:]) == measure_gaps(labels[:, ::-1])


def test_no_gap_where_cells_touch_or_are_alone():
    labels = np.zeros((40, 60), np.int32)
    assert measure_gaps(labels) is None
    labels[5:35, 5:20] = 1
    assert measure_gaps(labels) is None
    labels[5:35, 55:] = 2
    assert measure_gaps(labels) is None
