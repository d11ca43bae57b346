"""What a training said, as a table beside its model."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from pathlib import Path

from napari_unet.core.files import write_atomically
from napari_unet.core.types import Stepped, Validated

COLUMNS = ("step", "seconds", "loss", "held_out_loss", "iou", "f1", "ap50", "mean_ap", "best")
_EVERY = 20  # steps


def log_path(model: Path) -> Path:
    """Where the table of a model lies."""
    return model.with_suffix(".training.csv")


@dataclass
class TrainingLog:
    """The losses of every 20th step, and each look at the held-out part."""

    rows: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, event: Stepped | Validated) -> None:
        """Take what one event says."""
        if isinstance(event, Stepped):
            self.seconds = event.seconds
            if event.step % _EVERY == 0:
                self._add(step=event.step, loss=event.loss)
            return
        self._add(
            step=event.step, held_out_loss=event.loss, iou=event.iou, f1=event.f1,
            ap50=event.ap50, mean_ap=event.mean_ap, best=int(event.best),
        )  # fmt: skip

    def write(self, model: Path) -> None:
        """Write it beside the model, whole or not at all."""
        write_atomically(log_path(model), self._write)

    def _add(self, **figures: float) -> None:
        self.rows.append({"seconds": round(self.seconds, 2), **figures})

    def _write(self, path: Path) -> None:
        with path.open("w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, COLUMNS)
            table.writeheader()
            table.writerows(self.rows)
