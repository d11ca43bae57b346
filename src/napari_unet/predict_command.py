"""`napari-unet predict`: images of any size and kind, into label files."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_unet.core.config import InstanceConfig, PredictConfig
from napari_unet.core.errors import InputError
from napari_unet.core.start_models import START_MODELS
from napari_unet.flags import add_axes_flag, add_flags, find_unused, read_flags
from napari_unet.say import say

if TYPE_CHECKING:
    from napari_unet.core.types import FileDone, PlaneDone

_WHOLE = ("roi", "coco", "geojson")  # of core.formats those that have room for overlaps
_LONG = 20  # tiles or blocks that take so long that one wants to know how far it is


def add_predict_flags(parser: argparse.ArgumentParser) -> None:
    """What `run_predict` reads."""
    names = ", ".join(START_MODELS)
    parser.add_argument("model", metavar="MODEL", help=f"{names}, or a model file")
    parser.add_argument(
        "images",
        nargs="+",
        metavar="IMAGES",
        help="files, folders or patterns; a TIFF stack becomes one of labels; large images, which "
        "are OME-Zarrs and TIFFs of more than 64 million pixels, become OME-Zarrs",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="leave files alone that DIR/results.csv knows as done with this model and settings",
    )
    parser.add_argument(
        "--probabilities",
        action="store_true",
        help="also DIR/probabilities/<stem>.tif, float32, one channel a class; of a model that "
        "makes cells of maps of pixels",
    )
    parser.add_argument(
        "--instances",
        choices=_WHOLE,
        help="also DIR/instances/<stem>: each cell as a whole, where others lie over it too, with "
        "its score and class; of images that fit into memory",
    )
    parser.add_argument(
        "--plane",
        nargs="+",
        action="extend",
        type=_plane,
        metavar="AXIS=N",
        help="of a stack the one plane to label, such as T=0 Z=3; gives an OME-Zarr",
    )
    parser.add_argument(
        "--link",
        action="store_true",
        help="of whole stacks: a cell keeps its number from plane to plane where it overlaps",
    )
    add_axes_flag(parser)
    parser.add_argument(
        "--scheduler",
        metavar="local|ADDRESS",
        help="of large images: a dask scheduler whose workers see the same files, or one process "
        "a core here",
    )
    parser.add_argument(
        "--keep-maps",
        action="store_true",
        help="of large images: keep what the net says, so that another threshold only labels",
    )
    add_flags(parser, PredictConfig)
    add_flags(parser, InstanceConfig)


def run_predict(given: argparse.Namespace) -> dict[str, Any]:
    """Label images with a model."""
    from napari_unet.core.batch_results import RESULTS, list_results
    from napari_unet.core.card import read_card
    from napari_unet.core.files import name_results
    from napari_unet.core.listing import find_images

    if given.link and given.plane:
        raise InputError("--link is of whole stacks: leave --plane or --link out.")
    planes = _read_planes(given.plane or ())
    card = read_card(given.model)
    unused = next(find_unused(given, given.model, card), None)
    if unused is not None:
        raise InputError(f"{unused}: leave it out.")
    config = read_flags(PredictConfig(instances=card.instances), given)
    paths = find_images(given.images)
    targets = name_results(paths, given.output, list_results(given.output / RESULTS))

    from napari_unet.core.batch import Batch, predict_files
    from napari_unet.core.events import exhaust
    from napari_unet.core.formats import FORMATS

    batch = Batch(
        model=given.model,
        config=config,
        folder=given.output,
        planes=planes,
        axes=given.axes,
        link=given.link,
        probabilities=given.probabilities,
        instances=FORMATS[given.instances] if given.instances else None,
        scheduler=given.scheduler,
        keep_maps=given.keep_maps,
        resume=given.resume,
    )
    try:
        files = exhaust(predict_files(batch, list(zip(paths, targets, strict=True))), _tell)
    except KeyboardInterrupt:
        say("Stopped; what is done is kept. The same command with --resume goes on.")
        raise
    failed = [file for file in files if file.status == "failed"]
    if len(failed) == len(files):
        if len(files) == 1:
            raise InputError(failed[0].sentence)
        raise InputError(
            f"None of the {len(files)} files could be predicted: see {given.output / RESULTS}."
        )
    written = [_describe(file) for file in files if file.status != "failed"]
    if not failed:
        return {"written": written}
    return {
        "written": written,
        "failed": [{"image": file.file, "sentence": file.sentence} for file in failed],
    }


def _read_planes(planes: Sequence[tuple[str, int]]) -> dict[str, int]:
    """The index on each axis, of which none may be named twice."""
    axes = Counter(axis for axis, _ in planes)
    double = [axis for axis, count in axes.items() if count > 1]
    if double:
        raise InputError(f"--plane names {double[0]} more than once: give each axis one plane.")
    return dict(planes)


def _describe(file: FileDone) -> dict[str, Any]:
    return {
        "file": file.result,
        "cells": file.cells,
        "image": file.file,
        "status": file.status,
        **({"planes": file.planes} if file.planes > 1 else {}),
        **({} if file.ids is None else {"ids": file.ids}),
    }


def _tell(event: Any) -> None:
    """A line for each file, and of a large one for about each tenth of a stage."""
    from napari_unet.core.types import (
        BlockLabelled,
        ChunkWritten,
        FileDone,
        PlaneDone,
        Resumed,
        TileDone,
        Warned,
    )

    stages = {TileDone: "tiles", BlockLabelled: "blocks labelled", ChunkWritten: "chunks written"}
    match event:
        case FileDone():
            _tell_file(event)
        case PlaneDone() if event.total > 1:
            _tell_plane(event)
        case TileDone() | BlockLabelled() | ChunkWritten() if event.total >= _LONG:
            if event.done == event.total or event.done % (event.total // 10) == 0:
                say(f"{event.done} of {event.total} {stages[type(event)]}")
        case Resumed():
            say(f"Going on: {event.tiles} tiles and {event.blocks} blocks were done before.")
        case Warned():
            say(event.message)


def _tell_file(file: FileDone) -> None:
    if file.status == "failed":
        if file.total > 1:  # that of a lone file is the error of the command
            say(f"left out: {file.sentence}")
    elif file.status == "kept":
        say(f"{file.result}: {file.cells} cells, as before")
    else:
        planes = f" in {file.planes} planes" if file.planes > 1 else ""
        ids = "" if file.ids is None else f", {file.ids} ids"
        say(f"{file.result}: {file.cells} cells{planes}{ids}")


def _tell_plane(plane: PlaneDone) -> None:
    where = "".join(f" {axis}={at}" for axis, at in plane.place.items())
    before = ", as before" if plane.kept else ""
    say(f"plane {plane.done} of {plane.total},{where}: {plane.cells} cells{before}")


def _plane(text: str) -> tuple[str, int]:
    axis, _, index = text.partition("=")
    if len(axis) != 1 or not index.isdecimal():
        raise argparse.ArgumentTypeError(f"{text} is no plane: write it as T=0")
    return axis.upper(), int(index)
