"""Cells that may overlap beside the labels of their plane: each whole, as one line around it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.formats.labelled import Shape
from napari_unet.core.formats.polygons import fill, trace_once
from napari_unet.core.label_boxes import find_boxes
from napari_unet.core.regions import hull, within
from napari_unet.core.tables import Table, take_rows
from napari_unet.core.types import Region


@dataclass(frozen=True, eq=False)
class Outlines:
    """Cells as lines along the edges of their pixels.

    Attributes
    ----------
    lines : tuple of (n, 2) float arrays
        Closed, as (row, column); the middle of the first pixel is (0, 0).
    table : Table
        A row a line: `index`, the cell's number, and `class` and `score` where they are said.
    """

    lines: tuple[NDArray[np.float64], ...]
    table: Table

    def take(self, number: int) -> Outlines:
        """The cell of a number alone; none where there is no such cell."""
        rows = np.flatnonzero(self.table["index"] == number)
        return Outlines(tuple(self.lines[row] for row in rows), take_rows(self.table, rows))


def keep_whole(
    labels: NDArray[np.int32],
    found: Iterable[Shape],
    before: Iterable[Shape] = (),
    region: Region | None = None,
) -> list[Shape]:
    """Each cell of a plane of labels as a whole, as far as that is known.

    Parameters
    ----------
    labels : (H, W) int32 array
        The plane as it is now.
    found : iterable of Shape
        Cells that were found now, by their numbers in `labels`.
    before : iterable of Shape
        Cells that were whole before. What they have in the region is known anew.
    region : Region, optional
        The part of the plane that is new; all of it by default.

    Returns
    -------
    list of Shape
        One a number, in their order: at least its pixels in `labels`.
    """
    new = {cell.label: cell for cell in found}
    old = {} if region is None else {cell.label: _leave_out(cell, region) for cell in before}
    wholes = []
    for label, box in find_boxes(labels):
        flat = Shape(labels[box] == label, (box[0].start, box[1].start), label)
        known = [each[label] for each in (new, old) if label in each]
        wholes.append(_unite([*known, flat]))
    return wholes


def outline(cells: Sequence[Shape]) -> Outlines:
    """Draw a line around each cell; of holes and pieces too, see `polygons.trace_once`."""
    lines = tuple(trace_once(cell.mask, cell.origin)[:, ::-1] - 0.5 for cell in cells)
    table: Table = {"index": np.array([cell.label for cell in cells], np.int64)}
    if any(cell.kind for cell in cells):
        table["class"] = np.array([cell.kind or None for cell in cells], object)
    if any(cell.score is not None for cell in cells):
        scores = [np.nan if cell.score is None else cell.score for cell in cells]
        table["score"] = np.round(np.array(scores, np.float64), 3)
    return Outlines(tuple(np.concatenate((line, line[:1])) for line in lines), table)


def fill_outlines(outlines: Outlines, frame: int = 0) -> list[Shape]:
    """The cells again, each with the pixels whose middle its line encloses."""
    table, missing = outlines.table, [None] * len(outlines.lines)
    columns = [list(table.get(name, missing)) for name in ("index", "class", "score")]
    return [
        Shape(
            *_fill(line),
            int(label),
            frame,
            str(kind or ""),
            None if score is None or np.isnan(score) else float(score),
        )
        for line, label, kind, score in zip(outlines.lines, *columns, strict=True)
    ]


def find_at(outlines: Outlines, point: tuple[float, float]) -> int:
    """The number of the smallest cell at a (row, column), 0 where there is none."""
    found = []
    for line, label in zip(outlines.lines, outlines.table["index"].tolist(), strict=True):
        if np.all(line.min(axis=0) < point) and np.all(line.max(axis=0) > point):
            mask, origin = _fill(line)
            row, column = (round(at) - start for at, start in zip(point, origin, strict=True))
            if 0 <= row < len(mask) and 0 <= column < mask.shape[1] and mask[row, column]:
                found.append((int(np.count_nonzero(mask)), label))
    return min(found)[1] if found else 0


def box_of(cell: Shape) -> Region:
    """The part of the image that its mask lies on."""
    rows, columns = (
        slice(start, start + length)
        for start, length in zip(cell.origin, cell.mask.shape, strict=True)
    )
    return rows, columns


def _fill(line: NDArray[np.float64]) -> tuple[NDArray[np.bool_], tuple[int, int]]:
    return fill([line[:, ::-1] + 0.5])


def _leave_out(cell: Shape, region: Region) -> Shape:
    """A cell without what it has in a region."""
    mask = cell.mask.copy()
    rows, columns = within(region, box_of(cell))
    mask[max(rows.start, 0) : max(rows.stop, 0), max(columns.start, 0) : max(columns.stop, 0)] = 0
    return replace(cell, mask=mask)


def _unite(parts: Sequence[Shape]) -> Shape:
    """The pixels of all of them; the rest is that of the first."""
    boxes = [box_of(part) for part in parts]
    box = hull(boxes)
    mask = np.zeros([part.stop - part.start for part in box], bool)
    for part, place in zip(parts, boxes, strict=True):
        mask[within(place, box)] |= part.mask
    return replace(parts[0], mask=mask, origin=(box[0].start, box[1].start))
