"""OME-Zarr (NGFF): which array of a group is the image, and groups for labels with a pyramid."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zarr

from napari_unet.core.errors import InputError

OURS = "napari-unet"
"""Attribute of the groups that we wrote; it says by which version, and whether they are whole."""

_SMALL = 1024  # px: the coarsest level fits in a square of this edge


@dataclass(frozen=True, eq=False)
class Level:
    """The finest level of an image in an OME-Zarr, or a bare zarr array."""

    array: Any
    axes: str
    pixel_size: tuple[float, float] = (1.0, 1.0)
    unit: str = ""


def find_level(path: Path) -> Level:
    """Find the image in a zarr folder.

    Raises
    ------
    InputError
        If the folder is no zarr, or a zarr without an image.
    """
    try:
        node: Any = zarr.open(path, mode="r")
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InputError(
            f"The folder “{path}” is no zarr that can be read; give an OME-Zarr, or TIFF files."
        ) from error
    if isinstance(node, zarr.Array):
        dimensions = getattr(node.metadata, "dimension_names", None)  # zarr 3 only
        names = [str(name or "").upper() for name in dimensions or ()]
        named = "".join(names) if all(len(name) == 1 for name in names) else ""
        return Level(node, named or {2: "YX", 3: "CYX"}.get(node.ndim, "Q" * node.ndim))
    attributes = _ngff_attributes(node)
    if "bioformats2raw.layout" in attributes and "0" in node:
        if "1" in node:
            raise InputError(
                f"The zarr “{path}” holds several images: name the folder of one, such as "
                f"{path / '0'}."
            )
        node = node["0"]
        attributes = _ngff_attributes(node)
    try:
        multiscale = attributes["multiscales"][0]
        finest = multiscale["datasets"][0]
        axes = [axis if isinstance(axis, dict) else {"name": axis} for axis in multiscale["axes"]]
        array = node[finest["path"]]
        scale = next(
            (step["scale"] for step in finest.get("coordinateTransformations", [])
             if step["type"] == "scale"),
            [1.0] * len(axes),
        )  # fmt: skip
        named = "".join(str(axis["name"]).upper() for axis in axes)
        y, x = named.index("Y"), named.index("X")
        if len(named) != array.ndim or len(scale) != array.ndim:
            raise ValueError("axes do not match the array")
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise InputError(
            f"The zarr “{path}” holds no image that OME-Zarr 0.4 or 0.5 describes; "
            "name the folder of one image, or of its array."
        ) from error
    return Level(array, named, (float(scale[y]), float(scale[x])), str(axes[x].get("unit", "")))


def _ngff_attributes(node: Any) -> dict[str, Any]:
    attributes = dict(node.attrs)
    ome = attributes.get("ome")
    return dict(ome) if isinstance(ome, dict) else attributes


def make_labels(
    path: Path,
    shape: tuple[int, int],
    chunk: int,
    pixel_size: tuple[float, float],
    unit: str,
    about: dict[str, Any],
) -> None:
    """Make an empty OME-Zarr 0.5 label image with a pyramid, or open the one that is there.

    Parameters
    ----------
    path : Path
        Of the group.
    shape : (H, W)
    chunk : int
        Edge of its chunks in pixels.
    pixel_size, unit
        As in `LazyImage`.
    about : dict
        Kept in the attribute `OURS`.

    Its levels are "0", "1" …, int32, each half as large as the one before; 0 where nothing was
    written.
    """
    shapes = [shape]
    while max(shapes[-1]) > _SMALL:
        shapes.append((-(-shapes[-1][0] // 2), -(-shapes[-1][1] // 2)))
    try:
        group = zarr.open_group(path, mode="a", zarr_format=3)
        for i, size in enumerate(shapes):
            if str(i) not in group:
                group.create_array(
                    str(i), shape=size, chunks=(chunk, chunk), dtype="int32", fill_value=0,
                    dimension_names=("y", "x"),
                )  # fmt: skip
        group.attrs.update({"ome": _describe(len(shapes), pixel_size, unit), OURS: about})
    except OSError as error:
        raise InputError(
            f"“{path}” cannot be written ({error.strerror}); choose another place or make room."
        ) from error


def open_levels(path: Path) -> list[Any]:
    """The levels of what `make_labels` made; chunks of background are written too: one that is
    there is done."""
    group: Any = zarr.open_group(path, mode="r+")
    count = sum(name.isdecimal() for name in group.array_keys())
    return [group[str(i)].with_config({"write_empty_chunks": True}) for i in range(count)]


def mark_finished(path: Path) -> None:
    """Say in what `make_labels` made that nothing is missing."""
    group = zarr.open_group(path, mode="r+")
    about = group.attrs[OURS]
    group.attrs[OURS] = {**(about if isinstance(about, dict) else {}), "finished": True}


def is_finished(path: Path) -> bool:
    """Whether nothing is missing: False of what `make_labels` made and nobody marked."""
    about = zarr.open_group(path, mode="r").attrs.get(OURS) if is_ours(path) else None
    return not isinstance(about, dict) or bool(about.get("finished", True))


def _describe(levels: int, pixel_size: tuple[float, float], unit: str) -> dict[str, Any]:
    axis: dict[str, str] = {"type": "space", **({"unit": unit} if unit else {})}
    datasets = [
        {
            "path": str(i),
            "coordinateTransformations": [
                {"type": "scale", "scale": [size * 2**i for size in pixel_size]}
            ],
        }
        for i in range(levels)
    ]
    multiscale = {
        "name": "cells",
        "axes": [{"name": "y", **axis}, {"name": "x", **axis}],
        "datasets": datasets,
        "type": "nearest",
    }
    return {"version": "0.5", "multiscales": [multiscale], "image-label": {"version": "0.5"}}


def is_ours(path: Path) -> bool:
    """Whether a folder is a zarr group that `make_labels` made."""
    try:
        return OURS in zarr.open_group(path, mode="r").attrs
    except (OSError, ValueError, LookupError, TypeError):
        return False
