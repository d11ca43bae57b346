"""Readers and writers of the manifest: labels of other programs in, and out again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import napari
import numpy as np
import pandas as pd
from napari.layers import Shapes
from napari.utils.notifications import show_info, show_warning
from numpy.typing import NDArray

from napari_unet.core.errors import InputError
from napari_unet.core.formats import FORMATS, Format, Labelled, read_labelled, remark_overlaps
from napari_unet.core.formats.labelled import put_together
from napari_unet.core.label_files import as_labels
from napari_unet.core.whole_cells import fill_outlines, outline
from napari_unet.io import finest
from napari_unet.widgets import _planes
from napari_unet.widgets._features import as_words, read_column
from napari_unet.widgets._layers import KEY
from napari_unet.widgets._session import session
from napari_unet.widgets._whole_cells import add_outlines, make_layer, read_outlines

LayerData: TypeAlias = tuple[Any, dict[str, Any], str]

_READ = ("roi", "seg", "geojson", "coco")  # napari itself reads the others


def get_labels_reader(path: str | list[str]) -> Callable[[str], list[LayerData]] | None:
    """A reader for labels of ImageJ, Cellpose, QuPath and COCO, None for any other file."""
    if not isinstance(path, str) or not any(FORMATS[name].matches(Path(path)) for name in _READ):
        return None
    return read_labels_file


def read_labels_file(path: str) -> list[LayerData]:
    """Read a labels layer for each image that the file tells of, over the image that is chosen.

    Where cells overlap a layer of outlines has each of them whole.

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
        name = Path(labelled.image).stem or Path(path).stem
        place = placed if labelled.labels.shape == size else {}
        options = {"name": f"{name} · cells", "features": _features(labelled), **place}
        layers.append((labelled.labels, options, "labels"))
        for remark in (*labelled.remarks, *remark_overlaps(labelled)):
            show_info(remark)
        if labelled.wholes:
            wholes = _draw_wholes(labelled, {"name": f"{name} · whole cells", **place})
            layers.append(wholes.as_layer_data_tuple())
            show_info(f"Each cell is whole in “{wholes.name}”.")
    return layers


def write_rois(path: str, data: Any, options: dict[str, Any]) -> list[str]:
    """Write labels, or whole cells, as regions of ImageJ."""
    return _write(FORMATS["roi"], path, data, options)


def write_seg(path: str, data: Any, options: dict[str, Any]) -> list[str]:
    """Write labels as masks of Cellpose, whose name ends in `_seg.npy`."""
    stem = Path(path).name.removesuffix(".npy").removesuffix("_seg")
    return _write(FORMATS["seg"], str(Path(path).with_name(f"{stem}_seg.npy")), data, options)


def write_coco(path: str, data: Any, options: dict[str, Any]) -> list[str]:
    """Write labels, or whole cells, as annotations of COCO."""
    return _write(FORMATS["coco"], path, data, options)


def write_geojson(path: str, data: Any, options: dict[str, Any]) -> list[str]:
    """Write labels, or whole cells, as GeoJSON."""
    return _write(FORMATS["geojson"], path, data, options)


def _write(kind: Format, path: str, data: Any, options: dict[str, Any]) -> list[str]:
    """Write, and say what was lost, or why nothing is written: napari would not say an error."""
    try:
        if "shape_type" in options:
            labelled = _fill(kind, path, data, options)
        else:
            labelled = _check(kind, data, options)
        remarks = (*labelled.remarks, *kind.write(Path(path), labelled))
    except InputError as error:
        show_warning(str(error))
        return []
    for remark in remarks:
        show_info(remark)
    return [path]


def _check(kind: Format, data: Any, options: dict[str, Any]) -> Labelled:
    """The cells of a labels layer."""
    labels = finest(data, options)
    if labels.ndim not in (2, 3) or labels.dtype.kind not in "iub":
        raise InputError(
            f"Labels of {labels.ndim} axes cannot be written as {kind.title}: planes, or a "
            "stack of planes, can."
        )
    return _labelled(labels, options)


def _fill(kind: Format, path: str, data: Any, options: dict[str, Any]) -> Labelled:
    """The cells of a layer of whole cells, or of any other shapes that enclose something."""
    ndim = data[0].shape[1] if len(data) else 2
    if ndim not in (2, 3):
        raise InputError(
            f"Shapes of {ndim} axes cannot be written as {kind.title}: those of a plane, or of a "
            "stack of planes, can."
        )
    frames = sorted({round(float(each[0, 0])) for each in data}) if ndim == 3 else [0]
    cells = []
    for frame in frames:
        index = (None, None) if ndim == 2 else (frame, None, None)
        kinds, table = options["shape_type"], pd.DataFrame(options.get("features"))
        cells += fill_outlines(read_outlines(data, kinds, table, index), frame)
    if not cells:
        raise InputError(
            f"No shape encloses a cell that {kind.title} could hold: nothing is saved."
        )
    size = options.get("metadata", {}).get(KEY, {}).get("size")
    return put_together(cells, size and (size[0], size[1]), Path(path).name)


def _draw_wholes(labelled: Labelled, named: dict[str, Any]) -> Shapes:
    """A layer of the whole cells of all frames."""
    rows, columns = labelled.labels.shape[-2:]
    layer = make_layer((rows, columns), labelled.labels.ndim, named)
    for frame in range(len(labelled.frames)):
        index = (None, None) if layer.ndim == 2 else (frame, None, None)
        cells = [cell for cell in labelled.wholes if cell.frame == frame]
        add_outlines(layer, outline(cells), index)
    return layer


def _labelled(labels: NDArray[Any], options: dict[str, Any]) -> Labelled:
    features = options.get("features")
    said = {} if features is None else {n: read_column(features, n) for n in ("class", "score")}
    present = set(np.unique(labels).tolist())
    classes = {i: as_words(v) for i, v in (said.get("class") or {}).items() if i in present}
    scores = {i: float(v) for i, v in (said.get("score") or {}).items() if i in present}
    return Labelled(as_labels(labels, str(options.get("name", "labels"))), classes, scores)


def _features(labelled: Labelled) -> dict[str, list[Any]]:
    """The table of a labels layer: a row for each cell of which more is said."""
    index = sorted({*labelled.classes, *labelled.scores})
    table: dict[str, list[Any]] = {"index": index}
    if labelled.classes:
        table["class"] = [labelled.classes.get(label) for label in index]
    if labelled.scores:
        table["score"] = [labelled.scores.get(label, np.nan) for label in index]
    return table if index else {}
