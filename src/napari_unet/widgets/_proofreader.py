"""Proofreading of the plane in view: cells at a place, and edits into the annotation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray

from napari_unet.core import proofreading
from napari_unet.core.errors import InputError
from napari_unet.core.formats.labelled import Shape, place
from napari_unet.core.outlines import find_outline
from napari_unet.core.proofreading import Cell, Edit
from napari_unet.core.surroundings import surround
from napari_unet.core.types import Region
from napari_unet.core.whole_cells import box_of, fill_outlines
from napari_unet.widgets import _layers, _planes, _tools
from napari_unet.widgets._cell_layers import find_predicted
from napari_unet.widgets._cell_marker import draw_line, mark_outline
from napari_unet.widgets._classes import class_of, classes_of_cells, forget_class, set_class
from napari_unet.widgets._features import read_feature
from napari_unet.widgets._labels_choice import find_prediction
from napari_unet.widgets._planes import PlaneIndex
from napari_unet.widgets._session import Session
from napari_unet.widgets._whole_cells import read_wholes

Point = tuple[int, int]


class Proofreader:
    """What the Correct panel does to the layers; each edit is one step to undo."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def need_prediction(self) -> Labels:
        """The layer of predicted cells, or an `InputError` that says what to do."""
        image = self._session.need_image()
        layer = find_prediction(self._session)
        if layer is None or not _layers.fits(layer, image):
            raise InputError(f"No cells are predicted on “{image.name}” yet: press Predict first.")
        return layer

    def planes(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Prediction and annotation of the plane in view, (H, W) each; the latter may be all 0.

        Raises
        ------
        InputError
            Nothing is predicted, or the annotation is of another size.
        """
        session = self._session
        predicted = session.plane(self.need_prediction())
        if session.labels is None:
            return predicted, np.broadcast_to(np.int32(0), predicted.shape)
        session.labels_reader()  # says where the sizes differ
        return predicted, session.plane(session.labels)

    def plane_in_view(self) -> PlaneIndex | None:
        """Which plane of the image is in view; None without an image."""
        image = self._session.image
        return None if image is None else self._session.plane_index(image)

    def label_at(self, point: Point) -> int:
        """What is annotated at a pixel: > 0 a cell, 0 nothing."""
        labels = self._session.labels
        return 0 if labels is None else max(0, int(self._session.plane(labels)[point]))

    def locate(self, position: Sequence[float]) -> Point:
        """The pixel of the plane at a place in the world."""
        layer = self.need_prediction()
        place = layer.world_to_data(np.asarray(position)[-layer.ndim :])
        rows, columns = _planes.plane_axes(self._session.plane_index(layer))
        return round(float(place[rows])), round(float(place[columns]))

    def find(self, point: Point) -> Cell | None:
        """The cell at a pixel, None where there is none; one that is predicted as a whole."""
        predicted, said = self.planes()
        cell = proofreading.find_cell(predicted, said, point)
        if cell is None or cell.label:
            return cell
        whole = self._find_whole(int(predicted[point]))
        if whole is None:
            return cell
        return proofreading.make_whole(cell, whole.mask, box_of(whole), point, predicted, said)

    def _find_whole(self, number: int) -> Shape | None:
        """All pixels of a predicted cell, where its outline is shown."""
        session = self._session
        layer = _layers.find(session.viewer, _layers.WHOLES, session.need_image())
        if layer is None:
            return None
        outlines = read_wholes(layer, session.plane_index(session.need_image()))
        found = fill_outlines(outlines.take(number))
        return place(found[0], session.plane_shape(), number) if found else None

    def write(self, make: Callable[[NDArray[Any], int], Edit]) -> None:
        """Write what `make(annotation, free label)` says into the annotation.

        The annotation is made where there is none yet. What is beside a new cell is background.

        Raises
        ------
        InputError
            That of `make`, or the annotation cannot hold -1.
        """
        session = self._session
        predicted, annotation = self.planes()
        free = 1 if session.labels is None else _tools.find_free_label(session, session.labels)
        seen = find_predicted(self.need_prediction(), session.plane_index(session.need_image()))
        edit = surround(
            make(annotation, free), predicted, annotation, seen, session.complete() is not None
        )
        layer = session.labels or session.add_annotation()
        if edit.labels.min(initial=0) < 0 and np.dtype(layer.dtype).kind != "i":
            raise InputError(
                f"“{layer.name}” holds {layer.dtype} labels, which have no -1 for background: "
                "right-click the layer ▸ Convert data type ▸ int32."
            )
        index = session.plane_index(layer)
        rows, columns = np.nonzero(session.plane(layer)[edit.box] != edit.labels)
        if rows.size:
            values = edit.labels[rows, columns]
            before = annotation[edit.box].copy()
            _look_at(layer)
            layer.data_setitem(_spread(rows, columns, edit.box, index), values)
            for label in range(free, int(edit.labels.max(initial=0)) + 1):
                self._classify(layer, label, edit.labels == label, before, predicted[edit.box])

    def _classify(
        self,
        layer: Labels,
        label: int,
        mask: NDArray[np.bool_],
        before: NDArray[Any],
        predicted: NDArray[Any],
    ) -> None:
        """A new cell is of the class of the cell that it was made of, annotated or predicted.

        What is said of its number already is of a cell that is there no more.
        """
        forget_class(layer, label)
        said = before[mask & (before > 0)]
        if said.size:
            name = class_of(layer, _find_commonest(said))
        else:
            named = read_feature(self.need_prediction(), "class") or {}
            name = str(named.get(_find_commonest(predicted[mask & (predicted > 0)])) or "")
        if name:
            set_class(layer, label, name)

    def carry_class(self, point: Point) -> None:
        """The annotated cell at a pixel is of the class that was predicted, unless one is said."""
        labels = self._session.labels
        predicted, said = self.planes()
        named = read_feature(self.need_prediction(), "class") or {}
        label, name = int(said[point]), named.get(int(predicted[point]))
        if labels is None or label <= 0:
            return
        if name and label not in classes_of_cells(labels):
            set_class(labels, label, str(name))

    def undo(self) -> bool:
        """Take the last edit of the annotation back; False where there is none."""
        labels = self._session.labels
        if labels is None or not labels._undo_history:
            return False
        _look_at(labels)
        labels.undo()
        return True

    def mark(self, cell: Cell) -> None:
        """Draw a line around a cell."""
        layer = self.need_prediction()
        everywhere = slice(0, cell.mask.shape[0]), slice(0, cell.mask.shape[1])
        outline = find_outline(cell.mask, True, everywhere)
        if outline is not None:
            outline += [part.start for part in cell.box]
            mark_outline(self._session, layer, outline, self._session.plane_index(layer))

    def draw(self, line: Sequence[Point]) -> None:
        """Show a line that is being drawn, beside the one around the cell."""
        layer = self.need_prediction()
        draw_line(self._session, layer, line, self._session.plane_index(layer))

    def show(self, box: Region) -> None:
        """Move the view to a box of the plane, where it is not in it."""
        layer, viewer = self.need_prediction(), self._session.viewer
        index = self._session.plane_index(layer)
        try:
            seen = _planes.find_visible(viewer, layer, index)
        except InputError:  # nothing of the image is in view
            seen = slice(0, 0), slice(0, 0)
        if not all(
            view.start <= part.start and part.stop <= view.stop
            for part, view in zip(box, seen, strict=True)
        ):
            _planes.centre_on(viewer, layer, index, box)


def _find_commonest(labels: NDArray[Any]) -> int:
    """The label of most pixels; 0 of none."""
    values, counts = np.unique(labels, return_counts=True)
    return int(values[counts.argmax()]) if values.size else 0


def _look_at(layer: Labels) -> None:
    """Have a hidden layer know the plane in view: napari also writes into what it shows of it."""
    if not layer.visible:
        layer.set_view_slice()


def _spread(
    rows: NDArray[np.intp], columns: NDArray[np.intp], box: Region, index: PlaneIndex
) -> tuple[NDArray[np.intp], ...]:
    """Pixels of a box of a plane as indices into the whole layer."""
    at = iter((rows + box[0].start, columns + box[1].start))
    return tuple(
        next(at) if place is None else np.full(len(rows), place, np.intp) for place in index
    )
