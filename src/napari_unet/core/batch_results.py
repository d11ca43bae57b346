"""The table of a batch: what became of each file, so that the same batch can go on."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, MutableMapping
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
    row: Mapping[str, str] | None, settings: str, path: Path, target: Path, beside: Iterable[Path]
) -> bool:
    """Whether a file, as it is now, was predicted into `target` with these settings.

    `settings` tell both. `beside` is what belongs to the result and was written after it.
    """
    if row is None or row["settings"] != settings or row["status"] != "done":
        return False
    if row["result"] not in _places(target):
        return False
    result, beside = Path(row["result"]), list(beside)
    if not all(file.exists() for file in (path, result, *beside)):
        return False
    written = result.stat().st_mtime
    return all(file.stat().st_mtime >= written for file in beside)


def drop_result(rows: MutableMapping[str, dict[str, str]], target: Path) -> bool:
    """Drop what is said of a result that is to be written over; whether anything was.

    Of whichever file it was: what stops the writing then leaves no row that is not true any more.
    """
    places = _places(target)
    stale = [key for key, row in rows.items() if row["result"] in places]
    for key in stale:
        del rows[key]
    return bool(stale)


def _places(target: Path) -> tuple[str, str]:
    """As the table has them, where a result may be: of large images and planes it is a zarr."""
    target = target.resolve()
    return str(target), str(target.with_suffix(".zarr"))


def read_rows(path: Path) -> dict[str, dict[str, str]]:
    """What a table of before says of each file; nothing of a table that is not ours."""
    if not path.exists():
        return {}
    try:
        with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            reader = csv.DictReader(file)
            rows, names = list(reader), tuple(reader.fieldnames or ())
    except (OSError, csv.Error) as error:
        raise InputError(
            f"{path} cannot be read ({error}): move it, or choose another folder."
        ) from error
    if names != _COLUMNS:
        raise InputError(f"{path} is no table of results: move it, or choose another folder.")
    return {str(Path(row["file"]).resolve()): row for row in rows}


def list_results(path: Path) -> set[str]:
    """The results that a table of before tells of, as resolved paths."""
    return {row["result"] for row in read_rows(path).values()}


def make_row(done: FileDone, settings: str) -> dict[str, str]:
    """What the table says of a file, wherever the command is called from."""
    values = (
        _full(done.file), _full(done.result), done.status, _words(done.cells),
        _words(done.diameter), _words(done.seconds), done.sentence, settings,
    )  # fmt: skip
    return dict(zip(_COLUMNS, values, strict=True))


def _full(path: str) -> str:
    return str(Path(path).resolve()) if path else ""  # a file that failed has no result


def _words(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def write_rows(path: Path, rows: Mapping[str, Mapping[str, str]]) -> None:
    """Write the table, all or nothing."""
    write_table(path, {name: np.array([row[name] for row in rows.values()]) for name in _COLUMNS})
