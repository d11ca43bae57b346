"""The class of each cell, kept in the features table of the labels layer.

Column `index` holds the label, column `class` the name of its class; the names and their order
stand in the layer's metadata. Tables of other tools, without `index` or with class numbers, are
read as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from napari_unet.widgets._features import read_feature
from napari_unet.widgets._layers import KEY

if TYPE_CHECKING:
    from napari.layers import Labels, Shapes

COLORS = ("#56b4e9", "#e69f00", "#2fd6a3", "#d55e00", "#cc79a7", "#f0e442", "#0072b2", "#999999")
"""Colours of Okabe and Ito, which also the colour-blind tell apart: class 1, 2, 3 …"""

_DEFAULT = ("cell",)
_NUMBER = "class {}"


def class_names(layer: Labels | Shapes) -> tuple[str, ...]:
    """Names of the classes 1 … K of a layer of cells."""
    names = list(layer.metadata.get(KEY, {}).get("classes", ()))
    said = [value for value in _column(layer) if not _is_missing(value)]
    numbers = [int(value) for value in said if _is_number(value)]
    names += [value for value in dict.fromkeys(said) if isinstance(value, str)]
    names = list(dict.fromkeys(names)) or ([] if numbers else list(_DEFAULT))
    names += [_NUMBER.format(n) for n in range(len(names) + 1, max(numbers, default=0) + 1)]
    return tuple(names)


def classes_of_cells(layer: Labels, names: Iterable[str] = ()) -> dict[int, int]:
    """The class 1 … K of each cell whose class is said; `names` are those of the first classes."""
    names = merge_names(names, layer)
    classes = {}
    for label, value in zip(_index(layer), _column(layer), strict=True):
        if label <= 0 or _is_missing(value):
            continue
        number = int(value) if _is_number(value) else names.index(value) + 1
        if number >= 1:
            classes[int(label)] = number
    return classes


def merge_names(names: Iterable[str], layer: Labels | Shapes) -> tuple[str, ...]:
    """Names of classes, and behind them those that a layer of cells has beside them."""
    return tuple(dict.fromkeys([*names, *class_names(layer)]))


def said_classes(layer: Labels) -> tuple[tuple[str, ...], dict[int, Any]]:
    """All that a layer says of classes, to be compared: their names, and that of each cell."""
    return class_names(layer), read_feature(layer, "class") or {}


def class_of(layer: Labels, label: int) -> str:
    """The name of the class of a cell, empty where none is said."""
    number = classes_of_cells(layer).get(label, 0)
    return class_names(layer)[number - 1] if number else ""


def set_class(layer: Labels, label: int, name: str) -> None:
    """Say that cell `label` is of class `name`; the other columns of the table stay."""
    # the names first: in the table alone a class could lose its number
    set_class_names(layer, dict.fromkeys([*class_names(layer), name]))
    table = _indexed(layer)
    if "class" not in table:
        table["class"] = pd.Series([None] * len(table), dtype=object)
    table["class"] = table["class"].astype(object)
    rows = table.index[table["index"] == label]
    if len(rows):
        table.loc[rows, "class"] = name
    else:
        row = {column: [None] for column in table.columns} | {"index": [label], "class": [name]}
        table = _append(table, pd.DataFrame(row))
    layer.features = table


def forget_class(layer: Labels, label: int) -> None:
    """Say no class of cell `label`, which is not the one of which it was said."""
    if label not in classes_of_cells(layer):
        return
    table = _indexed(layer)
    table["class"] = table["class"].astype(object)
    table.loc[table["index"] == label, "class"] = None
    layer.features = table


def set_class_names(layer: Labels, names: Iterable[str]) -> None:
    """Say which classes there are, in this order."""
    if layer.metadata.get(KEY, {}).get("classes") == list(names):
        return
    layer.metadata = {
        **layer.metadata,
        KEY: {**layer.metadata.get(KEY, {}), "classes": list(names)},
    }


def rename_classes(layer: Labels, names: Sequence[str]) -> None:
    """Give the classes 1 … K other names, in the list and for every cell; more names add classes.

    All at once: two classes may exchange their names.
    """
    before = class_names(layer)
    renamed = {old: new for old, new in zip(before, names, strict=False) if old != new}
    if renamed and "class" in layer.features:
        table = layer.features.copy()
        said = [
            before[int(value) - 1] if _is_number(value) and 1 <= value <= len(before) else value
            for value in table["class"]
        ]
        # what is not renamed stays a number where it is one
        values = [
            renamed.get(name, value) for name, value in zip(said, table["class"], strict=True)
        ]
        table["class"] = pd.Series(values, index=table.index, dtype=object)
        layer.features = table
    set_class_names(layer, names)


def _column(layer: Labels | Shapes) -> list[Any]:
    return list(layer.features["class"]) if "class" in layer.features else []


def _index(layer: Labels) -> list[int]:
    """The label of each row: without a column `index`, row i is about label i."""
    if "class" not in layer.features:
        return []
    if "index" in layer.features:
        return [int(label) for label in layer.features["index"]]
    return list(range(len(layer.features)))


def _indexed(layer: Labels) -> pd.DataFrame:
    table = layer.features.copy()
    if "index" not in table:
        table.insert(0, "index", np.arange(len(table)))
    return table


def _append(table: pd.DataFrame, row: pd.DataFrame) -> pd.DataFrame:
    """`table` with one more row; pandas' concat warns of empty columns and would lose types."""
    columns = {column: [*table[column].tolist(), *row[column].tolist()] for column in table.columns}
    return pd.DataFrame(columns)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not _is_missing(value)


def _is_missing(value: Any) -> bool:
    return value is None or bool(pd.isna(value))
