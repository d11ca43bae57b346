"""The colours of our layers."""

from __future__ import annotations

from functools import cache

import numba
import numpy as np
from napari.utils.colormaps import (
    AVAILABLE_COLORMAPS,
    Colormap,
    CyclicLabelColormap,
    label_colormap,
)

BACKGROUND_COLOR = (0.36, 0.45, 0.62, 0.55)
REGION_COLOR = "#4cc9f0"
MARKER_COLOR = "#ff4df0"

_MANY = 2**14 - 2


@cache
def annotation_colors() -> CyclicLabelColormap:
    """napari's own colours for cells 1, 2, 3 …, and one that no cell has for -1.

    A cyclic colormap of n colours shows -1 as it shows n - 1, so n is far above the number of
    cells in an image.
    """
    own = label_colormap(49).colors
    colors = np.zeros((_MANY + 1, 4), dtype=np.float32)
    colors[1:] = own[1 + np.arange(_MANY) % (len(own) - 1)]
    colors[_MANY - 1] = BACKGROUND_COLOR
    return CyclicLabelColormap(colors=colors, name="cells and background")


@cache
def weight_colors() -> Colormap:
    """Inferno that lets the image shine through, the more the smaller the weight.

    On a bright image an additive layer would not be seen, and an opaque 0 would hide it.
    """
    steps = np.linspace(0, 1, 256)
    colors = np.array(AVAILABLE_COLORMAPS["inferno"].map(steps))
    colors[:, 3] = np.sqrt(steps)
    return Colormap(colors, name="weights", display_name="weights (inferno)")


@cache
def warm_up() -> None:
    """Have what napari colours int32 labels with compiled, or loaded, before it is waited for.

    napari compiles at first use: on a new machine for a second each within the click that makes an
    annotation, within the first stroke and where the first cells are shown. This compiles without
    running: numba's simplest pool of threads ends the process when two threads run on it at once.
    """
    try:  # names of napari's own, which may change
        from napari.utils.colormaps import _accelerated_cmap

        kernel = _accelerated_cmap._zero_preserving_modulo_inner_loop
    except (ImportError, AttributeError):
        return
    if not isinstance(kernel, numba.core.dispatcher.Dispatcher):
        return
    for shape in ((1,), (1, 1)):  # of the pixels of a stroke, and of a plane
        for texture in (np.uint8, np.uint16):  # of cells, and of the many colours of an annotation
            labels, colors = np.empty(shape, np.int32), np.empty(shape, texture)
            kernel.compile(tuple(map(numba.typeof, (labels, 1, 0, colors))))
