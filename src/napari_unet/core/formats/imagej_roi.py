"""ImageJ's regions of interest: a .roi file, or a .zip of them, as its ROI Manager saves them."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import roifile

from napari_unet.core.damage import DAMAGE, give_reason
from napari_unet.core.errors import InputError
from napari_unet.core.files import write_atomically
from napari_unet.core.formats.labelled import (
    Extent,
    Labelled,
    Shape,
    WriteShapes,
    put_together,
    read_frames,
    remark_background,
    remark_frames,
    take_apart,
)
from napari_unet.core.formats.polygons import Ring, fill, trace

_AREAS = frozenset(
    {
        roifile.ROI_TYPE.POLYGON,
        roifile.ROI_TYPE.RECT,
        roifile.ROI_TYPE.OVAL,
        roifile.ROI_TYPE.FREEHAND,
        roifile.ROI_TYPE.TRACED,
    }
)
_MOVE, _LINE, _CLOSE = 0, 1, 4  # of java.awt.geom.PathIterator


def read_rois(path: Path, size: tuple[int, int] | None) -> list[Labelled]:
    """Read regions that have an area as cells; those of a stack by their positions in it.

    Labels, classes and scores are the properties that `write_rois` gives to a region; the group of
    a region counts as its class too.

    Raises
    ------
    InputError
        The file is damaged, or its regions lie in several depths and several times.
    """
    try:
        found = roifile.roiread(path)
        rois = found if isinstance(found, list) else [found]
        shapes = [
            _read(roi, frame) for roi, frame in zip(rois, _frames(rois, path), strict=True)
            if roi.roitype in _AREAS
        ]  # fmt: skip
        frames = max([1, *(read_frames(roi.properties.get("frames")) for roi in rois)])
    except InputError:
        raise
    except DAMAGE as error:
        raise InputError(
            f"“{path}” cannot be read as regions of ImageJ ({give_reason(error)}): save it again "
            "from its ROI Manager."
        ) from error
    remarks: tuple[str, ...] = ()
    if len(shapes) < len(rois):
        remarks = (
            f"{len(rois) - len(shapes)} regions of “{path.name}” are lines or points, which "
            "enclose no cell: they are left out.",
        )
    labelled = put_together(shapes, size, path.name, frames)
    return [replace(labelled, remarks=remarks + labelled.remarks)]


def write_rois(path: Path, labelled: Labelled) -> tuple[str, ...]:
    """Write a region a cell, along the edges of its pixels; returns what was lost."""
    stream_rois(path, Extent.of(labelled))(take_apart(labelled))
    return (
        *remark_background(labelled, "Regions of ImageJ"),
        *remark_frames(labelled, "Regions of ImageJ"),
    )


def stream_rois(path: Path, extent: Extent) -> WriteShapes:
    """What writes a region a cell, one after the other."""

    def write(target: Path, shapes: Iterable[Shape]) -> None:
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as file:
            for shape in shapes:
                roi = _make(shape, extent.frames)
                file.writestr(f"{roi.name}.roi", roi.tobytes())

    return lambda shapes: write_atomically(path, lambda target: write(target, shapes))


def _frames(rois: Sequence[roifile.ImagejRoi], path: Path) -> list[int]:
    """Where in a stack each region lies, from 0."""
    times, depths = [roi.t_position for roi in rois], [roi.z_position for roi in rois]
    if max(times, default=0) > 1 and max(depths, default=0) > 1:
        raise InputError(
            f"The regions of “{path}” lie in several depths and several times: save those of one "
            "time, or of one depth."
        )
    along = times if max(times, default=0) > 1 else depths
    if max(along, default=0) <= 1:
        along = [roi.position for roi in rois]
    return [max(at - 1, 0) for at in along]


def _read(roi: roifile.ImagejRoi, frame: int) -> Shape:
    mask, origin = fill([np.asarray(ring, float) for ring in roi.coordinates(multi=True)])
    said = roi.properties
    score = said.get("score")
    return Shape(
        mask,
        origin,
        said["label"] if isinstance(said.get("label"), int) else 0,
        frame,
        _read_class(roi.props) or (f"group {roi.group}" if roi.group else ""),
        float(score) if isinstance(score, int | float) else None,
    )


def _read_class(properties: str) -> str:
    """The class to the letter: roifile makes numbers of what looks like one."""
    lines = (line.partition(":") for line in properties.splitlines())
    said = next((value.strip() for key, _, value in lines if key.strip() == "class"), "")
    try:
        return str(json.loads(said)) if said.startswith('"') else said
    except ValueError:  # not of ours
        return said


def _write_class(kind: str) -> str:
    """As it is where a line of ImageJ's properties keeps it, else in quotes as JSON has them."""
    plain = kind.isprintable() and kind == kind.strip() and not kind.startswith('"')
    # roifile counts two bytes a letter, and letters beyond the first 65536 have four
    return kind if plain and max(kind) <= "\uffff" else json.dumps(kind)


def _make(shape: Shape, frames: int | None) -> roifile.ImagejRoi:
    """A cell as a region; `frames` is None where it is of no stack."""
    rings = trace(shape.mask, shape.origin)
    name = f"{shape.label:04d}" if frames is None else f"{shape.frame + 1:04d}-{shape.label:04d}"
    if len(rings) == 1:
        roi = roifile.ImagejRoi.frompoints(rings[0], name=name)
        roi.roitype = roifile.ROI_TYPE.TRACED
    else:
        roi = _compose(rings, name)
    said: dict[str, int | float | str] = {"label": shape.label}
    if shape.kind:
        said["class"] = _write_class(shape.kind)
    if frames is not None:
        said["frames"] = frames  # the last ones may have no cell
    if shape.score is not None:
        said["score"] = round(shape.score, 4)
    roi.properties = said
    roi.position = 0 if frames is None else shape.frame + 1
    return roi


def _compose(rings: Sequence[Ring], name: str) -> roifile.ImagejRoi:
    """Several rings as one region."""
    path: list[float] = []
    for ring in rings:
        for at, (x, y) in enumerate(ring.tolist()):
            path += [_LINE if at else _MOVE, x, y]
        path.append(_CLOSE)
    corners = np.concatenate(rings)
    (left, top), (right, bottom) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    return roifile.ImagejRoi(
        roitype=roifile.ROI_TYPE.RECT,
        name=name,
        left=left,
        top=top,
        right=right,
        bottom=bottom,
        shape_roi_size=len(path),
        multi_coordinates=np.array(path, np.float32),
    )
