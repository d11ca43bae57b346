"""What a model file says about itself. Looks into no weights and needs no torch."""

from __future__ import annotations

import dataclasses
import json
import shutil
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from napari_unet.core.config import (
    EvidenceKind,
    InstanceConfig,
    NormalizeConfig,
    from_dict,
    to_dict,
)
from napari_unet.core.errors import InputError
from napari_unet.core.files import write_atomically
from napari_unet.core.start_models import find_model_file, start_model_files

FORMAT = "napari-unet"
VERSION = 1
_LARGEST_HEADER = 100_000_000  # bytes; safetensors' own limit


@dataclass(frozen=True)
class ModelCard:
    """Everything but the weights.

    Attributes
    ----------
    architecture : str
        Name in the registry of models.
    config : dict
        The architecture's own config.
    channels : int
        Of the images it was trained on.
    classes : tuple of str
        Names of the K cell classes, without the background.
    normalize, instances
        How images go in and cells come out.
    training : dict
        Provenance: images, steps, seconds, seed, device, start_from, versions, config.
    diameter : float
        Median diameter of the cells it learned from, in pixels of the network; 0 where unknown.
    maps : int
        Maps of an image's size that a prediction consists of; 0 where it finds whole cells.
    context, stride : int
        How far around a tile the network looks, and what its tiles begin at multiples of, in
        pixels of the network; 0 where the depth of the config tells.
    any_channels, any_size : bool
        Whether it takes images of any number of channels, and finds out by itself how large the
        cells of an image are; see `Segmenter.fit`.
    scores : dict
        On the held-out part: step, loss, iou, f1, ap50, mean_ap; empty where nothing was held out.
    """

    architecture: str
    config: dict[str, Any]
    channels: int
    classes: tuple[str, ...] = ("cell",)
    normalize: NormalizeConfig = NormalizeConfig()
    instances: InstanceConfig = InstanceConfig()
    training: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)
    diameter: float = 0.0
    any_channels: bool = False
    any_size: bool = False
    maps: int = 0
    context: int = 0
    stride: int = 0

    @property
    def evidence(self) -> EvidenceKind:
        """What its network gives to make cells of."""
        return "maps" if self.maps else "candidates"

    def to_header(self) -> dict[str, str]:
        """As safetensors keeps it: text to text."""
        return {
            "format": FORMAT,
            "version": str(VERSION),
            "card": json.dumps(to_dict(self)),
        }


def read_card(path: Path | str) -> ModelCard:
    """Read the card of a model file, or of a start model by its name.

    Raises
    ------
    InputError
        If the file is missing, not a model of ours, damaged, or from a newer version.
    """
    path = find_model_file(path)
    header, _ = _read_header(path)
    return _parse(header.get("__metadata__"), path)


def write_card(path: Path | str, card: ModelCard) -> None:
    """Give a model file another card; its weights stay as they are, byte for byte.

    Raises
    ------
    InputError
        If the file is not a model of ours, comes with the package, or cannot be written.
    """
    path = find_model_file(path)
    if path in start_model_files():
        raise InputError(
            f"The start model “{path.stem}” comes with the package and stays as it is: copy its "
            "file or train on from it."
        )
    read_card(path)
    header, length = _read_header(path)
    header["__metadata__"] = card.to_header()
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # the weights begin at a multiple of 8

    def write(target: Path) -> None:
        with path.open("rb") as old, target.open("wb") as new:
            new.write(struct.pack("<Q", len(text)) + text)
            old.seek(8 + length)
            shutil.copyfileobj(old, new)

    write_atomically(path, write)


def _read_header(path: Path) -> tuple[dict[str, Any], int]:
    """The header of a safetensors file and its length in bytes."""
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > _LARGEST_HEADER:
                raise ValueError("not a safetensors header")
            header = json.loads(file.read(length))
    except FileNotFoundError:
        raise InputError(f"There is no model file {path}.") from None
    except OSError as error:
        raise InputError(f"The model file {path} cannot be read: {error.strerror}.") from error
    except (struct.error, ValueError) as error:
        raise InputError(
            f"{path} is not a model of napari-unet: choose a file that `napari-unet train` wrote."
        ) from error
    return header if isinstance(header, dict) else {}, length


def card_from_dict(values: dict[str, Any]) -> ModelCard:
    """The inverse of `to_dict`; unknown keys, from a newer version, are left out."""
    known = {item.name for item in dataclasses.fields(ModelCard)}
    values = {key: value for key, value in values.items() if key in known}
    # cards without a polarity are of models that have seen their images as they are
    normalize = {"polarity": "bright", **values["normalize"]}
    values.setdefault("maps", len(values["classes"]))  # once these were all
    values["normalize"] = from_dict(NormalizeConfig, normalize)
    values["instances"] = from_dict(InstanceConfig, values["instances"])
    values["classes"] = tuple(values["classes"])
    if not isinstance(values.get("training", {}), dict):
        raise TypeError("what it says of the training is no table")
    return ModelCard(**values)


def _parse(metadata: object, path: Path) -> ModelCard:
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        raise InputError(
            f"{path} holds weights, but not of a napari-unet model: "
            "choose a file that `napari-unet train` wrote."
        )
    try:
        version = int(metadata["version"])
        card = card_from_dict(json.loads(metadata["card"]))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"The card of the model file {path} is damaged ({error}).") from error
    if version > VERSION:
        raise InputError(f"{path} was written by a newer napari-unet: update this one to use it.")
    return card
