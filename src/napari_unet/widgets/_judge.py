"""What is judged against the truth: a layer of cells, or what models say of the plane in view."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from napari.layers import Image, Labels
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from napari_unet.core.comparison import DifferenceMap, MatchMap, differ, explain_sample
from napari_unet.core.errors import InputError
from napari_unet.core.formats.layers import split_layers
from napari_unet.core.types import Sample
from napari_unet.widgets import _classes
from napari_unet.widgets._cell_reader import cells_reader
from napari_unet.widgets._contest import Answer, PlaneWork
from napari_unet.widgets._edited import Cells
from napari_unet.widgets._planes import PlaneIndex
from napari_unet.widgets._session import Session


@dataclass(frozen=True, eq=False)
class Judged:
    """Cells of one plane that were judged.

    Attributes
    ----------
    maps : tuple of MatchMap
        Of the prediction, or of each of two models.
    differences : DifferenceMap, optional
        Where two models differ.
    seconds : tuple of float or None
        That each network took.
    index : PlaneIndex
        The plane of the image.
    image_ref : weak reference to the image
    """

    maps: tuple[MatchMap, ...]
    differences: DifferenceMap | None
    seconds: tuple[float | None, ...]
    index: PlaneIndex
    image_ref: weakref.ref[Image]

    @property
    def explained(self) -> MatchMap | DifferenceMap:
        """What can be shown cell by cell."""
        return self.maps[0] if self.differences is None else self.differences

    def image(self, session: Session) -> Image:
        """The image, or an `InputError` where it was closed."""
        image = self.image_ref()
        if image is None or image not in session.viewer.layers:
            raise InputError("The image was closed meanwhile: evaluate another one.")
        return image


class Judge(PlaneWork):
    """Compares with the truth off the GUI thread.

    Signals
    -------
    judged(judged : Judged)
        And those of `PlaneWork`.
    """

    judged = Signal(object)

    def __init__(self, session: Session, parent: QObject | None = None) -> None:
        super().__init__(session, parent)
        self._read_truth: Callable[[], Truth] | None = None
        self._plane: tuple[PlaneIndex, weakref.ref[Image]] | None = None

    def judge_labels(self, truth: Cells, prediction: Cells) -> None:
        """Compare two layers on the plane in view.

        Raises
        ------
        InputError
            If there is no image.
        """
        read_truth = self._begin(truth)
        read = judged_reader(self._session, prediction, _classes.class_names(truth))
        self._compare(lambda: [_explain(read_truth(), *read())], (None,))

    def judge_models(self, truth: Cells, models: Sequence[Path]) -> None:
        """Predict the plane in view with each model, and compare what they say.

        Raises
        ------
        InputError
            If there is no image.
        """
        self._read_truth = self._begin(truth)
        self._ask(models)

    def _begin(self, truth: Cells) -> Callable[[], Truth]:
        image = self._session.need_image()
        self._given_up = False
        self._plane = self._session.plane_index(image), weakref.ref(image)
        return truth_reader(self._session, truth)

    def _on_answers(self, answers: list[Answer]) -> None:
        read_truth = self._read_truth
        assert read_truth is not None
        seconds = tuple(answer.seconds for answer in answers)
        self._compare(lambda: _explain_answers(read_truth(), answers), seconds)

    def _compare(
        self, explain: Callable[[], list[MatchMap]], seconds: tuple[float | None, ...]
    ) -> None:
        assert self._plane is not None
        plane = self._plane

        def compare() -> Judged:
            maps = explain()
            differences = differ(*maps) if len(maps) == 2 else None
            return Judged(tuple(maps), differences, seconds, *plane)

        self._work.run(
            compare,
            on_done=self._on_compared,
            on_error=lambda sentence: self.failed.emit(sentence, ""),
        )

    def _on_compared(self, judged: Judged) -> None:
        if self._given_up:
            self.stopped.emit()
            return
        try:
            judged.image(self._session)
        except InputError as error:
            self.failed.emit(str(error), "")
            return
        self.judged.emit(judged)


class Truth(NamedTuple):
    """What is true of a plane, and where its cells overlap these as wholes."""

    sample: Sample
    wholes: tuple[NDArray[np.int32], ...]


def truth_reader(session: Session, truth: Cells) -> Callable[[], Truth]:
    """What copies all that a layer of cells says of the plane in view, when it is called.

    The complete regions go with the annotation; other layers say everything, but for what labels
    leave open beside a painted background.
    """
    read = judged_reader(session, truth)
    complete = session.complete() if truth is session.labels else None
    name = f"“{truth.name}”"

    def read_truth() -> Truth:
        layers, classes = read()
        labels = layers[0] if len(layers) == 1 else np.max(layers, axis=0)
        return Truth(Sample(labels[np.newaxis], labels, complete, classes, name), layers)

    return read_truth


def judged_reader(
    session: Session, layer: Cells, names: Sequence[str] = ()
) -> Callable[[], tuple[tuple[NDArray[np.int32], ...], dict[int, int]]]:
    """What reads label images in each of which some cells are whole, and the classes of all.

    `names` are those of the classes 1, 2 …; what the layer has beside them follows.
    """
    read = cells_reader(session, layer)
    names = _classes.merge_names(names, layer)
    said = _classes.classes_of_cells(layer, names) if isinstance(layer, Labels) else None

    def read_layers() -> tuple[tuple[NDArray[np.int32], ...], dict[int, int]]:
        found = read()
        (layers,) = split_layers(found)
        classes = {label: names.index(kind) + 1 for label, kind in found.classes.items()}
        return tuple(layers), classes if said is None else said

    return read_layers


def _explain(
    truth: Truth, layers: tuple[NDArray[np.int32], ...], classes: dict[int, int]
) -> MatchMap:
    return explain_sample(truth.sample, layers, classes, truth.wholes)


def _explain_answers(truth: Truth, answers: Sequence[Answer]) -> list[MatchMap]:
    return [_explain(truth, (answer.labels,), answer.classes) for answer in answers]
