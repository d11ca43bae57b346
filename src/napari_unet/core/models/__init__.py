"""The registry of model families: a third one is one file and one line here."""

from __future__ import annotations

from napari_unet.core.errors import InputError
from napari_unet.core.models.base import Segmenter
from napari_unet.core.models.mask_rcnn import MaskRCNNSegmenter
from napari_unet.core.models.unet import UNetSegmenter

MODELS: dict[str, type[Segmenter]] = {
    model.name: model for model in (UNetSegmenter, MaskRCNNSegmenter)
}


def find_model(name: str) -> type[Segmenter]:
    """Look a family up by its name, or say in an `InputError` which there are."""
    if name not in MODELS:
        raise InputError(f"There is no architecture {name!r}: choose one of {', '.join(MODELS)}.")
    return MODELS[name]
