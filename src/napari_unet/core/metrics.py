"""How good is a segmentation: instances matched one to one by IoU, and the foreground as pixels.

Labels are integers, > 0 an instance; everything else (0, and the −1 of painted background) is
background. What nobody said anything about is left out, see `ImageScores`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from skimage.metrics import adapted_rand_error as skimage_rand_error

from napari_unet.core.errors import InputError

Labels: TypeAlias = NDArray[np.integer[Any]]

THRESHOLDS: NDArray[np.float64] = np.arange(10, 20) / 20
"""IoU 0.5, 0.55 … 0.95, each the double nearest to it, so that IoU 11/20 counts at 0.55."""


@dataclass(frozen=True, eq=False)
class ImageScores:
    """The counts of one image, or of several added up; the scores are ratios of them.

    A cell is in or out as a whole: one of the truth that is half or more in supervised area
    counts with all its pixels, any other with none; a predicted one that is more than half in
    unsaid area is left out, so it is neither a match nor a false positive. A ratio of nothing
    to nothing is 1: there was nothing to find and nothing was found.

    Attributes
    ----------
    true_positives : (10,) int array
        Matched pairs at each of `THRESHOLDS`.
    n_true, n_pred : int
        Instances that count.
    iou_sum : float
        Sum of IoU over the pairs with IoU > 0.5 (`n_pq` of them), for the panoptic quality.
    n_pq : int
        Pairs with IoU > 0.5.
    seg_sum : float
        Sum over the true cells of the Jaccard index with the prediction that holds more than
        half of the cell, for SEG.
    intersection, union : int
        Foreground pixels common to both, and in either.
    """

    true_positives: NDArray[np.int64]
    n_true: int
    n_pred: int
    iou_sum: float
    n_pq: int
    seg_sum: float
    intersection: int
    union: int

    def __add__(self, other: ImageScores) -> ImageScores:
        return ImageScores(
            self.true_positives + other.true_positives,
            self.n_true + other.n_true,
            self.n_pred + other.n_pred,
            self.iou_sum + other.iou_sum,
            self.n_pq + other.n_pq,
            self.seg_sum + other.seg_sum,
            self.intersection + other.intersection,
            self.union + other.union,
        )

    @property
    def precision(self) -> NDArray[np.float64]:
        """TP / (TP + FP) at each of `THRESHOLDS`."""
        return _ratios(self.true_positives, self.n_pred)

    @property
    def recall(self) -> NDArray[np.float64]:
        """TP / (TP + FN) at each of `THRESHOLDS`."""
        return _ratios(self.true_positives, self.n_true)

    @property
    def f1(self) -> NDArray[np.float64]:
        """2 TP / (2 TP + FP + FN) at each of `THRESHOLDS`."""
        return _ratios(2 * self.true_positives, self.n_true + self.n_pred)

    @property
    def ap(self) -> NDArray[np.float64]:
        """TP / (TP + FP + FN) at each of `THRESHOLDS`: the average precision of DSB 2018."""
        return _ratios(self.true_positives, self.n_true + self.n_pred - self.true_positives)

    @property
    def pq(self) -> float:
        """Panoptic quality, Kirillov et al. 2019: Σ IoU / (TP + FP/2 + FN/2) at IoU > 0.5."""
        return _ratio(2 * self.iou_sum, self.n_true + self.n_pred)

    @property
    def iou(self) -> float:
        """Intersection over union of the foreground pixels."""
        return _ratio(self.intersection, self.union)

    @property
    def dice(self) -> float:
        """2 |A ∩ B| / (|A| + |B|) of the foreground pixels."""
        return _ratio(2 * self.intersection, self.intersection + self.union)

    @property
    def seg(self) -> float:
        """SEG of the Cell Tracking Challenge: mean Jaccard index over the true cells."""
        return _ratio(self.seg_sum, self.n_true)

    def summary(self) -> dict[str, float]:
        """The six figures that `evaluate` reports, 0 to 1."""
        ap = self.ap
        return {
            "ap50": float(ap[0]),
            "ap75": float(ap[5]),
            "f1_50": float(self.f1[0]),
            "mean_ap": float(ap.mean()),
            "pq": self.pq,
            "iou": self.iou,
        }


def score_image(
    truth: Labels, prediction: Labels, supervision: NDArray[np.bool_] | None = None
) -> ImageScores:
    """Count matches between true and predicted instances of one image.

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
    truth, prediction = _check(truth, prediction, supervision)
    known = np.ones(truth.shape, bool) if supervision is None else np.asarray(supervision, bool)
    true_ids, true_index = _compact(truth)
    pred_ids, pred_index = _compact(prediction)
    if supervision is not None:
        known, true_index = _whole_cells(true_index, len(true_ids), known)
    pred_area = np.bincount(pred_index.ravel(), minlength=len(pred_ids) + 1)
    seen_area = np.bincount(pred_index[known], minlength=len(pred_ids) + 1)
    true_area = np.bincount(true_index.ravel(), minlength=len(true_ids) + 1)
    counts_pred = 2 * seen_area >= pred_area
    counts_pred[0] = False
    counts_true = true_area > 0
    counts_true[0] = False

    both = known & (true_index > 0) & (pred_index > 0)
    table = sparse.coo_array(
        (np.ones(int(both.sum()), np.int64), (true_index[both], pred_index[both])),
        shape=(len(true_area), len(pred_area)),
    )
    table.sum_duplicates()
    true_of, pred_of, overlap = table.row, table.col, table.data
    in_play = counts_pred[pred_of]
    true_of, pred_of, overlap = true_of[in_play], pred_of[in_play], overlap[in_play]
    iou = overlap / (true_area[true_of] + seen_area[pred_of] - overlap)
    over_half = iou > 0.5
    return ImageScores(
        true_positives=np.array([_matches(true_of, pred_of, iou >= t) for t in THRESHOLDS]),
        n_true=int(counts_true.sum()),
        n_pred=int(counts_pred.sum()),
        iou_sum=float(iou[over_half].sum()),
        n_pq=int(over_half.sum()),
        seg_sum=float(iou[2 * overlap > true_area[true_of]].sum()),
        intersection=int(both.sum()),
        union=int((known & ((true_index > 0) | (pred_index > 0))).sum()),
    )


