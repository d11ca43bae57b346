"""The command line: a second skin over the core, in its own process. No Qt, no napari."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from napari_unet.convert_command import add_convert_flags, run_convert
from napari_unet.core.config import (
    TRAIN_PRESETS,
    WEIGHT_PRESETS,
    TrainConfig,
)
from napari_unet.core.errors import InputError
from napari_unet.core.start_models import START_MODELS
from napari_unet.evaluate_command import add_evaluate_flags, run_evaluate
from napari_unet.flags import add_flags, read_flags
from napari_unet.measure_command import add_measure_flags, run_measure
from napari_unet.predict_command import add_predict_flags, run_predict
from napari_unet.say import say


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns 0, 2 for input that cannot be used, or 130 for Ctrl-C."""
    parser = _make_parser()
    given = parser.parse_args(arguments)
    try:
        result = given.command(given)
    except InputError as error:
        print(f"napari-unet: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    if isinstance(result, int):
        return result
    print(json.dumps(result) if given.json else _as_lines(result))
    return 0


def run_demo(given: argparse.Namespace) -> int:
    """The main job on a sample, in a window or without a screen."""
    if importlib.util.find_spec("napari") is None:
        raise InputError(
            'napari is not installed here: run `pip install "napari-unet-cells[all]"` first.'
        )
    from napari_unet.demo import run_demo

    return run_demo(given.out, headless=given.headless)


def run_weights(given: argparse.Namespace) -> dict[str, Any]:
    """Weight maps of label files, as float32 TIFFs of the same stem."""
    import tifffile

    from napari_unet.core.annotation import check_labels, weight_map
    from napari_unet.core.files import expand, name_results, write_atomically
    from napari_unet.core.formats import read_one
    from napari_unet.core.types import Sample

    config = read_flags(WEIGHT_PRESETS[given.preset], given)
    paths = expand(given.labels, "labels")
    written = []
    for path, target in zip(paths, name_results(paths, given.output), strict=True):
        labels = check_labels(read_one(path).labels, name=str(path))
        weights = weight_map(Sample(image=labels[None], labels=labels, name=str(path)), config)
        write_atomically(
            target, lambda file, data=weights: tifffile.imwrite(file, data, compression="zlib")
        )
        say(f"{target}: {weights.min():.3g} … {weights.max():.3g}")
        written.append({"file": str(target), "max": float(weights.max())})
    return {"written": written}


def run_train(given: argparse.Namespace) -> dict[str, Any] | int:
    """Train a model on pairs of images and labels."""
    samples, names = _read_samples(given.images, given.labels)
    validation = []
    if given.val_images or given.val_labels:
        validation, names = _read_samples(given.val_images or [], given.val_labels or [], names)
    config = read_flags(TRAIN_PRESETS.get(given.preset, TrainConfig()), given)
    if "minutes" in given:
        config = dataclasses.replace(config, steps=None)

    from napari_unet.core.training import resume, train

    if given.resume:
        work = resume(samples, given.output, validation=validation)
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
    model = _watch(work, given.output, _tell if first else None)
    if not first:
        return 0
    return {
        "model": str(given.output),
        "scores": model.card.scores,
        "threshold": model.card.instances.threshold,
        "training": {k: v for k, v in model.card.training.items() if k != "config"},
    }


def run_info(given: argparse.Namespace) -> dict[str, Any]:
    """The device and why, and the versions; or the card of a model."""
    from napari_unet.core.card import read_card
    from napari_unet.core.config import to_dict

    if given.model is not None:
        return to_dict(read_card(given.model))

    import platform

    import numba
    import numpy
    import scipy
    import torch

    import napari_unet
    from napari_unet.core.device import resolve_device

    return {
        **dataclasses.asdict(resolve_device()),
        "versions": {
            "napari-unet-cells": napari_unet.__version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": numpy.__version__,
            "scipy": scipy.__version__,
            "numba": numba.__version__,
        },
    }


def _read_samples(
    images: list[str], labels: list[str], class_names: Sequence[str] = ()
) -> tuple[list[Any], tuple[str, ...]]:
    """Images with their labels, and the names of the classes: those that are given come first."""
    from napari_unet.core.files import expand, pair_by_stem, read_image
    from napari_unet.core.formats import read_one, remark_overlaps
    from napari_unet.core.types import Sample

    samples: list[Sample] = []
    names = list(class_names)
    for image, path in pair_by_stem(expand(images), expand(labels, "labels")):
        pixels = read_image(image)
        labelled = read_one(path, pixels.shape[1:])
        for remark in (*labelled.remarks, *remark_overlaps(labelled)):
            say(f"{path.name}: {remark}")
        names += sorted(set(labelled.classes.values()) - set(names))
        classes = {label: names.index(name) + 1 for label, name in labelled.classes.items()}
        sample = Sample(pixels, labelled.labels, classes=classes, name=str(image))
        if sample.image.shape[1:] != sample.labels.shape:
            raise InputError(
                f"{image} is {_size(sample.image.shape[1:])} px but its labels {path} are "
                f"{_size(sample.labels.shape)} px: they must be of the same size."
            )
        if samples and len(sample.image) != len(samples[0].image):
            raise InputError(
                f"{image} has {len(sample.image)} channels but {samples[0].name} has "
                f"{len(samples[0].image)}: train on images of one kind."
            )
        samples.append(sample)
    return samples, tuple(names)


def _watch(work: Any, model: Path, tell: Callable[[Any], None] | None) -> Any:
    """Run a training, telling of its events; Ctrl-C stops after the step under way and saves."""
    from napari_unet.core.events import exhaust
    from napari_unet.core.resumable import is_resumable

    asked = False

    def ask(*_: object) -> None:
        nonlocal asked
        if asked:  # a second time: at once
            raise KeyboardInterrupt
        asked = True

    def watch(event: Any) -> None:
        if tell is not None:
            tell(event)
        if asked:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, ask)
    try:
        return exhaust(work, watch)
    except KeyboardInterrupt:
        if tell is not None:
            saved = (
                "what was learnt so far is saved. The same command with --resume goes on."
                if is_resumable(model)
                else "nothing was learnt yet."
            )
            say(f"Stopped; {saved}")
        raise
    finally:
        signal.signal(signal.SIGINT, before)


