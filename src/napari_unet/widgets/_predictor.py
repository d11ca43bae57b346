"""Predictions of one image: asked for, shown as they come, labelled again without the net."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer, Signal

from napari_unet.core.config import InstanceConfig, PredictConfig
from napari_unet.core.errors import InputError
from napari_unet.core.evidence import Evidence
from napari_unet.core.types import Prediction, Region, TileDone, Warned
from napari_unet.core.unfinished import Piece
from napari_unet.core.whole_cells import Outlines
from napari_unet.widgets import _cell_layers, _layers, _planes, _whole_cells
from napari_unet.widgets._asked import Asked, Progress
from napari_unet.widgets._connections import Connections
from napari_unet.widgets._features import write_predicted
from napari_unet.widgets._hand import RestTimer
from napari_unet.widgets._live_tiles import LiveTiles
from napari_unet.widgets._planes import PlaneIndex
from napari_unet.widgets._session import Session
from napari_unet.widgets._settling import Settled, settle
from napari_unet.widgets._worker import InOrder, Latest, run

_REST_MS = 250


@dataclass(frozen=True)
class Shown:
    """What the person now sees: number of cells, median diameter in px, seconds of the net.

    Of `region`, of `planes` planes; `finished` says that these are the tiles of a prediction that
    was stopped. `ids` is how many numbers the cells have, where those are linked between planes.
    """

    cells: int
    diameter: float
    seconds: float
    region: Region | None
    planes: int = 1
    finished: bool = False
    ids: int | None = None


@dataclass(frozen=True)
class Halted:
    """A prediction was stopped at `progress`; so many cells of it are shown, None for nothing."""

    progress: Progress
    cells: int | None


class Predictor(QObject):
    """Predicts what the session's image shows and keeps what the network says of it.

    Parameters
    ----------
    session : Session
    parent : QObject, optional
    live : bool
        Whether tiles are shown as they are done.

    Signals
    -------
    progressed(progress : Progress)
    warned(sentence : str)
    shown(shown : Shown)
        After a prediction, and after labelling it again. What the features of the layer say
        follows when the canvas has had its turn.
    stopped(halted : Halted)
    failed(sentence : str, details : str)
    """

    progressed = Signal(object)
    warned = Signal(str)
    shown = Signal(object)
    stopped = Signal(object)
    failed = Signal(str, str)

    def __init__(
        self, session: Session, parent: QObject | None = None, *, live: bool = True
    ) -> None:
        super().__init__(parent)
        self._session = session
        self._live = live
        self._job: int | None = None
        self._asked: Asked | None = None
        self._number = 0  # of the plane that the net works on
        self._evidence: Evidence | None = None
        self._whole = False  # what it is there for, else the tiles that were done
        self._seconds = 0.0
        self._found: list[NDArray[np.float64]] = []
        self._wants_wholes = False
        self._unshown: tuple[Asked, PlaneIndex, Outlines | None] | None = None
        self._outlining = RestTimer(_REST_MS, self._show_wholes)
        self._untold: tuple[Labels, Settled] | None = None
        self._telling = QTimer(self)  # when the canvas has had its turn
        self._telling.setSingleShot(True)
        self._telling.timeout.connect(self._write_features)
        self._labelling = Latest(self)
        self._linking = InOrder(self)
        self._tiles = LiveTiles(session, self._labelling, self)
        self._connections = Connections()
        compute = session.compute
        self._connections.connect(compute.happened, self._on_happened)
        self._connections.connect(compute.done, self._on_done)
        self._connections.connect(compute.stopped, self._on_stopped)
        self._connections.connect(compute.failed, self._on_failed)

    @property
    def busy(self) -> bool:
        """Whether the net is asked and has not answered."""
        return self._job is not None

    @property
    def asked(self) -> Asked | None:
        """What was asked last: of which image and model the cells are."""
        return self._asked

    @property
    def can_relabel(self) -> bool:
        """Whether there is something to make cells of."""
        return self._evidence is not None

    def start(
        self,
        model: Path,
        config: PredictConfig,
        region: Region | None = None,
        whole_stack: bool = False,
        link: bool = False,
        wholes: bool = False,
    ) -> None:
        """Ask for the cells of the plane in view, of a region of it, or of all planes.

        With `link` the cells of a whole stack keep their numbers from plane to plane. Then planes
        are shown when they are done and not tile by tile, whose numbers nothing is known of.
        With `wholes` those of one plane are shown as outlines too, each whole, where the model
        finds whole cells.

        Raises
        ------
        InputError
            If there is no image, or the planes cannot be linked.
        """
        asked = Asked(self._session, model, config, region, whole_stack, link)
        self._forget()
        self._asked, self._wants_wholes = asked, wholes
        self._begin_plane(asked, 0)

    def stop(self) -> None:
        """Ask the net to stop; what it has found so far is shown."""
        if self._job is not None:
            self._session.compute.stop(self._job)

    def relabel(self, config: InstanceConfig, wholes: bool = False) -> None:
        """Label what the net said with another threshold or size, off the GUI thread.

        Outlines follow when the hand rests: hundreds of them take napari longer than a frame.
        """
        asked, evidence = self._asked, self._evidence
        if asked is None or evidence is None or self.busy:
            return
        self._wants_wholes = wholes
        if self._whole:
            self._settle(asked, asked.planes[0], evidence, config)
        else:
            self._settle_finished(asked, evidence, config)

    def close(self) -> None:
        """Stop what runs and let go of everything."""
        self.stop()
        self._forget()
        self._connections.undo()

    def _begin_plane(self, asked: Asked, number: int) -> None:
        index, compute = asked.planes[number], self._session.compute
        self._number = number
        self._job = job = compute.predict(
            asked.model,
            asked.pixels(self._session, index),
            asked.config,
            region=asked.region,
            name=asked.name,
            centre=asked.centre,
            overview=asked.overview,
            alike=asked.alike(self._session),
        )
        self._tiles.begin(asked, index, lambda: compute.evidence(job))

    def _forget(self) -> None:
        self._write_features()
        if self._asked is not None:
            self._asked.forget()
        self._job = self._asked = self._evidence = None
        self._whole, self._seconds, self._found = False, 0.0, []
        self._unshown = None
        self._outlining.stop()
        self._tiles.end()

    def _on_happened(self, job: int, event: object) -> None:
        if job != self._job:
            return
        if isinstance(event, TileDone):
            self._tiles.add(event)
            self.progressed.emit(self._progress())
            live = self._live and self._asked is not None and self._asked.tracks is None
            if live and event.done < event.total:
                self._tiles.show_new()
        elif isinstance(event, Warned):
            self.warned.emit(event.message)

    def _progress(self) -> Progress:
        assert self._asked is not None
        tiles = self._tiles
        return Progress(len(tiles.finished), tiles.total, self._number + 1, len(self._asked.planes))

    def _on_done(self, job: int, result: dict[str, Any]) -> None:
        asked, number = self._asked, self._number
        if job != self._job or asked is None:
            return
        self._job = None
        self._tiles.end()
        self._whole = True
        self._seconds += float(result["seconds"])
        try:
            if number + 1 < len(asked.planes):
                self._begin_plane(asked, number + 1)
        except InputError as error:
            self._refuse(asked, error)
            return
        if len(asked.planes) == 1:
            self._evidence = result["evidence"]
        prediction = Prediction(result["labels"], result["classes"], result["scores"])
        # the whole cells come with the labels of what the net said alone
        again = self._evidence if self._wants_wholes else None
        self._settle(asked, asked.planes[number], again or prediction, None)

    def _on_stopped(self, job: int, result: dict[str, Any]) -> None:
        asked, evidence = self._asked, result.get("evidence")
        if job != self._job or asked is None:
            return
        progress = self._progress()
        self._job = None
        self._tiles.end()
        self._whole = False
        if evidence is not None and self._tiles.finished and asked.tracks is None:
            if len(asked.planes) == 1:
                self._evidence = evidence
            self._settle_finished(asked, evidence, None, progress)
            return
        self.stopped.emit(Halted(progress, sum(map(len, self._found)) if self._found else None))

    def _on_failed(self, job: int, sentence: str, details: str) -> None:
        if job == self._job:
            self._forget()
            self.failed.emit(sentence, details)

    def _settle(
        self,
        asked: Asked,
        index: PlaneIndex,
        prediction: Prediction | Evidence,
        config: InstanceConfig | None,
    ) -> None:
        """Make labels of what the net says off the GUI thread, then show them."""
        try:
            before = self._tiles.read_shown(asked, index)
            wholes = self._read_wholes(asked, index)
        except InputError as error:
            self._refuse(asked, error)
            return
        arguments = (settle, asked, prediction, config, before, wholes)

        def show(settled: Settled) -> None:
            self._show(asked, index, settled)

        def fail(sentence: str) -> None:
            self.failed.emit(sentence, "")

        if len(asked.planes) == 1:
            self._labelling.run(*arguments, on_done=show, on_error=fail)
        elif asked.tracks is not None:
            self._linking.run(*arguments, on_done=show, on_error=fail)
        else:  # none of many planes may be left out
            run(*arguments, on_done=show, on_error=fail, owner=self)

    def _show(self, asked: Asked, index: PlaneIndex, settled: Settled) -> None:
        if asked is not self._asked:
            return  # another prediction was asked for meanwhile
        try:
            image = asked.image(self._session)
            viewer = self._session.viewer
            layer = _cell_layers.show_prediction(viewer, image, settled.labels, asked.region, index)
            self._outline(asked, index, settled.wholes)
        except InputError as error:
            self._refuse(asked, error)
            return
        if _planes.count_planes(image) == 1:
            self._untold = layer, settled
            self._telling.start()
        self._tell(asked, settled)

    def _write_features(self) -> None:
        """Say in its features what the cells of a layer are that was shown."""
        self._telling.stop()
        if self._untold is not None:
            (layer, settled), self._untold = self._untold, None
            write_predicted(layer, settled.cells, settled.kept)

    def _tell(self, asked: Asked, settled: Settled) -> None:
        if len(asked.planes) == 1:
            self._found = [settled.diameters]
        else:
            self._found.append(settled.diameters)
        if len(self._found) == len(asked.planes):
            # without links the numbers are those of each plane alone
            sizes = np.concatenate(self._found)
            median = float(np.median(sizes)) if sizes.size else float("nan")
            ids = None if asked.tracks is None else asked.tracks.highest
            self.shown.emit(
                Shown(sizes.size, median, self._seconds, asked.region, len(asked.planes), ids=ids)
            )

    def _read_wholes(self, asked: Asked, index: PlaneIndex) -> Outlines | None:
        """The whole cells of a plane as they are shown; None where none are wanted."""
        if not self._wants_wholes or len(asked.planes) > 1:
            return None
        layer = _layers.find(self._session.viewer, _layers.WHOLES, asked.image(self._session))
        return Outlines((), {}) if layer is None else _whole_cells.read_wholes(layer, index)

    def _outline(self, asked: Asked, index: PlaneIndex, wholes: Outlines | None) -> None:
        """Show whole cells when the hand rests; where they are not known take away what is old."""
        self._unshown = asked, index, wholes
        if wholes is None:
            self._show_wholes()
        else:
            self._outlining.start()

    def _show_wholes(self) -> None:
        if self._unshown is None:
            return
        (asked, index, wholes), self._unshown = self._unshown, None
        self._outlining.stop()
        viewer = self._session.viewer
        try:
            image = asked.image(self._session)
            if wholes is None:
                _whole_cells.clear_wholes(viewer, image, index)
            else:
                _whole_cells.show_wholes(viewer, image, wholes, index)
        except InputError as error:
            self._refuse(asked, error)

    def _settle_finished(
        self,
        asked: Asked,
        evidence: Evidence,
        config: InstanceConfig | None,
        halted: Progress | None = None,
    ) -> None:
        """Label the tiles that were done when the net was stopped, then show them."""
        index = asked.planes[self._number]
        try:
            self._tiles.label_all(
                asked,
                evidence,
                config,
                lambda piece: self._show_finished(asked, index, piece, halted),
                lambda sentence: self.failed.emit(sentence, ""),
            )
        except InputError as error:
            self._refuse(asked, error)

    def _show_finished(
        self, asked: Asked, index: PlaneIndex, piece: Piece, halted: Progress | None
    ) -> None:
        if asked is not self._asked:
            return
        try:
            image = asked.image(self._session)
            _cell_layers.show_piece(self._session.viewer, image, piece.labels, piece.region, index)
            self._outline(asked, index, None)
        except InputError as error:
            self._refuse(asked, error)
            return
        if halted is not None:
            before = sum(map(len, self._found))
            self.stopped.emit(Halted(halted, before + piece.cells))
        self.shown.emit(
            Shown(piece.cells, piece.diameter, self._seconds, asked.region, finished=True)
        )

    def _refuse(self, asked: Asked, error: InputError) -> None:
        if asked is self._asked:
            if self._job is not None:
                self._session.compute.stop(self._job)
            self._forget()
        self.failed.emit(str(error), "")
