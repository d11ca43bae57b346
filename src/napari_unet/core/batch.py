"""Many files of any size and kind in one run: what cannot be used is said and passed over."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import tifffile

from napari_unet.core.batch_results import (
    RESULTS,
    drop_result,
    is_done,
    make_row,
    read_rows,
    write_rows,
)
from napari_unet.core.checkpoint import Model, load_model
from napari_unet.core.config import PredictConfig, to_dict
from napari_unet.core.errors import InputError
from napari_unet.core.files import write_atomically
from napari_unet.core.formats import Format
from napari_unet.core.formats.labelled import Extent, WriteShapes, take_apart
from napari_unet.core.formats.predicted import as_labelled
from napari_unet.core.label_files import write_labels
from napari_unet.core.large_job import hash_file
from napari_unet.core.large_prediction import predict_large
from napari_unet.core.lazy_image import is_large, open_image
from napari_unet.core.mosaic import median_diameter
from napari_unet.core.pixels import read_image
from napari_unet.core.prediction import predict
from napari_unet.core.stack import is_stack, open_stack
from napari_unet.core.stack_prediction import predict_stack
from napari_unet.core.start_models import find_model_file
from napari_unet.core.types import (
    FileDone,
    LargeEvent,
    PlaneDone,
    PredictEvent,
    StackPrediction,
)


@dataclass(frozen=True)
class Batch:
    """What is to be done with every file.

    Attributes
    ----------
    model : path, or the name of a start model
    config : PredictConfig
    folder : Path
        Of the table of results.
    planes : mapping of axis to index
        Of stacks the one plane to label; empty for images that are none, and for all planes.
    axes : str, optional
        A letter of each axis of the files, such as TYX; by default as they say themselves.
    link : bool
        Of whole stacks: a cell keeps its number from plane to plane.
    probabilities : bool
        Also write the maps of images that fit into memory, beside the labels: of a model that
        makes cells of maps.
    instances : Format, optional
        Also write each cell as a whole, with its score and class, in this format, which has room
        for overlaps.
    scheduler, keep_maps
        Of large images, as `predict_large`.
    resume : bool
        Leave files alone that the table knows as done with the same model and settings, and that
        have not changed since.
    """

    model: Path | str
    config: PredictConfig
    folder: Path
    planes: Mapping[str, int] = field(default_factory=dict)
    axes: str | None = None
    link: bool = False
    probabilities: bool = False
    instances: Format | None = None
    scheduler: str | None = None
    keep_maps: bool = False
    resume: bool = False


def predict_files(
    batch: Batch, pairs: Sequence[tuple[Path, Path]]
) -> Generator[LargeEvent | PlaneDone | FileDone, None, list[FileDone]]:
    """Predict files one after the other, each into its own.

    Parameters
    ----------
    batch : Batch
    pairs : sequence of (image, result) paths
        The result of a large image, and of a plane of a stack, ends in .zarr instead.

    Yields
    ------
    FileDone
        After each file; before it what the prediction of the file says. The table in the folder,
        which a lone file does not begin, is brought up to date then, so that whatever stops the
        run, what is done is known.

    Returns
    -------
    list of FileDone

    Raises
    ------
    InputError
        If the model cannot be read or has no probabilities where they are asked for, or the table
        cannot be written. What is wrong with a file is its `sentence`.
    """
    model = load_model(batch.model, batch.config.device)
    if batch.probabilities and model.card.evidence != "maps":
        raise InputError(
            f"“{Path(batch.model).stem}” finds whole cells and has no --probabilities of pixels: "
            "leave it out; --instances keeps each cell whole, with its score."
        )
    same = _identify(batch)
    table = batch.folder / RESULTS
    rows, listed = read_rows(table), len(pairs) > 1 or table.exists()
    files: list[FileDone] = []
    for path, target in pairs:
        key, settings = str(path.resolve()), _identify_file(same, path)
        beside = _name_beside(batch, target)
        if batch.resume and is_done(rows.get(key), settings, path, target, beside):
            row = rows[key]
            cells, result = int(row["cells"]), target.with_suffix(Path(row["result"]).suffix)
            done = FileDone(str(path), str(result), "kept", cells, len(files) + 1, len(pairs))
        else:
            if drop_result(rows, target):
                write_rows(table, rows)
            done = yield from _try(
                batch, model, path, target, (len(files) + 1, len(pairs)), settings
            )
            rows[key] = make_row(done, settings)
            if listed:
                write_rows(table, rows)
        files.append(done)
        yield done
    return files


def _try(
    batch: Batch, model: Model, path: Path, target: Path, place: tuple[int, int], settings: str
) -> Generator[LargeEvent | PlaneDone, None, FileDone]:
    begin = perf_counter()
    try:
        if batch.planes or is_large(path):
            target = target.with_suffix(".zarr")
            found = yield from _predict_large(batch, path, target)
        elif batch.axes or is_stack(path):
            found = yield from _predict_stack(batch, model, path, target, settings)
        else:
            found = yield from _predict(batch, model, path, target)
    except InputError as error:
        return FileDone(str(path), "", "failed", None, *place, sentence=str(error))
    seconds = perf_counter() - begin
    return FileDone(
        str(path), str(target), "done", found.cells, *place, found.diameter, seconds,
        planes=found.planes, ids=found.ids,
    )  # fmt: skip


def _predict(
    batch: Batch, model: Model, path: Path, target: Path
) -> Generator[PredictEvent, None, StackPrediction]:
    prediction = yield from predict(model, read_image(path), batch.config, name=str(path))
    write_labels(target, prediction.labels)
    write_wholes = _open_wholes(batch, target, path, prediction.labels.shape)
    if write_wholes:
        write_wholes(take_apart(as_labelled(prediction, model.card.classes)))
    maps = prediction.probabilities
    if batch.probabilities and maps is not None:

        def write(file: Path) -> None:
            tifffile.imwrite(file, maps, compression="zlib", metadata={"axes": "CYX"})

        write_atomically(_name_maps(target), write)
    diameter = median_diameter(prediction.labels)
    return StackPrediction(len(prediction.scores), 1, None if np.isnan(diameter) else diameter)


def _predict_stack(
    batch: Batch, model: Model, path: Path, target: Path, settings: str
) -> Generator[PredictEvent | PlaneDone, None, StackPrediction]:
    if batch.probabilities:
        raise InputError(
            "Stacks have no --probabilities: --plane with --keep-maps keeps a plane's."
        )
    key = hashlib.sha256(os.fsencode(f"{settings} {path.resolve()}")).hexdigest()[:12]
    stack = open_stack(path, batch.axes)
    write_wholes = _open_wholes(batch, target, path, stack.image.shape[1:], len(stack.places))
    return (
        yield from predict_stack(
            model, stack, target, batch.config, key=key, link=batch.link, write_wholes=write_wholes
        )
    )


def _predict_large(
    batch: Batch, path: Path, target: Path
) -> Generator[LargeEvent, None, StackPrediction]:
    if batch.probabilities:
        raise InputError("Large images have no --probabilities: --keep-maps keeps them beside.")
    if target.exists() and target.samefile(path):
        raise InputError(f"{target} would be written over: choose another output folder.")
    image = open_image(path, batch.planes, batch.axes)
    result = yield from predict_large(
        batch.model, image, target, batch.config,
        scheduler=batch.scheduler, keep_maps=batch.keep_maps,
        write_wholes=_open_wholes(batch, target, path, image.shape[1:]),
    )  # fmt: skip
    return StackPrediction(result.cells, 1, None)


def _open_wholes(
    batch: Batch, target: Path, path: Path, size: tuple[int, int], frames: int | None = None
) -> WriteShapes | None:
    """What writes the whole cells of an image of (H, W), None where they are not asked for."""
    kind, extent = batch.instances, Extent(size, frames, path.name)
    if kind is None or kind.stream is None:
        return None
    return kind.stream(_name_wholes(kind, target), extent)


def _name_wholes(kind: Format, target: Path) -> Path:
    """Where the whole cells of an image are written where they are asked for."""
    return target.parent / "instances" / f"{target.stem}{kind.ending}"


def _name_maps(target: Path) -> Path:
    """Where the maps of an image are written where they are asked for."""
    return target.parent / "probabilities" / target.name


def _name_beside(batch: Batch, target: Path) -> list[Path]:
    """What is to lie beside the labels of an image."""
    wholes = _name_wholes(batch.instances, target) if batch.instances else None
    maps = _name_maps(target) if batch.probabilities else None
    return [path for path in (wholes, maps) if path is not None]


def _identify(batch: Batch) -> str:
    """The same for the same model and settings."""
    config: dict[str, Any] = to_dict(batch.config)
    planes = sorted(batch.planes.items())
    said = [hash_file(find_model_file(batch.model)), config, planes, batch.axes, batch.link]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


def _identify_file(same: str, path: Path) -> str:
    """The same for the same file as it is now, with the same model and settings."""
    said = hashlib.sha256(same.encode())
    try:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:  # a zarr is a folder
            now = file.stat()
            said.update(os.fsencode(f"{file.relative_to(path)} {now.st_size} {now.st_mtime_ns}"))
    except OSError:  # reading it will say so
        return same
    return said.hexdigest()[:16]
