"""The same cell in neighbouring planes: one number through time, or through depth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import linear_sum_assignment
from scipy.sparse.csgraph import connected_components

from napari_unet.core.errors import InputError

LEAST_IOU = 0.1
"""Two discs of one size that are 0.7 of their diameter apart have this intersection over union."""


def link_plane(
    before: NDArray[np.int32],
    labels: NDArray[np.int32],
    highest: int,
    least_iou: float = LEAST_IOU,
) -> tuple[NDArray[np.int32], int]:
    """Give the cells of a plane the numbers that they had in the plane before.

    Cells are assigned one to one so that the sum of their intersections over union is largest: of
    a cell that divided, the larger part keeps the number.

    Parameters
    ----------
    before : (H, W) int32 array
        Instances > 0 of the neighbouring plane, with their final numbers.
    labels : (H, W) int32 array
        Instances 1 … n of this plane.
    highest : int
        The largest number that any plane so far has used.
    least_iou : float
        Cells that have less in common are two different ones.

    Returns
    -------
    linked : (H, W) int32 array
        A cell without partner has a number above `highest`, in the order of `labels`.
    highest : int
        The largest number now.

    Raises
    ------
    InputError
        The planes differ in size.
    """
    if before.shape != labels.shape:
        raise InputError(
            f"A plane of {_size(before)} px follows one of {_size(labels)} px: cells can only be "
            "linked between planes of one size."
        )
    area = np.bincount(labels.ravel())
    number = np.zeros(len(area), np.int32)
    for new, old in _assign(before, labels, least_iou):
        number[new] = old
    fresh = (area > 0) & (number == 0)
    fresh[0] = False
    number[fresh] = highest + 1 + np.arange(np.count_nonzero(fresh), dtype=np.int32)
    return number[labels], max(highest, int(number.max(initial=0)))


class Tracks:
    """The numbers that the planes of a stack have so far, one plane after another.

    Attributes
    ----------
    highest : int
        The largest number that is used; all from 1 on are.
    """

    def __init__(self) -> None:
        self.highest = 0
        self._before: NDArray[np.int32] | None = None

    def link(self, labels: NDArray[np.int32]) -> NDArray[np.int32]:
        """Number the cells of the next plane, (H, W), as `link_plane`."""
        before = np.zeros_like(labels) if self._before is None else self._before
        self._before, self.highest = link_plane(before, labels, self.highest)
        return self._before


def _assign(
    before: NDArray[np.int32], labels: NDArray[np.int32], least_iou: float
) -> list[tuple[int, int]]:
    """Pairs of a cell of this plane and one of the plane before."""
    both = (before > 0) & (labels > 0)
    old_ids, old = np.unique(before[both], return_inverse=True)
    new_ids, new = np.unique(labels[both], return_inverse=True)
    if not len(new_ids):
        return []
    table = sparse.coo_array((np.ones(len(new)), (new, old))).tocsr().tocoo()
    old_area = np.bincount(before.ravel())[old_ids[table.col]]
    new_area = np.bincount(labels.ravel())[new_ids[table.row]]
    iou = table.data / (old_area + new_area - table.data)
    kept = iou >= least_iou
    rows, columns, iou = table.row[kept], table.col[kept], iou[kept]
    pairs = []
    for part in _neighbourhoods(rows, columns, len(new_ids), len(old_ids)):
        some_new, at_new = np.unique(rows[part], return_inverse=True)
        some_old, at_old = np.unique(columns[part], return_inverse=True)
        score = np.zeros((len(some_new), len(some_old)))
        score[at_new, at_old] = iou[part]
        for i, j in zip(*linear_sum_assignment(score, maximize=True), strict=True):
            if score[i, j] > 0:
                pairs.append((int(new_ids[some_new[i]]), int(old_ids[some_old[j]])))
    return pairs


def _neighbourhoods(
    rows: NDArray[np.intp], columns: NDArray[np.intp], n_rows: int, n_columns: int
) -> list[NDArray[np.intp]]:
    """Groups of pairs that share no cell: each is assigned by itself, so that tables are small."""
    nodes = n_rows + n_columns
    graph = sparse.coo_array((np.ones(len(rows)), (rows, n_rows + columns)), (nodes, nodes))
    _, group = connected_components(graph, directed=False)
    order = np.argsort(group[rows], kind="stable")
    ends = np.flatnonzero(np.diff(group[rows][order])) + 1
    return [part for part in np.split(order, ends) if len(part)]


def _size(labels: NDArray[np.int32]) -> str:
    return " × ".join(map(str, labels.shape))
