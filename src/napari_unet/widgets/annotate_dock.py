"""The Annotate panel: paint cells, say background, mark regions in which all is painted."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_warning
from qtpy.QtWidgets import (
    QFormLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_unet.core.errors import InputError
from napari_unet.core.types import Region
from napari_unet.widgets import _keys, _planes, _tools
from napari_unet.widgets._class_choice import ClassChoice
from napari_unet.widgets._connections import Connections
from napari_unet.widgets._dock import Dock
from napari_unet.widgets._form import tidy
from napari_unet.widgets._image_choice import ImageChoice
from napari_unet.widgets._labels_choice import AnnotationChoice
from napari_unet.widgets._paint_report import PaintReport
from napari_unet.widgets._regions import Outline
from napari_unet.widgets._rows import make_button, make_line

if TYPE_CHECKING:
    import napari.viewer

PLUGIN = "napari-unet-cells"
FIRST_SAMPLE = "fluorescence"

CELL_KEY = "Shift-N"
BACKGROUND_KEY = "Shift-B"

_ABOUT_LABELS = "0 is unlabelled, 1, 2, 3 … one number a cell, -1 background"
_ABOUT_REGIONS = "parts in which every cell is painted: the rest of them is background"


class AnnotateDock(Dock):
    """Choose image and labels, take the brush, and see what has been said so far."""

    def __init__(self, napari_viewer: "napari.viewer.Viewer") -> None:  # noqa: UP037 - npe2
        super().__init__(napari_viewer)
        # a window that closes deletes its panels without closing them
        self.destroyed.connect(self.connections.undo)
        self._cleared: list[Outline] = []
        self._of_labels, self._of_regions = Connections(), Connections()
        self.connections.add(self._of_labels.undo)
        self.connections.add(self._of_regions.undo)
        self._settings = QWidget()
        self._build_rows()
        self._empty = self._build_empty()
        self.tool = QLabel()
        self.report = PaintReport(self.session, self.connections)
        self.report.show_region.connect(self._show_region)
        self.add_settings(self._settings)
        for widget in (self.tool, self.report, self._empty):
            self.body.addWidget(widget)
        self.body.addStretch(1)
        self._connect()

    def start_cell(self) -> None:
        """Take the brush with the label of a new cell."""
        self._try(lambda: _tools.start_cell(self.session, self.classes.name))

    def start_background(self) -> None:
        """Take the brush with -1, background."""
        self._try(lambda: _tools.start_background(self.session))

    def start_erasing(self) -> None:
        """Take the eraser."""
        self._try(lambda: _tools.start_erasing(self.session))

    def start_region(self, kind: str) -> None:
        """Take the tool that draws a complete region: "rectangle" or "polygon"."""
        self._try(lambda: _tools.start_region(self.session, kind))

    def open_sample(self) -> None:
        """Open the sample image with which one can try everything."""
        self.session.viewer.open_sample(PLUGIN, FIRST_SAMPLE)

    def _build_rows(self) -> None:
        self.image = ImageChoice(self.session, self.connections)
        self.labels = AnnotationChoice(self.session, self.connections)
        self.new = _button("New", "an empty annotation for this image", self._add_annotation)
        self.classes = ClassChoice(self.session, self.connections)
        rows = QFormLayout(self._settings)
        tidy(rows)
        for name, row, why in (
            ("Image", self.image, "what is annotated, trained and predicted on"),
            ("Labels", make_line(self.labels, self.new), _ABOUT_LABELS),
            ("", self._build_brushes(), ""),
            ("Region", self._build_regions(), _ABOUT_REGIONS),
            ("Class", self.classes, "the kind of cell"),
        ):
            if name:
                rows.addRow(name, row)
                rows.labelForField(row).setToolTip(why)
            else:
                rows.addRow(row)

    def _build_brushes(self) -> QWidget:
        self.cell = _button(
            "Next cell",
            "a new label and the brush: paint one cell. Brush size: [ and ], undo: Ctrl-Z",
            self.start_cell,
        )
        self.background = _button(
            "Background",
            "paint what is no cell, where not all cells are painted",
            self.start_background,
        )
        self.eraser = _button(
            "Erase", "take paint away: what is erased is unlabelled again", self.start_erasing
        )
        for button in (self.cell, self.background, self.eraser):
            button.setCheckable(True)
        viewer = self.session.viewer
        for key, button, method in (
            (CELL_KEY, self.cell, self.start_cell),
            (BACKGROUND_KEY, self.background, self.start_background),
        ):
            _keys.bind_button(viewer, self.connections, key, button, method)
        return make_line(self.cell, self.background, self.eraser)

    def _build_regions(self) -> QWidget:
        why = "in it every cell is painted, and the rest of it is background"
        self.rectangle = _button("▭", f"draw a rectangle: {why}", self._start_rectangle)
        self.polygon = _button("⬠", f"draw a polygon: {why}", self._start_polygon)
        for button, name in ((self.rectangle, "rectangle"), (self.polygon, "polygon")):
            button.setCheckable(True)
            button.setAccessibleName(f"Draw a {name}")
        self.frame = _button(
            "Whole frame", "every cell of this image is painted", self._toggle_frame
        )
        self.frame.setCheckable(True)
        self.clear = _button("Clear", "", self._clear_regions)
        return make_line(self.rectangle, self.polygon, self.frame, self.clear)

    def _build_empty(self) -> QWidget:
        empty = QWidget()
        words = QLabel("No image is open. Drop one on the window, or try with a sample.")
        words.setWordWrap(True)
        self.sample = QPushButton("Open a sample")
        self.sample.clicked.connect(self.open_sample)
        layout = QVBoxLayout(empty)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(words)
        layout.addWidget(self.sample)
        return empty

    def _connect(self) -> None:
        session, connect = self.session, self.connections.connect
        connect(session.image_changed, self._on_image)
        connect(session.labels_changed, self._on_labels)
        connect(session.regions_changed, self._show_regions)
        connect(session.painted, self._on_painted)
        connect(session.viewer.layers.selection.events.active, self._show_tool)
        self._on_labels()
        self._on_image()
        self._show_regions()

    def _on_image(self) -> None:
        none = self.session.image is None
        self._settings.setVisible(not none)
        self.tool.setVisible(not none)
        self._empty.setVisible(none)
        self._forget_cleared()

    def _on_labels(self) -> None:
        self._of_labels.undo()
        labels = self.session.labels
        if labels is not None:
            for event in (labels.events.mode, labels.events.selected_label):
                self._of_labels.connect(event, self._show_tool)
        self._show_tool()

    def _on_painted(self, region: Region | None) -> None:
        if region is None:
            self._forget_cleared()  # another plane has other regions
            self._show_regions()

    def _show_tool(self, event: Any = None) -> None:
        words = _tools.describe_tool(self.session)
        self.tool.setText(words.capitalize())
        self.cell.setChecked(words.startswith("painting cell"))
        self.background.setChecked(words == "painting background")
        self.eraser.setChecked(words == "erasing")
        mode = self.session.regions.mode if words.startswith("drawing") else ""
        self.rectangle.setChecked(mode == "add_rectangle")
        self.polygon.setChecked(mode.startswith("add_polygon"))

    def _show_regions(self) -> None:
        if self.session.image is None:
            return
        number = _tools.count_regions(self.session)
        self.frame.setChecked(_tools.is_framed(self.session))
        if number:
            self._forget_cleared()
        self.clear.setText("Undo" if self._cleared else "Clear")
        self.clear.setToolTip(
            "bring the regions back" if self._cleared else "remove all regions of this image"
        )
        self.clear.setEnabled(bool(number or self._cleared))
        self._of_regions.undo()
        if self.session.regions is not None:
            self._of_regions.connect(self.session.regions.events.mode, self._show_tool)
        self._show_tool()

    def _start_rectangle(self) -> None:
        self.start_region("rectangle")

    def _start_polygon(self) -> None:
        self.start_region("polygon")

    def _toggle_frame(self) -> None:
        framed = self.frame.isChecked()
        self._try(lambda: _tools.set_framed(self.session, framed))

    def _clear_regions(self) -> None:
        if self._cleared:
            outlines, self._cleared = self._cleared, []
            _tools.restore_regions(self.session, outlines)
        else:
            outlines = _tools.clear_regions(self.session)
            self._cleared = outlines
        self._show_regions()

    def _forget_cleared(self) -> None:
        self._cleared = []

    def _add_annotation(self) -> None:
        self._try(self.session.add_annotation)

    def _show_region(self, region: Region) -> None:
        labels = self.session.labels
        if labels is not None:
            _planes.centre_on(self.session.viewer, labels, self.session.plane_index(labels), region)

    def _try(self, action: Callable[[], Any]) -> None:
        """Do what a button asks for; what cannot be done is said in a sentence."""
        try:
            action()
        except InputError as error:
            show_warning(str(error))
        self._show_tool()


def _button(text: str, why: str, slot: Callable[..., Any]) -> QPushButton:
    button = make_button(text, why)
    button.clicked.connect(lambda: slot())
    return button
