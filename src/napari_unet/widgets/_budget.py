"""How long a training may take: minutes to choose from."""

from __future__ import annotations

from qtpy.QtWidgets import QComboBox, QWidget

from napari_unet.core.config import TrainConfig
from napari_unet.widgets._form import guard_wheel

BUDGETS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Minutes."""


class Budget(QComboBox):
    """A choice of `BUDGETS`, the default of `TrainConfig` first."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        for minutes in BUDGETS:
            self._add(minutes)
        self.set_minutes(TrainConfig().minutes)
        guard_wheel(self)

    @property
    def minutes(self) -> float:
        """What is chosen."""
        minutes: float = self.currentData()
        return minutes

    def set_minutes(self, minutes: float) -> None:
        """Choose a budget, also one that the list does not offer."""
        if self.findData(minutes) < 0:
            self._add(minutes)
        self.setCurrentIndex(self.findData(minutes))

    def _add(self, minutes: float) -> None:
        self.addItem("30 s" if minutes == 0.5 else f"{minutes:g} min", minutes)
