"""Synthetic cells: repeatable, true to their labels, and hard where cells touch."""

from __future__ import annotations

import time
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_unet.core.errors import InputError
from napari_unet.core.samples import CLASS_NAMES, SAMPLES, make_sample, partial
from napari_unet.core.types import Sample

names = pytest.mark.parametrize("name", list(SAMPLES))


@cache
def whole_sample(name: str) -> Sample:
    """Made once for all tests, which leave it as it is."""
    return make_sample(name)


def n_touching(labels: np.ndarray) -> int:
    """Cells with another cell in their 4-neighbourhood."""
    cells = set()
    for a, b in ((labels[1:], labels[:-1]), (labels[:, 1:], labels[:, :-1])):
        meet = (a != b) & (a > 0) & (b > 0)
        cells |= set(a[meet].tolist()) | set(b[meet].tolist())
    return len(cells)


@names
def test_the_same_seed_gives_the_same_pixels(name: str) -> None:
    first, again, other = (make_sample(name, (96, 128), seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.labels, again.labels)
    assert (first.labels != other.labels).any()


@names
@settings(max_examples=8, deadline=None)
@given(rows=st.integers(64, 200), cols=st.integers(64, 200), seed=st.integers(0, 1000))
def test_labels_are_whole_cells_without_gaps(name: str, rows: int, cols: int, seed: int) -> None:
    sample = make_sample(name, (rows, cols), seed)
    assert sample.labels.dtype == np.int32
    assert sample.labels.shape == sample.image.shape[1:] == (rows, cols)
    n = sample.labels.max()
    assert n >= 2
    for label in range(1, n + 1):
        assert ndimage.label(sample.labels == label)[1] == 1
    assert set(sample.classes) == set(range(1, n + 1))
    assert set(sample.classes.values()) <= set(range(1, len(CLASS_NAMES[name]) + 1))
    assert sample.complete is not None
    assert sample.complete.all()


@names
def test_there_is_something_to_learn(name: str) -> None:
    sample = whole_sample(name)
    assert n_touching(sample.labels) >= 12
    assert 0.1 < (sample.labels > 0).mean() < 0.4
    channels, dtype = {
        "fluorescence": (1, np.uint16),
        "phase": (1, np.uint8),
        "two-classes": (3, np.uint8),
    }[name]
    assert (len(sample.image), sample.image.dtype) == (channels, dtype)
    grey = sample.image.mean(axis=0)
    inside, outside = grey[sample.labels > 0], grey[sample.labels == 0]
    apart = abs(inside.mean() - outside.mean()) / (inside.std() + outside.std())
    assert 0.3 < apart < 3


def test_the_two_classes_look_different() -> None:
    sample = whole_sample("two-classes")
    class_of = np.zeros(sample.labels.max() + 1, int)
    class_of[list(sample.classes)] = list(sample.classes.values())
    classes = class_of[sample.labels]
    pale, dark = (sample.image[:, classes == k].mean() for k in (1, 2))
    assert pale > dark + 20
    sizes = np.bincount(sample.labels.ravel())
    assert np.median(sizes[class_of == 1]) > 2 * np.median(sizes[class_of == 2])


@names
def test_it_is_quick(name: str) -> None:
    best = np.inf
    for _ in range(3):
        start = time.process_time()
        make_sample(name)
        best = min(best, time.process_time() - start)
    assert best < 0.5


@names
@pytest.mark.parametrize("cells", [1, 8, 30])
def test_a_partial_annotation_is_complete_where_it_says_so(name: str, cells: int) -> None:
    whole = whole_sample(name)
    part = partial(whole, cells)
    assert part.complete is not None
    rows, cols = np.nonzero(part.complete)
    box = (slice(rows.min(), rows.max() + 1), slice(cols.min(), cols.max() + 1))
    assert part.complete[box].all()
    np.testing.assert_array_equal(part.labels[box], whole.labels[box])
    painted = np.unique(part.labels[part.labels > 0])
    np.testing.assert_array_equal(
        part.labels, np.where(np.isin(whole.labels, painted), whole.labels, 0)
    )
    assert set(painted.tolist()) == set(np.unique(part.labels[box]).tolist()) - {0}
    assert cells <= len(painted) <= cells + 8
    assert set(part.classes) == set(painted.tolist())
    assert set(part.classes.values()) == set(whole.classes.values()) or cells == 1
    assert n_touching(part.labels) >= 2 or cells == 1
    assert (part.labels[box] == 0).any()
    assert not part.complete.all()


def test_a_partial_annotation_needs_cells() -> None:
    whole = make_sample("phase", (64, 64))
    with pytest.raises(InputError, match="at least one cell"):
        partial(whole, 0)


def test_a_partial_annotation_of_everything_fills_the_frame() -> None:
    whole = make_sample("fluorescence", (96, 200))
    part = partial(whole, 10_000)
    assert part.complete is not None
    assert part.complete.all()
    np.testing.assert_array_equal(part.labels, whole.labels)


@pytest.mark.parametrize(("name", "shape"), [("brightfield", (64, 64)), ("phase", (64, 63))])
def test_what_cannot_be_made_is_a_sentence(name: str, shape: tuple[int, int]) -> None:
    with pytest.raises(InputError, match=r"choose one of|at least 64"):
        make_sample(name, shape)
