"""Whether there is a stopped training to go on with. Needs no torch."""

from __future__ import annotations

from pathlib import Path


def state_path(model: Path | str) -> Path:
    """Where a training that writes this model keeps what it needs to go on."""
    return Path(f"{model}.stopped")


def is_resumable(model: Path | str) -> bool:
    """Whether a training of this model was stopped before its end."""
    return state_path(model).exists()