def _tell(event: Any) -> None:
    from napari_unet.core.types import Prepared, Stepped, Validated, Warned

    match event:
        case Prepared():
            held_out = f", held out {event.held_out}" if event.held_out else ""
            say(
                f"{event.cells} cells in {event.images} images{held_out} · "
                f"{event.parameters / 1e6:.2f} M parameters · {event.device}, {event.precision}"
            )
        case Stepped(step=step) if step == 1 or step % 20 == 0:
            say(
                f"step {step} · {event.fraction:.0%} · {event.remaining:.0f} s left · "
                f"loss {event.loss:.4f} · {event.images_per_second:.1f} images/s"
            )
        case Validated():
            say(
                f"step {event.step} · held out: loss {event.loss:.4f} · IoU {event.iou:.3f} · "
                f"F1 {event.f1:.3f} · AP50 {event.ap50:.3f}{' · best' if event.best else ''}"
            )
        case Warned():
            say(event.message)


def _size(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))


def _as_lines(result: dict[str, Any], indent: str = "") -> str:
    from napari_unet.core.score_report import as_table

    lines = []
    for key, value in result.items():
        if isinstance(value, dict):
            lines += [f"{indent}{key}:", _as_lines(value, indent + "  ")]
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            lines += (
                [f"{indent}{key}: {len(value)} files"]
                if key == "written"
                else [
                    f"{indent}{key}:",
                    as_table(value),
                ]
            )
        else:
            lines.append(f"{indent}{key}: {f'{value:.4f}' if isinstance(value, float) else value}")
    return "\n".join(line for line in lines if line)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line, as for any other input that cannot be used."""
        self.exit(2, f"{self.prog}: {message}\n")


def _make_parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="napari-unet", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, function: Any) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=function.__doc__, description=function.__doc__)
        command.set_defaults(command=function)
        command.add_argument("--json", action="store_true", help="the result as JSON on stdout")
        return command

    demo = add("demo", run_demo)
    demo.add_argument("--headless", action="store_true", help="no window: leave files in DIR")
    demo.add_argument("--out", type=Path, default=Path("demo-output"), metavar="DIR")

    weights = add("weights", run_weights)
    weights.add_argument("labels", nargs="+", metavar="LABELS", help="files, folders or patterns")
    weights.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    weights.add_argument("--preset", choices=list(WEIGHT_PRESETS), default="paper-2015")
    add_flags(weights, type(WEIGHT_PRESETS["paper-2015"]))

    train = add("train", run_train)
    train.add_argument("--images", nargs="+", required=True, metavar="PATH")
    train.add_argument("--labels", nargs="+", required=True, metavar="PATH")
    train.add_argument("-o", "--output", type=Path, required=True, metavar="MODEL")
    train.add_argument("--architecture", default="unet")
    train.add_argument("--preset", default="default", help="of the architecture")
    train.add_argument(
        "--start-from",
        default="none",
        metavar="|".join(["none", *START_MODELS, "MODEL"]),
        help="a start model by its name, or a model file, to learn on from",
    )
    train.add_argument(
        "--resume",
        action="store_true",
        help="go on with the training of MODEL that was stopped or killed, with its settings",
    )
    train.add_argument("--val-images", nargs="+", metavar="PATH")
    train.add_argument("--val-labels", nargs="+", metavar="PATH")
    budget = train.add_mutually_exclusive_group()
    add_flags(budget, TrainConfig, only={"steps", "minutes"})
    add_flags(train, TrainConfig)

    predict = add("predict", run_predict)
    add_predict_flags(predict)

    evaluate = add("evaluate", run_evaluate)
    add_evaluate_flags(evaluate)

    add_measure_flags(add("measure", run_measure))
    add_convert_flags(add("convert", run_convert))

    info = add("info", run_info)
    info.add_argument("model", nargs="?", type=Path, metavar="MODEL")
    return parser


if __name__ == "__main__":
    sys.exit(main())
