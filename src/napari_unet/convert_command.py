"""`napari-unet convert`: labels from one format into another."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_unet.core.errors import InputError
from napari_unet.say import say

if TYPE_CHECKING:
    from napari_unet.core.formats import Labelled

_NAMES = ("tif", "roi", "seg", "coco", "geojson", "zarr")


def add_convert_flags(parser: argparse.ArgumentParser) -> None:
    """What `run_convert` reads."""
    parser.add_argument(
        "labels",
        nargs="+",
        metavar="LABELS",
        help="files, folders or patterns: TIFF, PNG, ImageJ ROIs, Cellpose's _seg.npy, COCO, "
        "GeoJSON, OME-Zarr",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    parser.add_argument("--to", choices=_NAMES, required=True, help="the format to write")
    parser.add_argument(
        "--images",
        nargs="+",
        metavar="PATH",
        help="of the same stems, or one of one file: how large they are, which ROIs and GeoJSON do "
        "not say",
    )
    parser.add_argument(
        "--size", nargs=2, type=int, metavar=("HEIGHT", "WIDTH"), help="of the images, in px"
    )


def run_convert(given: argparse.Namespace) -> dict[str, Any]:
    """Write labels in another format; what that cannot keep is said."""
    import numpy as np

    from napari_unet.core.files import keep_apart
    from napari_unet.core.formats import FORMATS, read_labelled

    if given.images and given.size:
        raise InputError("--images and --size say the same: give one of them.")
    if given.size and min(given.size) < 1:
        raise InputError(
            f"--size {given.size[0]} {given.size[1]} is of no image: give a height and a width of "
            "at least 1."
        )
    kind = FORMATS[given.to]
    paths, images, sizes = _find(given)
    cells: list[tuple[Path, str, Labelled]] = []
    for path in paths:
        found = read_labelled(path, sizes.get(path))
        for labelled in found:
            _check(labelled, sizes.get(path), path)
            named = len(found) > 1 and labelled.image
            cells.append((path, _cut_ending(labelled.image) if named else _stem(path), labelled))
    targets = [given.output / f"{stem}{kind.ending}" for _, stem, _ in cells]
    _check_targets(targets)
    keep_apart(targets, [*paths, *images])
    written = []
    for (path, _, labelled), target in zip(cells, targets, strict=True):
        remarks = (*labelled.remarks, *kind.write(target, labelled))
        for remark in remarks:
            say(f"{path.name}: {remark}")
        count = len(np.unique(labelled.labels[labelled.labels > 0]))
        say(f"{target}: {count} cells")
        written.append({"file": str(target), "cells": count, "labels": str(path)})
    return {"written": written}


def _find(
    given: argparse.Namespace,
) -> tuple[list[Path], list[Path], dict[Path, tuple[int, int]]]:
    """The files to convert, their images where they are said, and how large that of each is."""
    from napari_unet.core.file_pairs import pair_by_stem
    from napari_unet.core.label_planes import open_images
    from napari_unet.core.listing import expand

    paths = expand(given.labels, "labels")
    if given.size:
        return paths, [], dict.fromkeys(paths, tuple(given.size))
    sizes, images = {}, expand(given.images) if given.images else []
    if images:
        alone = len(images) == len(paths) == 1  # they can only belong together
        pairs = [(images[0], paths[0])] if alone else pair_by_stem(images, paths)
        for image, path in pairs:
            (_, read), *_ = open_images(image)
            sizes[path] = read().shape[1:]
    return paths, images, sizes


def _check(labelled: Labelled, size: tuple[int, int] | None, path: Path) -> None:
    said = labelled.labels.shape[-2:]
    if size is not None and said != tuple(size):
        raise InputError(
            f"“{path}” is of an image of {said[0]} × {said[1]} px, not {size[0]} × {size[1]}: "
            "give the image that it belongs to."
        )


def _check_targets(targets: Sequence[Path]) -> None:
    for target in targets:
        if targets.count(target) > 1:
            raise InputError(
                f"Two files would be called {target.name}: write them into different folders."
            )


def _cut_ending(image: str) -> str:
    """The name of an image; what follows the dot of a frame such as `st.1_0001` is no ending."""
    name = Path(image)
    return name.stem if name.suffix[1:].isalpha() else name.name


def _stem(path: Path) -> str:
    """The name without what belongs to a format."""
    name = path.name
    for ending in ("_seg.npy", ".ome.tif", ".ome.tiff", ".ome.zarr"):
        if name.lower().endswith(ending):
            return name[: -len(ending)]
    return path.stem
