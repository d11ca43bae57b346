"""Matchings against a trial of all of them."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.core.pairing import pair_up

pairs = st.dictionaries(
    st.tuples(st.integers(0, 4), st.integers(0, 4)), st.integers(50, 100), max_size=9
)


def best_by_trial(cells, iou):
    """How many pairs can be chosen, and the highest IoU in sum of so many."""
    for size in range(len(cells), 0, -1):
        sums = [
            sum(iou[i] for i in some)
            for some in combinations(range(len(cells)), size)
            if all(len({cells[i][side] for i in some}) == size for side in (0, 1))
        ]
        if sums:
            return size, max(sums)
    return 0, 0


@given(pairs)
@settings(max_examples=300)
def test_as_many_pairs_as_possible_and_of_these_the_best(case):
    cells = sorted(case)
    iou = np.array([case[cell] for cell in cells], np.float64) / 100
    trues, preds = np.array(cells, np.int64).reshape(-1, 2).T
    chosen = pair_up(trues, preds, iou)
    assert (np.diff(chosen) > 0).all()
    assert len(set(trues[chosen])) == len(set(preds[chosen])) == len(chosen)
    count, total = best_by_trial(cells, iou.tolist())
    assert len(chosen) == count
    assert iou[chosen].sum() == pytest.approx(total)


def test_of_two_halves_the_lower_number_is_taken():
    one, two, half = np.array([3, 3]), np.array([1, 2]), np.array([0.5, 0.5])
    assert pair_up(one, two, half).tolist() == [0]
    assert pair_up(two, one, half).tolist() == [0]
