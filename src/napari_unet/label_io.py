"""Readers and writers of the manifest: labels of other programs in, and out again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import napari
import numpy as np
from napari.utils.notifications import show_info, show_warning
from numpy.typing import NDArray

from napari_unet.core.errors import InputError
from napari_unet.core.formats import FORMATS, Format, Labelled, read_labelled, remark_overlaps
from napari_unet.widgets import _planes
from napari_unet.widgets._features import as_words, read_column
from napari_unet.widgets._session import session

LayerData: TypeAlias = tuple[Any, dict[str, Any], str]

_READ = ("roi", "seg", "geojson", "coco")  # napari itself reads the others


def get_labels_reader(path: str | list[str]) -> Callable[[str], list[LayerData]] | None:
    """A reader for labels of ImageJ, Cellpose, QuPath and COCO, None for any other file."""
    if not isinstance(path, str) or not any(FORMATS[name].matches(Path(path)) for name in _READ):
        return None
    return read_labels_file


def read_labels_file(path: str) -> list[LayerData]:
    """Read a labels layer for each image that the file tells of, over the image that is chosen.

    Raises
    ------
    InputError
        The file is damaged.
    """
    viewer = napari.current_viewer()
    image = None if viewer is None else session(viewer).image
    size = None
    placed: dict[str, Any] = {}
    if image is not None:
        rows, columns = _planes.spatial_shape(image)[-2:]
        size = rows, columns
        placed = {"scale": image.scale[-2:], "translate": image.translate[-2:]}
    layers: list[LayerData] = []
    for labelled in read_labelled(Path(path), size):
        for remark in (*labelled.remarks, *remark_overlaps(labelled)):
            show_info(remark)
        name = Path(labelled.image).stem or Path(path).stem
        fits = labelled.labels.shape == size
        options = {
            "name": f"{name} · cells",
            "features": _features(labelled),
            **(placed if fits else {}),
        }
        layers.append((labelled.labels, options, "labels"))
    return layers


def write_rois(path: str, data: Any, options: dict[str, Any]) -> list[str]:
    """Write labels as regions of ImageJ."""
    return _write(FORMATS["roi"], path, data, options)


def write_seg(path: str, data: Any, options: dict[str, Any]) -> list[str]:
    """Write labels as masks of Cellpose, whose name ends in `_seg.npy`."""
    stem = Path(path).name.removesuffix(".npy").removesuffix("_seg")
    return _write(FORMATS["seg"], str(Path(path).with_name(f"{stem}_seg.npy")), data, options)


def write_coco(path: str, data: Any, options: dict[str, Any]) -> list[str]:
    """Write labels as annotations of COCO."""
    return _write(FORMATS["coco"], path, data, options)


def write_geojson(path: str, data: Any, options: dict[str, Any]) -> list[str]:
    """Write labels as GeoJSON."""
    return _write(FORMATS["geojson"], path, data, options)


def _write(kind: Format, path: str, data: Any, options: dict[str, Any]) -> list[str]:
    """Write, and say what was lost, or why nothing is written: napari would not say an error."""
    labels = np.asarray(data[0] if isinstance(data, list | tuple) else data)
    try:
        if labels.ndim not in (2, 3) or labels.dtype.kind not in "iub":
            raise InputError(
                f"Labels of {labels.ndim} axes cannot be written as {kind.title}: planes, or a "
                "stack of planes, can."
            )
        remarks = kind.write(Path(path), _labelled(labels, options))
    except InputError as error:
        show_warning(str(error))
        return []
    for remark in remarks:
        show_info(remark)
    return [path]


def _labelled(labels: NDArray[Any], options: dict[str, Any]) -> Labelled:
    features = options.get("features")
    said = {} if features is None else {n: read_column(features, n) for n in ("class", "score")}
    present = set(np.unique(labels).tolist())
    classes = {i: as_words(v) for i, v in (said.get("class") or {}).items() if i in present}
    scores = {i: float(v) for i, v in (said.get("score") or {}).items() if i in present}
    return Labelled(labels.astype(np.int32), classes, scores)


def _features(labelled: Labelled) -> dict[str, list[Any]]:
    """The table of a labels layer: a row for each cell of which more is said."""
    index = sorted({*labelled.classes, *labelled.scores})
    table: dict[str, list[Any]] = {"index": index}
    if labelled.classes:
        table["class"] = [labelled.classes.get(label) for label in index]
    if labelled.scores:
        table["score"] = [labelled.scores.get(label, np.nan) for label in index]
    return table if index else {}
