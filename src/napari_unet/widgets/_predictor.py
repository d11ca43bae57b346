"""One prediction of one image: asked for, shown in its layer, labelled again without the net."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from napari_unet.core.config import InstanceConfig, PredictConfig
from napari_unet.core.errors import InputError
from napari_unet.core.instances import label_instances
from napari_unet.core.mosaic import fit_into, median_diameter
from napari_unet.core.types import Region, TileDone, Warned
from napari_unet.widgets import _layers, _planes
from napari_unet.widgets._connections import Connections
from napari_unet.widgets._planes import PlaneIndex, Reader
from napari_unet.widgets._session import Session
from napari_unet.widgets._worker import Latest


@dataclass(frozen=True)
class Shown:
    """What the person now sees: number of cells, median diameter in px, seconds of the net."""

    cells: int
    diameter: float
    seconds: float
    region: Region | None


class _Target:
    """The image that a prediction belongs to, and whether it is still the one it was."""

    def __init__(self, session: Session, region: Region | None) -> None:
        image = session.image
        if image is None:
            raise InputError("No image is open: open one, or a sample from File ▸ Open Sample.")
        self.name = image.name
        self.region = region
        self.index: PlaneIndex = _planes.find_plane(session.viewer, image)
        self._image: weakref.ref[Image] = weakref.ref(image)
        self._changed = False
        self._connections = Connections()
        self._connections.connect(image.events.data, self._on_data)

    def _on_data(self, event: Any = None) -> None:
        self._changed = True

    def image(self, session: Session) -> Image:
        """The layer, or an InputError that says what became of it."""
        image = self._image()
        if image is None or image not in session.viewer.layers:
            raise InputError(f"“{self.name}” was closed meanwhile: its prediction is left out.")
        if self._changed:
            raise InputError(
                f"“{self.name}” has other data now: its prediction is left out, predict again."
            )
        return image

    def forget(self) -> None:
        self._connections.undo()


class Predictor(QObject):
    """Predicts what the session's image shows and keeps what the network says of it.

    Signals
    -------
    progressed(done : int, total : int)
        Tiles.
    warned(sentence : str)
    shown(shown : Shown)
        After a prediction, and after labelling it again.
    stopped()
    failed(sentence : str, details : str)
    """

    progressed = Signal(int, int)
    warned = Signal(str)
    shown = Signal(object)
    stopped = Signal()
    failed = Signal(str, str)

    def __init__(self, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._job: int | None = None
        self._target: _Target | None = None
        self._maps: NDArray[np.float32] | None = None
        self._mapped = 0
        self._seconds = 0.0
        self._labelling = Latest(self)
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
    def can_relabel(self) -> bool:
        """Whether there are maps to label."""
        return self._maps is not None

    def start(self, model: Path, config: PredictConfig, region: Region | None = None) -> None:
        """Ask for the cells of the plane in view, or of a region of it.

        Raises
        ------
        InputError
            If there is no image.
        """
        read = self._session.image_reader()
        self._forget()
        self._target = _Target(self._session, region)
        self._job = self._session.compute.predict(
            model, read, config, region=region, name=self._target.name
        )

    def stop(self) -> None:
        """Ask the net to stop; nothing is shown of what it has done."""
        if self._job is not None:
            self._session.compute.stop(self._job)

    def relabel(self, config: InstanceConfig) -> None:
        """Label the kept maps with another threshold or size, off the GUI thread."""
        if self._target is None or self._maps is None or self.busy:
            return
        self._settle(self._target, self._maps, config)

    def close(self) -> None:
        """Stop what runs and let go of everything."""
        self.stop()
        self._forget()
        self._connections.undo()

    def _forget(self) -> None:
        if self._target is not None:
            self._target.forget()
        self._job = self._target = self._maps = None

    def _on_happened(self, job: int, event: object) -> None:
        if job != self._job:
            return
        if isinstance(event, TileDone):
            self.progressed.emit(event.done, event.total)
        elif isinstance(event, Warned):
            self.warned.emit(event.message)

    def _on_done(self, job: int, result: dict[str, Any]) -> None:
        if job != self._job or self._target is None:
            return
        self._job = None
        self._maps, self._mapped = result["maps"], result["mapped"]
        self._seconds = float(result["seconds"])
        self._settle(self._target, result["labels"], None)

    def _on_stopped(self, job: int, result: dict[str, Any]) -> None:
        if job == self._job:
            self._forget()
            self.stopped.emit()

    def _on_failed(self, job: int, sentence: str, details: str) -> None:
        if job == self._job:
            self._forget()
            self.failed.emit(sentence, details)

    def _settle(self, target: _Target, data: NDArray[Any], config: InstanceConfig | None) -> None:
        """Make labels of `data` off the GUI thread, then show them."""
        try:
            before = self._shown_before(target)
        except InputError as error:
            self._refuse(target, error)
            return
        self._labelling.run(
            _settle,
            data,
            config,
            self._mapped,
            before,
            target.region,
            on_done=lambda settled: self._show(target, *settled),
            on_error=lambda sentence: self.failed.emit(sentence, ""),
        )

    def _shown_before(self, target: _Target) -> Reader | None:
        """What copies the plane of the prediction layer; None where it will be overwritten."""
        image = target.image(self._session)
        layer = _layers.find(self._session.viewer, _layers.PREDICTION, image)
        if layer is None or target.region is None:
            return None
        return _planes.plane_reader(layer, target.index)

    def _show(
        self, target: _Target, labels: NDArray[np.int32], cells: int, diameter: float
    ) -> None:
        if target is not self._target:
            return  # another prediction was asked for meanwhile
        try:
            image = target.image(self._session)
            _layers.show_prediction(
                self._session.viewer, image, labels, target.region, target.index
            )
        except InputError as error:
            self._refuse(target, error)
            return
        self.shown.emit(Shown(cells, diameter, self._seconds, target.region))

    def _refuse(self, target: _Target, error: InputError) -> None:
        if target is self._target:
            self._forget()
        self.failed.emit(str(error), "")


def _settle(
    data: NDArray[Any],
    config: InstanceConfig | None,
    classes: int,
    read_before: Reader | None,
    region: Region | None,
) -> tuple[NDArray[np.int32], int, float]:
    """The labels to show, their number and median diameter.

    `data` are maps to label with `config`, `classes` of them class probabilities, or labels where
    it is None; `read_before` gives the plane around `region`.
    """
    labels = np.array(data) if config is None else label_instances(data, config, classes).labels
    if read_before is not None and region is not None:
        labels = fit_into(read_before().astype(np.int32, copy=False), labels, region)
    cells = int(np.count_nonzero(np.bincount(labels.ravel())[1:]))
    return labels, cells, median_diameter(labels)
