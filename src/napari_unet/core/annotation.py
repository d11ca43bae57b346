"""What paint means: which pixels are said, what they teach, and what looks wrong in them.

One label image, int32: > 0 a cell instance, -1 background said explicitly, 0 not said. A
*complete region* says that in it everything that is a cell is painted, so that 0 means
background there. With neither a -1 nor a region the whole frame counts as complete. Unsaid
pixels carry no loss, no weight and no metric.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from napari_unet.core.border_weights import border_term, class_weight_values, cut_ridge
from napari_unet.core.config import WeightConfig
from napari_unet.core.errors import InputError
from napari_unet.core.types import Region, Sample

Mask = NDArray[np.bool_]
Labels = NDArray[np.int32]


def check_labels(
    labels: ArrayLike, shape: tuple[int, ...] | None = None, name: str = "labels"
) -> Labels:
    """Labels from anywhere as int32, or a sentence why they are none.

    Parameters
    ----------
    labels : (H, W) array of any integer dtype, or of floats without fractions
    shape : (H, W), optional
        Of the image they belong to.
    name : str
        How an error calls them.

    Raises
    ------
    InputError
        For fractions, values below -1 or beyond int32, another shape, more or fewer than 2 axes.
    """
    array = np.asarray(labels)
    if array.ndim != 2:
        raise InputError(f"{name} has {array.ndim} axes where rows and columns are needed.")
    if shape is not None and array.shape != tuple(shape):
        raise InputError(
            f"{name} is {_size(array.shape)} px but the image is {_size(shape)} px: "
            "they must be of the same size."
        )
    if array.dtype.kind not in "biu":
        whole = array.dtype.kind == "f" and np.isfinite(array).all() and (array % 1 == 0).all()
        if not whole:
            raise InputError(
                f"{name} holds {array.dtype} values that are no whole numbers: labels are "
                "integers, one a cell."
            )
    if array.size and (array.min() < -1 or array.max() > np.iinfo(np.int32).max):
        raise InputError(
            f"{name} goes from {array.min():g} to {array.max():g}: cells are 1 … 2147483647, "
            "-1 is background and 0 is unsaid."
        )
    return np.ascontiguousarray(array, dtype=np.int32)


def supervision(labels: NDArray[Any], complete: Mask | None = None) -> Mask:
    """Where something is said: (H, W) bool.

    Painted pixels, background said, and complete regions; the whole frame when neither a -1 nor
    a region is there.
    """
    background = labels < 0
    if complete is None and not background.any():
        return np.ones(labels.shape, np.bool_)
    known: Mask = (labels > 0) | background
    return known if complete is None else known | complete


def class_index(
    labels: NDArray[Any], classes: Mapping[int, int], config: WeightConfig
) -> NDArray[np.uint8]:
    """The class that each pixel should get: 0 background, 1 … K; the cut ridge is background."""
    index = (labels > 0).astype(np.uint8)
    for label, kind in classes.items():
        if kind != 1:
            index[labels == label] = kind
    if config.ridge:
        index[cut_ridge(labels, config.ridge)] = 0
    return index


def weight_map(sample: Sample, config: WeightConfig) -> NDArray[np.float32]:
    """w(x) of one image as the loss uses it and the layer shows it, 0 where nothing is said.

    w_c is balanced over this image alone; training balances it over all images.
    """
    known = supervision(sample.labels, sample.complete)
    index = class_index(sample.labels, sample.classes, config)
    counts = np.bincount(index[known], minlength=1 + max(1, *sample.classes.values(), 1))
    weight = border_term(sample.labels, config)
    weight += class_weight_values(counts, config.class_weights)[index]
    weight *= known
    return weight


@dataclass(frozen=True)
class Summary:
    """The annotation in figures; `unsaid` is a share of the frame, `touching` counts cells."""

    cells: int
    touching: int
    background_said: bool
    unsaid: float
    whole_frame: bool


def summarize(labels: NDArray[Any], complete: Mask | None = None) -> Summary:
    """Count what is painted."""
    known = supervision(labels, complete)
    ridge = cut_ridge(labels)
    return Summary(
        cells=len(_ids(labels)),
        touching=len(_ids(labels[ridge])),
        background_said=bool((labels < 0).any()),
        unsaid=1 - float(known.mean()) if known.size else 0.0,
        whole_frame=complete is None and bool(known.all()),
    )


@dataclass(frozen=True)
class Finding:
    """Something in the paint that looks like a slip: a sentence, the cell, where to look."""

    sentence: str
    label: int
    region: Region


def findings(labels: NDArray[Any], speck: int = 10) -> list[Finding]:
    """Cells in several places and specks, in the order of their labels.

    Parameters
    ----------
    labels : (H, W) integer array
    speck : int
        Cells of fewer pixels than this are reported.
    """
    found = []
    for label, box in _boxes(labels).items():
        cell = labels[box] == label
        parts, count = ndimage.label(cell, np.ones((3, 3)))
        area = int(cell.sum())
        if count > 1:
            smallest = int(np.argmin(np.bincount(parts.ravel())[1:])) + 1
            inner = ndimage.find_objects(parts)[smallest - 1]
            region = _shift(inner, box)
            found.append(Finding(f"Cell {label} lies in {count} places.", label, region))
        elif area < speck:
            found.append(Finding(f"Cell {label} is a speck of {area} px.", label, box))
    return found


def check_trainable(samples: Sequence[Sample]) -> None:
    """Raise an `InputError` where the samples can teach nothing, in one sentence."""
    if not samples:
        raise InputError("There is no image to train on: choose at least one with its labels.")
    cells = background = False
    for sample in samples:
        if sample.image.ndim != 3 or not sample.image.size:
            raise InputError(f"{sample.name} is no image of (channels, rows, columns) with pixels.")
        if len(sample.image) != len(samples[0].image):
            raise InputError(
                f"{sample.name} has {len(sample.image)} channels but {samples[0].name} has "
                f"{len(samples[0].image)}: train on images of one kind."
            )
        labels = check_labels(sample.labels, sample.image.shape[1:], f"labels of {sample.name}")
        cells |= bool((labels > 0).any())
        background |= bool((supervision(labels, sample.complete) & (labels <= 0)).any())
    if not cells:
        said = "only background is" if any((s.labels < 0).any() for s in samples) else "nothing is"
        raise InputError(f"No cell is painted ({said}): paint a few cells first.")
    if not background:
        raise InputError(
            "Everything that is said is cell: paint some background, or mark a region in which "
            "all cells are painted."
        )


def _ids(labels: NDArray[Any]) -> NDArray[Any]:
    ids = np.unique(labels)
    return ids[ids > 0]


def _boxes(labels: NDArray[Any]) -> dict[int, Region]:
    """The bounding box of each cell; labels may be sparse and large."""
    ids, compact = np.unique(labels, return_inverse=True)
    places = ndimage.find_objects(compact.reshape(labels.shape) + 1)
    return {int(i): box for i, box in zip(ids, places, strict=True) if i > 0}


def _shift(inner: Region, outer: Region) -> Region:
    rows, columns = (
        slice(o.start + i.start, o.start + i.stop) for i, o in zip(inner, outer, strict=True)
    )
    return rows, columns


def _size(shape: Iterable[int]) -> str:
    return " × ".join(map(str, shape))
