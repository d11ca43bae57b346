"""How good is a segmentation: instances matched one to one by IoU, and the foreground as pixels.

Labels are integers, > 0 an instance; everything else (0, and the −1 of painted background) is
background. What nobody said anything about is left out, see `ImageScores`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import adapted_rand_error as skimage_rand_error

from napari_unet.core.errors import InputError
from napari_unet.core.matching import (
    Cells,
    Labels,
    Overlaps,
    as_layers,
    check_pair,
    find_overlaps,
    number_cells,
)

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
        Sum of IoU over the matched pairs with IoU > 0.5 (`n_pq` of them), for the panoptic quality.
    n_pq : int
        Matched pairs with IoU > 0.5.
    seg_sum : float
        Sum over the true cells of the Jaccard index with the prediction that holds more than
        half of the cell, for SEG.
    intersection, union : int
        Foreground pixels common to both, and in either.
    n_merged : int
        Predicted cells that hold more than half of each of two or more true cells.
    n_split : int
        True cells that two or more predicted ones share among them: each lies with more than half
        of its pixels in the true cell, and together they cover more than half of it.
    """

    true_positives: NDArray[np.int64]
    n_true: int
    n_pred: int
    iou_sum: float
    n_pq: int
    seg_sum: float
    intersection: int
    union: int
    n_merged: int
    n_split: int

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
            self.n_merged + other.n_merged,
            self.n_split + other.n_split,
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
        """SEG of the Cell Tracking Challenge: mean Jaccard index over the true cells.

        It asks the true cells alone: cells too many do not lower it.
        """
        return _ratio(self.seg_sum, self.n_true)

    def summary(self) -> dict[str, float]:
        """The seven figures that `evaluate` reports, 0 to 1."""
        ap = self.ap
        return {
            "ap50": float(ap[0]),
            "ap75": float(ap[5]),
            "f1_50": float(self.f1[0]),
            "mean_ap": float(ap.mean()),
            "pq": self.pq,
            "seg": self.seg,
            "iou": self.iou,
        }

    def counts(self) -> dict[str, int]:
        """What the figures at IoU 0.5 are ratios of, and how cells were merged and split."""
        found = int(self.true_positives[0])
        return {
            "n_true": self.n_true,
            "n_pred": self.n_pred,
            "true_positives": found,
            "false_positives": self.n_pred - found,
            "false_negatives": self.n_true - found,
            "merged": self.n_merged,
            "split": self.n_split,
        }

    def curve(self) -> dict[str, float]:
        """AP at each of `THRESHOLDS`, by the threshold's name: "0.50" … "0.95"."""
        return {f"{t:.2f}": float(ap) for t, ap in zip(THRESHOLDS, self.ap, strict=True)}


@dataclass(frozen=True, eq=False)
class Scored:
    """One image was scored; `seconds` its prediction took, 0 where it was there already."""

    name: str
    scores: ImageScores
    seconds: float = 0.0


def score_image(
    truth: Cells, prediction: Cells, supervision: NDArray[np.bool_] | None = None
) -> ImageScores:
    """Count matches between true and predicted instances of one image.

    Parameters
    ----------
    truth, prediction : integer array, or tuple of them, of one shape, usually (H, W)
        > 0 an instance; the numbers need not match nor be without gaps. Instances that overlap
        are in several arrays, each whole in one of them.
    supervision : bool array of that shape, optional
        False where nothing is known of the truth; None: everything is known.

    Raises
    ------
    InputError
        For shapes that differ and for labels that are not integers.
    """
    return score_overlaps(find_overlaps(truth, prediction, supervision))


def score_overlaps(overlaps: Overlaps) -> ImageScores:
    """As `score_image`, of overlaps that were found already."""
    iou, in_truth = overlaps.iou, overlaps.known & (overlaps.true_index > 0)
    predicted = overlaps.known & (overlaps.pred_index > 0)
    over_half = overlaps.match(np.nextafter(0.5, 1))  # one half itself is not enough
    return ImageScores(
        true_positives=np.array([len(overlaps.match(t)) for t in THRESHOLDS]),
        n_true=int(overlaps.counts_true.sum()),
        n_pred=int(overlaps.counts_pred.sum()),
        iou_sum=float(iou[over_half].sum()),
        n_pq=len(over_half),
        seg_sum=float(iou[overlaps.mostly_found].sum()),
        intersection=int((in_truth & predicted).sum()),
        union=int((in_truth | predicted).sum()),
        n_merged=len(overlaps.find_merged()),
        n_split=len(overlaps.find_split()),
    )


