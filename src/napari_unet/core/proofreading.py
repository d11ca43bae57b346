"""What a person says of predicted cells, as edits of the annotation.

The prediction is what the network says, and nothing here changes it: to accept a cell, to reject
it or to give it another shape is to write into the annotation. So what was said is learned from at
once, another prediction takes none of it away, and each edit is one step to undo.

No edit touches a pixel of another cell that is annotated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi
from skimage.draw import line as draw_line
from skimage.segmentation import watershed

from napari_unet.core.errors import InputError
from napari_unet.core.regions import hull, measure, widen, within
from napari_unet.core.types import Region

Mask: TypeAlias = NDArray[np.bool_]

_FIRST_WINDOW = 64  # px
_BRIDGE = 2  # px: the widest gap that is closed between two cells that are joined
_BESIDE = 2  # px: of the plane kept around a cell, to grow and to bridge into
_CROSS = ndi.generate_binary_structure(2, 1)
_SQUARE = ndi.generate_binary_structure(2, 2)


class Verdict(StrEnum):
    """What the annotation says of a predicted cell."""

    OPEN = "open"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


@dataclass(frozen=True, eq=False)
class Cell:
    """A cell of one plane.

    Attributes
    ----------
    box : Region
        A part of the plane with at least one pixel around the cell, but at the plane's border.
    mask : (h, w) bool array
        Its pixels in the box.
    label : int
        Its number in the annotation; 0 where it is only predicted.
    """

    box: Region
    mask: Mask
    label: int


@dataclass(frozen=True, eq=False)
class Edit:
    """What is to stand in a box of the annotation: (h, w) labels as the plane's own."""

    box: Region
    labels: NDArray[Any]


def find_cell(
    prediction: NDArray[Any], annotation: NDArray[Any], point: tuple[int, int]
) -> Cell | None:
    """The cell at a point: that of the annotation where there is one, else the predicted one.

    Parameters
    ----------
    prediction, annotation : (H, W) arrays of integers
    point : (row, column)

    Returns
    -------
    Cell or None
        Of the pixels of the same number those that hang together with the point; None where there
        is no cell. As much of the plane is looked at as the cell reaches.
    """
    if any(not 0 <= at < size for at, size in zip(point, prediction.shape, strict=True)):
        return None
    said = int(annotation[point])
    labels, number = (annotation, said) if said > 0 else (prediction, int(prediction[point]))
    if number <= 0:
        return None
    reach = _FIRST_WINDOW
    while True:
        window = _around(point, reach, labels.shape)
        pieces, _ = ndi.label(labels[window] == number, _SQUARE)
        mask = pieces == pieces[point[0] - window[0].start, point[1] - window[1].start]
        if not _is_cut(mask, window, labels.shape):
            box = _shrink(mask, window, labels.shape)
            return Cell(box, mask[within(box, window)], max(said, 0))
        reach *= 2


def make_whole(
    cell: Cell,
    whole: Mask,
    box: Region,
    point: tuple[int, int],
    prediction: NDArray[Any],
    annotation: NDArray[Any],
) -> Cell:
    """A predicted cell with what the labels of the prediction had no room for.

    It gets what no other cell is predicted or annotated at, and what was rejected: what an open
    cell has stays with that one, whichever of them is accepted first.

    Parameters
    ----------
    cell : Cell
        As `find_cell` finds it.
    whole, box : (h, w) bool array and Region
        All pixels of the cell, and where they lie. Where it has less than half of `cell` it is of
        another prediction, and the cell stays as it is.
    point : (row, column)
        Of the cell; what does not hang together with it is left out.
    prediction, annotation : (H, W) arrays of integers
    """
    around = hull([cell.box, widen(box, _BESIDE, prediction.shape)])
    flat, all_of_it = _place(cell, around), np.zeros(measure(around), bool)
    all_of_it[within(box, around)] = whole
    if 2 * np.count_nonzero(flat & all_of_it) <= np.count_nonzero(flat):
        return cell
    predicted, said = prediction[around], annotation[around]
    free = (predicted == 0) | (predicted == prediction[point]) | (said < 0)
    pieces, _ = ndi.label(flat | (all_of_it & free & (said <= 0)), _SQUARE)
    mask = pieces == pieces[point[0] - around[0].start, point[1] - around[1].start]
    return Cell(around, mask, cell.label)


def accept(annotation: NDArray[Any], cell: Cell, label: int) -> Edit:
    """Say that a cell is one, as `label`; what another cell has stays its own."""
    return _write(annotation, cell, [(cell.mask, cell.label or label)])


