"""The Train panel: one click from paint to a model, and what the training says meanwhile."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_warning
from numpy.typing import NDArray
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QCheckBox, QComboBox, QFormLayout, QLabel, QVBoxLayout, QWidget

from napari_unet.core.annotation import check_trainable
from napari_unet.core.config import TRAIN_PRESETS, AugmentConfig, NormalizeConfig, TrainConfig
from napari_unet.core.errors import InputError
from napari_unet.core.models import MODELS
from napari_unet.core.resumable import is_resumable, state_path
from napari_unet.core.start_models import start_model_files
from napari_unet.core.types import Region, Sample
from napari_unet.widgets._budget import Budget
from napari_unet.widgets._channel_choice import ChannelChoice
from napari_unet.widgets._connections import Connections
from napari_unet.widgets._device_badge import DeviceBadge
from napari_unet.widgets._dock import Dock
from napari_unet.widgets._form import Fold, Form, guard_wheel, tidy
from napari_unet.widgets._model_choice import ModelChoice
from napari_unet.widgets._model_files import architecture_of, new_model_path
from napari_unet.widgets._network_choice import NetworkChoice
from napari_unet.widgets._plot import CurvePlot
from napari_unet.widgets._preview import Preview
from napari_unet.widgets._saved_line import SavedLine
from napari_unet.widgets._task_bar import TaskBar
from napari_unet.widgets._training_log import TrainingLog
from napari_unet.widgets._worker import run

if TYPE_CHECKING:
    import napari.viewer

_REPAINT_MS = 700  # the hand rests


class TrainDock(Dock):
    """Choose how long, press Train, watch; the model is saved and chosen for prediction."""

    def __init__(self, napari_viewer: "napari.viewer.Viewer") -> None:  # noqa: UP037 - npe2
        super().__init__(napari_viewer)
        self._job: int | None = None
        self._let_go = False
        self._output: Path | None = None
        self._source: tuple[Any, ...] | None = None
        self._pixels: NDArray[Any] | None = None
        self._trained: tuple[Any, ...] | None = None
        self._of_source = Connections()
        self.connections.add(self._of_source.undo)
        self._repaint_soon = QTimer(self)
        self._repaint_soon.setSingleShot(True)
        self._repaint_soon.setInterval(_REPAINT_MS)
        self._repaint_soon.timeout.connect(self._repaint)
        self._settings = QWidget()
        self._build_settings()
        self.bar = TaskBar("Train")
        self.bar.start_clicked.connect(self.start)
        self.bar.continue_clicked.connect(self.resume)
        self.bar.stop_clicked.connect(self._stop)
        self.plot = CurvePlot(self.session.viewer.theme)
        self.log = TrainingLog(self.bar, self.plot)
        self.saved = SavedLine()
        self.saved.renamed.connect(self._on_renamed)
        self._preview = Preview(self.session, self)
        self._preview.failed.connect(self.log.warn)
        self._advanced = self._build_advanced()
        self.add_settings(self._settings)
        for widget in (self.bar, self.plot, self.log, self.saved, self._advanced):
            self.body.addWidget(widget)
        self.body.addStretch(1)
        self._connect()
        self._show_network()
        self._show_readiness()

    def _build_settings(self) -> None:
        self.architecture = QComboBox()
        for name, family in MODELS.items():
            self.architecture.addItem(family.title, name)
            _grey_out(self.architecture, family.lack)
        self.architecture.currentIndexChanged.connect(self._on_architecture)
        self.start_from = ModelChoice("from scratch", optional=True)
        self.start_from.set_path(next(iter(start_model_files()), None))
        self.start_from.show_only(self.architecture.currentData())
        self.start_from.chosen.connect(self._on_start)
        self.budget = Budget()
        self.budget.setToolTip("the learning rate falls to zero over it; the best state is kept")
        self.held_out = QLabel()
        self.held_out.setWordWrap(True)
        self.live = QCheckBox("show cells while it learns")
        self.live.setChecked(True)
        self.live.setToolTip("predicts the visible field each time the model gets better")
        self.device = DeviceBadge()
        guard_wheel(self.architecture)
        rows = QFormLayout(self._settings)
        tidy(rows)
        rows.addRow("Model", self.architecture)
        self.channels = ChannelChoice(self.session, self.connections, rows)
        rows.addRow("Start", self.start_from)
        rows.addRow("Budget", self.budget)
        rows.addRow("Held out", self.held_out)
        rows.addRow("Preview", self.live)
        rows.addRow("Runs on", self.device)

    def _build_advanced(self) -> Fold:
        self.network = NetworkChoice()
        self.network.currentIndexChanged.connect(self._show_preset)
        self._preset_shown = TrainConfig()
        first = QWidget()
        rows = QFormLayout(first)
        tidy(rows)
        rows.addRow("Network", self.network)
        self.training = Form(TrainConfig, rows=rows)
        self.training.changed.connect(self._show_held_out)
        self.augment = Form(AugmentConfig)
        self.normalize = Form(NormalizeConfig)
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.setContentsMargins(8, 0, 0, 0)
        for title, form in (
            ("", first),
            ("Augmentation", self.augment),
            ("Grey values", self.normalize),
        ):
            if title:
                layout.addWidget(QLabel(f"<b>{title}</b>"))
            layout.addWidget(form)
        self._show_held_out()
        return Fold("Advanced", content)

    def _connect(self) -> None:
        session, compute = self.session, self.session.compute
        connect = self.connections.connect
        connect(compute.ready, self.device.show_report)
        connect(compute.happened, self._on_happened)
        connect(compute.done, self._on_done)
        connect(compute.stopped, self._on_stopped)
        connect(compute.failed, self._on_failed)
        for painted in (session.painted, session.regions_changed, session.classes_changed):
            connect(painted, self._on_painted)
        connect(self.session.image_changed, self._show_readiness)
        connect(self.session.labels_changed, self._show_readiness)
        connect(self.session.viewer.dims.events.current_step, self._offer_to_continue)
        connect(self.session.viewer.events.theme, self._on_theme)
        if compute.report is not None:
            self.device.show_report(compute.report)
        compute.start()

    @property
    def config(self) -> TrainConfig:
        """What the panel says, with the weight map of the session."""
        config: TrainConfig = dataclasses.replace(
            self.training.value(),
            minutes=self.budget.minutes,
            augment=self.augment.value(),
            normalize=self.normalize.value(),
            weights=self.session.weights,
        )
        return config

    def start(self) -> None:
        """Take a snapshot of the annotation off the GUI thread, check it, and train on it."""
        if self._read(self._train):
            self.saved.show_path(None)

    def resume(self) -> None:
        """Go on with the training that was stopped, on what is painted now."""
        if self._trained != self._trained_on():
            self._refuse("The training was of another plane or image: show that, then continue.")
            return
        if self._read(self._go_on):
            self.saved.show_path(None)

    def _read(self, train: Callable[[Sample], None]) -> bool:
        """Have the annotation read and checked, then `train`; False where there is none."""
        try:
            read = self.session.sample_reader()
        except InputError as error:
            self._refuse(str(error))
            return False
        self._source = self._trained_on()
        self._of_source.undo()
        self._of_source.connect(self.session.need_image().events.data, self._on_other_data)
        self.bar.prepare("Preparing · looking at the annotation")
        self._settings.setEnabled(False)
        run(_read_trainable, read, on_done=train, on_error=self._refuse, owner=self)
        return True

    def _train(self, sample: Sample) -> None:
        if self._let_go:
            return
        if self.bar.stopping:
            self._end("Stopped · training had not begun.")
            return
        config = self.config
        if self._output is not None:  # not to be continued any more
            state_path(self._output).unlink(missing_ok=True)
        try:
            self._output = new_model_path(sample.name)
        except OSError as error:
            self._refuse(f"The folder of models cannot be written to ({error.strerror}).")
            return
        self.log.begin(config)
        self._ask(sample, config)

    def _go_on(self, sample: Sample) -> None:
        if self._let_go:
            return
        if self.bar.stopping:
            self._end("Stopped · training had not gone on.")
            return
        self.log.go_on()
        self._ask(sample, self.config, resume=True)

    def _ask(self, sample: Sample, config: TrainConfig, resume: bool = False) -> None:
        assert self._output is not None
        self._trained, self._pixels = self._source, sample.image
        if self.session.compute.report is None:
            self.bar.prepare("Preparing · the compute process is starting")
        self._job = self.session.compute.train(
            (sample,),
            config,
            output=self._output,
            architecture=self.architecture.currentData(),
            preset=self.network.preset,
            start_from=self.start_from.path,
            class_names=self.session.class_names,
            resume=resume,
        )

    def _on_painted(self, region: Region | None = None) -> None:
        """What is painted while a training runs goes into its next batches."""
        if self._job is not None:
            self._repaint_soon.start()

    def _repaint(self) -> None:
        if self._job is None or self._trained_on() != self._source:
            return
        with contextlib.suppress(InputError):  # the annotation was put away
            run(
                _read_trainable,
                # strokes leave the image as it was read: it may lie on a disk, or be computed
                self.session.sample_reader(self._pixels),
                on_done=partial(self._hand_over, self._job),
                on_error=self.log.warn,
                owner=self,
            )

    def _hand_over(self, job: int, sample: Sample) -> None:
        if job == self._job:
            self.session.compute.repaint(job, sample)

    def _trained_on(self) -> tuple[Any, ...] | None:
        """Which plane of which image and which labels are in view, and which channels are seen."""
        session = self.session
        if session.image is None or session.labels is None:
            return None
        return session.image, session.labels, session.plane_index(session.image), session.chosen

    def _on_other_data(self, event: Any = None) -> None:
        """The layer shows another image than the one that was read: no paint on it belongs here."""
        self._source, self._trained = None, ()
        if self._job is not None:
            self.log.warn("The layer has other data now: training goes on with those of before.")
        else:
            self._offer_to_continue()

    def _stop(self) -> None:
        if self._job is not None:
            self.session.compute.stop(self._job)

    def _refuse(self, sentence: str) -> None:
        self._settings.setEnabled(True)
        self.bar.fail(sentence)
        self._offer_to_continue()
        show_warning(sentence)

    def _on_happened(self, job: int, event: object) -> None:
        if job != self._job or self._output is None:
            return
        self.log.add(event)
        if self.log.just_got_better:
            self._show_preview(self._output)

    def _on_done(self, job: int, result: dict[str, Any]) -> None:
        if job == self._job:
            self._keep(result["model"])
            self._end(self.log.final("Done"))

    def _on_stopped(self, job: int, result: dict[str, Any]) -> None:
        if job == self._job:
            self._keep(result["model"])
            self._end(
                self.log.final("Stopped")
                if result["model"]
                else "Stopped · nothing was learnt yet, so nothing is saved."
            )

    def _on_failed(self, job: int, sentence: str, details: str) -> None:
        if job == self._job:
            self._end("")
            self.bar.fail(sentence, details)
            self._offer_to_continue()
            show_warning(sentence)

    def _keep(self, model: str | None) -> None:
        if model is None:
            return
        path = Path(model)
        self.saved.show_path(path)
        self.session.model = path
        self.start_from.refresh()
        self._show_network()
        self._show_preview(path)

    def _show_preview(self, model: Path) -> None:
        """Of the image that is trained on, not of another one that was chosen meanwhile."""
        now = self._trained_on()
        if self.live.isChecked() and now is not None and self._source is not None:
            (image, *_, chosen), (source, *_, channels) = now, self._source
            if image is source and chosen == channels:
                self._preview.show_model(model)

    def _end(self, sentence: str) -> None:
        self._job = self._source = self._pixels = None
        self.log.end()
        self._settings.setEnabled(True)
        self.bar.finish(sentence)
        self._offer_to_continue()

    def _offer_to_continue(self, event: Any = None) -> None:
        """Where the last training was stopped before its end, on the plane that is in view."""
        can = (
            self._settings.isEnabled()  # nothing is read, nor trained on
            and self._output is not None
            and self._trained == self._trained_on()
            and is_resumable(self._output)
        )
        self.bar.offer_to_continue(
            "goes on where the training stopped, with its settings and with what is painted now"
            if can
            else ""
        )

    def _on_renamed(self, path: Path) -> None:
        self._output = path
        self.session.model = path
        self.start_from.refresh()
        self._show_network()

    def _show_held_out(self, config: TrainConfig | None = None) -> None:
        fraction = (config or self.training.value()).val_fraction
        self.held_out.setText(
            f"{100 * fraction:.0f} % of what is painted" if fraction else "nothing"
        )
        self.held_out.setToolTip("never trained on: it judges the model and picks the best state")

    def _show_readiness(self) -> None:
        if not self._settings.isEnabled():  # the annotation is read, or trained on
            return
        session = self.session
        if session.image is None:
            self.bar.ready("No image is open. Drop one on the window, or use File ▸ Open Sample.")
        elif session.labels is None:
            self.bar.ready(f"“{session.image.name}” has no annotation yet: paint some cells.")
        else:
            self.bar.ready(f"Ready to train on “{session.labels.name}”.")
        self._offer_to_continue()

    def _on_architecture(self) -> None:
        self.start_from.show_only(self.architecture.currentData())
        self._show_network()

    def _on_start(self, path: Path | None) -> None:
        """A file that was browsed to may be of another family."""
        row = self.architecture.findData(architecture_of(path)) if path is not None else -1
        if row >= 0:
            self.architecture.setCurrentIndex(row)
        self._show_network()

    def _show_network(self) -> None:
        self.network.show_presets(self.architecture.currentData(), self.start_from.path)
        self._show_preset()

    def _show_preset(self) -> None:
        """Show how the chosen network is trained; what the person has set otherwise stays."""
        before, after = self._preset_shown, TrainConfig()
        if self.start_from.path is None:
            after = TRAIN_PRESETS.get(self.network.preset, after)
        shown = self.training.value()
        news = {
            item.name: getattr(after, item.name)
            for item in dataclasses.fields(TrainConfig)
            if getattr(shown, item.name) == getattr(before, item.name)
        }
        self.training.set(dataclasses.replace(shown, **news))
        self._preset_shown = after

    def _on_theme(self, event: Any) -> None:
        self.plot.set_theme(self.session.viewer.theme)

    def let_go(self) -> None:
        self._let_go = True  # what is being read now must not begin a training
        self._stop()
        self._job = None
        self._preview.close()
        super().let_go()


def _grey_out(combo: QComboBox, reason: str) -> None:
    """Make the last item one that cannot be chosen, and say why; nothing without a reason."""
    if reason:
        row = combo.count() - 1
        combo.model().item(row).setEnabled(False)
        combo.setItemData(row, reason, Qt.ItemDataRole.ToolTipRole)


def _read_trainable(read: Callable[[], Sample]) -> Sample:
    sample = read()
    check_trainable((sample,))
    return sample