def score_classes(
    truth: Cells,
    prediction: Cells,
    true_classes: Mapping[int, int],
    pred_classes: Mapping[int, int],
    supervision: NDArray[np.bool_] | None = None,
) -> dict[int, ImageScores]:
    """Score the cells of each class alone: one of another class is neither to be found nor found.

    Parameters
    ----------
    truth, prediction, supervision
        As for `score_image`.
    true_classes, pred_classes : mapping of label to class
        Class 1 … K of each cell; a label that is not in it is of class 1.

    Returns
    -------
    dict of class to ImageScores
        For each class of which there is a cell in truth or prediction, in order.
    """
    truths, predictions = as_layers(truth), as_layers(prediction)
    for one, other in product(truths, predictions):
        check_pair(one, other, supervision)
    kinds_true = [_classes_at(labels, true_classes) for labels in truths]
    kinds_pred = [_classes_at(labels, pred_classes) for labels in predictions]
    kinds = np.unique(np.concatenate([each.ravel() for each in (*kinds_true, *kinds_pred)]))
    return {
        int(kind): score_image(
            _of_class(truths, kinds_true, kind),
            _of_class(predictions, kinds_pred, kind),
            supervision,
        )
        for kind in kinds[kinds > 0]
    }


def evaluate(
    truth: Labels | Sequence[Labels],
    prediction: Labels | Sequence[Labels],
    supervision: NDArray[np.bool_] | Sequence[NDArray[np.bool_] | None] | None = None,
) -> dict[str, float]:
    """Score one image (2-D arrays) or several (a sequence of them, or a stack).

    Returns
    -------
    dict
        ``ap50 ap75 f1_50 mean_ap pq seg iou``: means over the images, as DSB 2018 reports them; an
        image with no cell in truth and prediction counts 1. ``pooled_…`` the same from counts
        summed over the images before the ratio. ``images`` and the `ImageScores.counts` behind
        it, sums over the images. An image of which nothing is supervised is left out.

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
    return average(
        [
            score_image(t, p, m)
            for t, p, m in zip(truths, predictions, masks, strict=True)
            if m is None or np.any(m)
        ]
    )


def average(scores: Sequence[ImageScores]) -> dict[str, float]:
    """Means over images, and pooled, of scores of each of them: what `evaluate` returns.

    Raises
    ------
    InputError
        Where there are none.
    """
    if not scores:
        raise InputError(
            "There is nothing to score: no image was given in which any pixel is supervised."
        )
    each = [score.summary() for score in scores]
    pooled = pool(scores)
    result = {key: float(np.mean([one[key] for one in each])) for key in each[0]}
    result |= {f"pooled_{key}": value for key, value in pooled.summary().items()}
    return result | {"images": len(scores)} | pooled.counts()


def pool(scores: Sequence[ImageScores]) -> ImageScores:
    """The counts of one or more images added up."""
    total = scores[0]
    for score in scores[1:]:
        total = total + score
    return total


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
    truth, prediction = check_pair(truth, prediction)
    truth = number_cells(truth)[1]
    if not truth.any():
        raise InputError("The truth has no cell, so it has no Rand error: give one with cells.")
    return float(skimage_rand_error(truth, number_cells(prediction)[1])[0])


def _classes_at(labels: Labels, classes: Mapping[int, int]) -> NDArray[np.int64]:
    """The class of the cell at each pixel, 0 where there is none."""
    ids, index = number_cells(labels)
    kinds = np.array([0, *(classes.get(int(label), 1) for label in ids[1:])], np.int64)
    return kinds[index]


def _of_class(
    layers: Sequence[Labels], kinds: Sequence[NDArray[np.int64]], kind: int
) -> tuple[Labels, ...]:
    """The cells of one class alone."""
    pairs = zip(layers, kinds, strict=True)
    return tuple(np.where(at == kind, labels, 0) for labels, at in pairs)


def _as_sequence(images: Any) -> Sequence[Any]:
    return [images] if isinstance(images, np.ndarray) and images.ndim == 2 else images


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else 1.0


def _ratios(parts: NDArray[np.int64], wholes: Any) -> NDArray[np.float64]:
    ratios = np.ones(parts.shape)
    np.divide(parts, wholes, out=ratios, where=np.asarray(wholes) != 0)
    return ratios
