"""Opening a panel from another one, through napari: no dock needs to know another dock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari.components import ViewerModel

PLUGIN = "napari-unet-cells"
ALL = "All panels"


def open_panel(viewer: ViewerModel, title: str) -> Any:
    """Open a panel of the manifest, or bring it to the front where it is open.

    Where all panels are open together, that is its tab.

    Returns
    -------
    QWidget
        The panel.
    """
    window = viewer.window
    if f"{ALL} ({PLUGIN})" in window.dock_widgets:
        dock, panels = window.add_plugin_dock_widget(PLUGIN, ALL)  # one that is open is kept
        panel = panels.show_panel(title)
    else:
        dock, panel = window.add_plugin_dock_widget(PLUGIN, title)
    dock.show()
    dock.raise_()
    return panel
