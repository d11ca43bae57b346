"""Where each label lies, whatever the labels are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core._label_tables import bound
from napari_unet.core.types import Region


def name_densely(labels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Labels that a table has room for, and the label of each of these; None: they are as given."""
    if labels.max(initial=0) <= labels.size:
        return labels, None
    values, names = np.unique(np.maximum(labels, 0), return_inverse=True)
    names = names.reshape(labels.shape) + int(values[0] > 0)
    return names, np.append(0, values[values > 0])


def find_boxes(labels: NDArray[Any]) -> Iterator[tuple[int, Region]]:
    """Each label > 0 of a plane and its bounding box, in the order of the labels."""
    names, values = name_densely(labels)
    # the compiled loop knows numbers alone, and in the order of this machine's bytes
    kind = np.uint8 if names.dtype == np.bool_ else names.dtype.newbyteorder("=")
    names = names.astype(kind, copy=False)
    boxes = np.tile((labels.shape[0], -1, labels.shape[1], -1), (int(names.max(initial=0)) + 1, 1))
    bound(names, boxes)
    for name in np.flatnonzero(boxes[:, 1] >= 0).tolist():
        top, bottom, left, right = boxes[name].tolist()
        label = name if values is None else int(values[name])
        yield label, (slice(top, bottom + 1), slice(left, right + 1))
