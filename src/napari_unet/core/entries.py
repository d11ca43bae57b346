"""Which model families take part in a contest, and what each begins with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_unet.core.card import read_card
from napari_unet.core.errors import InputError
from napari_unet.core.models import MODELS, check_name


@dataclass(frozen=True)
class Entry:
    """What takes part: a model family in one of its presets, or a model of it to learn on from."""

    architecture: str
    preset: str = "default"
    start_from: str | None = None

    @property
    def name(self) -> str:
        """Of its file and its row."""
        own = self.preset == "default"
        return self.architecture if own else f"{self.architecture}-{self.preset}"


def choose_entries(
    architectures: Sequence[str] = (), start_from: Sequence[Path | str] = ()
) -> tuple[Entry, ...]:
    """Who takes part.

    Parameters
    ----------
    architectures : sequence of str
        Names in the registry of models, or NAME:PRESET; all of the registry where none is given.
    start_from : sequence of path or name of a start model
        Each for the family that it is of; a family without one begins from scratch.

    Raises
    ------
    InputError
        If there is no such family, preset or model, or if two would be the same.
    """
    starts: dict[str, str] = {}
    for start in map(str, start_from):
        family = read_card(start).architecture
        if family in starts:
            raise InputError(
                f"{starts[family]} and {start} are both a {family}: give one model a family."
            )
        starts[family] = start
    entries = []
    for wanted in architectures or MODELS:
        name, _, preset = wanted.partition(":")
        # what one lacks here is said where it is trained, and the others go on
        check_name(name, preset or "default")
        if preset and name in starts:
            raise InputError(
                f"{wanted} cannot start from {starts[name]}, which is made already: leave the "
                "preset or the model out."
            )
        entries.append(Entry(name, preset or "default", starts.get(name)))
    for family, start in starts.items():
        if family not in {entry.architecture for entry in entries}:
            raise InputError(f"{start} is a {family}, which does not take part: add it.")
    names = [entry.name for entry in entries]
    double = next((name for name in names if names.count(name) > 1), None)
    if double is not None:
        raise InputError(f"{double} is there twice: name each architecture once.")
    return tuple(entries)
