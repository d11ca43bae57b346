"""Command-line flags made from the config dataclasses, and configs made from the flags."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from napari_unet.core.config import InstanceConfig, PredictConfig, applies

if TYPE_CHECKING:
    from napari_unet.core.card import ModelCard

Config = TypeVar("Config")


def add_flags(
    parser: argparse._ActionsContainer, kind: type[Any], only: set[str] | None = None
) -> None:
    """Add a flag for each field of a config dataclass and of those nested in it.

    A flag that is not given stays out of the namespace, so that `read_flags` can tell.
    """
    taken = {action.dest for action in parser._actions}
    for item in dataclasses.fields(kind):
        if dataclasses.is_dataclass(item.default):
            add_flags(parser, type(item.default), only)
            continue
        if item.name in taken or "label" not in item.metadata:
            continue
        if only is not None and item.name not in only:
            continue
        parser.add_argument(
            "--" + item.name.replace("_", "-"),
            dest=item.name,
            default=argparse.SUPPRESS,
            help=_describe(item),
            **_kind_of(item),
        )


def find_unused(given: argparse.Namespace, model: Path | str, card: ModelCard) -> Iterator[str]:
    """A sentence, without its stop, for each flag of a prediction that says nothing to a model."""
    kind = {"maps": "makes cells of maps of pixels", "candidates": "finds whole cells"}
    for item in (*dataclasses.fields(PredictConfig), *dataclasses.fields(InstanceConfig)):
        if getattr(given, item.name, item.default) == item.default or applies(item, card.evidence):
            continue
        flag = item.name.replace("_", "-")
        yield f"“{Path(model).stem}” {kind[card.evidence]}, and --{flag} says nothing to it"


def add_axes_flag(parser: argparse.ArgumentParser) -> None:
    """`--axes`, the letters of the axes of a file; None where they are not given."""
    parser.add_argument(
        "--axes",
        type=_axes,
        metavar="LETTERS",
        help="of TIFFs that do not say it, or say it wrongly: the axes, such as TYX, ZYX or CYX",
    )


def _axes(text: str) -> str:
    letters = text.upper()
    if not letters.isalpha() or len(set(letters)) < len(letters) or not {"Y", "X"} <= set(letters):
        raise argparse.ArgumentTypeError(
            f"{text} names no axes: write a letter for each, with Y and X, such as TYX"
        )
    return letters


def read_flags(base: Config, given: argparse.Namespace) -> Config:
    """The config `base` with what was given on the command line."""
    values: dict[str, Any] = {}
    for item in dataclasses.fields(base):  # type: ignore[arg-type]
        default = getattr(base, item.name)
        if dataclasses.is_dataclass(default):
            values[item.name] = read_flags(default, given)
        elif item.name in given:
            values[item.name] = getattr(given, item.name)
    return dataclasses.replace(base, **values)  # type: ignore[type-var]


def _kind_of(item: dataclasses.Field[Any]) -> dict[str, Any]:
    if isinstance(item.default, bool):
        return {"action": argparse.BooleanOptionalAction}
    if item.metadata["choices"]:
        return {"choices": item.metadata["choices"]}
    kind = int if item.default is None else type(item.default)
    return {"type": _within(kind, item.metadata["limits"]), "metavar": kind.__name__.upper()[0]}


def _within(kind: type, limits: tuple[float, float] | None) -> Any:
    def parse(text: str) -> Any:
        value = kind(text)
        if limits and not limits[0] <= value <= limits[1]:
            raise argparse.ArgumentTypeError(f"{text} is not in {limits[0]:g} … {limits[1]:g}")
        return value

    parse.__name__ = kind.__name__
    return parse


def _describe(item: dataclasses.Field[Any]) -> str:
    unit = f" {item.metadata['unit']}" if item.metadata["unit"] else ""
    default = "" if item.default is None else f"; default {item.default}{unit}"
    return f"{item.metadata['label']}: {item.metadata['why']}{default}".replace("%", "%%")
