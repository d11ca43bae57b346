"""File ▸ Open Sample: synthetic cells with a first annotation and, hidden, their truth."""

from __future__ import annotations

from typing import Any, TypeAlias

import napari
import numpy as np
import pandas as pd

from napari_unet.core.samples import CLASS_NAMES, complete_square, make_sample, partial
from napari_unet.core.types import Region, Sample
from napari_unet.widgets._colors import REGION_COLOR, annotation_colors
from napari_unet.widgets._layers import ANNOTATION, KEY, REGIONS

LayerData: TypeAlias = tuple[Any, dict[str, Any], str]

_CELLS = 8


def open_fluorescence() -> list[LayerData]:
    """Touching nuclei in fluorescence."""
    return make_layers("fluorescence")


def open_phase() -> list[LayerData]:
    """Spread cells in phase contrast."""
    return make_layers("phase")


def open_two_classes() -> list[LayerData]:
    """Two kinds of nuclei in stained tissue, RGB."""
    return make_layers("two-classes")


def make_layers(name: str) -> list[LayerData]:
    """The layers of a sample, the annotation last so that it is the one to paint on.

    Parameters
    ----------
    name : str
        A key of `napari_unet.core.samples.SAMPLES`.

    Returns
    -------
    list of (data, options, layer type)
        The image, the hidden truth, the region in which every cell is painted, and the
        annotation: about eight cells, the rest not said.
    """
    sample = make_sample(name)
    image_name = _free_name(name)
    painted = partial(sample, _CELLS)
    region = complete_square(sample, _CELLS)
    return [
        _image_layer(sample, image_name),
        (
            sample.labels,
            _options(sample, "truth", image_name) | {"visible": False},
            "labels",
        ),
        _region_layer(region, image_name),
        (
            painted.labels,
            _options(painted, ANNOTATION, image_name) | {"colormap": annotation_colors()},
            "labels",
        ),
    ]


def _image_layer(sample: Sample, name: str) -> LayerData:
    if len(sample.image) == 3:
        return np.ascontiguousarray(sample.image.transpose(1, 2, 0)), {"name": name}, "image"
    plane = sample.image[0]
    low, high = np.percentile(plane, (0.5, 99.9))
    return plane, {"name": name, "contrast_limits": (float(low), float(high))}, "image"


def _options(sample: Sample, role: str, image_name: str) -> dict[str, Any]:
    """Name, role and table of classes of a labels layer."""
    names = CLASS_NAMES[sample.name]
    labels = list(sample.classes)
    table = pd.DataFrame(
        {"index": labels, "class": [names[sample.classes[label] - 1] for label in labels]}
    )
    return {
        "name": f"{image_name} · {role}",
        "metadata": {KEY: {"role": role, "image": image_name, "classes": list(names)}},
        "features": table,
    }


def _region_layer(region: Region, image_name: str) -> LayerData:
    rows, cols = region
    low = np.array([rows.start, cols.start]) - 0.5
    high = np.array([rows.stop, cols.stop]) - 0.5
    corners = np.array([low, (low[0], high[1]), high, (high[0], low[1])])
    options = {
        "name": f"{image_name} · complete regions",
        "metadata": {KEY: {"role": REGIONS, "image": image_name}},
        "shape_type": "rectangle",
        "edge_color": REGION_COLOR,
        "edge_width": 1.5,
        "face_color": "transparent",
    }
    return [corners], options, "shapes"


def _free_name(wanted: str) -> str:
    """`wanted`, numbered where the viewer has a layer of that name: ours are found by it."""
    viewer = napari.current_viewer()
    taken = {layer.name for layer in viewer.layers} if viewer is not None else set()
    name, n = wanted, 1
    while name in taken:
        n += 1
        name = f"{wanted} {n}"
    return name
