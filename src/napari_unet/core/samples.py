"""Synthetic cells with known truth: made in code, the same for the same seed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.core.errors import InputError
from napari_unet.core.synthetic import (
    Drawing,
    draw_fluorescence,
    draw_phase,
    draw_two_classes,
)
from napari_unet.core.types import Region, Sample

SAMPLES: dict[str, str] = {
    "fluorescence": "Nuclei, fluorescence (synthetic)",
    "phase": "Cells, phase contrast (synthetic)",
    "two-classes": "Two kinds of nuclei, stained tissue (synthetic)",
}
"""Name of each sample and its title for menus."""

CLASS_NAMES: dict[str, tuple[str, ...]] = {
    "fluorescence": ("nucleus",),
    "phase": ("cell",),
    "two-classes": ("large pale nucleus", "small dark nucleus"),
}
"""Names of the classes 1 … K of each sample."""

_DRAW: dict[str, Callable[[tuple[int, int], np.random.Generator], Drawing]] = {
    "fluorescence": draw_fluorescence,
    "phase": draw_phase,
    "two-classes": draw_two_classes,
}
_SMALLEST = 64


def make_sample(name: str, shape: tuple[int, int] = (512, 512), seed: int = 0) -> Sample:
    """Make an image of cells and its complete truth.

    Parameters
    ----------
    name : str
        A key of `SAMPLES`. "fluorescence": (1, H, W) uint16, bright nuclei in haze with shot
        and read noise. "phase": (1, H, W) uint8, spread cells with dark rim and bright halo.
        "two-classes": (3, H, W) uint8, two kinds of stained nuclei in pink tissue.
    shape : (H, W)
        In pixels, each at least 64.
    seed : int
        The same seed gives the same pixels.

    Returns
    -------
    Sample
        Labels 1 … n, each one connected component, some of them touching; `complete` is True
        everywhere and `classes` names the class of each cell.

    Raises
    ------
    InputError
        No such sample, or the shape is too small.
    """
    if name not in SAMPLES:
        raise InputError(f"There is no sample “{name}”; choose one of {', '.join(SAMPLES)}.")
    if min(shape) < _SMALLEST:
        raise InputError(
            f"A sample of {shape[0]} × {shape[1]} pixels is too small; "
            f"both sides need at least {_SMALLEST}."
        )
    rng = np.random.default_rng([seed, *name.encode()])
    image, labels, classes = _DRAW[name](shape, rng)
    return Sample(image, labels, np.ones(shape, bool), classes, name)


def partial(sample: Sample, cells: int = 8) -> Sample:
    """What a person has after a minute: one complete rectangle, the rest unsaid.

    Parameters
    ----------
    sample : Sample
        With its truth everywhere, as from `make_sample`.
    cells : int
        About how many cells are painted.

    Returns
    -------
    Sample
        `complete` is True in a square near the middle that has touching cells in it and, where
        there is room, each class; each cell that reaches into it is painted whole.

    Raises
    ------
    InputError
        `sample` has no cells, or `cells` is less than 1.
    """
    if cells < 1 or not (sample.labels > 0).any():
        raise InputError("An annotation needs at least one cell; ask for more or paint one.")
    region = complete_square(sample, cells)
    inside = np.unique(sample.labels[region])
    inside = inside[inside > 0]
    labels = np.where(np.isin(sample.labels, inside), sample.labels, 0).astype(np.int32)
    complete: NDArray[np.bool_] = np.zeros(labels.shape, bool)
    complete[region] = True
    classes = {label: sample.classes[label] for label in inside.tolist() if label in sample.classes}
    return dataclasses.replace(sample, labels=labels, complete=complete, classes=classes)


def complete_square(sample: Sample, cells: int) -> Region:
    """The square of `partial`: round a touching cell near the middle, large enough for `cells`."""
    labels = sample.labels
    touching = _touching(labels)
    if not len(touching):
        touching = np.unique(labels[labels > 0])
    centres = np.array(ndimage.center_of_mass(labels > 0, labels, touching))
    from_middle = np.hypot(*(centres - np.array(labels.shape) / 2).T)
    candidates = [_grow(labels, centre, cells) for centre in centres[np.argsort(from_middle)[:12]]]
    return max(candidates, key=lambda region: _n_classes(sample, region))


def _touching(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """The cells that have a pixel beside one of another cell."""
    pairs = []
    for a, b in ((labels[1:], labels[:-1]), (labels[:, 1:], labels[:, :-1])):
        meet = (a != b) & (a > 0) & (b > 0)
        pairs += [a[meet], b[meet]]
    return np.unique(np.concatenate(pairs))


def _grow(labels: NDArray[np.int32], centre: NDArray[np.float64], cells: int) -> Region:
    """The smallest square about `centre`, in steps of 8 px, into which `cells` cells reach."""
    rows, cols = labels.shape
    y, x = (int(at) for at in centre)
    for half in range(16, max(rows, cols) + 8, 8):
        region = (slice(max(0, y - half), y + half), slice(max(0, x - half), x + half))
        if len(np.unique(labels[region])) > cells:
            break
    return slice(region[0].start, min(rows, y + half)), slice(region[1].start, min(cols, x + half))


def _n_classes(sample: Sample, region: Region) -> int:
    inside = np.unique(sample.labels[region]).tolist()
    return len({sample.classes.get(label, 1) for label in inside if label > 0})
