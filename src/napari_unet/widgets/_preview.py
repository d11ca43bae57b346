"""What a model that is still learning finds in the visible field."""

from __future__ import annotations

from pathlib import Path

from napari.layers import Image
from qtpy.QtCore import QObject, Signal

from napari_unet.core.config import PredictConfig
from napari_unet.core.errors import InputError
from napari_unet.core.types import Region
from napari_unet.widgets._predictor import Predictor
from napari_unet.widgets._session import Session

_SIDE = 768
"""Pixels: more would take the training too much of its time."""


class Preview(QObject):
    """Shows the latest state of a model: one prediction at a time, the newest state next."""

    failed = Signal(str)
    """Why there is no preview, in one sentence."""

    def __init__(self, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._next: tuple[Path, Image | None] | None = None
        self._predictor = Predictor(session, self, live=False)
        self._predictor.shown.connect(self._go_on)
        self._predictor.failed.connect(self._on_failed)

    def show_model(self, model: Path) -> None:
        """Predict the middle of the visible field, now or after the preview that runs."""
        if self._predictor.busy:
            self._next = model, self._session.image
            return
        try:
            region = take_centre(self._session.visible_region(), _SIDE)
            self._predictor.start(model, PredictConfig(), region)
        except InputError as error:
            self.failed.emit(f"No preview: {error}")

    def _go_on(self) -> None:
        waiting, self._next = self._next, None
        if waiting is not None and waiting[1] is self._session.image:
            self.show_model(waiting[0])

    def _on_failed(self, sentence: str, details: str) -> None:
        self._next = None
        self.failed.emit(f"No preview: {sentence}")

    def close(self) -> None:
        self._predictor.close()


def take_centre(region: Region, side: int) -> Region:
    """The middle of a region, at most `side` pixels long and wide."""

    def shorten(part: slice) -> slice:
        spare = max(0, part.stop - part.start - side)
        return slice(part.start + spare // 2, part.stop - (spare - spare // 2))

    return shorten(region[0]), shorten(region[1])
