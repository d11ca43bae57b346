"""Figures of one prediction, or of two side by side with their difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QGridLayout, QLabel, QWidget

FIGURES = {
    "ap50": ("AP50", "share of found among all cells, true and false, at IoU 0.5: TP/(TP+FP+FN)"),
    "ap75": ("AP75", "the same where a cell counts as found only from IoU 0.75 on"),
    "mean_ap": ("mean AP", "mean of the AP at IoU 0.5, 0.55 … 0.95: asks for good outlines too"),
    "f1_50": ("F1", "2·TP/(2·TP+FP+FN) at IoU 0.5: precision and recall in one"),
    "pq": ("PQ", "panoptic quality: F1 at IoU above 0.5 × mean IoU of the cells found"),
    "seg": ("SEG", "mean IoU over the true cells, 0 for those that are missed"),
    "iou": ("IoU", "of the foreground: pixels that both call cell, over those that either does"),
}
"""Names of `ImageScores.summary` as the person reads them, and what they mean."""

COSTS = {
    "seconds": ("Seconds", "that the network takes for one image", "{:.1f} s"),
    "minutes": ("Training", "minutes, looks at the held-out part included", "{:.1f} min"),
    "memory": ("Memory", "that its training held at most, torch itself included", "{:.1f} GB"),
}
"""What a prediction or a model may cost, in the unit of its format; less is better."""


@dataclass(frozen=True, eq=False)
class Column:
    """One prediction, or the model that made it.

    Attributes
    ----------
    title, color : str
    scores : mapping
        The keys of `FIGURES`.
    by_class : mapping of class to AP50
    costs : mapping
        Some keys of `COSTS`.
    """

    title: str
    color: str
    scores: Mapping[str, float]
    by_class: Mapping[int, float] = field(default_factory=dict)
    costs: Mapping[str, float] = field(default_factory=dict)


class ScoreTable(QWidget):
    """Rows of figures, 0 to 1, with their meaning in the tooltip."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rows = 0
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(10)
        self._grid.setVerticalSpacing(2)
        self._grid.setColumnStretch(0, 1)

    def show_columns(self, columns: Sequence[Column], class_names: Sequence[str] = ()) -> None:
        """Show one or two predictions, of two also by how much the second is ahead."""
        self.clear()
        two = len(columns) == 2
        if two:
            titles = [(column.title, column.color) for column in columns]
            for at, (title, color) in enumerate([*titles, ("B − A", "")], 1):
                label = self._put(0, at, f"<b>{title}</b>")
                label.setStyleSheet(f"color: {color}" if color else "")
            self._rows = 1
        for key, (name, why) in FIGURES.items():
            self._add_row(name, why, [column.scores[key] for column in columns])
        kinds = sorted({kind for column in columns for kind in column.by_class})
        for kind in kinds:
            name = class_names[kind - 1] if kind <= len(class_names) else f"class {kind}"
            values = [column.by_class.get(kind, float("nan")) for column in columns]
            self._add_row(f"AP50 {name}", f"AP50 of the cells of class {name} alone", values)
        for key, (name, why, form) in COSTS.items():
            if two and all(key in column.costs for column in columns):
                self._add_cost(name, why, form, [column.costs[key] for column in columns])

    def clear(self) -> None:
        """Show nothing."""
        self._rows = 0
        while (item := self._grid.takeAt(0)) is not None:
            widget = item.widget()
            widget.hide()
            widget.deleteLater()

    def texts(self) -> list[list[str]]:
        """The rows as they stand there, for reading them."""
        rows = []
        for row in range(self._grid.rowCount()):
            items = [self._grid.itemAtPosition(row, at) for at in range(self._grid.columnCount())]
            texts = [item.widget().text() for item in items if item is not None]
            if texts:
                rows.append(texts)
        return rows

    def _add_row(self, name: str, why: str, values: Sequence[float]) -> None:
        row = self._next_row()
        self._put(row, 0, name, why)
        best = max(values) if len(values) == 2 and values[0] != values[1] else None
        for at, value in enumerate(values, 1):
            text = f"{value:.3f}" if value == value else "–"
            self._put(row, at, f"<b>{text}</b>" if value == best else text, why)
        if len(values) == 2:
            gap = values[1] - values[0]
            self._put(row, 3, f"{gap:+.3f}" if gap == gap else "–", why)

    def _add_cost(self, name: str, why: str, form: str, values: Sequence[float]) -> None:
        row = self._next_row()
        self._put(row, 0, name, why)
        for at, value in enumerate(values, 1):
            text = form.format(value)
            self._put(row, at, f"<b>{text}</b>" if value == min(values) else text, why)
        self._put(row, 3, form.replace(":", ":+").format(values[1] - values[0]), why)

    def _next_row(self) -> int:
        self._rows += 1
        return self._rows - 1

    def _put(self, row: int, at: int, text: str, why: str = "") -> QLabel:
        label = QLabel(text)
        label.setToolTip(why)
        side = Qt.AlignmentFlag.AlignLeft if at == 0 else Qt.AlignmentFlag.AlignRight
        label.setAlignment(side | Qt.AlignmentFlag.AlignVCenter)
        self._grid.addWidget(label, row, at)
        return label
