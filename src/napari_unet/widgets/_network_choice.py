"""A combo of the networks of a model family; where training goes on, that of the model."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QWidget

from napari_unet.core.models import MODELS
from napari_unet.widgets._form import guard_wheel


class NetworkChoice(QComboBox):
    """The presets of one family at a time; what was chosen of each is remembered."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._architecture = next(iter(MODELS))
        self._chosen = {name: next(iter(family.presets)) for name, family in MODELS.items()}
        self.setSizeAdjustPolicy(self.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        guard_wheel(self)
        self.currentIndexChanged.connect(self._on_current)
        self.show_presets(self._architecture, None)

    @property
    def preset(self) -> str:
        """The network that was chosen last of the family that is shown."""
        return self._chosen[self._architecture]

    def show_presets(self, architecture: str, start: Path | None) -> None:
        """Offer the networks of a family; of a model that is started from its own alone, grey."""
        self._architecture = architecture
        presets = MODELS[architecture].presets
        self.blockSignals(True)
        self.clear()
        if start is not None:
            self.addItem(f"that of {start.stem}")
            reason = "training goes on with the network of this model: “from scratch” offers others"
            self.setItemData(0, reason, Qt.ItemDataRole.ToolTipRole)
        else:
            for name, preset in presets.items():
                self.addItem(preset.title, name)
                self.setItemData(self.count() - 1, preset.why, Qt.ItemDataRole.ToolTipRole)
            self.setCurrentIndex(self.findData(self.preset))
        self.blockSignals(False)
        self.setEnabled(start is None)
        self._tell()

    def _on_current(self) -> None:
        self._chosen[self._architecture] = self.currentData()
        self._tell()

    def _tell(self) -> None:
        self.setToolTip(self.currentData(Qt.ItemDataRole.ToolTipRole))
