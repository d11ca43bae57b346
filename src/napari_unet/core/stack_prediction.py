"""Predicting all planes of a TIFF stack into one TIFF, a few planes in memory, resumable.

Beside the result `cells.tif` lies `cells.tif.<key>.scratch` while the work lasts: the labels of
each plane that is done, a file each. Whoever comes next with the same key goes on with them.
"""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_unet.core.checkpoint import Model
from napari_unet.core.config import PredictConfig
from napari_unet.core.files import read_labels, write_atomically, write_labels
from napari_unet.core.mosaic import diameters
from napari_unet.core.prediction import predict
from napari_unet.core.stack import Stack
from napari_unet.core.stack_scale import read_scale
from napari_unet.core.types import PlaneDone, PredictEvent, StackPrediction

_BIG = 2**31  # bytes of pixels from which on a TIFF has 64-bit offsets, whatever they compress to


def predict_stack(
    model: Model,
    stack: Stack,
    output: Path,
    config: PredictConfig | None = None,
    *,
    key: str,
) -> Generator[PredictEvent | PlaneDone, None, StackPrediction]:
    """Predict the cells of each plane; all planes have one brightness.

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

    Yields
    ------
    Looking, TileDone
        As `predict`, of each plane.
    PlaneDone
        When it is on disk.

    Returns
    -------
    StackPrediction

    Raises
    ------
    InputError
        If the planes do not fit the model, cannot be read or normalised, or the result cannot be
        written.
    """
    grey = stack.percentiles(model.card.normalize)
    scratch = output.with_name(f"{output.name}.{key}.scratch")
    files, sizes, highest = [], [], 0
    places = stack.places
    for number, place in enumerate(places, 1):
        file = scratch / f"{number}.tif"
        kept = file.exists()
        if kept:
            labels = read_labels(file)
        else:
            name = stack.describe(place)
            prediction = yield from predict(model, stack.read(place), config, name=name, grey=grey)
            labels = prediction.labels
            write_labels(file, labels)
        files.append(file)
        sizes.append(diameters(labels))
        highest = max(highest, int(labels.max()))
        yield PlaneDone(number, len(places), place, sizes[-1].size, kept)
    _join(stack, files, output, np.uint16 if highest <= np.iinfo(np.uint16).max else np.int32)
    shutil.rmtree(scratch, ignore_errors=True)
    found = np.concatenate(sizes)
    return StackPrediction(found.size, len(files), float(np.median(found)) if found.size else None)


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
