"""COCO's instance annotations: cells of one image or several in a JSON file."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as rle

from napari_unet.core.damage import DAMAGE, give_reason
from napari_unet.core.errors import InputError
from napari_unet.core.formats.json_list import write_json
from napari_unet.core.formats.labelled import (
    Extent,
    Labelled,
    Shape,
    WriteShapes,
    check_room,
    put_together,
    remark_background,
    take_apart,
)
from napari_unet.core.formats.polygons import fill

_CELL = "cell"
_COUNTED = 2**32 - 1  # px that run lengths can count
_UNSAID = "unclassed"  # what we say of the category of cells without a class


def read_coco(path: Path, size: tuple[int, int] | None) -> list[Labelled]:
    """Read the cells of each image: polygons and run lengths. The categories are the classes.

    Crowds, which are not parted into cells, and annotations without an outline are left out.

    Raises
    ------
    InputError
        The file is no COCO annotation, lists no image, or is damaged.
    """
    try:
        said = json.loads(path.read_text(encoding="utf-8-sig"))
        names = {
            category["id"]: str(category["name"])
            for category in said.get("categories", ())
            if not category.get(_UNSAID)
        }
        if set(names.values()) == {_CELL}:
            names = {}  # no class was said
        images = said["images"]
        of_image: dict[Any, list[dict[str, Any]]] = {image["id"]: [] for image in images}
        crowds = bare = 0
        for annotation in said["annotations"]:
            if annotation.get("iscrowd"):
                crowds += 1
            elif not any(annotation.get("segmentation") or ()):
                bare += 1
            else:
                of_image[annotation["image_id"]].append(annotation)
        found = []
        for image in images:
            shape = int(image["height"]), int(image["width"])
            check_room(shape, 1, path.name)  # pycocotools crashes where it has no room
            shapes = [_read(each, shape, names) for each in of_image[image["id"]]]
            found.append((str(image.get("file_name", "")), shape, shapes))
    except InputError:
        raise
    except DAMAGE as error:
        raise InputError(
            f"“{path}” cannot be read as COCO annotations ({give_reason(error)}): export it again."
        ) from error
    if not found:
        raise InputError(f"“{path}” lists no image: export it again, with its images.")
    remarks: tuple[str, ...] = ()
    if crowds:
        remarks += (f"{crowds} crowds of “{path.name}” are not parted into cells: left out.",)
    if bare:
        remarks += (f"{bare} annotations of “{path.name}” have no outline: left out.",)
    read = []
    for name, shape, shapes in found:
        labelled = put_together(shapes, shape, path.name)
        read.append(replace(labelled, remarks=remarks + labelled.remarks, image=name))
    return read


def write_coco(path: Path, labelled: Labelled) -> tuple[str, ...]:
    """Write each cell as run lengths, which keep every pixel; returns what was lost.

    Each frame of a stack is an image.
    """
    stream_coco(path, Extent.of(labelled))(take_apart(labelled))
    return remark_background(labelled, "Annotations of COCO")


def stream_coco(path: Path, extent: Extent) -> WriteShapes:
    """What writes each cell as run lengths, one after the other; as `write_coco`.

    Raises
    ------
    InputError
        The image has more pixels than COCO can count.
    """
    height, width = extent.size
    if height * width > _COUNTED:
        raise InputError(
            f"{extent.image or path.stem} has {height} × {width} px, and COCO's run lengths count "
            "to 2³²: choose GeoJSON."
        )
    stem = extent.image or path.stem
    images = [
        {
            "id": frame + 1,
            "file_name": stem if extent.frames is None else f"{stem}_{frame + 1:04d}",
            "height": height,
            "width": width,
        }
        for frame in range(extent.frames or 1)
    ]
    kinds: dict[str, int] = {}

    def list_annotations(shapes: Iterable[Shape]) -> Iterator[dict[str, Any]]:
        for number, shape in enumerate(shapes, 1):
            yield _annotation(
                number, shape, extent.size, kinds.setdefault(shape.kind, len(kinds) + 1)
            )

    def list_categories() -> dict[str, Any]:
        named = kinds or {"": 1}
        return {
            "categories": [
                {"id": number, "name": kind}
                if kind
                else {"id": number, "name": _CELL, _UNSAID: True}
                for kind, number in named.items()
            ]
        }

    head = {"images": images}
    return lambda shapes: write_json(
        path, head, "annotations", list_annotations(shapes), list_categories
    )


def _read(said: dict[str, Any], size: tuple[int, int], names: dict[Any, str]) -> Shape:
    segmentation = said["segmentation"]
    if isinstance(segmentation, dict):
        runs = segmentation
        if tuple(runs["size"]) != size:
            raise ValueError(f"run lengths of {runs['size']} px in an image of {list(size)} px")
        if isinstance(runs["counts"], list):
            runs = rle.frPyObjects(runs, *size)
        left, top, width, height = rle.toBbox(runs).astype(int).tolist()
        with warnings.catch_warnings():  # of pycocotools' own way with NumPy 2
            warnings.simplefilter("ignore", DeprecationWarning)
            whole = rle.decode(runs)
        mask, origin = whole[top : top + height, left : left + width].astype(bool), (top, left)
    else:
        mask, origin = _fill_all(segmentation)
    label, score = said.get("label", 0), said.get("score")
    return Shape(
        mask,
        origin,
        label if isinstance(label, int) else 0,
        0,
        names.get(said.get("category_id"), ""),
        None if score is None else float(score),
    )


def _fill_all(polygons: list[list[float]]) -> tuple[NDArray[np.bool_], tuple[int, int]]:
    """What lies in any of the polygons x1, y1, x2, y2 …"""
    parts = [fill([np.array(polygon, float).reshape(-1, 2)]) for polygon in polygons if polygon]
    top, left = (min(origin[axis] for _, origin in parts) for axis in (0, 1))
    bottom, right = (
        max(origin[axis] + mask.shape[axis] for mask, origin in parts) for axis in (0, 1)
    )
    whole = np.zeros((bottom - top, right - left), bool)
    for mask, (row, column) in parts:
        height, width = mask.shape
        whole[row - top : row - top + height, column - left : column - left + width] |= mask
    return whole, (top, left)


def _annotation(number: int, shape: Shape, size: tuple[int, int], category: int) -> dict[str, Any]:
    (row, column), (height, width) = shape.origin, shape.mask.shape
    runs = rle.frPyObjects({"size": list(size), "counts": _run_lengths(shape, size)}, *size)
    annotation = {
        "id": number,
        "image_id": shape.frame + 1,
        "category_id": category,
        "segmentation": {"size": list(size), "counts": runs["counts"].decode("ascii")},
        "area": int(np.count_nonzero(shape.mask)),
        "bbox": [column, row, width, height],
        "iscrowd": 0,
        "label": shape.label,
    }
    return annotation if shape.score is None else {**annotation, "score": round(shape.score, 4)}


def _run_lengths(shape: Shape, size: tuple[int, int]) -> list[int]:
    """Pixels outside, inside, outside … of a cell, column by column through the whole image."""
    columns, rows = np.nonzero(shape.mask.T)
    if not len(rows):
        return [size[0] * size[1]]
    at = (columns + shape.origin[1]) * size[0] + rows + shape.origin[0]
    ends = np.flatnonzero(np.diff(at) != 1)
    firsts, lasts = at[np.append(0, ends + 1)], at[np.append(ends, -1)]
    turns = np.stack((firsts, lasts + 1), axis=1).ravel()
    counts: list[int] = np.diff(turns, prepend=0, append=size[0] * size[1]).tolist()
    return counts
