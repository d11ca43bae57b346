"""Classes go by their names: the numbers that a model has for them are given to what it learns."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from napari_unet.core.errors import InputError
from napari_unet.core.types import Sample

_PLAIN = ((), ("cell",))  # nothing is said of classes


def match_classes(
    known: Sequence[str], names: Sequence[str]
) -> tuple[tuple[str, ...], dict[int, int]]:
    """Find the numbers that a model has for classes.

    Parameters
    ----------
    known : sequence of str
        Names of the classes 1 … K of the model.
    names : sequence of str
        Names of the classes 1 … L of what it is to learn.

    Returns
    -------
    tuple of str
        Names of all classes, those of the model first.
    dict
        From the numbers of `names` to those of all; empty where they are the same, or where one
        side only knows cells, which is no name to go by.
    """
    if tuple(known) in _PLAIN or tuple(names) in _PLAIN:
        return tuple(names), {}
    every = tuple(dict.fromkeys([*known, *names]))
    numbers = {number: every.index(name) + 1 for number, name in enumerate(names, 1)}
    return every, {} if all(old == new for old, new in numbers.items()) else numbers


def renumber(samples: Sequence[Sample], numbers: Mapping[int, int]) -> Sequence[Sample]:
    """The samples with other class numbers; a cell of which no class is said is of class 1."""
    if not numbers:
        return samples
    return [dataclasses.replace(sample, classes=_renumber(sample, numbers)) for sample in samples]


def _renumber(sample: Sample, numbers: Mapping[int, int]) -> dict[int, int]:
    cells = np.unique(sample.labels)
    said = {label: sample.classes.get(label, 1) for label in cells[cells > 0].tolist()}
    return {label: numbers.get(number, number) for label, number in said.items()}


def check_known(samples: Sequence[Sample], known: Sequence[str], names: Sequence[str]) -> None:
    """Raise an `InputError` where a cell is of a class that a training under way does not know.

    `known` are its classes 1 … K, and `names` those of the samples, the same ones first.
    """
    last = max((max(sample.classes.values(), default=1) for sample in samples), default=1)
    if last > max(1, len(known)):
        name = names[last - 1] if last <= len(names) else str(last)
        raise InputError(
            f"The class {name} was not there when the training began ({', '.join(known)}): "
            "begin another one, from its model."
        )
