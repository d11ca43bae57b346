"""How deep a pixel lies in its cell, against a look at every pixel."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_unet.core.distances import distance_to_border, relative_distance

paint = arrays(
    np.int32, st.tuples(st.integers(1, 10), st.integers(1, 10)), elements=st.integers(-1, 3)
)


def by_brute_force(labels):
    found = np.zeros(labels.shape)
    places = np.argwhere(np.ones(labels.shape, bool))
    for y, x in np.argwhere(labels > 0):
        others = places[(labels != labels[y, x]).ravel()]
        away = np.hypot(*(others - (y, x)).T)
        found[y, x] = away.min() if len(away) else 1
    return found


@given(paint, st.sampled_from([1, 10**6]))
@settings(max_examples=100, deadline=None)
def test_it_is_the_distance_to_the_nearest_pixel_of_something_else(labels, times):
    labels = np.where(labels > 0, labels * times, labels)
    expected = by_brute_force(labels)
    np.testing.assert_allclose(distance_to_border(labels), expected, atol=1e-5)
    relative = relative_distance(labels)
    for label in np.unique(labels[labels > 0]):
        cell = labels == label
        np.testing.assert_allclose(relative[cell], expected[cell] / expected[cell].max(), atol=1e-5)
    assert not relative[labels <= 0].any()


def test_only_the_chosen_are_measured():
    labels = np.array([[1, 1, 0, 2, 2]])
    assert distance_to_border(labels, np.array([False, False, True])).tolist() == [[0, 0, 0, 1, 2]]
