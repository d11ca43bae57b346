"""Models judged by images with known cells: predicted, scored and tuned one image at a time."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from statistics import median
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.annotation import supervision
from napari_unet.core.checkpoint import Model
from napari_unet.core.config import PredictConfig
from napari_unet.core.events import exhaust
from napari_unet.core.matching import Cells, Labels, as_layers
from napari_unet.core.metrics import ImageScores, Scored, average, drop_small, score_image
from napari_unet.core.prediction import gather, predict
from napari_unet.core.tuning import Seen, Tried, Tuned, tune
from napari_unet.core.types import Sample

_FIGURES = ("ap50", "ap75", "f1_50", "pq", "seg", "mean_ap", "iou", "images", "n_true", "n_pred")


def summarize(scored: Sequence[Scored]) -> dict[str, float]:
    """Means over the images as one row, and the median seconds of one: the first one warms up.

    Raises
    ------
    InputError
        Where there are none.
    """
    scores = average([one.scores for one in scored])
    figures = {key: scores[key] for key in _FIGURES}
    return {**figures, "seconds": median(one.seconds for one in scored)}


def score_labels(sample: Sample, prediction: Cells, min_size: int = 0) -> ImageScores | None:
    """As `score_cells`, by what is said of an image, which itself is not looked at."""
    return score_cells(sample.labels, prediction, min_size, sample.complete)


def score_cells(
    truth: Cells,
    prediction: Cells,
    min_size: int = 0,
    complete: NDArray[np.bool_] | None = None,
) -> ImageScores | None:
    """Score a prediction by what is said of an image; None where nothing is.

    Parameters
    ----------
    truth, prediction : (H, W) integer array, or tuple of them where cells overlap
        As for `metrics.score_image`; the truth may say background by −1.
    min_size : int
        Instances of fewer pixels are left out on both sides.
    complete : (H, W) bool array, optional
        As that of a `Sample`.
    """
    known = supervision(np.max(as_layers(truth), axis=0), complete)
    if not known.any():
        return None
    true_cells, found = (
        tuple(drop_small(labels, min_size) for labels in as_layers(cells))
        for cells in (truth, prediction)
    )
    return score_image(true_cells, found, known)


def score_model(
    model: Model,
    samples: Iterable[Sample],
    config: PredictConfig | None = None,
    min_size: int = 0,
    keep: Callable[[Sample, Labels], object] | None = None,
) -> Generator[Scored, None, list[Scored]]:
    """Predict and score each image; those of which nothing is known are left out.

    Parameters
    ----------
    model : Model
    samples : iterable of Sample
        Gone through once; one image is held at a time.
    config : PredictConfig, optional
    min_size : int
        Instances of fewer pixels are left out on both sides.
    keep : callable, optional
        Gets each image and its predicted labels, (H, W) int32.

    Yields
    ------
    Scored
        After each image.

    Returns
    -------
    list of Scored
        All of them.

    Raises
    ------
    InputError
        If an image does not fit the model or its labels.
    """
    scored: list[Scored] = []
    for sample in samples:
        begin = perf_counter()
        prediction = exhaust(predict(model, sample.image, config, name=sample.name))
        seconds = perf_counter() - begin
        if keep is not None:
            keep(sample, prediction.labels)
        scores = score_labels(sample, prediction.labels, min_size)
        if scores is not None:
            scored.append(Scored(sample.name, scores, seconds))
            yield scored[-1]
    return scored


def tune_model(
    model: Model,
    samples: Iterable[Sample],
    config: PredictConfig | None = None,
    min_size: int = 0,
) -> Generator[Tried, None, Tuned]:
    """Find how cells are best made of what a model says; the model stays. See `tuning.tune`.

    Parameters are those of `score_model`.

    Raises
    ------
    InputError
        If an image does not fit the model, or there is no true cell.
    """
    config = config or PredictConfig()
    start = config.instances or model.card.instances
    return (yield from tune(_see(model, samples, config, min_size), start))


def _see(
    model: Model, samples: Iterable[Sample], config: PredictConfig, min_size: int
) -> Iterator[Seen]:
    for sample in samples:
        known = supervision(sample.labels, sample.complete)
        if not known.any():
            continue
        stitcher = exhaust(gather(model, sample.image, config, name=sample.name))
        yield Seen(stitcher.evidence(), np.maximum(sample.labels, 0), known, min_size)
