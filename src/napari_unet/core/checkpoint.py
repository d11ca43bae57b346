"""One self-describing file a model: safetensors with the card in its header. No pickle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import safetensors
from safetensors.torch import load_file, save_file

from napari_unet.core.card import ModelCard, read_card
from napari_unet.core.config import from_dict
from napari_unet.core.device import resolve_device
from napari_unet.core.errors import InputError
from napari_unet.core.files import write_atomically
from napari_unet.core.models import find_model
from napari_unet.core.models.base import Segmenter
from napari_unet.core.start_models import find_model_file


@dataclass(frozen=True, eq=False)
class Model:
    """A trained segmenter and its card."""

    segmenter: Segmenter
    card: ModelCard


def save_model(model: Model, path: Path | str) -> None:
    """Write the model whole or not at all: an interrupted save leaves the old file.

    Raises
    ------
    InputError
        If the place cannot be written to.
    """
    weights = {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in model.segmenter.net.state_dict().items()
    }
    header = model.card.to_header()
    try:
        write_atomically(Path(path), lambda file: save_file(weights, file, header))
    except safetensors.SafetensorError as error:
        raise InputError(f"The model cannot be saved at {path} ({error}).") from error


def load_model(path: Path | str, device: str = "auto") -> Model:
    """Read a model file.

    Parameters
    ----------
    path : path, or the name of a start model
    device : {"auto", "cpu", "cuda", "mps"}

    Raises
    ------
    InputError
        If the file is missing, damaged or not a model of ours.
    """
    path = find_model_file(path)
    card = read_card(path)
    family = find_model(card.architecture)
    try:
        plan = from_dict(family.config_type, card.config)
        segmenter = family.with_weights(plan, load_file(path))
    except InputError:  # the family says what it lacks
        raise
    except (safetensors.SafetensorError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(
            f"The weights in {path} are damaged or not those of its card: train or copy it anew."
        ) from error
    segmenter.net.eval().to(resolve_device(device).device)
    return Model(segmenter, card)
