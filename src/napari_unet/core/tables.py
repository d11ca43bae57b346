"""Tables of equally long columns: joined, filtered, written as CSV."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.errors import InputError
from napari_unet.core.files import write_atomically

Table: TypeAlias = dict[str, NDArray[Any]]
"""Columns of the same length by their names, in order."""

Limits: TypeAlias = tuple[float | None, float | None]
"""Smallest and largest value, both included; None: no limit."""


def join_tables(column: str, values: Iterable[Any], tables: Sequence[Table]) -> Table:
    """Put tables with the same columns below each other.

    Parameters
    ----------
    column : str
        Of the new first column, which tells the tables apart.
    values : iterable
        What stands there, one value a table.

    Raises
    ------
    InputError
        There is no table, or they have different columns.
    """
    if not tables:
        raise InputError("There is nothing to put into a table: name at least one file.")
    for table in tables[1:]:
        if list(table) != list(tables[0]):
            differing = sorted(set(table) ^ set(tables[0]))
            raise InputError(
                f"The tables have different columns ({', '.join(differing[:3])}): "
                "measure images with the same channels together."
            )
    lengths = [len(next(iter(table.values()))) for table in tables]
    joined: Table = {column: np.repeat(np.array(list(values)), lengths)}
    for name in tables[0]:
        joined[name] = np.concatenate([table[name] for table in tables])
    return joined


def choose_rows(table: Table, limits: Mapping[str, Limits]) -> NDArray[np.bool_]:
    """The rows whose values lie within all limits; where there is one, NaN does not.

    Parameters
    ----------
    limits : mapping of column to (smallest, largest)
        Columns that the table has not are passed over.
    """
    rows = np.ones(len(next(iter(table.values()))) if table else 0, bool)
    for name, (low, high) in limits.items():
        if name in table and low is not None:
            rows &= table[name] >= low
        if name in table and high is not None:
            rows &= table[name] <= high
    return rows


def take_rows(table: Table, rows: NDArray[Any]) -> Table:
    """The table with some of its rows: a mask or their numbers in order."""
    return {name: values[rows] for name, values in table.items()}


def write_table(path: str | Path, table: Table) -> None:
    """Write a table as CSV, all or nothing.

    UTF-8, commas, one row of names first, a point in numbers; empty where a value is missing,
    which pandas and R read as such. File names that are no UTF-8 keep their bytes.

    Parameters
    ----------
    path : str or Path
        Missing folders are made.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    columns = [_as_text(values) for values in table.values()]

    def write(target: Path) -> None:
        with target.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(table)
            writer.writerows(zip(*columns, strict=True))

    write_atomically(path, write)


def _as_text(values: NDArray[Any]) -> list[str]:
    """Numbers in the fewest digits that give them back."""
    if values.dtype.kind == "f":
        return ["" if np.isnan(value) else str(value) for value in values]
    return [str(value) for value in values.tolist()]
