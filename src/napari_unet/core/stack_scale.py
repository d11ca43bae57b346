"""How large a voxel of a TIFF is and how long a frame lasts, as OME calls it."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

import tifffile

_SIZES = ("PhysicalSizeX", "PhysicalSizeY", "PhysicalSizeZ", "TimeIncrement")
_IMAGEJ_UNITS = {
    "micron": "µm", "microns": "µm", "um": "µm", "µm": "µm", "\\u00B5m": "µm", "nm": "nm",
    "mm": "mm",
}  # fmt: skip


def read_scale(path: Path) -> dict[str, Any]:
    """The attributes PhysicalSizeX, Y, Z and TimeIncrement, with Unit, that a TIFF gives.

    From OME's or ImageJ's metadata; empty where the file says nothing.
    """
    with tifffile.TiffFile(path) as tif:
        if tif.is_ome:
            return _read_ome(tif.ome_metadata or "")
        if tif.is_imagej:
            return _read_imagej(tif)
    return {}


def _read_ome(text: str) -> dict[str, Any]:
    try:
        image = tifffile.xml2dict(text)["OME"]["Image"]
        pixels = (image[0] if isinstance(image, list) else image)["Pixels"]
    except (ParseError, LookupError, TypeError):
        return {}
    wanted = (*_SIZES, *(f"{name}Unit" for name in _SIZES))
    return {name: pixels[name] for name in wanted if name in pixels}


def _read_imagej(tif: tifffile.TiffFile) -> dict[str, Any]:
    said = tif.imagej_metadata or {}
    scale: dict[str, Any] = {}
    unit = _IMAGEJ_UNITS.get(str(said.get("unit", "")))
    if unit is not None:
        tags = tif.pages.first.tags
        for axis in "XY":
            pixels, length = (
                tags[f"{axis}Resolution"].value if f"{axis}Resolution" in tags else (0, 0)
            )
            if pixels and length:
                scale[f"PhysicalSize{axis}"] = length / pixels
        if said.get("spacing"):
            scale["PhysicalSizeZ"] = said["spacing"]
        scale |= {f"{name}Unit": unit for name in list(scale)}
    if said.get("finterval"):
        scale |= {"TimeIncrement": said["finterval"], "TimeIncrementUnit": "s"}
    return scale
