"""Which true and predicted cells of one image lie on each other, and which of them are pairs.

Labels are integers, > 0 an instance; everything else (0, and the −1 of painted background) is
background. What nobody said anything about is left out, see `find_overlaps`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from napari_unet.core.errors import InputError
from napari_unet.core.pairing import pair_up

Labels: TypeAlias = NDArray[np.integer[Any]]

Cells: TypeAlias = Labels | tuple[Labels, ...]
"""A label image, or several of one image where cells overlap: each cell is whole in one of them."""


@dataclass(frozen=True, eq=False)
class Overlaps:
    """The cells of truth and prediction that count, and the pairs of them that share pixels.

    A cell goes by its row here, 1 … n in the order of its number; row 0 is the background.

    Attributes
    ----------
    true_ids, pred_ids : (n + 1,) and (m + 1,) int64 arrays
        The number that each cell has in the label images.
    true_index, pred_index : int64 arrays of the image's shape
        The row of the cell at each pixel, of cells that overlap there that of the last. True cells
        that do not count are background here.
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
        """The pairs in which the prediction holds more than half of the true cell.

        One at most of each true cell: where predictions overlap that with the highest IoU.
        """
        return _best_of(self.true_of, self.iou, 2 * self.overlap > self.true_area[self.true_of])

    @property
    def mostly_inside(self) -> NDArray[np.bool_]:
        """The pairs in which the true cell holds more than half of the prediction's known pixels.

        One at most of each prediction: where true cells overlap that with the highest IoU.
        """
        return _best_of(self.pred_of, self.iou, 2 * self.overlap > self.pred_area[self.pred_of])

    def match(self, threshold: float) -> NDArray[np.int64]:
        """The pairs of a largest one-to-one matching among those with at least this IoU.

        Of several such matchings it is that with the highest IoU in sum. Where no cells overlap
        there is hardly a choice: two instances that both reach IoU 0.5 with a third are its two
        halves and touch nothing else; that of the lower number is taken.

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
            For a threshold below 0.5, from which pairs say little.
        """
        if not 0.5 <= threshold <= 1:
            raise InputError(f"An IoU of {threshold:g} makes no pairs: choose 0.5 to 1.")
        iou = self.iou
        good = np.flatnonzero(iou >= threshold)
        good = good[np.lexsort((self.pred_of[good], self.true_of[good]))]
        return good[pair_up(self.true_of[good], self.pred_of[good], iou[good])]

    def find_merged(self) -> NDArray[np.int64]:
        """Rows of the predicted cells that hold more than half of each of two or more true ones."""
        return _repeated(self.pred_of[self.mostly_found])

    def find_split(self) -> NDArray[np.int64]:
        """Rows of the true cells that two or more predicted ones share among them.

        Each of these lies with more than half of its known pixels in the true cell, and together
        they cover more than half of it; what is in several of them counts for each.
        """
        inside = self.mostly_inside
        covered = np.bincount(
            self.true_of[inside], weights=self.overlap[inside], minlength=len(self.true_area)
        )
        rows = _repeated(self.true_of[inside])
        return rows[2 * covered[rows] > self.true_area[rows]]


def find_overlaps(
    truth: Cells, prediction: Cells, supervision: NDArray[np.bool_] | None = None
) -> Overlaps:
    """Find out which cells count and which of them share pixels.

    A cell is in or out as a whole: one of the truth that is half or more in supervised area
    counts with all its pixels, any other with none; a predicted one that is more than half in
    unsaid area does not count.

    Parameters
    ----------
    truth, prediction : integer array, or tuple of them, of one shape, usually (H, W)
        > 0 an instance; the numbers need not match nor be without gaps. Of a tuple no two arrays
        have an instance in common.
    supervision : bool array of that shape, optional
        False where nothing is known of the truth; None: everything is known.

    Raises
    ------
    InputError
        For shapes that differ and for labels that are not integers.
    """
    truths, predictions = as_layers(truth), as_layers(prediction)
    for one, other in product(truths, predictions):
        check_pair(one, other, supervision)
    shape = truths[0].shape
    known = np.ones(shape, bool) if supervision is None else np.asarray(supervision, bool)
    true_ids, true_index = number_cells(np.stack(truths))
    pred_ids, pred_index = number_cells(np.stack(predictions))
    if supervision is not None:
        known, true_index = _whole_cells(true_index, len(true_ids), known)
    true_area = np.bincount(true_index.ravel(), minlength=len(true_ids))
    whole_area = np.bincount(pred_index.ravel(), minlength=len(pred_ids))
    pred_area = np.bincount(pred_index[:, known].ravel(), minlength=len(pred_ids))
    counts_true, counts_pred = true_area > 0, 2 * pred_area >= whole_area
    counts_true[0] = counts_pred[0] = False

    rows, columns = _meet(true_index, pred_index, known)
    table = sparse.coo_array(
        (np.ones(len(rows), np.int64), (rows, columns)), shape=(len(true_ids), len(pred_ids))
    )
    table.sum_duplicates()
    in_play = counts_pred[table.col]
    return Overlaps(
        true_ids,
        pred_ids,
        true_index.max(axis=0),
        pred_index.max(axis=0),
        known,
        true_area,
        pred_area,
        counts_true,
        counts_pred,
        true_of=table.row[in_play].astype(np.int64),
        pred_of=table.col[in_play].astype(np.int64),
        overlap=table.data[in_play],
    )


def as_layers(cells: Cells) -> tuple[Labels, ...]:
    """The label images of an image: one where no cells overlap."""
    return cells if isinstance(cells, tuple) else (np.asarray(cells),)


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
    """Make each true cell known as a whole or not at all, whichever more of its pixels are.

    `index` has a layer for each label image. A pixel of several cells is known if one of them is.
    """
    area = np.bincount(index.ravel(), minlength=n)
    said = np.bincount(index[:, known].ravel(), minlength=n)
    kept = np.where((2 * said >= area)[index], index, 0)
    known = np.where((index > 0).any(axis=0), (kept > 0).any(axis=0), known)
    return known, kept


def _meet(
    true_index: NDArray[np.int64], pred_index: NDArray[np.int64], known: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows of the true and of the predicted cell wherever two meet in a known pixel.

    Two cells meet in one layer of the truth and one of the prediction, so no pixel counts twice.
    """
    rows, columns = [], []
    for truth, prediction in product(true_index, pred_index):
        both = known & (truth > 0) & (prediction > 0)
        rows.append(truth[both])
        columns.append(prediction[both])
    return np.concatenate(rows), np.concatenate(columns)


def _best_of(
    cells: NDArray[np.int64], iou: NDArray[np.float64], among: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Of each cell the pair with the highest IoU among some of its pairs."""
    pairs = np.flatnonzero(among)
    pairs = pairs[np.argsort(-iou[pairs], kind="stable")]
    best = np.zeros(len(among), bool)
    best[pairs[np.unique(cells[pairs], return_index=True)[1]]] = True
    return best


def _repeated(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """The rows that stand there more than once, in order."""
    values, counts = np.unique(rows, return_counts=True)
    return values[counts > 1]


def _size(array: NDArray[Any]) -> str:
    return " × ".join(str(n) for n in np.shape(array)) or "0-dimensional"
