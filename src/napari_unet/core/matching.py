"""Which true and predicted cells of one image lie on each other, and which of them are pairs.

Labels are integers, > 0 an instance; everything else (0, and the −1 of painted background) is
background. What nobody said anything about is left out, see `find_overlaps`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from napari_unet.core.errors import InputError

Labels: TypeAlias = NDArray[np.integer[Any]]


@dataclass(frozen=True, eq=False)
class Overlaps:
    """The cells of truth and prediction that count, and the pairs of them that share pixels.

    A cell goes by its row here, 1 … n in the order of its number; row 0 is the background.

    Attributes
    ----------
    true_ids, pred_ids : (n + 1,) and (m + 1,) int64 arrays
        The number that each cell has in the label images.
    true_index, pred_index : int64 arrays of the image's shape
        The row of the cell at each pixel. True cells that do not count are background here.
    known : bool array of the image's shape
        The pixels that count.
    true_area, pred_area : (n + 1,) and (m + 1,) int64 arrays
        Known pixels of each cell.
    counts_true, counts_pred : (n + 1,) and (m + 1,) bool arrays
        Whether a cell counts.
    true_of, pred_of, overlap : (p,) int64 arrays
        Pairs of cells that count, by rows, and the pixels that they share.
    """

    true_ids: NDArray[np.int64]
    pred_ids: NDArray[np.int64]
    true_index: NDArray[np.int64]
    pred_index: NDArray[np.int64]
    known: NDArray[np.bool_]
    true_area: NDArray[np.int64]
    pred_area: NDArray[np.int64]
    counts_true: NDArray[np.bool_]
    counts_pred: NDArray[np.bool_]
    true_of: NDArray[np.int64]
    pred_of: NDArray[np.int64]
    overlap: NDArray[np.int64]

    @property
    def iou(self) -> NDArray[np.float64]:
        """Intersection over union of each pair."""
        union = self.true_area[self.true_of] + self.pred_area[self.pred_of] - self.overlap
        return np.asarray(self.overlap / union, np.float64)

    @property
    def mostly_found(self) -> NDArray[np.bool_]:
        """The pairs in which the prediction holds more than half of the true cell."""
        return np.asarray(2 * self.overlap > self.true_area[self.true_of], np.bool_)

    def match(self, threshold: float) -> NDArray[np.int64]:
        """The pairs of a largest one-to-one matching among those with at least this IoU.

        Two instances that both reach IoU 0.5 with a third are its two halves and touch nothing
        else, so that good pairs are alone or two at one instance; of two, that of the lower
        numbers is taken.

        Parameters
        ----------
        threshold : float
            From 0.5 to 1.

        Returns
        -------
        (k,) int64 array
            Positions in `true_of` and `pred_of`, in the order of the true cells.

        Raises
        ------
        InputError
            For a threshold below 0.5, where a matching is not this simple.
        """
        if not 0.5 <= threshold <= 1:
            raise InputError(f"An IoU of {threshold:g} makes no pairs: choose 0.5 to 1.")
        good = np.flatnonzero(self.iou >= threshold)
        good = good[np.lexsort((self.pred_of[good], self.true_of[good]))]
        for cells in (self.true_of, self.pred_of):
            good = good[np.unique(cells[good], return_index=True)[1]]
        return good[np.argsort(self.true_of[good])]

    def find_merged(self) -> NDArray[np.int64]:
        """Rows of the predicted cells that hold more than half of each of two or more true ones."""
        return _repeated(self.pred_of[self.mostly_found])

    def find_split(self) -> NDArray[np.int64]:
        """Rows of the true cells that two or more predicted ones share among them.

        Each of these lies with more than half of its known pixels in the true cell, and together
        they cover more than half of it.
        """
        inside = 2 * self.overlap > self.pred_area[self.pred_of]
        covered = np.bincount(
            self.true_of[inside], weights=self.overlap[inside], minlength=len(self.true_area)
        )
        rows = _repeated(self.true_of[inside])
        return rows[2 * covered[rows] > self.true_area[rows]]


def find_overlaps(
    truth: Labels, prediction: Labels, supervision: NDArray[np.bool_] | None = None
) -> Overlaps:
    """Find out which cells count and which of them share pixels.

    A cell is in or out as a whole: one of the truth that is half or more in supervised area
    counts with all its pixels, any other with none; a predicted one that is more than half in
    unsaid area does not count.

    Parameters
    ----------
    truth, prediction : integer arrays of one shape, usually (H, W)
        > 0 an instance; the numbers need not match nor be without gaps.
    supervision : bool array of that shape, optional
        False where nothing is known of the truth; None: everything is known.

    Raises
    ------
    InputError
        For shapes that differ and for labels that are not integers.
    """
    truth, prediction = check_pair(truth, prediction, supervision)
    known = np.ones(truth.shape, bool) if supervision is None else np.asarray(supervision, bool)
    true_ids, true_index = number_cells(truth)
    pred_ids, pred_index = number_cells(prediction)
    if supervision is not None:
        known, true_index = _whole_cells(true_index, len(true_ids), known)
    true_area = np.bincount(true_index.ravel(), minlength=len(true_ids))
    whole_area = np.bincount(pred_index.ravel(), minlength=len(pred_ids))
    pred_area = np.bincount(pred_index[known], minlength=len(pred_ids))
    counts_true, counts_pred = true_area > 0, 2 * pred_area >= whole_area
    counts_true[0] = counts_pred[0] = False

    both = known & (true_index > 0) & (pred_index > 0)
    table = sparse.coo_array(
        (np.ones(int(both.sum()), np.int64), (true_index[both], pred_index[both])),
        shape=(len(true_ids), len(pred_ids)),
    )
    table.sum_duplicates()
    in_play = counts_pred[table.col]
    return Overlaps(
        true_ids,
        pred_ids,
        true_index,
        pred_index,
        known,
        true_area,
        pred_area,
        counts_true,
        counts_pred,
        true_of=table.row[in_play].astype(np.int64),
        pred_of=table.col[in_play].astype(np.int64),
        overlap=table.data[in_play],
    )


def check_pair(
    truth: Labels, prediction: Labels, supervision: NDArray[np.bool_] | None = None
) -> tuple[Labels, Labels]:
    """Truth and prediction as arrays; an `InputError` where they are no labels of one size."""
    truth, prediction = np.asarray(truth), np.asarray(prediction)
    for name, labels in (("truth", truth), ("prediction", prediction)):
        if labels.dtype.kind not in "iub":
            raise InputError(
                f"The labels of the {name} are of type {labels.dtype}: give whole numbers, "
                "one per instance."
            )
    if truth.shape != prediction.shape:
        raise InputError(
            f"The truth is {_size(truth)} pixels but the prediction is {_size(prediction)}: "
            "give label images of the same size."
        )
    if supervision is not None and np.shape(supervision) != truth.shape:
        raise InputError(
            f"The supervision mask is {_size(supervision)} pixels but the truth is "
            f"{_size(truth)}: give a mask of the same size."
        )
    return truth, prediction


def number_cells(labels: Labels) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """A 0 and the distinct ids > 0, and the labels renumbered 1 … n in that order."""
    index = np.zeros(labels.shape, np.int64)
    cells = labels > 0
    ids, inverse = np.unique(labels[cells], return_inverse=True)
    index[cells] = inverse.ravel() + 1
    return np.append(0, ids).astype(np.int64), index


def _whole_cells(
    index: NDArray[np.int64], n: int, known: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Make each true cell known as a whole or not at all, whichever more of its pixels are."""
    area = np.bincount(index.ravel(), minlength=n)
    said = np.bincount(index[known], minlength=n)
    kept = 2 * said >= area
    known = np.where(index > 0, kept[index], known)
    return known, np.where(kept[index], index, 0)


def _repeated(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """The rows that stand there more than once, in order."""
    values, counts = np.unique(rows, return_counts=True)
    return values[counts > 1]


def _size(array: NDArray[Any]) -> str:
    return " × ".join(str(n) for n in np.shape(array)) or "0-dimensional"
