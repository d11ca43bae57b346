"""All panels open together in a real window, once, and go without a trace."""

from __future__ import annotations

import gc
import weakref

import pytest
from qtpy.QtCore import QEvent

from fake_compute import FakeCompute
from napari_unet.widgets._panels import open_panel
from napari_unet.widgets._session import session
from napari_unet.widgets.all_docks import PANELS, open_all


@pytest.fixture
def window(viewer, add_cells, tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_UNET_MODELS", str(tmp_path))
    add_cells(viewer)
    session(viewer)._compute = FakeCompute()
    return viewer


def test_tabs_in_the_order_of_use(window):
    panels = open_all(window)
    titles = [panels.tabs.tabText(i) for i in range(panels.tabs.count())]
    assert titles == ["Paint", "Map", "Train", "Predict", "Correct", "Measure", "Evaluate"]
    assert panels.tabs.currentWidget() is panels.panels["Annotate"]


def test_the_panels_share_one_session(window):
    panels = open_all(window)
    assert {id(panel.session) for panel in panels.panels.values()} == {id(session(window))}


def test_opening_twice_opens_once(window):
    assert open_all(window) is open_all(window)


def test_show_panel(window):
    panels = open_all(window)
    for title in PANELS:
        assert panels.show_panel(title) is panels.tabs.currentWidget()


def test_a_panel_is_opened_where_it_is(window, qapp):
    panels = open_all(window)
    assert open_panel(window, "Measure") is panels.panels["Measure"]
    assert panels.tabs.currentWidget() is panels.panels["Measure"]
    window.window.remove_dock_widget(panels)
    del panels
    qapp.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    alone = open_panel(window, "Measure")
    assert alone.isVisibleTo(window.window._qt_window)
    assert open_panel(window, "Measure") is alone


def test_the_button_stands_at_the_same_place_in_every_panel(window, qapp):
    panels = open_all(window)
    places = []
    for title in ("Train", "Predict", "Evaluate"):
        panel = panels.show_panel(title)
        qapp.processEvents()
        places.append(panel.bar.button.mapTo(panels, panel.bar.button.rect().topLeft()))
    assert len({(place.x(), place.y()) for place in places}) == 1


def test_tabs_fit_into_the_width(window, qapp):
    panels = open_all(window)
    panels.resize(320, 640)
    qapp.processEvents()
    bar = panels.tabs.tabBar()
    assert bar.tabRect(bar.count() - 1).right() <= 320


def test_no_panel_is_cut_in_the_look_of_napari(window, qapp):
    panels = open_all(window)
    window.window._qt_window.ensurePolished()
    for title in PANELS:
        panel = panels.show_panel(title)
        qapp.processEvents()
        assert panel.body.parentWidget().minimumSizeHint().width() <= 305, title


def test_the_line_around_a_cell_goes_with_the_dock(window, qapp, qtbot):
    dock = open_all(window).show_panel("Measure")
    dock.measurer.is_looked_at = True
    qtbot.waitUntil(lambda: dock.model.rowCount() == 2)
    dock.table.selectRow(1)
    assert [layer.name for layer in window.layers][-1] == "by hand · chosen cell"
    qapp.processEvents()
    window.window.remove_dock_widget("all")
    qapp.processEvents()
    assert "by hand · chosen cell" not in window.layers


def test_a_closed_dock_dies(window, qapp):
    panels = open_all(window)
    dead = [weakref.ref(widget) for widget in (panels, *panels.panels.values())]
    window.window.remove_dock_widget(panels)
    del panels
    qapp.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    qapp.processEvents()
    gc.collect()
    assert [ref() for ref in dead] == [None] * len(dead)
    session(window).labels.fill((0, 0), 4)
    window.theme = "light"
    assert open_all(window) is not None
