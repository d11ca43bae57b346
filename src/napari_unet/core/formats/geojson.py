"""GeoJSON as QuPath reads and writes it: a feature a cell, in pixels of the image."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_unet.core.damage import DAMAGE, give_reason
from napari_unet.core.errors import InputError
from napari_unet.core.formats.json_list import write_json
from napari_unet.core.formats.labelled import (
    Extent,
    Labelled,
    Shape,
    WriteShapes,
    put_together,
    read_frames,
    remark_background,
    take_apart,
)
from napari_unet.core.formats.polygons import fill, group_rings, trace


def read_geojson(path: Path, size: tuple[int, int] | None) -> list[Labelled]:
    """Read polygons as cells; those of a stack by their `plane`, the class by its name.

    Raises
    ------
    InputError
        The file is no GeoJSON, or damaged.
    """
    try:
        said = json.loads(path.read_text(encoding="utf-8-sig"))
        features = said.get("features", [said]) if isinstance(said, dict) else said
        shapes = [shape for feature in features for shape in _read(feature)]
        places = [_read_plane(feature) for feature in features]
        frames = read_frames(said.get("frames")) if isinstance(said, dict) else 1
    except DAMAGE as error:
        raise InputError(
            f"“{path}” cannot be read as GeoJSON ({give_reason(error)}): export it again."
        ) from error
    if all(len({place.get(axis, 0) for place in places}) > 1 for axis in "zt"):
        raise InputError(
            f"The features of “{path}” lie in several depths and several times: export those of "
            "one time, or of one depth."
        )
    labelled = put_together(shapes, size, path.name, frames)
    left_out = len(features) - len(shapes)
    if not left_out:
        return [labelled]
    remark = (
        f"{left_out} features of “{path.name}” are lines, points or without a shape, which enclose "
        "no cell: they are left out."
    )
    return [replace(labelled, remarks=(remark, *labelled.remarks))]


def write_geojson(path: Path, labelled: Labelled) -> tuple[str, ...]:
    """Write a feature a cell, along the edges of its pixels; returns what was lost."""
    stream_geojson(path, Extent.of(labelled))(take_apart(labelled))
    return remark_background(labelled, "Features of GeoJSON")


def stream_geojson(path: Path, extent: Extent) -> WriteShapes:
    """What writes a feature a cell, one after the other."""
    head: dict[str, Any] = {"type": "FeatureCollection"}
    if extent.frames is not None:
        head["frames"] = extent.frames  # the last ones may have no cell
    return lambda shapes: write_json(path, head, "features", map(_feature, shapes))


def _read(feature: dict[str, Any]) -> Iterator[Shape]:
    """The cell of a feature; none of a line, a point or what has no shape."""
    geometry, said = feature["geometry"] or {"type": ""}, feature.get("properties") or {}
    pieces = {
        "Polygon": [geometry.get("coordinates")],
        "MultiPolygon": geometry.get("coordinates"),
    }.get(geometry["type"])
    rings = [np.array(ring, float)[:, :2] for piece in pieces or () for ring in piece or () if ring]
    if not rings:
        return
    mask, origin = fill(rings)
    plane = _read_plane(feature)
    measured = said.get("measurements") or {}
    if isinstance(measured, list):  # as QuPath wrote them before 0.4
        measured = {each.get("name"): each.get("value") for each in measured}
    score = measured.get("score")
    label = said.get("label", 0)
    yield Shape(
        mask,
        origin,
        label if isinstance(label, int) else 0,
        max(int(plane.get("t", 0)), int(plane.get("z", 0))),
        _read_class(said.get("classification") or {}),
        None if score is None else float(score),
    )


def _read_plane(feature: dict[str, Any]) -> dict[str, Any]:
    return (feature["geometry"] or {}).get("plane") or {}


def _read_class(said: dict[str, Any]) -> str:
    """The name of a class; QuPath tells the parts of one such as “Tumor: Positive” apart."""
    return str(said.get("name") or ": ".join(map(str, said.get("names") or ())))


def _feature(shape: Shape) -> dict[str, Any]:
    pieces = [
        [[*ring.tolist(), ring[0].tolist()] for ring in piece]
        for piece in group_rings(trace(shape.mask, shape.origin))
    ]
    geometry: dict[str, Any] = (
        {"type": "Polygon", "coordinates": pieces[0]}
        if len(pieces) == 1
        else {"type": "MultiPolygon", "coordinates": pieces}
    )
    geometry["plane"] = {"c": -1, "z": 0, "t": shape.frame}
    said: dict[str, Any] = {"objectType": "detection", "label": shape.label}
    if shape.kind:
        said["classification"] = {"name": shape.kind}
    if shape.score is not None:
        said["measurements"] = {"score": round(shape.score, 4)}
    return {"type": "Feature", "geometry": geometry, "properties": said}