def reject(annotation: NDArray[Any], cell: Cell) -> Edit:
    """Say that there is no cell: background, -1, where nothing else is said."""
    labels = annotation[cell.box].astype(np.int64)  # which has -1, whatever the annotation has
    labels[cell.mask & ((labels == 0) | ((labels == cell.label) & (labels > 0)))] = -1
    return Edit(cell.box, labels)


def merge(annotation: NDArray[Any], one: Cell, other: Cell, label: int) -> Edit:
    """Make one cell of two, which keeps the number of the first that has one.

    Raises
    ------
    InputError
        If they are the same, or too far from each other to be one.
    """
    box = hull([one.box, other.box])
    first, second = _place(one, box), _place(other, box)
    if (first & second).any():
        raise InputError("That is the same cell: click its other half.")
    both = first | second
    for _ in range(2):
        if ndi.label(both, _SQUARE)[1] == 1:
            break
        gap = _bridge(first, second) & (annotation[box] <= 0)
        both = both | gap
    else:
        raise InputError("The two cells do not touch: paint what is between them, then merge.")
    whole = Cell(box, both, one.label or other.label or label)
    known = {each.label for each in (one, other) if each.label}
    return _write(annotation, whole, [(both, whole.label)], known)


def split_along(
    annotation: NDArray[Any], cell: Cell, line: Sequence[tuple[int, int]], labels: tuple[int, int]
) -> Edit:
    """Part a cell along a line of (row, column) points.

    The larger part keeps the cell's number, or gets the first of `labels`; the other the second.

    Raises
    ------
    InputError
        If the line does not part the cell.
    """
    cut = np.zeros_like(cell.mask)
    for (top, left), (bottom, right) in pairwise(line):
        rows, columns = draw_line(top, left, bottom, right)
        rows, columns = rows - cell.box[0].start, columns - cell.box[1].start
        inside = (rows >= 0) & (rows < cut.shape[0]) & (columns >= 0) & (columns < cut.shape[1])
        cut[rows[inside], columns[inside]] = True
    parts, count = ndi.label(cell.mask & ~cut, _CROSS)
    if count < 2:
        raise InputError("The line does not part the cell: draw it right across.")
    sizes = np.bincount(parts.ravel())[1:]
    two = np.argsort(-sizes, kind="stable")[:2] + 1
    seeds = np.where(parts == two[0], 1, np.where(parts == two[1], 2, 0))
    return _part(annotation, cell, seeds, labels)


def split_by_seeds(
    annotation: NDArray[Any],
    cell: Cell,
    one: tuple[int, int],
    other: tuple[int, int],
    labels: tuple[int, int],
) -> Edit:
    """Part a cell between two points in it, at its neck: watershed of the depth in the cell.

    Raises
    ------
    InputError
        If they are not two points of the cell.
    """
    seeds = np.zeros_like(cell.mask, np.int32)
    for number, point in ((1, one), (2, other)):
        row, column = point[0] - cell.box[0].start, point[1] - cell.box[1].start
        inside = 0 <= row < seeds.shape[0] and 0 <= column < seeds.shape[1]
        if not inside or not cell.mask[row, column] or seeds[row, column]:
            raise InputError("Both clicks have to lie in the cell that is split, apart.")
        seeds[row, column] = number
    return _part(annotation, cell, seeds, labels)


def fill(mask: Mask) -> Mask:
    """The shape without its holes."""
    return np.asarray(ndi.binary_fill_holes(mask))


def smooth(mask: Mask) -> Mask:
    """The shape without what is at most two pixels thin: opened, closed, its largest piece."""
    disk = ndi.iterate_structure(_CROSS, 2)
    padded = np.pad(mask, 4)
    rounder = ndi.binary_closing(ndi.binary_opening(padded, disk), disk)[4:-4, 4:-4]
    pieces, count = ndi.label(rounder, _SQUARE)
    if count == 0:
        return mask
    return np.asarray(pieces == np.bincount(pieces.ravel())[1:].argmax() + 1)


def grow(mask: Mask) -> Mask:
    """The shape with one more pixel all around."""
    return np.asarray(ndi.binary_dilation(mask, _CROSS))


def shrink(mask: Mask) -> Mask:
    """The shape without its outermost pixels; the image's border is none of its own."""
    return np.asarray(ndi.binary_erosion(mask, _CROSS, border_value=1))


def reshape(
    annotation: NDArray[Any], cell: Cell, change: Callable[[Mask], Mask], label: int
) -> Edit:
    """Give a cell another shape: `fill`, `smooth`, `grow` or `shrink`.

    Raises
    ------
    InputError
        If nothing, or more than one piece, would be left of it.
    """
    mask = change(cell.mask)
    if ndi.label(mask, _SQUARE)[1] != 1:
        raise InputError("The cell is too thin for that: nothing whole would be left of it.")
    return _write(annotation, cell, [(mask, cell.label or label)])


