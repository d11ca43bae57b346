"""`napari-unet measure`: the cells of label files, in one table."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_unet.core.errors import InputError
from napari_unet.flags import add_axes_flag
from napari_unet.say import say

if TYPE_CHECKING:
    from napari_unet.core.tables import Table


def add_measure_flags(parser: argparse.ArgumentParser) -> None:
    """What `run_measure` reads."""
    parser.add_argument(
        "labels",
        nargs="+",
        metavar="LABELS",
        help="files, folders or patterns, and OME-Zarrs; cells of ROIs, COCO and GeoJSON that "
        "overlap are measured as wholes",
    )
    parser.add_argument(
        "--images", nargs="+", metavar="PATH", help="of the same stems, for the intensities"
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE.csv")
    parser.add_argument(
        "--scale",
        nargs="+",
        type=float,
        default=[1.0],
        metavar="SIZE",
        help="side of a pixel in --unit, or its height and its width; default: in pixels",
    )
    parser.add_argument("--unit", default="px", metavar="UNIT", help="of --scale, such as um")
    add_axes_flag(parser)


def run_measure(given: argparse.Namespace) -> dict[str, Any]:
    """Measure the cells of label files, into one table as CSV."""
    from napari_unet.core.file_pairs import pair_by_stem
    from napari_unet.core.listing import expand, find_images
    from napari_unet.core.tables import join_tables, write_table

    paths = expand(given.labels, "labels")
    image_of: dict[Path, Path] = {}
    if given.images:
        image_of = {label: image for image, label in pair_by_stem(find_images(given.images), paths)}
    if len(given.scale) > 2:
        raise InputError("--scale takes one number, or the height and the width of a pixel.")
    check_target(given.output, [*paths, *image_of.values()])
    by_file = []
    for path in paths:
        by_file.append(_measure_planes(given, path, image_of.get(path)))
        say(f"{path}: {sum(len(table['label']) for table in by_file[-1])} cells")
    has_frames = any(len(planes) > 1 for planes in by_file)
    tables = [
        join_tables("frame", range(len(planes)), planes) if has_frames else planes[0]
        for planes in by_file
    ]
    table = join_tables("file", [str(path) for path in paths], tables)
    write_table(given.output, table)
    return {"table": str(given.output), "files": len(paths), "cells": len(table["file"])}


def check_target(output: Path, files: Iterable[Path]) -> None:
    """Find out before the work whether its result would take the place of what it is made of."""
    if output.exists() and any(output.samefile(path) for path in files):
        raise InputError(f"{output} would be written over: choose another output file.")


def _measure_planes(given: argparse.Namespace, path: Path, image: Path | None) -> list[Table]:
    from napari_unet.core.label_planes import find_size, open_cells, open_images, side_by_side
    from napari_unet.core.measuring import measure_layers

    if image is None:
        planes = open_cells(path, axes=given.axes, remark=say)
        pairs: Iterable[Any] = ((name, read(), None) for name, read in planes)
    else:
        planes = open_cells(path, find_size([path], image, given.axes), given.axes, say)
        pairs = side_by_side((path, planes), (image, open_images(image, given.axes)))
    scale = given.scale[0], given.scale[-1]
    tables = []
    for name, layers, pixels in pairs:
        try:
            tables.append(measure_layers(layers, pixels, scale, given.unit))
        except InputError as error:
            raise InputError(f"{name}: {error}") from error
    return tables
