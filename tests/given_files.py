"""Empty files to be found, and the sentence that a refusal is."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_unet.core.errors import InputError


def sentence(error: pytest.ExceptionInfo[InputError]) -> str:
    text = str(error.value)
    assert text.endswith(".")
    assert "\n" not in text
    return text


def touch(folder: Path, *names: str) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / name for name in names]
    for path in paths:
        path.touch()
    return paths
