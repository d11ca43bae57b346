"""The folder of the person's models: where it is, what lies in it, how a file gets its name."""

from __future__ import annotations

import os
import re
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from platformdirs import user_data_path

from napari_unet.core.card import ModelCard, read_card
from napari_unet.core.errors import InputError
from napari_unet.core.models import MODELS
from napari_unet.core.resumable import state_path
from napari_unet.core.training_log import log_path

SUFFIX = ".safetensors"

_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f]')


def models_folder() -> Path:
    """Where trained models are kept, made if it is missing; NAPARI_UNET_MODELS names another."""
    own = os.environ.get("NAPARI_UNET_MODELS")
    folder = Path(own) if own else user_data_path("napari-unet-cells", appauthor=False) / "models"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def list_models() -> list[Path]:
    """The model files of the folder, newest first."""
    files = [path for path in models_folder().glob(f"*{SUFFIX}") if not path.name.startswith(".")]
    return sorted(files, key=lambda path: path.stat().st_mtime, reverse=True)


def architecture_of(path: Path) -> str:
    """The name of a model's family; empty where the file cannot be read."""
    try:
        return _read_architecture(path, path.stat().st_mtime_ns)
    except (OSError, InputError):
        return ""


@lru_cache(maxsize=1024)
def _read_architecture(path: Path, written: int) -> str:
    return read_card(path).architecture


def new_model_path(image_name: str, now: datetime | None = None) -> Path:
    """A free path for a model trained on this image: `hela 2026-11-22 14.05.safetensors`."""
    stem = _FORBIDDEN.sub("_", image_name).strip(" .") or "model"
    moment = (now or datetime.now().astimezone()).strftime("%Y-%m-%d %H.%M")
    path = models_folder() / f"{stem} {moment}{SUFFIX}"
    count = 2
    while path.exists():
        path = path.with_name(f"{stem} {moment} ({count}){SUFFIX}")
        count += 1
    return path


def rename_model(path: Path, name: str) -> Path:
    """Give a model file another name in its folder, never over another file.

    Raises
    ------
    InputError
        If the name is empty, no file name, or taken, or the disk refuses.
    """
    name = name.strip().removesuffix(SUFFIX).strip()
    if not name or name.startswith(".") or _FORBIDDEN.search(name):
        raise InputError(
            f"“{name}” cannot be a file name: use letters, digits, spaces, “-”, “_” and “.”."
        )
    target = path.with_name(f"{name}{SUFFIX}")
    if target.exists() and not target.samefile(path):
        raise InputError(f"There is a model “{target.stem}” already: choose another name.")
    return move_model(path, target)


def move_model(path: Path, target: Path) -> Path:
    """Move a model file, with what lies beside it, to a path that is free in the same disk.

    Raises
    ------
    InputError
        If it is no longer there or the disk refuses.
    """
    try:
        renamed = path.rename(target)
        for beside in (log_path, state_path):
            if beside(path).exists():
                beside(path).rename(beside(target))
        return renamed
    except FileNotFoundError:
        raise InputError(f"The model file {path} is no longer there.") from None
    except OSError as error:
        raise InputError(f"{path.name} could not be renamed: {error.strerror}.") from error


def describe(card: ModelCard) -> list[tuple[str, str]]:
    """What a model's card says, as rows of (what, value) for the person."""
    family = MODELS.get(card.architecture)
    rows = [
        ("Architecture", family.title if family else card.architecture),
        ("Images", "any channels" if card.any_channels else _channels(card.channels)),
        ("Classes", ", ".join(card.classes)),
    ]
    training = card.training
    if "steps" in training:
        seconds = float(training.get("seconds", 0.0))
        rows.append(("Trained", f"{training['steps']} steps in {seconds / 60:.1f} min"))
    if {"f1", "ap50"} <= card.scores.keys():
        rows.append(
            ("Held-out cells", f"F1 {card.scores['f1']:.2f}, AP50 {card.scores['ap50']:.2f}")
        )
    tuned = card.instances
    rows.append(
        (
            "Tuned",
            f"threshold {tuned.threshold:.2f}, least sure {tuned.min_score:.2f}, "
            f"{f'overlap {tuned.overlap:.2f}, ' if card.evidence == 'candidates' else ''}"
            f"cells ≥ {tuned.min_size} px",
        )
    )
    return rows


def check_channels(card: ModelCard, channels: int, model: str, image: str) -> None:
    """Raise an `InputError` where an image of so many channels does not fit the model."""
    if card.channels != channels and not card.any_channels:
        raise InputError(
            f"“{model}” was trained on images of {_channels(card.channels)}, “{image}” has "
            f"{_channels(channels)}: choose another model or another image."
        )


def _channels(count: int) -> str:
    return "1 channel" if count == 1 else f"{count} channels"
