"""Cells as wholes in a file of our own, for as long as work is under way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from napari_unet.core.files import write_atomically
from napari_unet.core.formats.labelled import Shape


def keep_shapes(path: Path, shapes: Iterable[Shape]) -> None:
    """Write cells into an .npz, all or nothing."""
    cells = list(shapes)
    scores = [np.nan if cell.score is None else cell.score for cell in cells]
    fields: dict[str, Any] = {
        "boxes": np.array([(*cell.origin, *cell.mask.shape) for cell in cells], np.int64),
        "masks": np.packbits(np.concatenate([np.zeros(0, bool), *(c.mask.ravel() for c in cells)])),
        "labels": np.array([(cell.label, cell.frame) for cell in cells], np.int64),
        "kinds": np.array([cell.kind for cell in cells], np.str_),
        "scores": np.array(scores, np.float64),
    }
    write_atomically(path, lambda target: np.savez_compressed(target, **fields))


def read_shapes(path: Path) -> Iterator[Shape]:
    """The cells that `keep_shapes` wrote, in their order."""
    with np.load(path) as file:
        fields = dict(file)
    masks, at = np.unpackbits(fields["masks"]).astype(bool), 0
    rows = zip(
        *(fields[name].tolist() for name in ("boxes", "labels", "kinds", "scores")), strict=True
    )
    for (row, column, height, width), (label, frame), kind, score in rows:
        mask = masks[at : at + height * width].reshape(height, width)
        at += mask.size
        yield Shape(mask, (row, column), label, frame, kind, None if np.isnan(score) else score)
