"""A combo of the person's models, with a way to any other file."""

from __future__ import annotations

from pathlib import Path

from napari.utils.notifications import show_warning
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QPaintEvent
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QStyle,
    QStyleOptionComboBox,
    QStylePainter,
    QWidget,
)

from napari_unet.core.card import read_card
from napari_unet.core.errors import InputError
from napari_unet.core.start_models import start_model_files
from napari_unet.widgets._form import guard_wheel
from napari_unet.widgets._model_files import SUFFIX, architecture_of, list_models, models_folder

_BROWSE = "browse…"
_PADDING = 6  # pixels that style sheets take from the text and do not tell


class ModelChoice(QComboBox):
    """The models of the folder, newest first, files that were browsed to, those that come with
    the package, and “browse…”.

    Parameters
    ----------
    nothing : str
        What is chosen where no model is: "from scratch".
    optional : bool
        Whether `nothing` can be chosen when there are models.
    """

    chosen = Signal(object)
    """The person chose a `Path`, or None for `nothing`."""

    def __init__(self, nothing: str, *, optional: bool, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._nothing, self._optional = nothing, optional
        self._path: Path | None = None
        self._architecture: str | None = None
        self._elsewhere: list[Path] = []
        self.setSizeAdjustPolicy(self.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(8)
        guard_wheel(self)
        self.activated.connect(self._on_activated)
        self.refresh()
        if not optional:
            self._path = self.itemData(0)

    @property
    def path(self) -> Path | None:
        """The chosen model file."""
        return self._path

    def set_path(self, path: Path | None) -> None:
        """Choose a file, without a `chosen`; of one family alone, that of the file is listed."""
        self._path = path
        if path is not None and self._architecture is not None:
            self._architecture = architecture_of(path)
        listed = (*self._elsewhere, *start_model_files())
        if path is not None and path.parent != models_folder() and path not in listed:
            self._elsewhere.append(path)
        self.refresh()

    def show_only(self, architecture: str) -> None:
        """List the models of one family alone; another that was chosen gives way to its first.

        The first are those that come with the package.
        """
        self._architecture = architecture
        if self._path is not None and not self._fits(self._path):
            self._path = next(filter(self._fits, start_model_files()), None)
        self.refresh()

    def _fits(self, path: Path) -> bool:
        return self._architecture is None or architecture_of(path) == self._architecture

    def refresh(self) -> None:
        """Look at the folder again; a choice whose file is gone falls back to the first one."""
        others = (*self._elsewhere, *start_model_files())
        known = [*list_models(), *(path for path in others if path.exists())]
        known = [path for path in known if self._fits(path)]
        self.clear()
        if self._optional or not known:
            self.addItem(self._nothing, None)
        for path in known:
            self.addItem(path.stem, path)
            self.setItemData(self.count() - 1, str(path), Qt.ItemDataRole.ToolTipRole)
        self.insertSeparator(self.count())
        self.addItem(_BROWSE, _BROWSE)
        if self._path not in known:
            self._path = self.itemData(0)
        self._show_path()

    def paintEvent(self, event: QPaintEvent) -> None:
        """As a combo is drawn, but a long name keeps its end, where the date stands."""
        painter = QStylePainter(self)
        option = QStyleOptionComboBox()
        self.initStyleOption(option)
        field = self.style().subControlRect(
            QStyle.ComplexControl.CC_ComboBox, option, QStyle.SubControl.SC_ComboBoxEditField, self
        )
        option.currentText = self.fontMetrics().elidedText(
            option.currentText, Qt.TextElideMode.ElideMiddle, field.width() - _PADDING
        )
        painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)

    def showPopup(self) -> None:
        self.refresh()
        super().showPopup()

    def _show_path(self) -> None:
        rows = [row for row in range(self.count()) if self.itemData(row) == self._path]
        self.setCurrentIndex(rows[0] if rows else 0)
        self.setToolTip(str(self._path or ""))

    def _on_activated(self, row: int) -> None:
        data = self.itemData(row)
        if data == _BROWSE:
            self._browse()
        elif data != self._path:
            self.set_path(data)
            self.chosen.emit(data)

    def _browse(self) -> None:
        self._show_path()
        name, _ = QFileDialog.getOpenFileName(
            self, "Choose a model", str(models_folder()), f"Models (*{SUFFIX})"
        )
        if not name:
            return
        try:
            read_card(name)
        except InputError as error:
            show_warning(str(error))
            return
        self.set_path(Path(name))
        self.chosen.emit(self._path)
