"""The command line: a second skin over the core, in its own process. No Qt, no napari."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from napari_unet.compare_command import add_compare_flags, run_compare
from napari_unet.convert_command import add_convert_flags, run_convert
from napari_unet.core.allocation import keep_freed_memory
from napari_unet.core.config import WEIGHT_PRESETS
from napari_unet.core.errors import InputError
from napari_unet.evaluate_command import add_evaluate_flags, run_evaluate
from napari_unet.flags import add_flags, read_flags
from napari_unet.measure_command import add_measure_flags, run_measure
from napari_unet.predict_command import add_predict_flags, run_predict
from napari_unet.say import say
from napari_unet.train_command import add_train_flags, run_train


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns 0, 2 for input that cannot be used, or 130 for Ctrl-C."""
    parser = _make_parser()
    given = parser.parse_args(arguments)
    if given.command is not run_demo:  # which opens napari in this process
        keep_freed_memory()
    try:
        result = given.command(given)
    except InputError as error:
        print(f"napari-unet: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    if isinstance(result, int):
        return result
    print(json.dumps(result) if given.json else _printable(_as_lines(result)))
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
    from napari_unet.core.files import name_results, write_atomically
    from napari_unet.core.formats import read_one
    from napari_unet.core.listing import expand
    from napari_unet.core.types import Sample

    config = read_flags(WEIGHT_PRESETS[given.preset], given)
    paths = expand(given.labels, "labels")
    written = []
    for path, target in zip(paths, name_results(paths, given.output), strict=True):
        labelled = read_one(path)
        for remark in labelled.remarks:
            say(f"{path.name}: {remark}")
        labels = check_labels(labelled.labels, name=str(path))
        weights = weight_map(Sample(image=labels[None], labels=labels, name=str(path)), config)
        write_atomically(
            target, lambda file, data=weights: tifffile.imwrite(file, data, compression="zlib")
        )
        say(f"{target}: {weights.min():.3g} … {weights.max():.3g}")
        written.append({"file": str(target), "max": float(weights.max())})
    return {"written": written}


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


def _as_lines(result: dict[str, Any], indent: str = "") -> str:
    from napari_unet.core.score_report import as_table

    lines = []
    for key, value in result.items():
        if isinstance(value, dict):
            lines += [f"{indent}{key}:", _as_lines(value, indent + "  ")]
        elif value == []:
            continue
        elif isinstance(value, list) and isinstance(value[0], dict):
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


def _printable(text: str) -> str:
    """File names that are no UTF-8 with what they consist of, as on standard error."""
    return text.encode(errors="backslashreplace").decode()


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

    add_train_flags(add("train", run_train))
    add_compare_flags(add("compare", run_compare))
    add_predict_flags(add("predict", run_predict))
    add_evaluate_flags(add("evaluate", run_evaluate))
    add_measure_flags(add("measure", run_measure))
    add_convert_flags(add("convert", run_convert))

    info = add("info", run_info)
    info.add_argument("model", nargs="?", metavar="MODEL")
    return parser


if __name__ == "__main__":
    sys.exit(main())
