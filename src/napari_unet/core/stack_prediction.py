"""Predicting all planes of a TIFF stack into one TIFF, a few planes in memory, resumable.

Beside the result `cells.tif` lies `cells.tif.<key>.scratch` while the work lasts: the labels of
each plane that is done, a file each, and its whole cells where they are asked for. Whoever comes
next with the same key goes on with them.
"""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Generator, Iterable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_unet.core.checkpoint import Model
from napari_unet.core.config import PredictConfig
from napari_unet.core.errors import InputError
from napari_unet.core.files import write_atomically
from napari_unet.core.formats.labelled import Shape, WriteShapes, take_apart
from napari_unet.core.formats.predicted import as_labelled
from napari_unet.core.formats.shape_files import keep_shapes, read_shapes
from napari_unet.core.label_files import read_labels, write_labels
from napari_unet.core.linking import link_plane
from napari_unet.core.mosaic import diameters
from napari_unet.core.prediction import look_for_zoom, predict
from napari_unet.core.stack import MEASURED, Stack, choose_evenly
from napari_unet.core.stack_scale import read_scale
from napari_unet.core.types import PlaneDone, PredictEvent, StackPrediction
from napari_unet.core.windows import take_middle

_BIG = 2**31  # bytes of pixels from which on a TIFF has 64-bit offsets, whatever they compress to


def predict_stack(
    model: Model,
    stack: Stack,
    output: Path,
    config: PredictConfig | None = None,
    *,
    key: str,
    link: bool = False,
    write_wholes: WriteShapes | None = None,
) -> Generator[PredictEvent | PlaneDone, None, StackPrediction]:
    """Predict the cells of each plane; all planes have one brightness, and one zoom.

    Parameters
    ----------
    model : Model
    stack : Stack
        Of a TIFF.
    output : Path
        Ends in .tif; takes the place of what is there when all planes are done. It has the axes of
        the planes and the scale of the stack.
    config : PredictConfig, optional
    key : str
        The same for the same model, stack and settings: with it planes that were done before are
        known.
    link : bool
        Whether a cell keeps its number from plane to plane, see `linking.link_plane`. Otherwise
        the numbers are those of each plane alone.
    write_wholes : callable, optional
        Is given each cell of each plane as a whole, one after the other, when all are known.

    Yields
    ------
    Looking, TileDone
        As `look_for_zoom` of some planes, and `predict` of each.
    PlaneDone
        When it is on disk.

    Returns
    -------
    StackPrediction

    Raises
    ------
    InputError
        If the planes do not fit the model, cannot be read or normalised, if they are to be
        linked along more than one axis, or the result cannot be written.
    """
    if link and len(stack.axes) > 1:
        raise InputError(
            f"“{stack.image.name}” has planes along {' and '.join(stack.axes)}, and ids can be "
            "linked along one axis: leave --link out, or save it as several stacks."
        )
    grey = stack.percentiles(model.card.normalize)
    scratch = output.with_name(f"{output.name}.{key}.scratch")
    zoom = (yield from _find_zoom(model, stack, config, grey)) if model.card.any_size else None
    files, wholes, sizes, highest = [], [], [], 0
    labels = np.zeros(stack.image.shape[1:], np.int32)
    places = stack.places
    for number, place in enumerate(places, 1):
        file, whole = scratch / f"{number}.tif", scratch / f"{number}.npz"
        kept = file.exists() and (whole.exists() or not write_wholes)
        before = labels
        if kept:
            labels = read_labels(file)
        else:
            name = stack.describe(place)
            prediction = yield from predict(
                model, stack.read(place), config, name=name, grey=grey, zoom=zoom
            )
            labels = prediction.labels
            if link:
                labels, _ = link_plane(before, labels, highest)
            if write_wholes:
                found = as_labelled(prediction, model.card.classes)
                keep_shapes(whole, _renumber(take_apart(found), found.labels, labels, number - 1))
            write_labels(file, labels)
        files.append(file)
        wholes.append(whole)
        sizes.append(diameters(labels))
        highest = max(highest, int(labels.max()))
        yield PlaneDone(number, len(places), place, sizes[-1].size, kept)
    _join(stack, files, output, np.uint16 if highest <= np.iinfo(np.uint16).max else np.int32)
    if write_wholes:
        write_wholes(chain.from_iterable(map(read_shapes, wholes)))
    shutil.rmtree(scratch, ignore_errors=True)
    diameter = np.concatenate(sizes)
    return StackPrediction(
        diameter.size,
        len(files),
        float(np.median(diameter)) if diameter.size else None,
        highest if link else None,
    )


def _renumber(
    shapes: Iterable[Shape], before: NDArray[np.int32], after: NDArray[np.int32], frame: int
) -> Iterator[Shape]:
    """The cells of a plane of a stack by the numbers that they have there."""
    numbers = np.zeros(int(before.max()) + 1, np.int32)
    numbers[before.ravel()] = after.ravel()
    for shape in shapes:
        yield replace(shape, label=int(numbers[shape.label]), frame=frame)


def _find_zoom(
    model: Model, stack: Stack, config: PredictConfig | None, grey: NDArray[np.float64]
) -> Generator[PredictEvent, None, float]:
    """The zoom of all planes, the middle one of those of some: else a plane may be seen alone."""
    zooms = []
    for place in choose_evenly(stack.places, MEASURED):
        image = stack.read(place)
        middle = take_middle((image.shape[1], image.shape[2]))
        name = stack.describe(place)
        zooms.append((yield from look_for_zoom(model, image, middle, config, grey=grey, name=name)))
    return statistics.median_low(zooms)


def _join(stack: Stack, files: list[Path], output: Path, dtype: type[np.integer[Any]]) -> None:
    """Write the planes into one TIFF, reading one at a time."""
    shape = (*stack.lengths, *stack.image.shape[1:])
    metadata = {"axes": f"{stack.axes}YX", **read_scale(Path(stack.image.name))}

    def planes() -> Iterator[NDArray[Any]]:
        for file in files:
            yield read_labels(file).astype(dtype)

    def write(target: Path) -> None:
        tifffile.imwrite(
            target,
            planes(),
            shape=shape,
            dtype=dtype,
            photometric="minisblack",
            compression="zlib",
            bigtiff=int(np.prod(shape)) * np.dtype(dtype).itemsize > _BIG,
            ome=set(stack.axes) <= set("TZ"),  # other axes OME has no name for
            metadata=metadata,
        )

    write_atomically(output, write)