def judge_cells(prediction: NDArray[Any], annotation: NDArray[Any]) -> dict[int, Verdict]:
    """What the annotation says of each predicted cell: what it says of most of its pixels."""
    cells = prediction > 0
    numbers = prediction[cells].astype(np.int64)
    if not numbers.size:
        return {}
    said = annotation[cells]
    length = int(numbers.max()) + 1
    area = np.bincount(numbers, minlength=length)
    as_cell = np.bincount(numbers[said > 0], minlength=length)
    as_none = np.bincount(numbers[said < 0], minlength=length)
    spoken = 2 * (as_cell + as_none) > area
    return {
        int(number): Verdict.OPEN
        if not spoken[number]
        else Verdict.ACCEPTED
        if as_cell[number] >= as_none[number]
        else Verdict.REJECTED
        for number in np.flatnonzero(area)
    }


def combine(prediction: NDArray[Any], annotation: NDArray[Any]) -> NDArray[np.int32]:
    """The corrected cells: those of the annotation, and the predicted ones it says nothing of.

    Returns
    -------
    (H, W) int32 array
        The cells of the annotation keep their numbers; the others follow.
    """
    result = np.where(annotation > 0, annotation, 0).astype(np.int32)
    verdicts = judge_cells(prediction, annotation)
    left = [number for number, verdict in verdicts.items() if verdict is Verdict.OPEN]
    new = np.zeros(int(prediction.max(initial=0)) + 1, np.int32)
    new[left] = int(result.max(initial=0)) + 1 + np.arange(len(left))
    free = (annotation == 0) & (prediction > 0)
    result[free] = new[prediction[free]]
    return result


def _part(
    annotation: NDArray[Any], cell: Cell, seeds: NDArray[Any], labels: tuple[int, int]
) -> Edit:
    """Flood the cell from seeds 1 and 2, its deepest pixels first."""
    depth = ndi.distance_transform_edt(np.pad(cell.mask, 1))[1:-1, 1:-1]
    parts = watershed(-depth, seeds, mask=cell.mask)
    first, second = parts == 1, parts == 2
    if second.sum() > first.sum():
        first, second = second, first
    number = cell.label or labels[0]
    other = labels[1] if not cell.label else labels[0]
    return _write(annotation, cell, [(first, number), (second, other)])


def _write(
    annotation: NDArray[Any], cell: Cell, parts: list[tuple[Mask, int]], own: set[int] | None = None
) -> Edit:
    """Write parts where no other cell is; what was the cell's own and is no more is unsaid."""
    labels = annotation[cell.box].copy()
    own = {cell.label} if own is None else own
    ours = np.isin(labels, [number for number in own if number > 0])
    free = (labels <= 0) | ours
    # of a cell in several pieces only the one at the point is changed
    labels[ours & cell.mask] = 0
    for mask, number in parts:
        labels[mask & free] = number
    return Edit(cell.box, labels)


def _bridge(first: Mask, second: Mask) -> Mask:
    """What lies between two shapes that are at most `_BRIDGE` pixels apart."""
    near = ndi.binary_dilation(first, _SQUARE, _BRIDGE)
    return np.asarray(near & ndi.binary_dilation(second, _SQUARE, _BRIDGE))


def _around(point: tuple[int, int], reach: int, shape: tuple[int, ...]) -> Region:
    rows, columns = (
        slice(max(0, at - reach), min(size, at + reach + 1))
        for at, size in zip(point, shape, strict=True)
    )
    return rows, columns


def _is_cut(mask: Mask, window: Region, shape: tuple[int, ...]) -> bool:
    """Whether the shape reaches an edge of the window that is none of the plane."""
    (top, bottom), (left, right) = (
        (part.start > 0, part.stop < size) for part, size in zip(window, shape, strict=True)
    )
    return bool(
        (top and mask[0].any())
        or (bottom and mask[-1].any())
        or (left and mask[:, 0].any())
        or (right and mask[:, -1].any())
    )


def _shrink(mask: Mask, window: Region, shape: tuple[int, ...]) -> Region:
    """The box of the shape with some of the plane around it, as far as the window has any."""
    (found,) = ndi.find_objects(mask.astype(np.int8))
    rows, columns = (
        slice(
            max(whole.start, whole.start + part.start - _BESIDE),
            min(whole.stop, whole.start + part.stop + _BESIDE),
        )
        for part, whole in zip(found, window, strict=True)
    )
    return rows, columns


def _place(cell: Cell, box: Region) -> Mask:
    mask = np.zeros(tuple(part.stop - part.start for part in box), bool)
    mask[within(cell.box, box)] = cell.mask
    return mask
