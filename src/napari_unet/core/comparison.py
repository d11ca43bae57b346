"""Truth against prediction, cell by cell: label images of what is right and wrong, to look at.

And of where two predictions of one image differ by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.annotation import supervision
from napari_unet.core.errors import InputError
from napari_unet.core.label_boxes import find_boxes
from napari_unet.core.matching import Cells, as_layers, find_overlaps
from napari_unet.core.metrics import ImageScores, score_classes, score_overlaps
from napari_unet.core.types import Region, Sample

Kind = TypeVar("Kind", bound=StrEnum)


class Verdict(StrEnum):
    """What can be said of a cell, in the words the person reads."""

    TRUE_POSITIVE = "true positive"
    FALSE_POSITIVE = "false positive"
    FALSE_NEGATIVE = "false negative"
    MERGED = "merged"
    SPLIT = "split"


class Difference(StrEnum):
    """How two predictions, A and B, differ in a cell, in the words the person reads."""

    FIRST_FINDS = "A finds, B misses"
    SECOND_FINDS = "B finds, A misses"
    FIRST_INVENTS = "false in A alone"
    SECOND_INVENTS = "false in B alone"


@dataclass(frozen=True)
class Pair:
    """A true and a predicted cell that are one match, by their numbers, and their IoU."""

    true: int
    predicted: int
    iou: float


@dataclass(frozen=True, eq=False)
class MatchMap:
    """Where a prediction is right and where it is wrong.

    Attributes
    ----------
    labels : dict of Verdict to (H, W) int32 array
        The cells of each kind under the numbers that they have, 0 elsewhere: true positives,
        false positives and merged ones are cells of the prediction, false negatives and split
        ones of the truth. Merged and split are as for `ImageScores`; a cell that is one may be a
        true or false positive or negative as well. Cells that do not count stand in none. Of
        cells that overlap one is drawn over the other.
    places : dict of Verdict to tuple of Region
        The bounding box of each of these cells, in the order of their numbers.
    pairs : tuple of Pair
        The matches, in the order of the true cells.
    scores : ImageScores
        Of the same two label images.
    known : float
        Fraction of the pixels that count, 0 to 1.
    by_class : dict of class to ImageScores
        Of the cells of each class alone; empty where there is one class only, or none is said.
    """

    labels: dict[Verdict, NDArray[np.int32]]
    places: dict[Verdict, tuple[Region, ...]]
    pairs: tuple[Pair, ...]
    scores: ImageScores
    known: float = 1.0
    by_class: dict[int, ImageScores] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class DifferenceMap:
    """Where two predictions of one image differ by the truth.

    Attributes
    ----------
    labels : dict of Difference to (H, W) int32 array
        The cells of each kind under the numbers that they have, 0 elsewhere: those that one finds
        and the other misses are cells of the truth, false ones cells of the prediction that has
        them.
    places : dict of Difference to tuple of Region
        The bounding box of each of these cells, in the order of their numbers.
    """

    labels: dict[Difference, NDArray[np.int32]]
    places: dict[Difference, tuple[Region, ...]]


def explain(
    truth: Cells,
    prediction: Cells,
    supervision: NDArray[np.bool_] | None = None,
    threshold: float = 0.5,
) -> MatchMap:
    """Say of each cell what it is.

    Parameters
    ----------
    truth, prediction : (H, W) integer array, or tuple of them where cells overlap
        > 0 an instance, anything else background. Each cell is whole in one array of a tuple.
    supervision : (H, W) bool array, optional
        False where nothing is known of the truth; see `matching.find_overlaps` for the cells that
        count then.
    threshold : float
        IoU from which two cells are a match, 0.5 to 1.

    Raises
    ------
    InputError
        For shapes that differ, labels that are not integers or beyond int32, and a threshold out
        of range.
    """
    overlaps = find_overlaps(truth, prediction, supervision)
    highest = max(int(overlaps.true_ids[-1]), int(overlaps.pred_ids[-1]))
    if highest > np.iinfo(np.int32).max:
        raise InputError(f"The labels go up to {highest}: renumber them below 2 147 483 648.")
    matched = overlaps.match(threshold)
    true_rows, pred_rows = overlaps.true_of[matched], overlaps.pred_of[matched]
    missed, false = overlaps.counts_true.copy(), overlaps.counts_pred.copy()
    missed[true_rows] = False
    false[pred_rows] = False
    of_truth = overlaps.true_index, overlaps.true_ids
    of_prediction = overlaps.pred_index, overlaps.pred_ids
    kinds = {
        Verdict.TRUE_POSITIVE: (np.sort(pred_rows), of_prediction, prediction),
        Verdict.FALSE_POSITIVE: (np.flatnonzero(false), of_prediction, prediction),
        Verdict.FALSE_NEGATIVE: (np.flatnonzero(missed), of_truth, truth),
        Verdict.MERGED: (overlaps.find_merged(), of_prediction, prediction),
        Verdict.SPLIT: (overlaps.find_split(), of_truth, truth),
    }
    labels = {kind: _keep(rows, *of) for kind, (rows, of, _) in kinds.items()}
    places = {kind: _find_boxes(of[1][rows], cells) for kind, (rows, of, cells) in kinds.items()}
    pairs = zip(
        overlaps.true_ids[true_rows].tolist(),
        overlaps.pred_ids[pred_rows].tolist(),
        overlaps.iou[matched].tolist(),
        strict=True,
    )
    return MatchMap(
        labels,
        places,
        tuple(Pair(*pair) for pair in pairs),
        score_overlaps(overlaps),
        float(overlaps.known.mean()),
    )


def explain_sample(
    sample: Sample,
    prediction: Cells,
    classes: Mapping[int, int] | None = None,
    wholes: Cells | None = None,
) -> MatchMap:
    """Say of each cell what it is, by what is known of an image.

    Parameters
    ----------
    sample : Sample
        Its image is not looked at.
    prediction : (H, W) integer array, or tuple of them where cells overlap
    classes : mapping of label to class, optional
        Of the predicted cells. With it and classes in the sample each class is scored too.
    wholes : as `prediction`, optional
        The cells of the sample where they overlap: its labels give each pixel to one.

    Raises
    ------
    InputError
        As `explain`, and where nothing is known of the image.
    """
    known = supervision(sample.labels, sample.complete)
    if not known.any():
        raise InputError(f"Nothing is painted on {sample.name} that could be judged by.")
    truth = sample.labels if wholes is None else wholes
    found = explain(truth, prediction, known)
    kinds = {*sample.classes.values(), *(classes or {}).values()}
    if not sample.classes or not classes or kinds == {1}:
        return found
    by_class = score_classes(truth, prediction, sample.classes, classes, known)
    return replace(found, by_class=by_class)


def differ(first: MatchMap, second: MatchMap, threshold: float = 0.5) -> DifferenceMap:
    """Find the cells that one of two predictions, A and B, has right and the other has not.

    Parameters
    ----------
    first, second : MatchMap
        Of A and B by the same truth and with this threshold.
    threshold : float
        IoU from which a false cell of A and one of B are the same, 0.5 to 1. A false cell of
        which the other has the same is no difference, whether it is false there too or just
        overlaps enough with a true one.

    Raises
    ------
    InputError
        If they are not of one image, or the threshold is out of range.
    """
    labels = {
        Difference.FIRST_FINDS: _found_here(first, second),
        Difference.SECOND_FINDS: _found_here(second, first),
        Difference.FIRST_INVENTS: _false_here(first, second, threshold),
        Difference.SECOND_INVENTS: _false_here(second, first, threshold),
    }
    return DifferenceMap(labels, _find_places(labels))


def _found_here(one: MatchMap, other: MatchMap) -> NDArray[np.int32]:
    """The true cells that the other misses and this one does not."""
    missed = other.labels[Verdict.FALSE_NEGATIVE]
    found = np.isin(missed, [pair.true for pair in one.pairs])
    return np.where(found, missed, np.int32(0))


def _false_here(one: MatchMap, other: MatchMap, threshold: float) -> NDArray[np.int32]:
    """The false cells of this one that the other has not, neither right nor false."""
    drawn = np.maximum(*(other.labels[v] for v in (Verdict.TRUE_POSITIVE, Verdict.FALSE_POSITIVE)))
    overlaps = find_overlaps(drawn, one.labels[Verdict.FALSE_POSITIVE])
    alone = overlaps.counts_pred.copy()
    alone[overlaps.pred_of[overlaps.match(threshold)]] = False
    return _keep(np.flatnonzero(alone), overlaps.pred_index, overlaps.pred_ids)


def _find_boxes(numbers: NDArray[np.int64], cells: Cells) -> tuple[Region, ...]:
    """The boxes of some cells, each as a whole."""
    boxes = dict(box for labels in as_layers(cells) for box in find_boxes(labels))
    return tuple(boxes[number] for number in numbers.tolist())


def _find_places(labels: Mapping[Kind, NDArray[np.int32]]) -> dict[Kind, tuple[Region, ...]]:
    return {kind: tuple(box for _, box in find_boxes(one)) for kind, one in labels.items()}


def _keep(
    rows: NDArray[np.int64], index: NDArray[np.int64], ids: NDArray[np.int64]
) -> NDArray[np.int32]:
    """The cells of these rows under their own numbers."""
    numbers: NDArray[Any] = np.zeros(len(ids), np.int32)
    numbers[rows] = ids[rows]
    kept: NDArray[np.int32] = numbers[index]
    return kept
