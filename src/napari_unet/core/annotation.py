"""What paint means: labels become instances, background, supervision, targets and weights.

One (H, W) int32 array holds it all: > 0 a cell instance, -1 background said explicitly, 0 not
said. A complete region says that everything that is a cell in it is painted, so that 0 means
background there. With neither a -1 nor a region, the whole frame counts as complete.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from napari_unet.core._label_tables import meet
from napari_unet.core.border_weights import border_term, cut_ridge
from napari_unet.core.class_weights import class_weight_values
from napari_unet.core.config import InstanceConfig, WeightConfig
from napari_unet.core.errors import InputError
from napari_unet.core.instances import split_components
from napari_unet.core.label_boxes import find_boxes, name_densely
from napari_unet.core.regions import shift
from napari_unet.core.types import Region, Sample

BACKGROUND = -1
"""The label that says background."""
MOST_CLASSES = 255


@dataclass(frozen=True)
class Summary:
    """What is painted in one frame.

    `touching` of the `cells` have another cell in their 3×3 neighbourhoods; `unsaid` is the
    fraction of pixels that carry no loss; `whole_frame` says that 0 counts as background all over.
    """

    cells: int
    touching: int
    background_said: bool
    unsaid: float
    whole_frame: bool


@dataclass(frozen=True)
class Finding:
    """One thing in the paint to look at: the sentence, the label, and the box to show."""

    sentence: str
    label: int
    region: Region


def check_labels(
    labels: ArrayLike, shape: tuple[int, ...] | None = None, name: str = "labels"
) -> NDArray[np.int32]:
    """Labels as (H, W) int32, without a copy where they are that already.

    Parameters
    ----------
    labels : (H, W) array
        Integers, or floats that are whole numbers.
    shape : (H, W), optional
        Of the image they belong to.
    name : str
        How the message calls them.

    Raises
    ------
    InputError
        For other than two dimensions, another shape, fractions, NaN, values below -1 or above
        the range of int32.
    """
    array = np.asarray(labels)
    if array.ndim != 2:
        raise InputError(
            f"{name}: the labels have {array.ndim} dimensions; give one plane of (rows, columns)."
        )
    if shape is not None and array.shape != tuple(shape):
        raise InputError(
            f"{name}: the labels are {_size(array.shape)} pixels but the image is {_size(shape)}; "
            "give labels of the image's size."
        )
    if array.dtype.kind == "f":
        if not np.all(np.isfinite(array) & (array == np.floor(array))):
            raise InputError(
                f"{name}: the labels hold fractions or NaN; give whole numbers, one a cell."
            )
    elif array.dtype.kind not in "iub":
        raise InputError(f"{name}: the labels are {array.dtype}; give whole numbers, one a cell.")
    if array.size == 0:
        raise InputError(f"{name}: the labels are empty; give an image with at least one pixel.")
    if array.dtype.kind in "if" and array.min() < BACKGROUND:
        raise InputError(
            f"{name}: the labels go down to {int(array.min())}; "
            "use -1 for background, 0 for not said, and 1 up for cells."
        )
    if array.max() > np.iinfo(np.int32).max:
        raise InputError(
            f"{name}: the labels go up to {int(array.max())}; renumber them below 2 147 483 648."
        )
    return array.astype(np.int32, copy=False)


def supervision(
    labels: NDArray[np.int32], complete: NDArray[np.bool_] | None = None
) -> NDArray[np.bool_]:
    """Pixels of which is known what they are.

    Parameters
    ----------
    labels : (H, W) int32 array
    complete : (H, W) bool array, optional
        True inside complete regions. None, like a mask without a True, is no region.

    Returns
    -------
    (H, W) bool array
        Cells, said background and complete regions; everything where there is neither a -1 nor a
        region.
    """
    said: NDArray[np.bool_] = labels != 0
    if complete is not None and complete.any():
        said |= complete
    elif not (labels == BACKGROUND).any():
        said[...] = True
    return said


def class_index(
    labels: NDArray[np.int32], classes: Mapping[int, int], config: WeightConfig
) -> NDArray[np.uint8]:
    """Class of every pixel as the net is to learn it.

    Parameters
    ----------
    labels : (H, W) int32 array
    classes : mapping of label to class 1 … K
        A label that is not in it is of class 1.
    config : WeightConfig
        Its `ridge` says how touching cells are parted.

    Returns
    -------
    (H, W) uint8 array
        0 background (cut ridges and unsaid pixels included), 1 … K the cell classes.
    """
    index = (labels > 0).astype(np.uint8)
    changed = {label: kind for label, kind in classes.items() if kind != 1 and label > 0}
    for label, kind in changed.items():
        if not 1 <= kind <= MOST_CLASSES:
            raise InputError(
                f"Cell {label} is of class {kind}; classes go from 1 to {MOST_CLASSES}."
            )
    if changed:
        keys = np.array(sorted(changed), np.int64)
        kinds = np.array([changed[int(key)] for key in keys], np.uint8)
        cells = labels[index > 0]
        place = np.minimum(np.searchsorted(keys, cells), keys.size - 1)
        index[index > 0] = np.where(keys[place] == cells, kinds[place], 1)
    if config.ridge:
        index[cut_ridge(labels, config.ridge)] = 0
    return index


def weight_map(sample: Sample, config: WeightConfig) -> NDArray[np.float32]:
    """How much every pixel counts: w_c and the border terms, as the layer shows them.

    In the loss of the paper's network it weighs the class; where a network also learns the distance
    that parts cells, the border term weighs that alone, see `UNetSegmenter.loss`.

    Returns
    -------
    (H, W) float32 array
        The border terms plus w_c of the pixel's class, 0 on pixels that are not said. The class
        weights are counted over the said pixels of this sample alone.
    """
    said = supervision(sample.labels, sample.complete)
    index = class_index(sample.labels, sample.classes, config)
    counts = np.bincount(index[said], minlength=1 + _highest_class(sample))
    weights = class_weight_values(counts, config.class_weights)
    out = border_term(sample.labels, config)
    out += weights[index]
    out *= said
    return out


def summarize(labels: NDArray[np.int32], complete: NDArray[np.bool_] | None = None) -> Summary:
    """Count what is painted: see `Summary`."""
    cells, touching = count_cells(labels)
    background = bool((labels == BACKGROUND).any())
    said = supervision(labels, complete)
    region = complete is not None and bool(complete.any())
    return Summary(
        cells=cells,
        touching=touching,
        background_said=background,
        unsaid=float(1.0 - np.count_nonzero(said) / said.size),
        whole_frame=not background and not region,
    )


def count_cells(labels: NDArray[Any]) -> tuple[int, int]:
    """Count the cells of (H, W) labels, and those of them that touch another one."""
    names, _ = name_densely(labels)
    present, touching = np.zeros((2, int(names.max(initial=0)) + 1), np.bool_)
    meet(names, present, touching)
    return int(np.count_nonzero(present)), int(np.count_nonzero(touching))


def findings(
    labels: NDArray[np.int32],
    *,
    min_size: int = 20,
    max_gap: int = 1,
) -> list[Finding]:
    """Slips in the paint, in the order of their labels.

    Parameters
    ----------
    labels : (H, W) int32 array
    min_size : int
        A part of a cell with fewer pixels is a speck.
    max_gap : int
        Parts of one cell with at most this many pixels between them are one place: the gap is a
        slip of the brush.

    Returns
    -------
    list of Finding
        One id in several places, specks, and one id on what looks like several cells that touch:
        it would be cut by the rule that parts cells in predictions. Cells that touch under
        different ids are fine.
    """
    return list(itertools.chain.from_iterable(look_through(labels, min_size, max_gap)))


def look_through(
    labels: NDArray[np.int32], min_size: int = 20, max_gap: int = 1
) -> Iterator[list[Finding]]:
    """`findings` cell by cell, so that a caller can rest or stop in between."""
    for label, box in find_boxes(labels):
        yield _look_at(labels[box] == label, label, box, min_size, max_gap)


def check_trainable(samples: Iterable[Sample]) -> None:
    """Whether something can be learned from `samples`.

    Raises
    ------
    InputError
        One sentence: no image, an image without labels of its size, nothing painted, no cell, or
        no background to tell cells from.
    """
    samples = tuple(samples)
    if not samples:
        raise InputError("There is no image to train on; add one and paint a few cells.")
    cells = background = painted = False
    for sample in samples:
        labels = check_labels(sample.labels, sample.image.shape[1:], sample.name)
        if sample.complete is not None and sample.complete.shape != labels.shape:
            raise InputError(
                f"{sample.name}: the complete region is {_size(sample.complete.shape)} pixels but "
                f"the image is {_size(labels.shape)}; draw the region again on this image."
            )
        cells |= bool((labels > 0).any())
        painted |= bool(labels.any())
        painted |= sample.complete is not None and bool(sample.complete.any())
        background |= bool((supervision(labels, sample.complete) & (labels <= 0)).any())
    where = samples[0].name if len(samples) == 1 else f"the {len(samples)} images"
    if not painted:
        raise InputError(f"Nothing is painted on {where}; paint a few cells, then train.")
    if not cells:
        raise InputError(
            f"All paint on {where} is background; paint a few cells as well, then train."
        )
    if not background:
        raise InputError(
            f"All paint on {where} is cell; paint some background (label -1) or mark a region as "
            "complete, then train."
        )


def _look_at(
    mask: NDArray[np.bool_], label: int, box: Region, min_size: int, max_gap: int
) -> list[Finding]:
    """Findings of one cell, whose pixels in `box` are `mask`."""
    parts, count = ndimage.label(mask, structure=np.ones((3, 3), bool))
    sizes = np.bincount(parts.ravel(), minlength=count + 1)[1:]
    large = sizes >= min_size
    if not large.any():
        if count == 1:
            return [Finding(f"Cell {label} has only {_pixels(sizes[0])}.", label, box)]
        sentence = f"Cell {label} is {count} specks of at most {_pixels(sizes.max())}."
        return [Finding(sentence, label, box)]
    found = []
    whole = large[parts - 1] & mask
    places = _places(whole, max_gap)
    if places > 1:
        region = shift(ndimage.find_objects(whole.astype(np.uint8))[0], box[0].start, box[1].start)
        sentence = f"Cell {label} is in {places} places; give each its own number."
        found.append(Finding(sentence, label, region))
    elif count == 1 and (joined := _count_joined(whole, min_size)):
        sentence = f"Cell {label} looks like {joined} cells that touch; give each its own number."
        found.append(Finding(sentence, label, box))
    for size, place in zip(sizes, ndimage.find_objects(parts), strict=True):
        if size < min_size:
            sentence = f"A speck of {_pixels(size)} of cell {label} lies apart from it."
            found.append(Finding(sentence, label, shift(place, box[0].start, box[1].start)))
    return found


def _count_joined(mask: NDArray[np.bool_], min_size: int) -> int:
    """How many cells an outline looks like; 0 where it looks like one."""
    padded = np.pad(mask, 1)
    config = InstanceConfig(min_size=min_size)
    parts = split_components(padded.astype(np.int32), padded.astype(np.float32), config)
    count = np.unique(parts[padded]).size
    return count if count > 1 else 0


def _places(mask: NDArray[np.bool_], max_gap: int) -> int:
    """Number of connected parts once gaps of up to `max_gap` pixels are bridged."""
    # A box of side n spans n pixels however it is centred, so two boxes bridge n - 1 between.
    side = np.ones((max_gap + 1, max_gap + 1), bool)
    grown = ndimage.binary_dilation(np.pad(mask, max_gap + 1), side)
    return int(ndimage.label(grown, structure=np.ones((3, 3), bool))[1])


def _highest_class(sample: Sample) -> int:
    return max((kind for label, kind in sample.classes.items() if label > 0), default=1)


def _pixels(count: int) -> str:
    return "1 pixel" if count == 1 else f"{count} pixels"


def _size(shape: tuple[int, ...]) -> str:
    return " × ".join(str(length) for length in shape)
