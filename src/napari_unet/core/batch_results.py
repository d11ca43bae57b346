"""The table of a batch: what became of each file, so that the same batch can go on."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from napari_unet.core.errors import InputError
from napari_unet.core.tables import write_table
from napari_unet.core.types import FileDone

RESULTS = "results.csv"
_COLUMNS = (
    "file", "result", "status", "cells", "median_diameter_px", "seconds", "sentence", "settings",
)  # fmt: skip


def is_done(
    row: Mapping[str, str] | None, settings: str, path: Path, beside: Path | None = None
) -> bool:
    """Whether a file was predicted with these settings and has not changed since.

    `beside` is what belongs to the result and was written after it.
    """
    if row is None or row["settings"] != settings or row["status"] != "done":
        return False
    files = [path, Path(row["result"]), *([] if beside is None else [beside])]
    if not all(file.exists() for file in files):
        return False
    times = [file.stat().st_mtime for file in files]
    return times == sorted(times)


def read_rows(path: Path) -> dict[str, dict[str, str]]:
    """What a table of before says of each file; nothing of a table that is not ours."""
    if not path.exists():
        return {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"{path} cannot be read ({error}): move it, or choose another folder."
        ) from error
    if tuple(reader.fieldnames or ()) != _COLUMNS:
        raise InputError(f"{path} is no table of results: move it, or choose another folder.")
    return {str(Path(row["file"]).resolve()): row for row in rows}


def make_row(done: FileDone, settings: str) -> dict[str, str]:
    """What the table says of a file."""
    values = (
        done.file, done.result, done.status, _words(done.cells), _words(done.diameter),
        _words(done.seconds), done.sentence, settings,
    )  # fmt: skip
    return dict(zip(_COLUMNS, values, strict=True))


def _words(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def write_rows(path: Path, rows: Mapping[str, Mapping[str, str]]) -> None:
    """Write the table, all or nothing."""
    write_table(path, {name: np.array([row[name] for row in rows.values()]) for name in _COLUMNS})