def evaluate(
    truth: Labels | Sequence[Labels],
    prediction: Labels | Sequence[Labels],
    supervision: NDArray[np.bool_] | Sequence[NDArray[np.bool_] | None] | None = None,
) -> dict[str, float]:
    """Score one image (2-D arrays) or several (a sequence of them, or a stack).

    Returns
    -------
    dict
        ``ap50 ap75 f1_50 mean_ap pq iou``: means over the images, as DSB 2018 reports them; an
        image with no cell in truth and prediction counts 1. ``pooled_…`` the same from counts
        summed over the images before the ratio. ``images n_true n_pred`` the counts behind it.
        An image of which nothing is supervised is left out.

    Raises
    ------
    InputError
        For sequences of different lengths, shapes that differ, or nothing to score.
    """
    truths, predictions = _as_sequence(truth), _as_sequence(prediction)
    masks: Sequence[NDArray[np.bool_] | None]
    masks = [None] * len(truths) if supervision is None else _as_sequence(supervision)
    if not len(truths) == len(predictions) == len(masks):
        raise InputError(
            f"There are {len(truths)} true label images but {len(predictions)} predicted ones and "
            f"{len(masks)} supervision masks: give one of each per image."
        )
    scores = [
        score_image(t, p, m)
        for t, p, m in zip(truths, predictions, masks, strict=True)
        if m is None or np.any(m)
    ]
    if not scores:
        raise InputError(
            "There is nothing to score: no image was given in which any pixel is supervised."
        )
    each = [score.summary() for score in scores]
    pooled = scores[0]
    for score in scores[1:]:
        pooled = pooled + score
    result = {key: float(np.mean([one[key] for one in each])) for key in each[0]}
    result |= {f"pooled_{key}": value for key, value in pooled.summary().items()}
    return result | {"images": len(scores), "n_true": pooled.n_true, "n_pred": pooled.n_pred}


def drop_small(labels: Labels, min_size: int) -> Labels:
    """Labels without the instances of fewer than `min_size` pixels."""
    ids, index = np.unique(labels, return_inverse=True)
    area = np.bincount(index.ravel())
    kept = np.where((ids > 0) & (area < min_size), 0, ids)
    return kept[index].reshape(labels.shape)


def adapted_rand_error(truth: Labels, prediction: Labels) -> float:
    """1 − F-score of the pixel pairs that belong together, 0 perfect (ISBI 2012 EM challenge).

    Pixels that are no cell in the truth (the membranes) are left out, Arganda-Carreras et al.
    2015. Arrays and errors as for `score_image`.
    """
    truth, prediction = _check(truth, prediction, None)
    truth = _compact(truth)[1]
    if not truth.any():
        raise InputError("The truth has no cell, so it has no Rand error: give one with cells.")
    return float(skimage_rand_error(truth, _compact(prediction)[1])[0])


def _check(
    truth: Labels, prediction: Labels, supervision: NDArray[np.bool_] | None
) -> tuple[Labels, Labels]:
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


def _size(array: NDArray[Any]) -> str:
    return " × ".join(str(n) for n in np.shape(array)) or "0-dimensional"


def _compact(labels: Labels) -> tuple[Labels, NDArray[np.int64]]:
    """The distinct ids > 0, and the labels renumbered 1 … n in that order."""
    index = np.zeros(labels.shape, np.int64)
    cells = labels > 0
    ids, inverse = np.unique(labels[cells], return_inverse=True)
    index[cells] = inverse.ravel() + 1
    return ids, index


def _whole_cells(
    index: NDArray[np.int64], n: int, known: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Make each true cell known as a whole or not at all, whichever more of its pixels are."""
    area = np.bincount(index.ravel(), minlength=n + 1)
    said = np.bincount(index[known], minlength=n + 1)
    kept = 2 * said >= area
    known = np.where(index > 0, kept[index], known)
    return known, np.where(kept[index], index, 0)


def _matches(
    true_of: NDArray[np.int64], pred_of: NDArray[np.int64], good: NDArray[np.bool_]
) -> int:
    """Size of the largest one-to-one matching among the good pairs, all of IoU ≥ 0.5.

    Two instances that both reach IoU 0.5 with a third are its two halves and touch nothing
    else, so good pairs are alone or two at one instance, and counting ends is enough.
    """
    ends = len(np.unique(true_of[good])) + len(np.unique(pred_of[good]))
    return ends - int(good.sum())


def _as_sequence(images: Any) -> Sequence[Any]:
    return [images] if isinstance(images, np.ndarray) and images.ndim == 2 else images


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else 1.0


def _ratios(parts: NDArray[np.int64], wholes: Any) -> NDArray[np.float64]:
    ratios = np.ones(parts.shape)
    np.divide(parts, wholes, out=ratios, where=np.asarray(wholes) != 0)
    return ratios
