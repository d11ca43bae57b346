"""Scores of several images as rows of a table, and a table or all of it as a file."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

from napari_unet.core.errors import InputError
from napari_unet.core.files import write_atomically, write_text
from napari_unet.core.metrics import THRESHOLDS, ImageScores, pool

Row: TypeAlias = dict[str, Any]

SUFFIXES = (".csv", ".json")
"""What a report can be written as."""


def image_rows(names: Sequence[str], scores: Sequence[ImageScores]) -> list[Row]:
    """A row for each image: its figures, 0 to 1, and the counts behind them."""
    return [
        {"image": name, **score.summary(), **score.counts()}
        for name, score in zip(names, scores, strict=True)
    ]


def curve_rows(names: Sequence[str], scores: Sequence[ImageScores]) -> list[Row]:
    """AP at IoU 0.5, 0.55 … 0.95: a row for each image, then their mean, then pooled.

    Pooled is the AP of the counts summed over the images.
    """
    rows: list[Row] = [
        {"image": name, **score.curve()} for name, score in zip(names, scores, strict=True)
    ]
    keys = [f"{threshold:.2f}" for threshold in THRESHOLDS]
    mean = {key: sum(row[key] for row in rows) / len(rows) for key in keys}
    return [*rows, {"image": "mean", **mean}, {"image": "pooled", **pool(scores).curve()}]


def check_report(path: Path) -> None:
    """Find out before the work whether its report can be written.

    Raises
    ------
    InputError
        For another ending, and for a place that cannot be written to.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(
            f"A report cannot be “{path.name}”: give it the ending {' or '.join(SUFFIXES)}."
        )
    if path.is_dir():
        raise InputError(f"{path} is a folder: name a file for the report.")
    if not path.exists():
        write_atomically(path, Path.touch)
        path.unlink()


def write_report(path: Path, result: dict[str, Any], rows: Sequence[Row]) -> None:
    """Write `result` as JSON or `rows` as CSV, whichever the ending says, all or nothing.

    File names that are no UTF-8 keep their bytes.

    Raises
    ------
    InputError
        For another ending, and where the file cannot be written.
    """
    check_report(path)
    if path.suffix.lower() == ".json":
        text = json.dumps(result, indent=2) + "\n"
        write_text(path, text)
        return
    columns = list(dict.fromkeys(key for row in rows for key in row))

    def write(file: Path) -> None:
        with file.open("w", encoding="utf-8", errors="surrogateescape", newline="") as target:
            writer = csv.DictWriter(target, columns)
            writer.writeheader()
            writer.writerows(rows)

    write_atomically(path, write)


def as_table(rows: Sequence[Row]) -> str:
    """Rows as text in columns, figures to three digits after the point."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    cells = [columns, *([_as_text(row.get(key, "")) for key in columns] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    return "\n".join(
        "  ".join(
            text.ljust(width) if i == 0 else text.rjust(width)
            for i, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    )


def _as_text(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
