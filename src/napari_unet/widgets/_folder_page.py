"""Predicting all images of a folder: which, into where, and how far each is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from napari.utils.notifications import show_warning
from qtpy.QtWidgets import QCheckBox, QFormLayout, QVBoxLayout, QWidget

from napari_unet.core.batch_results import RESULTS, list_results
from napari_unet.core.config import PredictConfig
from napari_unet.core.errors import InputError
from napari_unet.core.files import name_results
from napari_unet.core.listing import find_images
from napari_unet.core.types import (
    BlockLabelled,
    ChunkWritten,
    FileDone,
    Looking,
    PlaneDone,
    Resumed,
    TileDone,
)
from napari_unet.widgets._connections import Connections
from napari_unet.widgets._files_table import FilesModel, FilesView
from napari_unet.widgets._form import tidy
from napari_unet.widgets._open_result import open_result
from napari_unet.widgets._path_line import PathLine
from napari_unet.widgets._session import Session
from napari_unet.widgets._task_bar import TaskBar
from napari_unet.widgets._worker import run

_STAGES = {
    TileDone: "tile",
    PlaneDone: "plane",
    BlockLabelled: "labelling · block",
    ChunkWritten: "writing · chunk",
}


class FolderPage(QWidget):
    """Files in, label files out, with a table of how far each is.

    Parameters
    ----------
    session : Session
    ask : callable
        Gives the model and the settings, or raises an InputError that says what is missing.
    """

    def __init__(
        self, session: Session, ask: Callable[[], tuple[Path, PredictConfig]], parent: QWidget
    ) -> None:
        super().__init__(parent)
        self._session, self._ask = session, ask
        self._job: int | None = None
        self._closed = False
        self._through = self._cells = 0
        self.source = PathLine("Choose a folder of images", "drop a folder of images")
        self.target = PathLine("Choose a folder for the labels", "predicted, in that folder")
        self.resume = QCheckBox("Leave alone what is done")
        self.resume.setToolTip("files whose labels were made with this model and these settings")
        self.resume.setChecked(True)
        self.link = QCheckBox("Link ids in stacks")
        self.link.setToolTip("a cell keeps its number from plane to plane, where it overlaps")
        self.bar = TaskBar("Predict folder")
        self.bar.start_clicked.connect(self.start)
        self.bar.stop_clicked.connect(self._stop)
        self.files = FilesModel()
        self.table = FilesView(self.files)
        self.table.setToolTip("Double-click, or Enter, opens an image with its cells.")
        self.table.opened.connect(self._open)
        self._inputs = QWidget()
        rows = QFormLayout(self._inputs)
        tidy(rows)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.addRow("Images", self.source)
        rows.addRow("Into", self.target)
        rows.addRow(self.resume)
        rows.addRow(self.link)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 0, 0, 0)
        for widget in (self._inputs, self.bar, self.table):
            layout.addWidget(widget)
        self.table.hide()
        self.bar.ready("Choose a folder; model and settings are those above.")
        self.source.changed.connect(self._on_source)
        self._connections = Connections()
        compute = session.compute
        self._connections.connect(compute.happened, self._on_happened)
        self._connections.connect(compute.done, self._on_done)
        self._connections.connect(compute.stopped, self._on_stopped)
        self._connections.connect(compute.failed, self._on_failed)

    @property
    def into(self) -> Path | None:
        """Where the labels go; by default a folder in that of the images."""
        source = self.source.path
        return self.target.path or (None if source is None else source / "predicted")

    def start(self) -> None:
        """Look for the images and predict them."""
        source, into = self.source.path, self.into
        try:
            model, config = self._ask()
            if source is None or into is None:
                raise InputError("There is no folder of images yet: drop one here, or browse.")
        except InputError as error:
            self._fail(str(error))
            return

        def begin(pairs: list[tuple[Path, Path]]) -> None:
            if self._closed:
                return
            if not self.bar.stopping:
                self._begin(model, config, pairs, into)
            else:
                self._end("Stopped · nothing was done.")

        self._inputs.setEnabled(False)
        self.bar.prepare("Looking for images")
        run(_pair, source, into, on_done=begin, on_error=self._fail, owner=self)

    def close_down(self) -> None:
        """Stop what runs and let go of everything; what is done stays done."""
        self._closed = True
        self._stop()
        self._connections.undo()

    def _begin(
        self, model: Path, config: PredictConfig, pairs: list[tuple[Path, Path]], into: Path
    ) -> None:
        self._through = self._cells = 0
        self.files.set_paths([image for image, _ in pairs])
        self.table.show()
        self.bar.prepare(f"Preparing · {len(pairs)} images")
        self._job = self._session.compute.predict_files(
            model,
            config,
            pairs,
            into,
            link=self.link.isChecked(),
            resume=self.resume.isChecked(),
        )

    def _stop(self) -> None:
        if self._job is not None:
            self._session.compute.stop(self._job)

    def _on_happened(self, job: int, event: Any) -> None:
        if job != self._job:
            return
        total = self.files.rowCount()
        if isinstance(event, FileDone):
            self.files.finish(self._through, event)
            self._through += 1
            self.table.follow(min(self._through, total - 1))
            self._cells += event.cells or 0
            self.bar.run(f"File {self._through} of {total}", self._through / total)
            return
        stage = _STAGES.get(type(event))
        if isinstance(event, Looking | Resumed) and self._through < total:
            self.files.tell(self._through, _describe(event))
        elif stage is not None and self._through < total:
            words = f"{stage} {event.done} of {event.total}"
            self.files.tell(self._through, words)
            part = event.done / event.total if isinstance(event, TileDone | PlaneDone) else 0
            self.bar.run(
                f"File {self._through + 1} of {total} · {words}", (self._through + part) / total
            )

    def _on_done(self, job: int, result: dict[str, Any]) -> None:
        if job != self._job:
            return
        total, done = self.files.rowCount(), self.files.count_results()
        if not done:
            self._fail("None of the images could be predicted: the table says why of each.")
            return
        left_out = f" · {total - done} left out" if done < total else ""
        table = f" · {RESULTS}" if total > 1 else ""
        self._end(f"Done · {done} of {total} files · {self._cells} cells{left_out}{table}")

    def _on_stopped(self, job: int, result: dict[str, Any]) -> None:
        if job == self._job:
            total = self.files.rowCount()
            if self._through < total:
                self.files.tell(self._through, "stopped")
            done = self.files.count_results()
            self._end(f"Stopped · {done} of {total} files are done; Predict folder goes on.")

    def _on_failed(self, job: int, sentence: str, details: str) -> None:
        if job == self._job:
            self._fail(sentence, details)

    def _end(self, sentence: str) -> None:
        self._job = None
        self._inputs.setEnabled(True)
        self.bar.finish(sentence)

    def _fail(self, sentence: str, details: str = "") -> None:
        self._job = None
        self._inputs.setEnabled(True)
        self.bar.fail(sentence, details)
        show_warning(sentence)

    def _on_source(self) -> None:
        source = self.source.path
        self.target.line.setPlaceholderText(
            "predicted, in that folder" if source is None else str(source / "predicted")
        )
        if self._job is None:
            self.bar.ready("Ready to predict the images of the folder.")

    def _open(self, row: int) -> None:
        file = self.files.result_of(row)
        if file is None:
            return
        try:
            open_result(self._session.viewer, Path(file.file), Path(file.result))
        except InputError as error:
            show_warning(str(error))


def _describe(event: Looking | Resumed) -> str:
    if isinstance(event, Looking):
        return "looking how large its cells are"
    return f"going on: {event.tiles} tiles were done before"


def _pair(source: Path, into: Path) -> list[tuple[Path, Path]]:
    images = find_images([source])
    targets = name_results(images, into, list_results(into / RESULTS))
    return list(zip(images, targets, strict=True))
