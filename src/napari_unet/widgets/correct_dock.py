"""The Correct panel: accept, reject and mend predicted cells, the most doubtful first."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from napari.utils.notifications import show_warning
from numpy.typing import NDArray
from qtpy.QtGui import QHideEvent, QShowEvent
from qtpy.QtWidgets import QCheckBox, QComboBox, QFormLayout, QLabel, QPushButton, QWidget

from napari_unet.core import proofreading
from napari_unet.core.errors import InputError
from napari_unet.core.proofreading import Cell, Edit, Mask, Verdict, combine
from napari_unet.widgets import _canvas_click, _cell_layers, _keys
from napari_unet.widgets._cell_marker import clear_mark, remove_mark
from napari_unet.widgets._connections import Connections
from napari_unet.widgets._dock import Dock
from napari_unet.widgets._form import guard_wheel, tidy
from napari_unet.widgets._image_choice import ImageChoice
from napari_unet.widgets._labels_choice import AnnotationChoice, find_prediction
from napari_unet.widgets._proofreader import Point, Proofreader
from napari_unet.widgets._rows import make_button, make_line
from napari_unet.widgets._split_tool import SplitTool
from napari_unet.widgets._survey import Survey, Surveyor
from napari_unet.widgets._worker import Latest

if TYPE_CHECKING:
    import napari.viewer

_CHOOSE, _ACCEPT, _REJECT = "chooses a cell", "accepts the cell", "rejects the cell"
_OUTLINE = 2  # px
_HOW = "Click a cell, or press Next unsure; then say what it is."


class CorrectDock(Dock):
    """What is said of predicted cells goes into the annotation; the prediction stays as it is."""

    def __init__(self, napari_viewer: "napari.viewer.Viewer") -> None:  # noqa: UP037 - npe2
        super().__init__(napari_viewer)
        # a window that closes deletes its panels without closing them
        self.destroyed.connect(self.connections.undo)
        self._proofreader = Proofreader(self.session)
        self._chosen: tuple[Cell, Point] | None = None
        self._plane: object = None  # in which it was chosen
        self._mode: Literal["", "merge", "split"] = ""
        self._survey: Survey | None = None
        self._at = -1  # place in the queue
        self._split_tool = SplitTool(self.session, self._proofreader, self)
        self._split_tool.asked.connect(self._part)
        self.connections.add(self._split_tool.leave)
        self._outlined = Connections()
        self._combining = Latest(self)
        self._build_rows()
        self.progress = QLabel()
        self.progress.setWordWrap(True)
        self.state = QLabel(_HOW)
        self.state.setWordWrap(True)
        self.corrected = make_button(
            "Show corrected cells",
            "a layer of the annotated cells, and of the predicted ones of which nothing is said",
        )
        self.corrected.clicked.connect(self.show_corrected)
        self.add_settings(self._settings)
        for widget in (self.progress, self.state, self.corrected):
            self.body.addWidget(widget)
        self.body.addStretch(1)
        self._split_tool.said.connect(self.state.setText)
        self._surveyor = Surveyor(self.session, self._proofreader, self)
        self._surveyor.surveyed.connect(self._on_surveyed)
        self.connections.add(self._surveyor.close)
        self.connections.add(_canvas_click.watch(self.session.viewer, self._on_click))
        for signal in (self.session.image_changed, self.session.labels_changed):
            self.connections.connect(signal, self._on_layers)
        dims = self.session.viewer.dims.events
        for changed in (dims.current_step, dims.order, self.session.painted):
            self.connections.connect(changed, self._on_changed)

    def _build_rows(self) -> None:
        self._settings = QWidget()
        rows = QFormLayout(self._settings)
        tidy(rows)
        self.image = ImageChoice(self.session, self.connections)
        self.labels = AnnotationChoice(self.session, self.connections)
        self.click = QComboBox()
        self.click.addItems([_CHOOSE, _ACCEPT, _REJECT])
        self.click.setToolTip("while the tool of the layer is the one that moves the view")
        guard_wheel(self.click)
        rows.addRow("Image", self.image)
        rows.addRow("Labels", self.labels)
        rows.addRow("A click", self.click)
        self.next = self._button("Next unsure", "Shift-U", "the most doubtful cell", self.go_on)
        self.walk = QCheckBox("go on by itself")
        self.walk.setToolTip("to the next doubtful cell, once one was accepted or rejected")
        self.walk.setChecked(True)
        as_it_is = "it is a cell as it is, and beside it is background where no other is predicted"
        accept = self._button("Accept", "Shift-A", as_it_is, self.accept)
        reject = self._button("Reject", "Shift-R", "there is no cell: background", self.reject)
        undo = make_button("Undo", "the last edit of the annotation; Ctrl-Z on its layer")
        undo.clicked.connect(self.undo)
        self.accepting, self.rejecting, self.undoing = accept, reject, undo
        self.merging = self._button(
            "Merge", "Shift-M", "with the cell that is clicked next", self.start_merging
        )
        self.splitting = self._button(
            "Split", "Shift-S", "draw a line across it, or click both parts", self.start_splitting
        )
        for button in (self.merging, self.splitting):
            button.setCheckable(True)
        more, less = "one pixel more all around, not into other cells", "one pixel less all around"
        for line in (
            (self.next, self.walk),
            (accept, reject, undo),
            (self.merging, self.splitting),
            (
                self._button("Fill", "Shift-F", "fill its holes", self.fill),
                self._button("Smooth", "Shift-O", "without what is very thin", self.smooth),
            ),
            (
                self._button("Grow", "Shift-G", more, self.grow),
                self._button("Shrink", "Shift-K", less, self.shrink),
            ),
        ):
            rows.addRow(make_line(*line))

    def _button(self, text: str, key: str, why: str, slot: Callable[[], None]) -> QPushButton:
        button = make_button(text, why)
        button.clicked.connect(lambda: slot())
        _keys.bind_button(self.session.viewer, self.connections, key, button, slot)
        return button

    def accept(self) -> None:
        """Say that the chosen cell is one."""
        self._edit("Accepted.", proofreading.accept, walk=True)

    def reject(self) -> None:
        """Say that the chosen cell is none."""
        self._edit("Rejected.", lambda said, cell, _: proofreading.reject(said, cell), walk=True)

    def fill(self) -> None:
        """Fill the holes of the chosen cell."""
        self._reshape("Filled.", proofreading.fill)

    def smooth(self) -> None:
        """Smooth the chosen cell."""
        self._reshape("Smoothed.", proofreading.smooth)

    def grow(self) -> None:
        """Let the chosen cell grow by a pixel."""
        self._reshape("Grown by a pixel.", proofreading.grow)

    def shrink(self) -> None:
        """Let the chosen cell shrink by a pixel."""
        self._reshape("Shrunk by a pixel.", proofreading.shrink)

    def undo(self) -> None:
        """Take the last edit of the annotation back."""
        self._leave()
        self._choose(None)
        undone = self._proofreader.undo()
        self.state.setText(
            "The last edit was taken back." if undone else "There is no edit to take back."
        )

    def start_merging(self) -> None:
        """The next cell that is clicked becomes one with the chosen one; again: leave it."""
        begins = self._mode != "merge"
        self._leave()
        if begins and self._needs_chosen():
            self._take_hand()
            self._mode = "merge"
            self.merging.setChecked(True)
            self.state.setText("Click the cell that belongs to it.")

    def start_splitting(self) -> None:
        """A line, or two clicks, part the chosen cell; again: leave it."""
        begins = self._mode != "split"
        self._leave()
        if begins and self._needs_chosen():
            self._take_hand()
            self._mode = "split"
            self.splitting.setChecked(True)
            assert self._chosen is not None
            self._split_tool.take(self._chosen[0])

    def go_on(self) -> None:
        """Show and choose the next cell of which nothing is said, most doubtful first."""
        self._leave()
        survey = self._survey
        order = () if survey is None else survey.queue.order
        for step in range(1, len(order) + 1):
            at = (self._at + step) % len(order)
            label = order[at]
            assert survey is not None
            if survey.verdicts.get(label) is Verdict.OPEN and self._go_to(label, survey):
                self._at = at
                return
        self._choose(None)
        self._say(
            "Predict first, or wait until the cells are looked through."
            if not order
            else "Something was said of every cell."
        )

    def show_corrected(self) -> None:
        """Show the cells as they are now in a layer of their own."""
        try:
            predicted, said = (plane.copy() for plane in self._proofreader.planes())
            image = self.session.need_image()
        except InputError as error:
            self._say(str(error))
            return
        index = self.session.plane_index(image)

        def show(corrected: tuple[NDArray[np.int32], int]) -> None:
            labels, cells = corrected
            if image in self.session.viewer.layers:
                _cell_layers.show_corrected(self.session.viewer, image, labels, index)
                self.state.setText(
                    "1 cell is shown." if cells == 1 else f"{cells} cells are shown."
                )

        self._combining.run(_combine, predicted, said, on_done=show)

    def _go_to(self, label: int, survey: Survey) -> bool:
        """Choose a cell of the queue; False where it is there no more."""
        box = survey.queue.boxes[label]
        predicted, _ = self._proofreader.planes()
        rows, columns = (predicted[box] == label).nonzero()
        if not len(rows):
            return False
        middle = len(rows) // 2
        point = int(rows[middle]) + box[0].start, int(columns[middle]) + box[1].start
        cell = self._proofreader.find(point)
        if cell is None or cell.label:
            return False
        self._choose((cell, point))
        self._proofreader.show(box)
        self.state.setText("Is it a cell, as it is outlined?")
        return True

    def _on_click(self, position: tuple[float, ...]) -> None:
        """A click into the canvas, not a stroke and not a drag."""
        if not self.isVisible() or self._mode == "split":
            return
        try:
            point = self._proofreader.locate(position)
            cell = self._proofreader.find(point)
        except InputError as error:
            self.state.setText(str(error))
            return
        if cell is None:
            self.state.setText("No cell is there." if self._mode == "merge" else _HOW)
            if self._mode != "merge":
                self._choose(None)
        elif self._mode == "merge":
            self._merge(cell)
        else:
            self._choose((cell, point))
            self.state.setText("Chosen: say what it is.")
            if self.click.currentText() == _ACCEPT:
                self._edit("Accepted.", proofreading.accept)
            elif self.click.currentText() == _REJECT:
                self._edit("Rejected.", lambda said, cell, _: proofreading.reject(said, cell))

    def _part(self, make: Callable[[Any, int], Edit]) -> None:
        self._leave()
        self._write("Split in two.", make)
        self._choose(None)

    def _merge(self, other: Cell) -> None:
        assert self._chosen is not None
        cell, point = self._chosen
        self._leave()
        if self._write("Merged.", lambda said, free: proofreading.merge(said, cell, other, free)):
            self._proofreader.carry_class(point)
        self._choose_at(point)

    def _reshape(self, words: str, change: Callable[[Mask], Mask]) -> None:
        self._edit(words, lambda said, cell, free: proofreading.reshape(said, cell, change, free))

    def _edit(self, words: str, make: Callable[[Any, Cell, int], Edit], walk: bool = False) -> None:
        """Do something with the chosen cell, and go on to the next where that is wanted."""
        self._leave()
        if not self._needs_chosen():
            return
        assert self._chosen is not None
        cell, point = self._chosen
        if not self._write(words, lambda said, free: make(said, cell, free)):
            return
        self._proofreader.carry_class(point)
        if walk and self.walk.isChecked() and self._at >= 0:
            self.go_on()
        else:
            self._choose_at(point)

    def _write(self, words: str, make: Callable[[Any, int], Edit]) -> bool:
        try:
            self._proofreader.write(make)
        except InputError as error:
            self._say(str(error))
            return False
        self.state.setText(words)
        return True

    def _needs_chosen(self) -> bool:
        if self._chosen is None:
            self._say("No cell is chosen: click one, or press Next unsure.")
        return self._chosen is not None

    def _choose_at(self, point: Point) -> None:
        """Choose what is now at a point: an edit changed it."""
        cell = self._proofreader.find(point)
        self._choose(None if cell is None else (cell, point))

    def _choose(self, chosen: tuple[Cell, Point] | None) -> None:
        self._chosen = chosen
        self._plane = self._proofreader.plane_in_view()
        if chosen is None:
            clear_mark(self.session)
        else:
            self._proofreader.mark(chosen[0])

    def _take_hand(self) -> None:
        """A brush would paint where the person is to click."""
        active = self.session.viewer.layers.selection.active
        if active is not None:
            active.mode = "pan_zoom"

    def _leave(self) -> None:
        """End merging and splitting."""
        self._split_tool.leave()
        self._mode = ""
        self.merging.setChecked(False)
        self.splitting.setChecked(False)

    def _on_surveyed(self, survey: Survey | None) -> None:
        if survey is None or self._survey is None or survey.queue is not self._survey.queue:
            self._at = -1
        self._survey = survey
        self.progress.setText("" if survey is None else survey.words)
        self._outline()

    def _outline(self) -> None:
        """While the panel is seen, what is only predicted is outlined, what is accepted filled."""
        layer = find_prediction(self.session)
        if layer is not None and self.isVisible() and layer.contour == 0:
            layer.contour = _OUTLINE
            self._outlined.add(partial(setattr, layer, "contour", 0))

    def _on_layers(self) -> None:
        self._leave()
        self._choose(None)
        self.state.setText(_HOW)

    def _on_changed(self, event: object = None) -> None:
        """In another plane, or after Ctrl-Z, the chosen cell is not there any more."""
        if self._chosen is None:
            return
        cell, point = self._chosen
        if self._plane != self._proofreader.plane_in_view():
            self._leave()
            self._choose(None)
        elif not self._mode and cell.label != self._proofreader.label_at(point):
            try:
                self._choose_at(point)
            except InputError:  # the prediction was removed
                self._choose(None)

    def _say(self, sentence: str) -> None:
        self.state.setText(sentence)
        show_warning(sentence)

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._surveyor.look(True)

    def hideEvent(self, event: QHideEvent) -> None:
        self._surveyor.look(False)
        self._outlined.undo()
        self._leave()
        self._choose(None)
        super().hideEvent(event)

    def let_go(self) -> None:
        self._outlined.undo()
        remove_mark(self.session)
        super().let_go()


def _combine(predicted: NDArray[Any], said: NDArray[Any]) -> tuple[NDArray[np.int32], int]:
    """The corrected cells of a plane, and how many there are."""
    labels = combine(predicted, said)
    return labels, np.count_nonzero(np.bincount(labels.ravel())[1:])
