"""The Predict panel: a model, an image, and the cells that the one finds in the other."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from pathlib import Path
from typing import TYPE_CHECKING

from napari.layers import Image
from napari.utils.notifications import show_warning
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QRadioButton,
    QWidget,
)

from napari_unet.core.card import ModelCard, read_card
from napari_unet.core.config import InstanceConfig, PredictConfig
from napari_unet.core.errors import InputError
from napari_unet.widgets._asked import Progress
from napari_unet.widgets._channel_choice import ChannelChoice
from napari_unet.widgets._device_badge import DeviceBadge, short_name
from napari_unet.widgets._dock import Dock
from napari_unet.widgets._folder_page import FolderPage
from napari_unet.widgets._form import Fold, Form, tidy
from napari_unet.widgets._image_choice import ImageChoice
from napari_unet.widgets._layers import PREDICTION, find
from napari_unet.widgets._model_choice import ModelChoice
from napari_unet.widgets._model_files import check_channels, describe
from napari_unet.widgets._panels import open_panel
from napari_unet.widgets._planes import count_planes
from napari_unet.widgets._predictor import Halted, Predictor, Shown
from napari_unet.widgets._result_row import ResultRow
from napari_unet.widgets._saving import save_measurements
from napari_unet.widgets._task_bar import TaskBar, TaskState

if TYPE_CHECKING:
    import napari.viewer

_SHOWN_INSTANCES = ("threshold", "min_score", "min_size")
_WHOLES = (
    "beside the labels a layer of outlines, each cell whole where others lie over it, with its "
    "class and score; Measure, Evaluate, Correct and File ▸ Save take it"
)


class PredictDock(Dock):
    """Choose a model and press Predict; threshold and size then act at once, without the net."""

    def __init__(self, napari_viewer: "napari.viewer.Viewer") -> None:  # noqa: UP037 - npe2
        super().__init__(napari_viewer)
        self._card: ModelCard | None = None
        self._planes = 1  # of the last prediction
        self._predictor = Predictor(self.session, self)
        self._settings = QWidget()
        self._build_settings()
        self.bar = TaskBar("Predict")
        self.bar.start_clicked.connect(self.start)
        self.bar.stop_clicked.connect(self._predictor.stop)
        self.result = QLabel()
        self.result.setWordWrap(True)
        self.result.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._results = ResultRow(self.result)
        self._results.table_clicked.connect(self.open_table)
        self._results.save_clicked.connect(self.save_table)
        self._about = QLabel()
        self._about.setWordWrap(True)
        self._about.setTextFormat(Qt.TextFormat.RichText)
        self._about.hide()
        self.info.toggled.connect(self._about.setVisible)
        self.more_instances = Form(InstanceConfig)
        self.more_instances.changed.connect(self._relabel)
        self.prediction = Form(PredictConfig)
        self.link = QCheckBox("Link ids")
        self.link.setToolTip("a cell keeps its number from plane to plane, where it overlaps")
        self.link.hide()
        self.stack.toggled.connect(self.link.setVisible)
        self.wholes = QCheckBox("Whole cells")
        self.wholes.toggled.connect(self._on_wholes)
        self.stack.toggled.connect(self._offer_wholes)
        content = QWidget()
        rows = QFormLayout(content)
        tidy(rows)
        rows.setContentsMargins(8, 0, 0, 0)
        rows.addRow(self.link)
        rows.addRow(self.wholes)
        rows.addRow(self.more_instances)
        rows.addRow(self.prediction)
        advanced = Fold("Advanced", content)
        self.folder = FolderPage(self.session, self._ask, self)
        self.add_settings(self._settings)
        many = Fold("Folder of images", self.folder)
        for widget in (self.bar, self._results, self._about, advanced, many):
            self.body.addWidget(widget)
        self.body.addStretch(1)
        self._connect()
        self._on_session_model()

    def _build_settings(self) -> None:
        self.model = ModelChoice("no model yet", optional=False)
        self.model.chosen.connect(self._on_chosen)
        self.info = QPushButton("info")
        self.info.setCheckable(True)
        self.info.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.info.setToolTip("what the model was trained on, and its scores")
        model = QHBoxLayout()
        model.setSpacing(6)
        model.addWidget(self.model, 1)
        model.addWidget(self.info)
        self.image = ImageChoice(self.session, self.connections)
        self.visible = QRadioButton("visible field")
        self.whole = QRadioButton("image")
        self.stack = QRadioButton("stack")
        self.visible.setToolTip("what the canvas shows of the plane in view")
        self.whole.setToolTip("all of the plane in view")
        self.stack.setToolTip("plane by plane, all with the same brightness")
        self.visible.setChecked(True)
        where = QHBoxLayout()
        where.setSpacing(4)
        for choice in (self.visible, self.whole, self.stack):
            where.addWidget(choice)
        where.addStretch()
        rows = QFormLayout(self._settings)
        tidy(rows)
        rows.addRow("Model", model)
        rows.addRow("Image", self.image)
        self.channels = ChannelChoice(self.session, self.connections, rows)
        rows.addRow("Where", where)
        self.instances = Form(
            InstanceConfig, _SHOWN_INSTANCES, sliders=("threshold", "min_score"), rows=rows
        )
        # the narrower column leaves the name of the model room
        rows.labelForField(self.instances.input("min_size").native).setText("Min. size")
        self.instances.changed.connect(self._relabel)
        self.device = DeviceBadge()
        rows.addRow("Runs on", self.device)

    def _connect(self) -> None:
        predictor = self._predictor
        predictor.progressed.connect(self._on_progress)
        predictor.warned.connect(self.result.setText)
        predictor.shown.connect(self._on_shown)
        predictor.stopped.connect(self._on_stopped)
        predictor.failed.connect(self._fail)
        compute = self.session.compute
        self.connections.connect(compute.ready, self.device.show_report)
        self.connections.connect(self.session.model_changed, self._on_session_model)
        self.connections.connect(self.session.image_changed, self._on_image)
        for changed in (self.session.image_changed, self.session.channels_changed):
            self.connections.connect(changed, self._offer_stack)
        self._offer_stack()
        if compute.report is not None:
            self.device.show_report(compute.report)
        compute.start()

    @property
    def config(self) -> PredictConfig:
        """What the panel says."""
        config: PredictConfig = dataclasses.replace(
            self.prediction.value(), instances=self._instances
        )
        return config

    @property
    def _instances(self) -> InstanceConfig:
        shown = self.instances.value()
        config: InstanceConfig = dataclasses.replace(
            self.more_instances.value(),
            **{name: getattr(shown, name) for name in _SHOWN_INSTANCES},
        )
        return config

    def _ask(self) -> tuple[Path, PredictConfig]:
        """The model and the settings, for an image or a folder of them."""
        model = self.model.path
        if model is None:
            raise InputError("There is no model yet: train one, or browse to a model file.")
        return model, self.config

    def start(self) -> None:
        """Check that model and image go together, and predict."""
        try:
            model, config = self._ask()
            card = read_card(model)
            image = self.session.need_image()
            check_channels(card, self.session.channels(), model.stem, image.name)
            region = self.session.visible_region() if self.visible.isChecked() else None
            self._predictor.start(
                model,
                config,
                region,
                self.stack.isChecked(),
                self.link.isChecked(),
                self._wants_wholes,
            )
        except InputError as error:
            self._fail(str(error), "")
            return
        self.result.clear()
        self._results.offer(False)
        self._settings.setEnabled(False)
        waiting = self.session.compute.report is None
        self.bar.prepare(
            "Preparing · the compute process is starting" if waiting else "Preparing · normalising"
        )

    def open_table(self) -> None:
        """Open the Measure panel, or bring it to the front."""
        open_panel(self.session.viewer, "Measure")

    def save_table(self) -> None:
        """Measure the predicted cells and write them where the person says."""
        image = self.session.image
        layer = None if image is None else find(self.session.viewer, PREDICTION, image)
        if layer is None:
            self.result.setText("The prediction was closed: predict again.")
            return
        save_measurements(
            self, self.session, layer, on_done=self.result.setText, on_error=self.result.setText
        )

    def _relabel(self) -> None:
        if self._predictor.busy:
            return
        asked = self._predictor.asked
        if asked is not None and self._predictor.can_relabel:
            if asked.model == self.model.path:
                self._predictor.relabel(self._instances, self._wants_wholes)
            else:
                self.bar.ready(f"The cells are of “{asked.model.stem}”: predict them again.")
        elif self._planes > 1:
            self.bar.ready("Of a stack the maps are not kept: predict it again.")

    @property
    def _wants_wholes(self) -> bool:
        return self.wholes.isEnabled() and self.wholes.isChecked()

    def _on_wholes(self) -> None:
        """Of what the net said show the outlines too, or take them away."""
        if self._predictor.can_relabel:
            self._relabel()

    def _offer_wholes(self) -> None:
        """Offer outlines where there is something to them, else say why there is not."""
        no_use = ""
        if self._card is not None and self._card.maps:
            no_use = "of no use to this model: it gives each pixel to one cell"
        elif self.stack.isChecked():
            no_use = "of one plane at a time: “napari-unet predict --instances” writes those of all"
        self.wholes.setEnabled(not no_use)
        self.wholes.setToolTip(no_use or _WHOLES)

    def _on_progress(self, progress: Progress) -> None:
        part = f"tile {progress.tile} of {progress.tiles}"
        if progress.planes > 1:
            part = f"plane {progress.plane} of {progress.planes} · {part}"
        before = progress.plane - 1
        self.bar.run(
            f"Predicting · {part}", (before + progress.tile / progress.tiles) / progress.planes
        )

    def _on_stopped(self, halted: Halted) -> None:
        progress, cells = halted.progress, halted.cells
        if cells is None:
            self._end("Stopped · nothing was changed.")
            return
        part = f"{progress.tile} of {progress.tiles} tiles"
        if progress.planes > 1:
            part = f"{progress.plane - 1} of {progress.planes} planes"
        shown = "1 cell is" if cells == 1 else f"{cells} cells are"
        self._end(f"Stopped · {part}, {shown} shown.")

    def _offer_stack(self) -> None:
        """Offer the whole stack where the image has more planes than the one in view."""
        image = self.session.image
        planes = 1 if image is None else count_planes(image)
        self.stack.setVisible(planes > 1)
        # three beside one another are narrow
        self.visible.setText("field" if planes > 1 else "visible field")
        self.whole.setText("plane" if planes > 1 else "image")
        self.stack.setText(f"stack ({planes})")
        if planes == 1 and self.stack.isChecked():
            self.whole.setChecked(True)

    def _on_shown(self, shown: Shown) -> None:
        self._planes = shown.planes
        image, now = self._find_predicted(), self.session.image
        where = "" if image is now or image is None else f"“{image.name}”: "
        self.result.setText(where + self._describe(shown))
        self._results.offer(shown.cells > 0 and not where)
        if self.bar.state is not TaskState.DONE:
            self._end(" · ".join(filter(None, ("Done", f"{shown.seconds:.1f} s", self._device))))

    def _describe(self, shown: Shown) -> str:
        where = " in the visible field" if shown.region else ""
        if shown.planes > 1:
            where = f" in {shown.planes} planes"
            if shown.ids is not None:
                where += f", {shown.ids} ids"
        elif shown.finished:
            where = " in what was predicted"
        if not shown.cells:
            return f"No cells{where}: lower Threshold, Least sure or Min. size, or train on."
        cells = "1 cell" if shown.cells == 1 else f"{shown.cells} cells"
        return f"{cells}{where} · median Ø {shown.diameter:.0f} px{self._in_units(shown.diameter)}"

    def _find_predicted(self) -> Image | None:
        """The image that was predicted, which may be another one than is chosen now."""
        asked = self._predictor.asked
        with contextlib.suppress(InputError):  # it was closed
            return None if asked is None else asked.image(self.session)
        return None

    def _in_units(self, diameter: float) -> str:
        image = self._find_predicted()
        if image is None or str(image.units[-1]) in ("pixel", "px"):
            return ""
        size = diameter * math.sqrt(abs(float(image.scale[-1] * image.scale[-2])))
        return f" = {size:.3g} {image.units[-1]:~P}"

    @property
    def _device(self) -> str:
        report, config = self.session.compute.report, self.prediction.value()
        if config.device != "auto" or config.precision != "auto" or report is None:
            return config.device if config.device != "auto" else ""
        return f"{short_name(report.name)}, {report.precision}"

    def _fail(self, sentence: str, details: str) -> None:
        self._settings.setEnabled(True)
        self.bar.fail(sentence, details)
        show_warning(sentence)

    def _end(self, sentence: str) -> None:
        self._settings.setEnabled(True)
        self.bar.finish(sentence)

    def _on_session_model(self) -> None:
        if self.session.model is not None:
            self.model.set_path(self.session.model)
        else:
            self.model.refresh()
        self._show_card()

    def _on_chosen(self, path: Path | None) -> None:
        self.session.model = path
        self._show_card()

    def _show_card(self) -> None:
        """Read the card of the chosen model; its tuned threshold and size go into the form."""
        self._card, path = None, self.model.path
        self.info.setEnabled(path is not None)
        if path is None:
            self._about.setText("")
        else:
            try:
                self._card = read_card(path)
            except InputError as error:
                self._about.setText(str(error))
                self.bar.fail(str(error))
                return
            rows = "".join(
                f"<tr><td style='padding-right:8px'>{what}</td><td>{value}</td></tr>"
                for what, value in describe(self._card)
            )
            self._about.setText(f"<b>{path.stem}</b><table>{rows}</table>")
            self.instances.set(self._card.instances)
            self.more_instances.set(self._card.instances)
            self._offer_wholes()
            for form in (self.more_instances, self.prediction):
                form.show_use(self._card.evidence)
        self._show_readiness()

    def _on_image(self) -> None:
        if not self._predictor.busy:
            self.result.clear()  # it is of another image
            self._results.offer(False)
        self._show_readiness()

    def _show_readiness(self) -> None:
        if self._predictor.busy:
            return
        if self.model.path is None:
            self.bar.ready("There is no model yet: train one, or browse to a model file.")
        elif self.session.image is None:
            self.bar.ready("No image is open. Drop one on the window, or use File ▸ Open Sample.")
        else:
            self.bar.ready(f"Ready to find cells in “{self.session.image.name}”.")

    def let_go(self) -> None:
        self._predictor.close()
        self.folder.close_down()
        super().let_go()
