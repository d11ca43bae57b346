"""The models that come with the package, by name. Needs no torch."""

from __future__ import annotations

from pathlib import Path

START_MODELS: dict[str, str] = {
    "nuclei": "nuclei of any size, in fluorescence and stained tissue",
    "nuclei-mask-rcnn": "the same, as boxes and masks that may overlap",
    "phase": "whole cells in phase contrast, of any size",
}
"""Name and what it finds."""

_FOLDER = Path(__file__).parents[1] / "start_models"


def find_model_file(model: Path | str) -> Path:
    """The file that is meant, as an absolute path: a start model's by its name, else the path's.

    A file of the same name in the working folder has to be called `./nuclei`, as text, since a
    `Path` drops the `./`. What this returns is never taken for a name again.
    """
    if str(model) in START_MODELS:
        return _FOLDER / f"{model}.safetensors"
    return Path(model).absolute()


def start_model_files() -> list[Path]:
    """The files of all start models."""
    return [find_model_file(name) for name in START_MODELS]
