"""The Evaluate panel: truth against prediction, cell by cell, and two models side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Labels
from napari.utils.notifications import show_warning
from qtpy.QtWidgets import (
    QFormLayout,
    QLabel,
    QRadioButton,
    QWidget,
)

from napari_unet.core.card import read_card
from napari_unet.core.comparison import MatchMap
from napari_unet.core.errors import InputError
from napari_unet.core.start_models import start_model_files
from napari_unet.widgets._ap_plot import ApPlot
from napari_unet.widgets._dock import Dock
from napari_unet.widgets._form import tidy
from napari_unet.widgets._judge import Judge, Judged
from napari_unet.widgets._judged_cells import JudgedCells
from napari_unet.widgets._labels_choice import LabelsChoice, find_prediction
from napari_unet.widgets._model_choice import ModelChoice
from napari_unet.widgets._model_files import check_channels, list_models
from napari_unet.widgets._rows import make_button, make_line
from napari_unet.widgets._score_table import Column, ScoreTable
from napari_unet.widgets._task_bar import TaskBar
from napari_unet.widgets._tuner import Tuner

if TYPE_CHECKING:
    import napari.viewer


class EvaluateDock(Dock):
    """Choose what is true and what to judge, and press Evaluate."""

    def __init__(self, napari_viewer: "napari.viewer.Viewer") -> None:  # noqa: UP037 - npe2
        super().__init__(napari_viewer)
        self._settings = QWidget()
        self._judge = Judge(self.session, self)
        self._tuner = Tuner(self.session, self)
        self._build_settings()
        self.bar = TaskBar("Evaluate")
        self.cells = JudgedCells(self.session)
        self.table = ScoreTable()
        self.plot = ApPlot(self.session.viewer.theme)
        self.about = QLabel()
        self.about.setWordWrap(True)
        self.add_settings(self._settings)
        for widget in (self.bar, self.cells, self.table, self.plot, self.about):
            self.body.addWidget(widget)
        self.body.addStretch(1)
        self._connect()
        self._show_mode()
        self._clear()

    def _build_settings(self) -> None:
        self.of_labels, self.of_models = QRadioButton("labels"), QRadioButton("two models")
        self.of_labels.setChecked(True)
        self.of_labels.setToolTip("score a labels layer, such as a prediction that was corrected")
        self.of_models.setToolTip("predict the plane in view with both and compare them")
        session, connections = self.session, self.connections
        self.truth = LabelsChoice(
            session, connections, lambda _: session.labels, "the cells as they are"
        )
        self.prediction = LabelsChoice(
            session, connections, lambda _: find_prediction(session), "the cells to judge"
        )
        self.first = ModelChoice("no model yet", optional=False)
        self.second = ModelChoice("no model yet", optional=False)
        self.tune = make_button(
            "Tune A", "find how model A makes the best cells of these, without training"
        )
        self.store = make_button("Store in A", "write what Tune found into the file of model A")
        self._rows = QFormLayout(self._settings)
        tidy(self._rows)
        for name, row, why in (
            ("Judge", make_line(self.of_labels, self.of_models), "what is compared with the truth"),
            ("Truth", self.truth, "the cells as they are: only what it says anything of counts"),
            ("Prediction", self.prediction, "the cells to judge"),
            ("Model A", self.first, "predicts the plane in view"),
            ("Model B", self.second, "predicts the same plane"),
        ):
            self._rows.addRow(name, row)
            self._rows.labelForField(row).setToolTip(why)
        self._rows.addRow(make_line(self.tune, self.store))
        self._of_labels_rows = (2,)
        self._of_models_rows = (3, 4, 5)

    def _connect(self) -> None:
        self.bar.start_clicked.connect(self.start)
        self.bar.stop_clicked.connect(self._stop)
        self.of_models.toggled.connect(self._show_mode)
        self.cells.walked.connect(self.bar.finish)
        self.cells.failed.connect(lambda sentence: self._fail(sentence, ""))
        self.tune.clicked.connect(self.start_tuning)
        self.store.clicked.connect(self._tuner.store)
        self.first.chosen.connect(self._on_other_model)
        for work in (self._judge, self._tuner):
            work.progressed.connect(self._on_progress)
            work.stopped.connect(lambda: self._end("Stopped · nothing was changed."))
            work.failed.connect(self._fail)
        self._judge.judged.connect(self._on_judged)
        self._tuner.tuned.connect(self._on_tuned)
        self._tuner.stored.connect(self._on_stored)
        self.connections.connect(self.session.model_changed, self._on_session_model)
        self.connections.connect(self.session.image_changed, self._on_image)
        self.connections.connect(self.session.viewer.events.theme, self._on_theme)
        self._on_session_model()

    def start(self) -> None:
        """Judge what is chosen, on the plane in view."""
        try:
            if self.of_labels.isChecked():
                self._judge.judge_labels(self._need_truth(), self._need_prediction())
                self.bar.prepare("Comparing cell by cell")
            else:
                self._judge.judge_models(self._need_truth(), self._need_models())
                self._prepare()
        except InputError as error:
            self._fail(str(error), "")
            return
        self._settings.setEnabled(False)

    def start_tuning(self) -> None:
        """Find how model A makes the best cells; nothing is stored."""
        try:
            self._tuner.start(self._need_truth(), self._need_model(self.first))
        except InputError as error:
            self._fail(str(error), "")
            return
        self.store.setEnabled(False)
        self._settings.setEnabled(False)
        self._prepare()

    def _need_truth(self) -> Labels:
        image = self.session.need_image()
        if self.truth.layer is None:
            raise InputError(
                f"“{image.name}” has no true cells yet: paint some in the Annotate panel, or open "
                "labels of its size."
            )
        return self.truth.layer

    def _need_prediction(self) -> Labels:
        layer = self.prediction.layer
        if layer is None:
            raise InputError("There is no prediction yet: press Predict in the Predict panel.")
        if layer is self.truth.layer:
            raise InputError(f"“{layer.name}” is both truth and prediction: choose two layers.")
        return layer

    def _need_model(self, choice: ModelChoice) -> Path:
        """The chosen model, where it takes images like the one in view."""
        path = choice.path
        if path is None:
            raise InputError("There is no model yet: train one, or browse to a model file.")
        image = self.session.need_image()
        check_channels(read_card(path), self.session.channels(), path.stem, image.name)
        return path

    def _need_models(self) -> list[Path]:
        models = [self._need_model(self.first), self._need_model(self.second)]
        if models[0] == models[1]:
            raise InputError(f"A and B are both “{models[0].stem}”: choose two models.")
        return models

    def _prepare(self) -> None:
        waiting = self.session.compute.report is None
        self.bar.prepare(
            "Preparing · the compute process is starting" if waiting else "Preparing · normalising"
        )

    def _stop(self) -> None:
        self._judge.stop()
        self._tuner.stop()

    def _on_progress(self, model: Any, done: int, total: int) -> None:
        if done < total:
            self.bar.run(f"Predicting with “{model.stem}” · tile {done} of {total}", done / total)
        else:
            self.bar.run("Comparing cell by cell")

    def _on_judged(self, judged: Judged) -> None:
        names, colors = ("A", "B"), self.plot.colors
        columns = [
            Column(names[i], colors[i], one.scores, one.by_class, seconds)
            for i, (one, seconds) in enumerate(zip(judged.maps, judged.seconds, strict=True))
        ]
        self.table.show_columns(columns, self.session.class_names)
        self.plot.show_scores([one.scores for one in judged.maps])
        self.about.setText(_describe(judged.maps[0]))
        for widget in (self.table, self.plot, self.about):
            widget.show()
        self.cells.show_judged(judged)
        self._end(_conclude(judged))

    def _on_tuned(self, sentence: str, better: bool) -> None:
        self._end(f"{sentence[0].upper()}{sentence[1:]}")
        self.store.setEnabled(better)

    def _on_stored(self, sentence: str) -> None:
        self.store.setEnabled(False)
        self.bar.finish(sentence)

    def _on_other_model(self) -> None:
        self._tuner.forget()
        self.store.setEnabled(False)

    def _on_session_model(self) -> None:
        if self.session.model is not None and not self._judge.busy and not self._tuner.busy:
            self.first.set_path(self.session.model)
            self._on_other_model()
        else:
            self.first.refresh()
        self.second.refresh()
        if self.second.path == self.first.path:
            self.second.set_path(self._find_other())

    def _find_other(self) -> Path | None:
        """A model to compare the first one with, or that one where there is no other."""
        known = (*list_models(), *start_model_files())
        return next((path for path in known if path != self.first.path), self.first.path)

    def _on_image(self) -> None:
        if not self._judge.busy and not self._tuner.busy:
            self._clear()

    def _on_theme(self, event: Any = None) -> None:
        for widget in (self.plot, self.cells):
            widget.set_theme(self.session.viewer.theme)

    def _show_mode(self) -> None:
        models = self.of_models.isChecked()
        for row in self._of_labels_rows:
            self._rows.setRowVisible(row, not models)
        for row in self._of_models_rows:
            self._rows.setRowVisible(row, models)
        if models:
            self.session.compute.start()

    def _clear(self) -> None:
        """Show no figures: those of another image would mislead."""
        self.cells.clear()
        self.store.setEnabled(False)
        for widget in (self.table, self.plot, self.about):
            widget.hide()
        image = self.session.image
        if image is None:
            self.bar.ready("No image is open. Drop one on the window, or use File ▸ Open Sample.")
        else:
            self.bar.ready(f"Ready to judge cells of “{image.name}”.")

    def _fail(self, sentence: str, details: str) -> None:
        self._settings.setEnabled(True)
        self.bar.fail(sentence, details)
        show_warning(sentence)

    def _end(self, sentence: str) -> None:
        self._settings.setEnabled(True)
        self.bar.finish(sentence)

    def let_go(self) -> None:
        self._judge.close()
        self._tuner.close()
        super().let_go()


def _describe(found: MatchMap) -> str:
    """What the figures are of."""
    share = "all" if found.known == 1 else f"{100 * found.known:.2g} %"
    return (
        f"Of this plane alone: {found.scores.n_true} true cells; {share} of the plane is known. "
        "Figures go from 0 to 1, their meaning is in the tooltips."
    )


def _conclude(judged: Judged) -> str:
    if len(judged.maps) == 1:
        summary = judged.maps[0].scores.summary()
        return f"Done · F1 {summary['f1_50']:.2f} at IoU 0.5 · mean AP {summary['mean_ap']:.2f}"
    first, second = (one.scores.summary()["mean_ap"] for one in judged.maps)
    if first == second:
        return "Done · A and B are equal in mean AP"
    ahead = "A" if first > second else "B"
    return f"Done · {ahead} is ahead by {abs(first - second):.3f} mean AP"
