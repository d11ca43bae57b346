"""The features table of a labels layer: what is measured stands beside what the person wrote.

Column `index` holds the label. Which columns are ours to replace stands in the layer's metadata;
all others are the person's, or other plugins', and stay as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from napari_unet.core.tables import Table
from napari_unet.widgets._layers import KEY

if TYPE_CHECKING:
    from napari.layers import Labels

_INDEX = "index"
_MEASURED = "measured"
_SAID = ("frame", "label", "class", "score")
"""Columns of a table of measurements that are no measurement."""


def read_feature(layer: Labels, name: str) -> dict[int, Any] | None:
    """What a column says of each label; None where there is no such column.

    Without a column `index`, row i is about label i.
    """
    features = layer.features
    if name not in features:
        return None
    values = features[name]
    said = values.notna().to_numpy()
    labels = features[_INDEX].to_numpy() if _INDEX in features else np.arange(len(values))
    return dict(zip(labels[said].tolist(), values[said].tolist(), strict=True))


def write_measurements(layer: Labels, table: Table) -> None:
    """Put the measurements of a table of `measure` into the features of its layer.

    A column of the person's that has the name of one of ours keeps its values. Rows that only we
    wrote go with their cell. A table whose `index` holds no labels is left as it is.
    """
    theirs = _without_ours(layer, table["label"])
    if not _holds_labels(theirs[_INDEX]):
        return
    theirs[_INDEX] = theirs[_INDEX].astype(np.int64)
    names = [name for name in table if name not in _SAID and name not in theirs]
    if _ours(layer) != names:
        ours = {**layer.metadata.get(KEY, {}), _MEASURED: names}
        layer.metadata = {**layer.metadata, KEY: ours}
    measured = pd.DataFrame({_INDEX: table["label"], **{name: table[name] for name in names}})
    layer.features = theirs.merge(measured, on=_INDEX, how="outer")


def _ours(layer: Labels) -> list[str]:
    return list(layer.metadata.get(KEY, {}).get(_MEASURED, ()))


def _without_ours(layer: Labels, present: np.ndarray) -> pd.DataFrame:
    """The person's part of the features, with a column `index`."""
    features = layer.features
    theirs = features.drop(columns=[name for name in _ours(layer) if name in features])
    if _INDEX not in theirs:
        theirs.insert(0, _INDEX, np.arange(len(theirs)))
    says_something = theirs.drop(columns=_INDEX).notna().any(axis=1)
    return theirs[says_something | theirs[_INDEX].isin(present)].copy()


def _holds_labels(values: pd.Series) -> bool:
    """Whether all are whole numbers, of whatever type."""
    numbers = pd.to_numeric(values, errors="coerce")
    return bool((numbers == numbers.round()).all())
