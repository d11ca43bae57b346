"""The tiles of a plane that are done while the net works on the others: shown as they come."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from qtpy.QtCore import QObject, QTimer

from napari_unet.core.config import InstanceConfig
from napari_unet.core.errors import InputError
from napari_unet.core.evidence import Evidence
from napari_unet.core.types import Region, TileDone
from napari_unet.core.unfinished import Piece, label_finished, meet
from napari_unet.widgets import _cell_layers, _layers, _planes
from napari_unet.widgets._asked import Asked
from napari_unet.widgets._planes import PlaneIndex, Reader
from napari_unet.widgets._session import Session
from napari_unet.widgets._worker import Latest

_PAUSE_MS = 700  # between two looks at what is done


class LiveTiles(QObject):
    """Collects the tiles of one plane, and labels those in view now and then.

    Parameters
    ----------
    session : Session
    labelling : Latest
        Where the work is done: it is that of the whole plane too, so neither overtakes the other.
    parent : QObject
    """

    def __init__(self, session: Session, labelling: Latest, parent: QObject) -> None:
        super().__init__(parent)
        self._session = session
        self._labelling = labelling
        self._asked: Asked | None = None
        self._index: PlaneIndex = ()
        self._find_evidence: Callable[[], Evidence | None] = lambda: None
        self._unshown: list[Region] = []
        self.finished: list[Region] = []
        self.total = 0
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(_PAUSE_MS)
        self._soon.timeout.connect(self.show_new)

    def begin(
        self,
        asked: Asked,
        index: PlaneIndex,
        find_evidence: Callable[[], Evidence | None],
    ) -> None:
        """Begin with another plane; `find_evidence` gives what there is of it so far."""
        self.end()
        self._asked, self._index, self._find_evidence = asked, index, find_evidence
        self.finished, self._unshown, self.total = [], [], 0

    def add(self, event: TileDone) -> None:
        """One more tile is done."""
        if event.done == 1:  # it began anew with smaller tiles, where memory ran out
            self.finished, self._unshown = [], []
        self.finished.append(event.region)
        self._unshown.append(event.region)
        self.total = event.total

    def end(self) -> None:
        """Show no more tiles; what was collected is kept."""
        self._soon.stop()
        self._asked = None

    def show_new(self) -> None:
        """Label the tiles in view that are not shown yet, unless that was done just now."""
        asked = self._asked
        if asked is None or self._soon.isActive() or self._labelling.busy:
            return
        evidence, view = self._find_evidence(), self._find_view(asked)
        new = [tile for tile in self._unshown if view is not None and meet(tile, view)]
        if evidence is None or not new:
            return
        self._soon.start()
        self._label(asked, evidence, new, None, lambda piece: self._show(asked, new, piece))

    def label_all(
        self,
        asked: Asked,
        evidence: Evidence,
        config: InstanceConfig | None,
        on_done: Callable[[Piece], None],
        on_error: Callable[[str], None],
    ) -> None:
        """Label all tiles that are done; as was asked for, or with another `config`.

        Raises
        ------
        InputError
            The image is gone.
        """
        self._label(asked, evidence, self.finished, config, on_done, on_error)

    def read_shown(self, asked: Asked, index: PlaneIndex) -> Reader:
        """What copies the plane of the prediction layer, empty where there is none."""
        image, shape = asked.image(self._session), asked.plane_shape
        layer = _layers.find(self._session.viewer, _layers.PREDICTION, image)
        if layer is None or not _layers.fits(layer, image):
            return lambda: np.zeros(shape, np.int32)
        read = _planes.plane_reader(layer, index)
        return lambda: read().astype(np.int32, copy=False)

    def _label(
        self,
        asked: Asked,
        evidence: Evidence,
        new: list[Region],
        config: InstanceConfig | None,
        on_done: Callable[[Piece], None],
        on_error: Callable[[str], None] | None = None,
    ) -> None:
        self._labelling.run(
            _label_finished,
            asked,
            evidence,
            tuple(self.finished),
            tuple(new),
            self.read_shown(asked, self._index),
            config,
            on_done=on_done,
            on_error=on_error,
        )

    def _find_view(self, asked: Asked) -> Region | None:
        """The part of the plane that is in view, None where none is."""
        session = self._session
        try:
            image = asked.image(session)
            is_in_view = session.image is image and session.plane_index(image) == self._index
            return session.visible_region() if is_in_view else None
        except InputError:  # nothing to show; what became of the image is said at the end
            return None

    def _show(self, asked: Asked, new: list[Region], piece: Piece) -> None:
        if asked is not self._asked or self._find_view(asked) is None:
            return  # all of it is there by now, or another plane is in view
        image = asked.image(self._session)
        _cell_layers.show_piece(
            self._session.viewer, image, piece.labels, piece.region, self._index
        )
        self._unshown = [tile for tile in self._unshown if tile not in new]
        self._soon.start()


def _label_finished(
    asked: Asked,
    evidence: Evidence,
    finished: tuple[Region, ...],
    new: tuple[Region, ...],
    read_shown: Reader,
    config: InstanceConfig | None,
) -> Piece:
    config = config or asked.config.instances or asked.card.instances
    return label_finished(evidence, asked.box, finished, new, read_shown(), config)
