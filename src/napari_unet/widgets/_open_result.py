"""An image and the cells that were predicted on it, from their files into the viewer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import dask.array as da
import numpy as np
from napari.layers import Image

from napari_unet.core.errors import InputError
from napari_unet.core.label_planes import open_labels
from napari_unet.core.lazy_image import is_zarr
from napari_unet.core.ngff import open_levels
from napari_unet.widgets import _cell_layers

if TYPE_CHECKING:
    from napari.components import ViewerModel


def open_result(viewer: ViewerModel, image: Path, result: Path) -> None:
    """Open an image with its cells as its prediction, which all panels then know.

    The cells of a large image are read as they come into view.

    Raises
    ------
    InputError
        One of the files is gone or cannot be read.
    """
    for path in (image, result):
        if not path.exists():
            raise InputError(f"“{path}” is no longer there.")
    layer = next((each for each in viewer.layers if _comes_from(each, image)), None)
    if layer is None:
        opened = viewer.open(str(image))
        layer = next((each for each in opened if isinstance(each, Image)), None)
    if layer is None:
        raise InputError(f"“{image}” is no image to napari: drop it on the window by yourself.")
    if is_zarr(result):
        levels = [da.from_zarr(level) for level in open_levels(result)]
        _cell_layers.add_prediction(viewer, layer, levels)
        return
    planes = [read() for _, read in open_labels(result)]
    _cell_layers.add_prediction(viewer, layer, np.stack(planes) if len(planes) > 1 else planes[0])


def _comes_from(layer: object, path: Path) -> bool:
    source = getattr(getattr(layer, "source", None), "path", None)
    return isinstance(layer, Image) and source is not None and Path(source) == path
