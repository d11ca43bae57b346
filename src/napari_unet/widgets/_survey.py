"""How far proofreading is: what is said of each predicted cell, and which one to look at next."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from napari.layers import Labels
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from napari_unet.core.errors import InputError
from napari_unet.core.label_boxes import find_boxes
from napari_unet.core.proofreading import Verdict, judge_cells
from napari_unet.core.types import Region
from napari_unet.core.uncertainty import rank_cells
from napari_unet.widgets import _dirty, _planes
from napari_unet.widgets._connections import Connections
from napari_unet.widgets._features import read_feature
from napari_unet.widgets._hand import RestTimer
from napari_unet.widgets._labels_choice import find_prediction
from napari_unet.widgets._planes import Reader
from napari_unet.widgets._proofreader import Proofreader
from napari_unet.widgets._session import Session
from napari_unet.widgets._worker import Latest

_PAUSE_MS = 150


@dataclass(frozen=True, eq=False)
class Queue:
    """The predicted cells of a plane, most doubtful first, and where each lies."""

    order: tuple[int, ...]
    boxes: dict[int, Region]


@dataclass(frozen=True, eq=False)
class Survey:
    """What is said of the cells of a queue."""

    queue: Queue
    verdicts: dict[int, Verdict]

    @property
    def words(self) -> str:
        """In figures."""
        count = Counter(self.verdicts.values())
        said = (Verdict.ACCEPTED, Verdict.REJECTED, Verdict.OPEN)
        counts = [f"{count[each]} {each}" for each in said]
        return " · ".join([f"{len(self.verdicts)} cells", *counts])


class Surveyor(QObject):
    """Looks at prediction and annotation off the GUI thread, again whenever one was changed.

    Signals
    -------
    surveyed(survey : Survey or None)
        None where there is no prediction.
    """

    surveyed = Signal(object)

    def __init__(self, session: Session, proofreader: Proofreader, parent: QObject) -> None:
        super().__init__(parent)
        self._session, self._proofreader = session, proofreader
        self._queue: Queue | None = None
        self._layer: Labels | None = None
        self._looked_at = False
        self._version = 0  # of what is predicted
        self._watched, self._connections = Connections(), Connections()
        self._working = Latest(self)
        self._pause = RestTimer(_PAUSE_MS, self._start)
        self._connections.add(self._pause.stop)
        layers = session.viewer.layers.events
        for signal in (layers.inserted, layers.removed, session.image_changed):
            self._connections.connect(signal, self._follow)
        for signal in (session.labels_changed, session.painted):
            self._connections.connect(signal, self._on_said)
        self._follow()

    def look(self, looked_at: bool) -> None:
        """Whether the results are seen; what is not seen is not looked for."""
        self._looked_at = looked_at
        if looked_at:
            self._pause.start()

    def close(self) -> None:
        """Stop watching."""
        self._looked_at = False
        self._layer = None
        self._watched.undo()
        self._connections.undo()

    def _follow(self, event: Any = None) -> None:
        layer = find_prediction(self._session)
        if layer is self._layer:
            return
        self._watched.undo()
        self._layer = layer
        if layer is not None:
            session = self._session

            def plane() -> _dirty.Plane:
                index = session.plane_index(layer)
                return index, _planes.read_plane(layer, index)

            moved = session.viewer.dims.events.current_step
            self._watched.add(_dirty.watch(layer, self._on_predicted, plane, moved=moved))
        self._on_predicted()

    def _on_predicted(self, region: Region | None = None) -> None:
        self._queue = None
        self._version += 1
        self._on_said()

    def _on_said(self, region: Region | None = None) -> None:
        if self._looked_at:
            self._pause.start()

    def _start(self) -> None:
        session, layer = self._session, self._layer
        if not self._looked_at:
            return
        try:
            self._proofreader.planes()
        except InputError:
            self.surveyed.emit(None)
            return
        assert layer is not None
        read_predicted = _planes.plane_reader(layer, session.plane_index(layer))
        read_said = None if session.labels is None else session.labels_reader()
        scores = read_feature(layer, "score")
        version = self._version

        def show(survey: Survey) -> None:
            if version == self._version:
                self._queue = survey.queue
                self.surveyed.emit(survey)

        self._working.run(_survey, read_predicted, read_said, self._queue, scores, on_done=show)


def _survey(
    read_predicted: Reader,
    read_said: Reader | None,
    queue: Queue | None,
    scores: dict[int, float] | None,
) -> Survey:
    predicted: NDArray[Any] = read_predicted()
    if queue is None:
        order = tuple(label for label, _ in rank_cells(predicted, scores))
        queue = Queue(order, dict(find_boxes(predicted)))
    said = 0 * predicted if read_said is None else read_said()
    return Survey(queue, judge_cells(predicted, said))
