"""The features table of a labels layer: what is measured stands beside what the person wrote.

Column `index` holds the label. Which columns are ours to replace stands in the layer's metadata;
all others are the person's, or other plugins', and stay as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_unet.core.tables import Table
from napari_unet.widgets._layers import KEY

if TYPE_CHECKING:
    from napari.layers import Labels

_INDEX = "index"
_MEASURED, _PREDICTED = "measured", "predicted"
_SAID = ("frame", "label", "class", "score")
"""Columns of a table of measurements that are no measurement."""


def read_feature(layer: Labels, name: str) -> dict[int, Any] | None:
    """What a column says of each label; None where there is no such column.

    Without a column `index`, row i is about label i.
    """
    return read_column(layer.features, name)


def read_column(features: pd.DataFrame, name: str) -> dict[int, Any] | None:
    """As `read_feature`, of the table alone."""
    if name not in features:
        return None
    values = features[name]
    said = values.notna().to_numpy()
    labels = features[_INDEX].to_numpy() if _INDEX in features else np.arange(len(values))
    return dict(zip(labels[said].tolist(), values[said].tolist(), strict=True))


def as_words(kind: Any) -> str:
    """A class as text; the number of a class may have become a float in the table."""
    return f"{kind:g}" if isinstance(kind, float | np.floating) else str(kind)


def write_measurements(layer: Labels, table: Table) -> None:
    """Put the measurements of a table of `measure` into the features of its layer.

    A column of the person's that has the name of one of ours keeps its values. Rows that only we
    wrote go with their cell. A table whose `index` holds no labels is left as it is.
    """
    rows = pd.DataFrame({name: table[name] for name in table if name not in _SAID})
    rows.insert(0, _INDEX, table["label"])
    _write(layer, rows, _MEASURED)


def write_predicted(layer: Labels, table: Table, kept: NDArray[np.intp]) -> None:
    """Put what a model says of its cells into the features of their layer.

    Parameters
    ----------
    layer : Labels
        Of one plane: in a stack a number stands for another cell in each.
    table : Table
        A row a cell that was predicted now, by `label`.
    kept : (n,) intp array
        Numbers of the cells that were predicted before and are still there: of them stays what
        was said then. Measurements are dropped, and the rest is as in `write_measurements`.
    """
    rows = pd.DataFrame(
        {_INDEX: table["label"], **{n: v for n, v in table.items() if n != "label"}}
    )
    before = layer.features
    if _INDEX in before:
        names = [name for name in rows if name == _INDEX or name in _ours(layer, _PREDICTED)]
        still = before[_INDEX].isin(kept) & ~before[_INDEX].isin(table["label"])
        if still.any():
            rows = pd.concat([before.loc[still, names], rows], ignore_index=True)
    _write(layer, rows, _PREDICTED, _MEASURED)


def _write(layer: Labels, rows: pd.DataFrame, kind: str, *dropped: str) -> None:
    """Put rows of ours in the place of those of the same kind, and of other kinds."""
    replaced = _ours(layer, kind, *dropped)
    theirs = layer.features.drop(columns=[name for name in replaced if name in layer.features])
    if _INDEX not in theirs:
        theirs.insert(0, _INDEX, np.arange(len(theirs)))
    if not _holds_labels(theirs[_INDEX]):
        return
    words = theirs.drop(columns=[_INDEX, *_ours(layer, _MEASURED, _PREDICTED)], errors="ignore")
    theirs = theirs[words.notna().any(axis=1) | theirs[_INDEX].isin(rows[_INDEX])].copy()
    theirs[_INDEX] = theirs[_INDEX].astype(np.int64)
    names = [name for name in rows if name not in theirs]
    said = {**layer.metadata.get(KEY, {}), **{other: [] for other in dropped}, kind: names}
    if said != layer.metadata.get(KEY):
        layer.metadata = {**layer.metadata, KEY: said}
    layer.features = theirs.merge(rows[[_INDEX, *names]], on=_INDEX, how="outer")


def _ours(layer: Labels, *kinds: str) -> list[str]:
    ours = layer.metadata.get(KEY, {})
    return [name for kind in kinds for name in ours.get(kind, ())]


def _holds_labels(values: pd.Series) -> bool:
    """Whether all are whole numbers, of whatever type."""
    numbers = pd.to_numeric(values, errors="coerce")
    return bool((numbers == numbers.round()).all())
