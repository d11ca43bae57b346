"""Paint cells in napari, see the U-Net border weight map, train, and get the rest.

The public names are loaded when they are first used: importing the package costs neither torch
nor Qt.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["border_weight_map", "evaluate", "load_model", "predict", "train"]

if TYPE_CHECKING:
    from napari_unet.core.border_weights import border_weight_map
    from napari_unet.core.checkpoint import load_model
    from napari_unet.core.metrics import evaluate
    from napari_unet.core.prediction import predict
    from napari_unet.core.training import train

_ROOMS = {
    "border_weight_map": "border_weights",
    "evaluate": "metrics",
    "load_model": "checkpoint",
    "predict": "prediction",
    "train": "training",
}


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"napari_unet.core.{_ROOMS[name]}"), name)
