"""A row that says which channels the network sees: all, some of them, or several layers."""

from __future__ import annotations

from functools import partial
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QMenu,
    QPushButton,
    QSizePolicy,
    QWidget,
    QWidgetAction,
)

from napari_unet.widgets import _planes
from napari_unet.widgets._channels import Channels, list_alike, name_channels
from napari_unet.widgets._connections import Connections
from napari_unet.widgets._form import guard_wheel
from napari_unet.widgets._session import Session


class ChannelChoice(QWidget):
    """An axis for stacks, and a list to tick; choosing chooses for all docks of the viewer.

    Parameters
    ----------
    session : Session
    connections : Connections
        Of the dock.
    rows : QFormLayout
        Gets the row, which hides where there is nothing to choose.
    """

    def __init__(self, session: Session, connections: Connections, rows: QFormLayout) -> None:
        super().__init__()
        self._session = session
        self._rows = rows
        self.axis = QComboBox()
        self.axis.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.axis.setMinimumContentsLength(6)
        self.axis.setToolTip("the axis of the stack that holds the channels, if one does")
        guard_wheel(self.axis)
        self.axis.activated.connect(self._on_axis)
        self.button = QPushButton()
        self.button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self._menu = QMenu(self.button)
        self._menu.aboutToShow.connect(self._fill)
        self.button.setMenu(self._menu)
        self.ticks: list[QCheckBox] = []
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        layout.addWidget(self.axis, 1)
        layout.addWidget(self.button, 1)
        rows.addRow("Channels", self)
        connections.connect(session.image_changed, self.refresh)
        connections.connect(session.channels_changed, self.refresh)
        events = session.viewer.layers.events
        for event in (events.inserted, events.removed):
            connections.connect(event, self.refresh)
        self.refresh()

    def refresh(self, event: Any = None) -> None:
        """Look at the image and the layers again."""
        image = self._session.image
        is_stack = image is not None and image.ndim > 2 and not image.rgb
        names = self._names()
        self._rows.setRowVisible(self, is_stack or len(names) > 1)
        self.axis.setVisible(is_stack)
        self.button.setVisible(len(names) > 1)
        if image is None:
            return
        self.axis.clear()
        self.axis.addItem("none", None)
        for axis, size in enumerate(_planes.spatial_shape(image)[:-2]):
            self.axis.addItem(f"axis {axis} ({size})", axis)
        found = _planes.channel_axis(image)
        if found is not None and self.axis.findData(found) < 0:
            self.axis.addItem(f"axis {found} ({_planes.count_channels(image)})", found)
        self.axis.setCurrentIndex(self.axis.findData(found))
        seen = self._seen(names)
        self.button.setText(_count(seen, len(names), bool(self._session.chosen.layers)))
        self.button.setToolTip("seen: " + ", ".join(seen))

    def _names(self) -> list[str]:
        image = self._session.image
        if image is None:
            return []
        alike = list_alike(self._session.viewer, image)
        return [layer.name for layer in alike] if len(alike) > 1 else name_channels(image)

    def _seen(self, names: list[str]) -> list[str]:
        """The names of the channels or layers that are seen."""
        image, chosen = self._session.image, self._session.chosen
        if chosen.layers:
            return [layer.name for layer in chosen.layers]
        if image is not None and _planes.count_channels(image) == 1:
            return [image.name]
        return names if chosen.picked is None else [names[number] for number in chosen.picked]

    def _fill(self) -> None:
        """Make the list anew: ticking leaves it open, so that several can be ticked."""
        self._menu.clear()
        self.ticks = []
        image = self._session.image
        if image is None:
            return
        chosen, alike = self._session.chosen, list_alike(self._session.viewer, image)
        for number, name in enumerate(self._names()):
            tick = QCheckBox(name)
            if len(alike) > 1:
                layer = alike[number]
                tick.setChecked(layer is image or any(layer is each for each in chosen.layers))
                tick.setEnabled(layer is not image)  # what is painted on is always seen
            else:
                tick.setChecked(chosen.picked is None or number in chosen.picked)
            tick.toggled.connect(partial(self._on_tick, tick))
            tick.setContentsMargins(6, 2, 6, 2)
            action = QWidgetAction(self._menu)
            action.setDefaultWidget(tick)
            self._menu.addAction(action)
            self.ticks.append(tick)

    def _on_tick(self, tick: QCheckBox, checked: bool) -> None:
        image = self._session.image
        if image is None:
            return
        ticked = [number for number, tick in enumerate(self.ticks) if tick.isChecked()]
        alike = list_alike(self._session.viewer, image)
        if len(alike) > 1:
            layers = tuple(alike[number] for number in ticked)
            self._session.choose_channels(Channels(layers=layers if len(layers) > 1 else ()))
        elif not ticked:  # at least one stays
            tick.setChecked(True)
        else:
            is_all = len(ticked) == len(self.ticks)
            self._session.choose_channels(Channels(None if is_all else tuple(ticked)))

    def _on_axis(self, row: int) -> None:
        self._session.choose_channel_axis(self.axis.itemData(row))


def _count(seen: list[str], total: int, are_layers: bool) -> str:
    """As short as the button is narrow."""
    if are_layers:
        return f"{len(seen)} layers"
    if len(seen) == 1:
        return seen[0]
    return f"all {total}" if len(seen) == total else f"{len(seen)} of {total}"
