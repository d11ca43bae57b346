"""The Weight map panel: what the loss will weigh, as a layer that follows the brush."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QFormLayout,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QRadioButton,
    QSizePolicy,
    QWidget,
)

from napari_unet.core.config import WEIGHT_PRESETS, WeightConfig
from napari_unet.core.live_map import Figures, Gaps, explain_merging
from napari_unet.widgets._dock import Dock
from napari_unet.widgets._form import Fold, Form, tidy
from napari_unet.widgets._hand import is_down
from napari_unet.widgets._live_layer import LiveLayer
from napari_unet.widgets._status import StatusWords
from napari_unet.widgets._weight_scale import WeightScale

if TYPE_CHECKING:
    import napari.viewer

OWN = "own"

_PRESETS = {
    "measured": (
        "measured",
        "what gave the best cells on real images: the border weights of 2015 with the classes "
        "left as they are, since balancing them made cells too fat",
    ),
    "paper-2015": ("paper 2015", "Ronneberger et al. 2015: w0 10, σ 5 px, balanced classes"),
    "falk-2019": (
        "Falk 2019",
        "Falk et al. 2019: w0 50, σ 6 px, a rim around every cell, background 0.1",
    ),
    OWN: ("own", "your own values"),
}
_CLASS_WEIGHTS = [
    ("balanced", "balanced"),
    ("none", "none"),
    ("background 0.1", WEIGHT_PRESETS["falk-2019"].class_weights),
]
_SHOWN = ("w0", "sigma", "class_weights", "ridge")
_HOVER_MS = 60


class WeightsDock(Dock):
    """Set the weight map and see it: presets, w0 and σ, and what they make of the paint."""

    def __init__(self, napari_viewer: "napari.viewer.Viewer") -> None:  # noqa: UP037 - npe2
        super().__init__(napari_viewer)
        # a window that closes deletes its panels without closing them
        self.destroyed.connect(self.connections.undo)
        self.live = LiveLayer(self.session, self.connections)
        self._settings = QWidget()
        self._build_rows()
        self.figures, self.merging, self.state, self.here = (_wrapped() for _ in range(4))
        self.merging.hide()
        self.more = Form(WeightConfig)
        self.more.changed.connect(self._set_weights)
        self.add_settings(self._settings)
        for widget in (
            self.figures,
            self.merging,
            self.state,
            self.here,
            Fold("Advanced", self.more),
        ):
            self.body.addWidget(widget)
        self.body.addStretch(1)
        self._hover = QTimer()
        self._hover.setSingleShot(True)
        self._hover.setInterval(_HOVER_MS)
        self._hover.timeout.connect(self._look)
        self.connections.add(self._hover.stop)
        self._status = StatusWords(self.session, self.connections)
        self._connect()

    def choose(self, preset: str) -> None:
        """Take over a preset: a key of `WEIGHT_PRESETS`."""
        self.session.weights = WEIGHT_PRESETS[preset]

    @property
    def preset(self) -> str:
        """The preset that the settings are, or "own"."""
        for name, config in WEIGHT_PRESETS.items():
            if config == self.session.weights:
                return name
        return OWN

    def _build_rows(self) -> None:
        rows = QFormLayout(self._settings)
        tidy(rows)
        self.presets: dict[str, QRadioButton] = {}
        group, grid = QButtonGroup(self), QGridLayout()
        for place, (name, (title, why)) in enumerate(_PRESETS.items()):
            self.presets[name] = button = QRadioButton(title)
            button.setToolTip(why)
            button.clicked.connect(lambda _=False, name=name: self._on_preset(name))
            group.addButton(button)
            grid.addWidget(button, place // 2, place % 2)
        rows.addRow(grid)
        self.form = Form(WeightConfig, _SHOWN, sliders=("w0", "sigma"), rows=rows)
        self.form.changed.connect(self._set_weights)
        self.form.input("class_weights").choices = _CLASS_WEIGHTS
        rows.labelForField(self.form.input("sigma").native).setText("σ in px")
        self.gaps = _wrapped()
        self.use = QPushButton("Use")
        self.use.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.use.clicked.connect(self._use_suggestion)
        self._suggestion = QWidget()
        suggestion = QHBoxLayout(self._suggestion)
        suggestion.setContentsMargins(0, 0, 0, 0)
        suggestion.addWidget(self.gaps, 1)
        suggestion.addWidget(self.use)
        self._suggestion.hide()
        place, _ = rows.getWidgetPosition(self.form.input("sigma").native)
        rows.insertRow(place + 1, self._suggestion)
        self.show_map = QCheckBox("show")
        self.show_map.toggled.connect(self._on_toggled)
        self.scale = WeightScale()
        rows.addRow("Map", self.show_map)
        rows.addRow(self.scale)

    def _connect(self) -> None:
        self.live.measured.connect(self._show_figures)
        self.live.gaps_measured.connect(self._show_gaps)
        self.live.said.connect(self.state.setText)
        self.live.shown_changed.connect(self.show_map.setChecked)
        self.connections.connect(self.session.weights_changed, self._show_weights)
        self.connections.connect(self.session.viewer.cursor.events.position, self._on_cursor)
        self._show_weights()
        self.show_map.setChecked(True)

    def _on_preset(self, name: str) -> None:
        if name in WEIGHT_PRESETS:
            self.choose(name)

    def _set_weights(self, config: WeightConfig) -> None:
        self.session.weights = config

    def _show_weights(self) -> None:
        config = self.session.weights
        self.form.set(config)
        self.more.set(config)
        self.presets[self.preset].setChecked(True)
        self.use.setVisible(config.sigma != self.use.property("sigma"))

    def _on_toggled(self, shown: bool) -> None:
        self.live.shown = shown

    def _show_figures(self, figures: Figures) -> None:
        self.figures.setText(describe(figures))
        merging = explain_merging(figures.touching, self.session.weights.ridge)
        self.merging.setText(f"⚠ {merging}")
        self.merging.setVisible(bool(merging))
        self.scale.show_figures(figures.largest, figures.histogram)

    def _show_gaps(self, gaps: Gaps | None) -> None:
        self._suggestion.setVisible(gaps is not None)
        if gaps is None:
            return
        self.gaps.setText(f"Gaps are {_range(gaps)} px wide: σ {gaps.sigma:g} fits.")
        self.gaps.setToolTip(
            "with this σ the middle of a typical gap between your cells weighs about 0.6 × w0"
        )
        self.use.setProperty("sigma", gaps.sigma)
        self.use.setToolTip(f"set σ to {gaps.sigma:g} px")
        self.use.setVisible(self.session.weights.sigma != gaps.sigma)

    def _use_suggestion(self) -> None:
        self.form.input("sigma").value = self.use.property("sigma")

    def _on_cursor(self, event: Any = None) -> None:
        if not self._hover.isActive():
            self._hover.start()

    def _look(self) -> None:
        if is_down():
            return
        words = self.live.look(np.asarray(self.session.viewer.cursor.position))
        self.here.setText(words)
        self._status.add(words)


def describe(figures: Figures) -> str:
    """The figures of a map as the person reads them."""
    percent = 100 * figures.above_one
    above = "< 1" if 0 < percent < 1 else f"{percent:.0f}"
    touch = {0: "no cells touch", 1: "1 cell touches"}.get(
        figures.touching, f"{figures.touching} cells touch"
    )
    words = f"max {figures.largest:.3g} · {above} % above 1 · {touch}"
    if not figures.unsaid:
        return words
    unsaid = 100 * figures.unsaid
    return f"{words} · {'< 1' if unsaid < 1 else f'{unsaid:.0f}'} % unlabelled"


def _range(gaps: Gaps) -> str:
    narrow, wide = round(gaps.narrow), round(gaps.wide)
    return f"{narrow}" if narrow == wide else f"{narrow}–{wide}"


def _wrapped() -> QLabel:
    label = QLabel()
    label.setWordWrap(True)
    return label
