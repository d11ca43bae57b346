"""The Evaluate panel: truth against prediction, cell by cell, and two models side by side.

The models are there already, or one of each kind is trained on the annotation for that.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_warning
from qtpy.QtWidgets import QButtonGroup, QCheckBox, QFormLayout, QLabel, QRadioButton, QWidget

from napari_unet.core.card import read_card
from napari_unet.core.comparison import MatchMap
from napari_unet.core.config import TrainConfig
from napari_unet.core.errors import InputError
from napari_unet.core.start_models import start_model_files
from napari_unet.widgets._ap_plot import ApPlot
from napari_unet.widgets._budget import Budget
from napari_unet.widgets._dock import Dock
from napari_unet.widgets._edited import Cells
from napari_unet.widgets._form import tidy
from napari_unet.widgets._judge import Judge, Judged
from napari_unet.widgets._judged_cells import JudgedCells
from napari_unet.widgets._labels_choice import LabelsChoice, find_prediction
from napari_unet.widgets._model_choice import ModelChoice
from napari_unet.widgets._model_files import architecture_of, check_channels, list_models
from napari_unet.widgets._rivals import Compared, Rivals
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
        self._rivals = Rivals(self.session, self)
        self._compared: Compared | None = None
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
        self.of_new = QRadioButton("each kind, trained now")
        modes = QButtonGroup(self)
        for mode in (self.of_labels, self.of_models, self.of_new):
            modes.addButton(mode)
        self.of_labels.setChecked(True)
        self.of_labels.setToolTip(
            "score a layer, such as a prediction that was corrected; whole cells may overlap"
        )
        self.of_models.setToolTip("predict the plane in view with both and compare them")
        self.of_new.setToolTip(
            "train a model of each kind on the annotation, one after the other; the same cells are "
            "held out from all and tell which kind is better"
        )
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
        self.budget = Budget()
        self.from_package = QCheckBox("from the start models")
        self.from_package.setChecked(True)
        self.from_package.setToolTip("each kind learns on from its start model; else from scratch")
        self._rows = QFormLayout(self._settings)
        tidy(self._rows)
        for name, row, why in (
            ("Judge", make_line(self.of_labels, self.of_models), "what is compared with the truth"),
            ("Truth", self.truth, "the cells as they are: only what it says anything of counts"),
            ("Prediction", self.prediction, "the cells to judge"),
            ("Model A", self.first, "predicts the plane in view"),
            ("Model B", self.second, "predicts the same plane"),
            ("Budget", self.budget, "for each kind; all else as the Train panel has it by default"),
            ("Start", self.from_package, "what each kind begins with"),
        ):
            self._rows.addRow(name, row)
            self._rows.labelForField(row).setToolTip(why)
        self._rows.insertRow(1, "", self.of_new)
        self._tuning = make_line(self.tune, self.store)
        self._rows.addRow(self._tuning)

    def _connect(self) -> None:
        self.bar.start_clicked.connect(self.start)
        self.bar.stop_clicked.connect(self._stop)
        for mode in (self.of_models, self.of_new):
            mode.toggled.connect(self._show_mode)
        self.cells.walked.connect(self.bar.finish)
        self.cells.failed.connect(lambda sentence: self._fail(sentence, ""))
        self.tune.clicked.connect(self.start_tuning)
        self.store.clicked.connect(self._tuner.store)
        self.first.chosen.connect(self._on_other_model)
        for work in (self._judge, self._tuner):
            work.progressed.connect(self._on_progress)
            work.stopped.connect(lambda: self._end("Stopped · nothing was changed."))
            work.failed.connect(self._fail)
        self._rivals.progressed.connect(self.bar.run)
        self._rivals.finished.connect(self._on_compared)
        self._rivals.stopped.connect(self._on_rivals_stopped)
        self._rivals.failed.connect(self._fail)
        self._judge.judged.connect(self._on_judged)
        self._tuner.tuned.connect(self._on_tuned)
        self._tuner.stored.connect(self._on_stored)
        self.connections.connect(self.session.model_changed, self._on_session_model)
        self.connections.connect(self.session.image_changed, self._on_image)
        self.connections.connect(self.session.viewer.events.theme, self._on_theme)
        self._on_session_model()

    def start(self) -> None:
        """Judge what is chosen, on the plane in view."""
        self._compared = None
        try:
            if self.of_new.isChecked():
                self._start_rivals()
            elif self.of_labels.isChecked():
                self._judge.judge_labels(self._need_truth(), self._need_prediction())
                self.bar.prepare("Comparing cell by cell")
            else:
                self._judge.judge_models(self._need_truth(), self._need_models())
                self._prepare()
        except InputError as error:
            self._fail(str(error), "")
            return
        self._lock(True)

    def _start_rivals(self) -> None:
        config = TrainConfig(minutes=self.budget.minutes, weights=self.session.weights)
        starts = {architecture_of(path): path for path in reversed(start_model_files())}
        self._rivals.start(config, list(starts.values()) if self.from_package.isChecked() else [])
        self._prepare()

    def start_tuning(self) -> None:
        """Find how model A makes the best cells; nothing is stored."""
        try:
            self._tuner.start(self._need_truth(), self._need_model(self.first))
        except InputError as error:
            self._fail(str(error), "")
            return
        self.store.setEnabled(False)
        self._lock(True)
        self._prepare()

    def _need_truth(self) -> Cells:
        image = self.session.need_image()
        if self.truth.layer is None:
            raise InputError(
                f"“{image.name}” has no true cells yet: paint some in the Annotate panel, or open "
                "labels of its size."
            )
        return self.truth.layer

    def _need_prediction(self) -> Cells:
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
        for work in (self._judge, self._tuner, self._rivals):
            work.stop()

    def _on_progress(self, model: Any, done: int, total: int) -> None:
        if done < total:
            self.bar.run(f"Predicting with “{model.stem}” · tile {done} of {total}", done / total)
        else:
            self.bar.run("Comparing cell by cell")

    def _on_judged(self, judged: Judged) -> None:
        self.cells.show_judged(judged)
        if self._compared is not None:  # its figures, of what was held out, are there already
            self._end(self._compared.sentence)
            return
        columns = [
            Column(
                *heading,
                one.scores.summary(),
                {kind: float(scores.ap[0]) for kind, scores in one.by_class.items()},
                {} if seconds is None else {"seconds": seconds},
            )
            for heading, one, seconds in zip(
                self._headings, judged.maps, judged.seconds, strict=False
            )
        ]
        self.table.show_columns(columns, self.session.class_names)
        self.plot.show_scores([one.scores for one in judged.maps])
        self.about.setText(_describe(judged.maps[0]))
        for widget in (self.table, self.plot, self.about):
            widget.show()
        sentence = _conclude(judged)
        with contextlib.suppress(InputError):  # the image was closed
            image = judged.image(self.session)
            if image is not self.session.image:
                sentence += f" · of “{image.name}”"
        self._end(sentence)

    @property
    def _headings(self) -> list[tuple[str, str]]:
        return list(zip("AB", self.plot.colors, strict=True))

    def _on_compared(self, compared: Compared) -> None:
        """Show how they did on what was held out, then where they differ in the plane in view."""
        outcome, models = compared.outcome, compared.models
        for choice in (self.first, self.second):
            choice.refresh()
        self.session.model = models[0]
        if len(models) < 2:
            reasons = " ".join(outcome.failed.values())
            self._fail(f"{compared.sentence} {reasons}", "")
            return
        self.second.set_path(models[1])
        columns = [
            Column(*heading, one.scores, costs=one.costs)
            for heading, one in zip(self._headings, outcome.standings, strict=False)
        ]
        self.table.show_columns(columns)
        self.about.setText(_describe_compared(compared))
        self.plot.hide()
        for widget in (self.table, self.about):
            widget.show()
        truth = self.session.labels
        if truth is None or not self._rivals.in_view:
            self._end(compared.sentence)
            return
        self._compared = compared
        self._judge.judge_models(truth, models[:2])

    def _on_rivals_stopped(self, models: list[Path]) -> None:
        kept = " and ".join(f"“{path.stem}”" for path in models)
        self._end(f"Stopped · nothing was compared; {kept or 'nothing'} is kept.")
        if models:
            self.session.model = models[0]

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
        if self.session.model is not None and not self._busy:
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
        if not self._busy:
            self._clear()

    @property
    def _busy(self) -> bool:
        return any(work.busy for work in (self._judge, self._tuner, self._rivals))

    def _on_theme(self, event: Any = None) -> None:
        for widget in (self.plot, self.cells):
            widget.set_theme(self.session.viewer.theme)

    def _show_mode(self) -> None:
        labels, models, new = (
            mode.isChecked() for mode in (self.of_labels, self.of_models, self.of_new)
        )
        for rows, shown in (
            ((self.truth,), labels or models),  # new ones are judged by the annotation
            ((self.prediction,), labels),
            ((self.first, self.second, self._tuning), models),
            ((self.budget, self.from_package), new),
        ):
            for row in rows:
                self._rows.setRowVisible(row, shown)
        if not labels:
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

    def _lock(self, locked: bool) -> None:
        """While work is under way nothing else is asked of the panel."""
        for part in (self._settings, self.cells):
            part.setEnabled(not locked)

    def _fail(self, sentence: str, details: str) -> None:
        self._lock(False)
        self.bar.fail(sentence, details)
        show_warning(sentence)

    def _end(self, sentence: str) -> None:
        self._lock(False)
        self.bar.finish(sentence)

    def let_go(self) -> None:
        for work in (self._judge, self._tuner, self._rivals):
            work.close()
        super().let_go()


def _describe(found: MatchMap) -> str:
    """What the figures are of."""
    share = "all" if found.known == 1 else f"{100 * found.known:.2g} %"
    return (
        f"Of this plane alone: {found.scores.n_true} true cells; {share} of the plane is known. "
        "Figures go from 0 to 1, their meaning is in the tooltips."
    )


def _describe_compared(compared: Compared) -> str:
    """What the figures are of, and where the models are."""
    outcome = compared.outcome
    cells = f"{outcome.standings[0].scores['n_true']:.0f} held-out cells"
    named = zip("AB", outcome.standings, compared.models, strict=False)
    models = ", ".join(f"{letter} is “{path.stem}”" for letter, _, path in named)
    return (
        f"{models}. The table is of the {cells} that neither has learned from; counts and layers "
        "are of the whole plane."
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
