"""Cells of an image as any format of labels may tell them, and as shapes one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.errors import InputError
from napari_unet.core.label_boxes import find_boxes

_LARGEST = 2**31  # px of all frames of an image
_LAST_LABEL = 2**31 - 1  # of int32


@dataclass(frozen=True, eq=False)
class Labelled:
    """The cells of an image, or of the frames of a stack.

    Attributes
    ----------
    labels : (H, W) or (N, H, W) int32 array
        > 0 a cell, −1 background said, 0 not said.
    classes : mapping of label to str
        Where a class is said.
    scores : mapping of label to float
        Where a score is said.
    remarks : tuple of str
        A sentence for each thing that was lost on the way.
    image : str
        The name of the image, where the file says one.
    wholes : tuple of Shape
        Where cells overlap each of them as a whole, under its label: `labels` gives each pixel to
        one. Empty where `labels` says it all.
    """

    labels: NDArray[np.int32]
    classes: Mapping[int, str] = field(default_factory=dict)
    scores: Mapping[int, float] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    image: str = ""
    wholes: tuple[Shape, ...] = ()

    @property
    def frames(self) -> NDArray[np.int32]:
        """The labels as a stack, (N, H, W)."""
        return self.labels if self.labels.ndim == 3 else self.labels[np.newaxis]


@dataclass(frozen=True, eq=False)
class Shape:
    """A cell by itself.

    Attributes
    ----------
    mask : (h, w) bool array
    origin : (row, column)
        Of the mask in the image.
    label : int
        0 for any.
    frame : int
        Of a stack, from 0.
    kind : str
        Its class, empty where none is said.
    score : float, optional
    """

    mask: NDArray[np.bool_]
    origin: tuple[int, int]
    label: int = 0
    frame: int = 0
    kind: str = ""
    score: float | None = None


WriteShapes: TypeAlias = Callable[[Iterable[Shape]], None]
"""Writes cells, one after the other, wherever it was told to."""


@dataclass(frozen=True)
class Extent:
    """What cells lie in that are told one by one.

    Attributes
    ----------
    size : (H, W)
        Of the image, or of each frame of a stack.
    frames : int, optional
        Of a stack; None where it is none.
    image : str
        The name of the image, empty where it has none.
    """

    size: tuple[int, int]
    frames: int | None = None
    image: str = ""

    @classmethod
    def of(cls, labelled: Labelled) -> Extent:
        """That of labels."""
        height, width = labelled.labels.shape[-2:]
        frames = len(labelled.labels) if labelled.labels.ndim == 3 else None
        return cls((height, width), frames, labelled.image)


def take_apart(labelled: Labelled) -> Iterator[Shape]:
    """Each cell of each frame as a whole, in the order of the labels."""
    if labelled.wholes:
        yield from sorted(labelled.wholes, key=lambda cell: (cell.frame, cell.label))
        return
    for frame, labels in enumerate(labelled.frames):
        for label, box in find_boxes(labels):
            yield Shape(
                labels[box] == label,
                (box[0].start, box[1].start),
                label,
                frame,
                labelled.classes.get(label, ""),
                labelled.scores.get(label),
            )


def put_together(
    shapes: Iterable[Shape], size: tuple[int, int] | None, name: str, frames: int = 1
) -> Labelled:
    """Draw shapes into one label image, large ones first: where two overlap the smaller one wins.

    Where any do, they are kept as wholes too.

    Parameters
    ----------
    shapes : iterable of Shape
        Their labels are kept where each is another in its frame, and of one class in all frames;
        else they are numbered in their order.
    size : (H, W), optional
        By default as large as the shapes reach. What lies outside is cut off.
    name : str
        How remarks call the file.
    frames : int
        Of the stack; more where shapes lie in later ones.

    Raises
    ------
    InputError
        The image has no pixels or too many, or no size is given and the shapes reach farther than
        any image.
    """
    told = list(shapes)
    cells = [cell for cell in told if cell.mask.any()]
    remarks = []
    if len(cells) < len(told):
        remarks.append(
            f"{len(told) - len(cells)} cells of “{name}” enclose no pixel and are left out."
        )
    frames = max([frames, *(cell.frame + 1 for cell in told)])
    if size is None:
        size = _reach(cells)
        if size[0] * size[1] > _LARGEST:
            raise InputError(
                f"The cells of “{name}” reach out to {size[0]} × {size[1]} px: give the size of "
                "the image, or the image."
            )
        remarks.append(
            f"“{name}” does not say how large the image is: it is taken to end with the last "
            "cell; give its size or the image."
        )
    check_room(size, frames, name)
    numbers = _number(cells)
    if any(0 < cell.label != number for cell, number in zip(cells, numbers, strict=True)):
        remarks.append(
            f"The cells of “{name}” are numbered anew: a label stands for one cell a frame and one "
            f"class, and is {_LAST_LABEL} at most."
        )
    labels = np.zeros((frames, *size), np.int32)
    placed = [place(cell, size, label) for cell, label in zip(cells, numbers, strict=True)]
    overlap = False
    for cell in sorted(placed, key=lambda cell: -np.count_nonzero(cell.mask)):
        view = find_view(labels[cell.frame], cell)
        overlap |= bool(view[cell.mask].any())
        view[cell.mask] = cell.label
    outside = sum(
        np.count_nonzero(inside.mask) < np.count_nonzero(cell.mask)
        for cell, inside in zip(cells, placed, strict=True)
    )
    if outside:
        remarks.append(f"{outside} cells of “{name}” reach out of the image and were cut.")
    return Labelled(
        labels if frames > 1 else labels[0],
        {cell.label: cell.kind for cell in placed if cell.kind},
        {cell.label: cell.score for cell in placed if cell.score is not None},
        tuple(remarks),
        wholes=tuple(cell for cell in placed if cell.mask.any()) if overlap else (),
    )


def read_frames(said: object) -> int:
    """How many frames a file says that its stack has; 1 where it says anything else there."""
    return said if isinstance(said, int) and said > 0 else 1


def check_room(size: tuple[int, int], frames: int, name: str) -> None:
    """Raise an InputError where an image has no pixels, or more than labels are made for."""
    height, width = size
    if min(size) < 1:
        raise InputError(
            f"“{name}” is of an image of {height} × {width} px, which has no pixels: correct its "
            "size."
        )
    if frames * height * width > _LARGEST:
        raise InputError(
            f"“{name}” is of {frames} × {height} × {width} px (frames × height × width), of which "
            f"{_LARGEST} are the most: correct its size and its frames."
        )


def find_view(plane: NDArray[np.int32], cell: Shape) -> NDArray[np.int32]:
    """The part of a plane that the mask of a cell inside of it lies on."""
    (row, column), (height, width) = cell.origin, cell.mask.shape
    return plane[row : row + height, column : column + width]


def place(cell: Shape, size: tuple[int, int], label: int) -> Shape:
    """A cell under its label, as far as it lies in the image."""
    (top, rows), (left, columns) = (
        _cut(start, length, most)
        for start, length, most in zip(cell.origin, cell.mask.shape, size, strict=True)
    )
    return replace(cell, mask=cell.mask[rows, columns], origin=(top, left), label=label)


def remark_overlaps(labelled: Labelled) -> tuple[str, ...]:
    """What is said of cells that overlap where their labels alone are used."""
    lost = [
        np.count_nonzero(cell.mask & (find_view(labelled.frames[cell.frame], cell) != cell.label))
        for cell in labelled.wholes
    ]
    if not any(lost):
        return ()
    return (
        f"{np.count_nonzero(lost)} cells are overlapped by others in {sum(lost)} pixels, which "
        "went to the smaller cell: labels have no room for both; ROIs, COCO and GeoJSON have.",
    )


def remark_background(labelled: Labelled, title: str) -> tuple[str, ...]:
    """What is said of −1 by a format that has no word for it."""
    if not (labelled.labels < 0).any():
        return ()
    return (f"{title} know cells alone: that background was painted is kept in a TIFF only.",)


def remark_classes(labelled: Labelled, title: str) -> tuple[str, ...]:
    """What is said of classes by a format that has no word for them."""
    if not labelled.classes:
        return ()
    return (f"{title} has no word for the classes of cells: ROIs, COCO and GeoJSON keep them.",)


def remark_scores(labelled: Labelled, title: str) -> tuple[str, ...]:
    """What is said of scores by a format that has no word for them."""
    if not labelled.scores:
        return ()
    return (f"{title} has no word for the scores of cells: ROIs, COCO and GeoJSON keep them.",)


def remark_frames(labelled: Labelled, title: str) -> tuple[str, ...]:
    """What is said of a stack without cells by a format that keeps its frames with the cells."""
    if len(labelled.frames) == 1 or (labelled.labels > 0).any():
        return ()
    return (
        f"{title} know cells alone: that the stack has {len(labelled.frames)} frames is not kept.",
    )


def _number(cells: list[Shape]) -> list[int]:
    """A label for each cell, so that cells of one label are one cell in several frames."""
    said = [cell.label for cell in cells]
    placed = {(cell.frame, cell.label) for cell in cells}
    if min(said, default=1) < 1 or len(placed) < len(cells):
        return list(range(1, len(cells) + 1))
    # classes are kept by label: the same label in another class is another cell
    kinds = dict.fromkeys((cell.label, cell.kind) for cell in cells)
    if max(said, default=0) <= _LAST_LABEL and len(kinds) == len(set(said)):
        return said
    numbers = {kind: number for number, kind in enumerate(kinds, 1)}
    return [numbers[cell.label, cell.kind] for cell in cells]


def _reach(cells: list[Shape]) -> tuple[int, int]:
    rows = [cell.origin[0] + cell.mask.shape[0] for cell in cells]
    columns = [cell.origin[1] + cell.mask.shape[1] for cell in cells]
    return max([1, *rows]), max([1, *columns])


def _cut(start: int, length: int, most: int) -> tuple[int, slice]:
    """Where a mask begins in the image, and the part of it that lies there."""
    first, last = min(max(start, 0), most), min(max(start + length, 0), most)
    return first, slice(first - start, last - start)
