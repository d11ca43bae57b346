"""All panels in one dock, as tabs in the order in which they are used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QSize
from qtpy.QtWidgets import QTabWidget, QVBoxLayout, QWidget

from napari_unet.widgets._dock import HEIGHT, WIDTH
from napari_unet.widgets._panels import ALL, PLUGIN
from napari_unet.widgets.annotate_dock import AnnotateDock
from napari_unet.widgets.correct_dock import CorrectDock
from napari_unet.widgets.evaluate_dock import EvaluateDock
from napari_unet.widgets.measure_dock import MeasureDock
from napari_unet.widgets.predict_dock import PredictDock
from napari_unet.widgets.train_dock import TrainDock
from napari_unet.widgets.weights_dock import WeightsDock

if TYPE_CHECKING:
    import napari.viewer

_TABS = "QTabBar {padding: 0px; border: 0px;} QTabBar::tab {padding: 4px 1px;}"
_SHORT = {"Annotate": "Paint", "Weight map": "Map"}  # all have to fit into the width of a dock

PANELS = {
    "Annotate": AnnotateDock,
    "Weight map": WeightsDock,
    "Train": TrainDock,
    "Predict": PredictDock,
    "Correct": CorrectDock,
    "Measure": MeasureDock,
    "Evaluate": EvaluateDock,
}


class AllDocks(QWidget):
    """All panels as tabs of one dock, in the order in which they are used."""

    def __init__(self, napari_viewer: "napari.viewer.Viewer") -> None:  # noqa: UP037 - npe2
        super().__init__()
        self.tabs = QTabWidget()
        self.tabs.setUsesScrollButtons(False)
        # napari's padding of the bar itself pushes the words out of the tabs
        self.tabs.tabBar().setStyleSheet(_TABS)
        self.panels: dict[str, Any] = {}
        for title, panel in PANELS.items():
            self.panels[title] = panel(napari_viewer)
            tab = self.tabs.addTab(self.panels[title], _SHORT.get(title, title))
            self.tabs.setTabToolTip(tab, title)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.tabs)
        self.setMinimumWidth(WIDTH)

    def show_panel(self, title: str) -> QWidget:
        """Bring one panel to the front: a key of `PANELS`."""
        panel: QWidget = self.panels[title]
        self.tabs.setCurrentWidget(panel)
        return panel

    def sizeHint(self) -> QSize:
        return QSize(WIDTH, HEIGHT)

    def closeEvent(self, event: Any) -> None:
        for panel in self.panels.values():
            panel.close()
        super().closeEvent(event)

    def event(self, event: QEvent) -> bool:
        # napari takes a widget out of its dock when that is closed, without closing the widget
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            for panel in self.panels.values():
                panel.close()
        return super().event(event)


def open_all(viewer: "napari.viewer.Viewer") -> AllDocks:  # noqa: UP037
    """Open the panels at the right of the window, or bring them to the front if they are open."""
    dock, panels = viewer.window.add_plugin_dock_widget(PLUGIN, ALL)
    dock.show()
    dock.raise_()
    return panels
