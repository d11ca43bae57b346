"""`napari-unet train`: a model from images and labels."""

from __future__ import annotations

import argparse
import dataclasses
import os
from pathlib import Path
from typing import Any

from napari_unet.annotated_files import add_annotation_flags, read_annotated
from napari_unet.core.config import TRAIN_PRESETS, TrainConfig
from napari_unet.core.models import MODELS
from napari_unet.core.start_models import START_MODELS
from napari_unet.flags import add_flags, read_flags
from napari_unet.say import say


def add_train_flags(parser: argparse.ArgumentParser) -> None:
    """What `run_train` reads."""
    add_annotation_flags(parser)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="MODEL")
    parser.add_argument(
        "--architecture", default=next(iter(MODELS)), help=f"one of {', '.join(MODELS)}"
    )
    presets = "; ".join(f"{name}: {', '.join(each.presets)}" for name, each in MODELS.items())
    parser.add_argument("--preset", default="default", help=f"of the architecture; {presets}")
    parser.add_argument(
        "--start-from",
        default="none",
        metavar="|".join(["none", *START_MODELS, "MODEL"]),
        help="a start model by its name, or a model file, to learn on from",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with the training of MODEL that was stopped or killed, with its settings",
    )
    add_settings_flags(parser)


def add_settings_flags(parser: argparse.ArgumentParser) -> None:
    """What `read_settings` reads: the budget, as steps or as minutes, and all else."""
    budget = parser.add_mutually_exclusive_group()
    add_flags(budget, TrainConfig, only={"steps", "minutes"})
    add_flags(parser, TrainConfig)


def read_settings(base: TrainConfig, given: argparse.Namespace) -> TrainConfig:
    """How to train: `base` with what was given; minutes instead of its steps, where it has any."""
    config = read_flags(base, given)
    return dataclasses.replace(config, steps=None) if "minutes" in given else config


def run_train(given: argparse.Namespace) -> dict[str, Any] | int:
    """Train a model on pairs of images and labels."""
    samples, validation, names = read_annotated(given)
    config = read_settings(TRAIN_PRESETS.get(given.preset, TrainConfig()), given)

    from napari_unet.core.training import resume, train

    if given.resume:
        work = resume(samples, given.output, validation=validation, class_names=names)
    else:
        work = train(
            samples,
            config,
            architecture=given.architecture,
            preset=given.preset,
            start_from=None if given.start_from == "none" else given.start_from,
            validation=validation,
            class_names=names,
            output=given.output,
        )
    first = os.environ.get("RANK", "0") == "0"  # of the processes of torchrun
    model = _watch(work, given.output, first)
    if not first:
        return 0
    return {
        "model": str(given.output),
        "scores": model.card.scores,
        "threshold": model.card.instances.threshold,
        "training": {k: v for k, v in model.card.training.items() if k != "config"},
    }


def _watch(work: Any, model: Path, speaks: bool) -> Any:
    """Run a training; where it is ended, say what is left of it."""
    from napari_unet.core.resumable import is_resumable
    from napari_unet.training_progress import run_until_ctrl_c, tell_training

    try:
        return run_until_ctrl_c(work, tell_training if speaks else None)
    except KeyboardInterrupt:
        if speaks:
            saved = (
                "what was learnt so far is saved. The same command with --resume goes on."
                if is_resumable(model)
                else "nothing was learnt yet."
            )
            say(f"Stopped; {saved}")
        raise
