"""A largest one-to-one matching of true and predicted cells."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import linear_sum_assignment
from scipy.sparse.csgraph import connected_components


def pair_up(
    trues: NDArray[np.int64], preds: NDArray[np.int64], iou: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Choose as many pairs as possible that have no cell in common.

    Of several such choices the one with the highest IoU in sum.

    Parameters
    ----------
    trues, preds : (p,) int64 arrays
        The cells of each pair, in the order of the true and then of the predicted ones.
    iou : (p,) float64 array
        0 to 1.

    Returns
    -------
    (k,) int64 array
        Positions of the chosen pairs, in order.
    """
    if not len(iou):
        return np.zeros(0, np.int64)
    alone = (np.bincount(trues)[trues] == 1) & (np.bincount(preds)[preds] == 1)
    chosen = [np.flatnonzero(alone)]
    for group in _connect(trues, preds, np.flatnonzero(~alone)):
        chosen.append(group[_assign(trues[group], preds[group], iou[group])])
    return np.sort(np.concatenate(chosen))


def _connect(
    trues: NDArray[np.int64], preds: NDArray[np.int64], pairs: NDArray[np.int64]
) -> Iterator[NDArray[np.int64]]:
    """Some of the pairs in groups that have no cell in common."""
    if not len(pairs):
        return
    first = int(trues.max()) + 1  # behind the true cells come the predicted ones
    size = first + int(preds.max()) + 1
    edges = (np.ones(len(pairs), bool), (trues[pairs], first + preds[pairs]))
    group = connected_components(sparse.coo_array(edges, shape=(size, size)), directed=False)[1]
    of_pair = group[trues[pairs]]
    order = np.argsort(of_pair, kind="stable")
    yield from np.split(pairs[order], np.flatnonzero(np.diff(of_pair[order])) + 1)


def _assign(
    trues: NDArray[np.int64], preds: NDArray[np.int64], iou: NDArray[np.float64]
) -> NDArray[np.int64]:
    """The best choice of a few pairs."""
    rows, row = np.unique(trues, return_inverse=True)
    columns, column = np.unique(preds, return_inverse=True)
    gain = np.zeros((len(rows), len(columns)))
    gain[row, column] = len(iou) + iou  # one pair more is worth more than any IoU
    place = np.full(gain.shape, -1)
    place[row, column] = np.arange(len(iou))
    chosen = place[linear_sum_assignment(gain, maximize=True)]
    return np.asarray(chosen[chosen >= 0], np.int64)
