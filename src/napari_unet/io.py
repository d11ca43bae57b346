"""Readers and writers of the manifest: model files in, labels for training out."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any, TypeAlias

import napari
import numpy as np
from napari.layers import Shapes
from napari.utils.notifications import show_info, show_warning
from numpy.typing import NDArray

from napari_unet.core.card import read_card
from napari_unet.core.errors import InputError
from napari_unet.core.label_files import as_labels, write_labels
from napari_unet.widgets import _regions
from napari_unet.widgets._layers import KEY, REGIONS
from napari_unet.widgets._session import session

LayerData: TypeAlias = tuple[Any, dict[str, Any], str]


def get_model_reader(path: str | list[str]) -> Callable[[str], list[tuple[None]]] | None:
    """A reader for a model file of ours, None for any other file.

    Reading a model adds no layer: it becomes the model in use of the viewer.
    """
    if not isinstance(path, str):
        return None
    try:
        read_card(path)
    except InputError:
        return None
    return _choose_model


def _choose_model(path: str) -> list[tuple[None]]:
    viewer = napari.current_viewer()
    if viewer is not None:
        session(viewer).model = Path(path)
        show_info(f"The model “{Path(path).stem}” is chosen; the panel Predict uses it.")
    return [(None,)]


def write_annotation(path: str, layers: list[LayerData]) -> list[str]:
    """Write a labels layer as TIFF; with its complete regions also what they say.

    Where a layer of complete regions is saved along, what is not painted inside a region is
    written as −1, background: the file then says by itself what the two layers say together.

    Parameters
    ----------
    path : str
        Should end in .tif or .tiff.
    layers : list of (data, options, layer type)
        One labels layer and at most one shapes layer, as napari gives them.

    Returns
    -------
    list of str
        The path that was written; empty where the labels are no whole numbers or the file cannot
        be written, which is said: napari itself would not say an error.
    """
    (labels,) = (finest(data, options) for data, options, kind in layers if kind == "labels")
    try:
        for data, options, kind in layers:
            if kind == "shapes" and options.get("metadata", {}).get(KEY, {}).get("role") == REGIONS:
                labels = _say_background(as_labels(labels, Path(path).name), data, options)
        write_labels(path, labels)
    except InputError as error:
        show_warning(str(error))
        return []
    return [path]


def finest(data: Any, options: dict[str, Any]) -> NDArray[Any]:
    """The array of a layer; of a multiscale one its first level, of which the others are made."""
    return np.asarray(data[0] if options.get("multiscale") else data)


def _say_background(
    labels: NDArray[np.int32], outlines: list[NDArray[Any]], options: dict[str, Any]
) -> NDArray[np.int32]:
    """The labels with −1 for 0 inside the regions of each plane."""
    regions = Shapes(outlines, shape_type=options["shape_type"], ndim=labels.ndim)
    said = labels.copy()
    for place in product(*(range(size) for size in labels.shape[:-2])):
        mask = _regions.draw_mask(regions, (*place, None, None), labels.shape[-2:])
        if mask is not None:
            said[place][mask & (said[place] == 0)] = -1
    return said
