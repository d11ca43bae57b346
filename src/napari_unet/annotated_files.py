"""Images with their labels, and others to judge by, as a command names them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from napari_unet.core.errors import InputError
from napari_unet.say import say

if TYPE_CHECKING:
    from napari_unet.core.types import Sample


def add_annotation_flags(parser: argparse.ArgumentParser) -> None:
    """What `read_annotated` reads."""
    parser.add_argument("--images", nargs="+", required=True, metavar="PATH")
    parser.add_argument("--labels", nargs="+", required=True, metavar="PATH")
    parser.add_argument("--val-images", nargs="+", metavar="PATH")
    parser.add_argument("--val-labels", nargs="+", metavar="PATH")


def read_annotated(
    given: argparse.Namespace,
) -> tuple[list[Sample], list[Sample], tuple[str, ...]]:
    """The samples to learn from, those to judge by (none: some are held out), and class names.

    Raises
    ------
    InputError
        If files cannot be read, or images and labels do not belong together.
    """
    samples, names = _read_samples(given.images, given.labels)
    validation: list[Sample] = []
    if given.val_images or given.val_labels:
        validation, names = _read_samples(given.val_images or [], given.val_labels or [], names)
    return samples, validation, names


def _read_samples(
    images: list[str], labels: list[str], class_names: Sequence[str] = ()
) -> tuple[list[Sample], tuple[str, ...]]:
    """Images with their labels, and the names of the classes: those that are given come first."""
    from napari_unet.core.file_pairs import pair_by_stem
    from napari_unet.core.formats import read_one, remark_overlaps
    from napari_unet.core.listing import expand
    from napari_unet.core.pixels import read_image
    from napari_unet.core.types import Sample

    samples: list[Sample] = []
    names = list(class_names)
    for image, path in pair_by_stem(expand(images), expand(labels, "labels")):
        pixels = read_image(image)
        labelled = read_one(path, pixels.shape[1:])
        for remark in (*labelled.remarks, *remark_overlaps(labelled)):
            say(f"{path.name}: {remark}")
        names += sorted(set(labelled.classes.values()) - set(names))
        classes = {label: names.index(name) + 1 for label, name in labelled.classes.items()}
        sample = Sample(pixels, labelled.labels, classes=classes, name=str(image))
        if sample.image.shape[1:] != sample.labels.shape:
            raise InputError(
                f"{image} is {_size(sample.image.shape[1:])} px but its labels {path} are "
                f"{_size(sample.labels.shape)} px: they must be of the same size."
            )
        if samples and len(sample.image) != len(samples[0].image):
            raise InputError(
                f"{image} has {len(sample.image)} channels but {samples[0].name} has "
                f"{len(samples[0].image)}: train on images of one kind."
            )
        samples.append(sample)
    return samples, tuple(names)


def _size(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))
