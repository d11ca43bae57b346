"""Fixtures of the widget tests. They run under Xvfb, and never with torch in the process."""

from __future__ import annotations

import gc
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

os.environ["NAPARI_CONFIG"] = str(Path(tempfile.mkdtemp()) / "settings.yaml")

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QApplication

if TYPE_CHECKING:
    from napari.layers import Image, Labels
    from napari.viewer import Viewer


@pytest.fixture(scope="session", autouse=True)
def no_torch() -> Iterator[None]:
    """torch beside OpenGL ends napari with a segmentation fault: no widget may bring it along."""
    yield
    assert "torch" not in sys.modules


@pytest.fixture(scope="session", autouse=True)
def imports_frozen() -> Iterator[None]:
    """Collections pass over what the imports made, which is no garbage and took 0.14 s each."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def no_leaked_widgets(qapp: QApplication) -> Iterator[None]:
    """Every widget of ours dies with the test that made it."""
    yield
    # qtbot deletes later, which without a running event loop is never
    qapp.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    qapp.processEvents()
    gc.collect()
    qapp.processEvents()
    leaked = [w for w in qapp.allWidgets() if type(w).__module__.startswith("napari_unet")]
    names = [type(w).__name__ for w in leaked]
    for widget in leaked:
        widget.close()
        widget.deleteLater()
    assert not names


@pytest.fixture
def viewer(make_napari_viewer) -> Viewer:
    """A napari window that is closed after the test."""
    return make_napari_viewer()


@pytest.fixture
def model(qapp: QApplication) -> ViewerModel:
    """A viewer without a window."""
    return ViewerModel()


@pytest.fixture
def add_cells() -> Callable[..., tuple[Image, Labels]]:
    """Adds an image "hela" and two cells with a gap of three pixels painted on it."""

    def add(viewer: ViewerModel, shape: tuple[int, int] = (64, 64)) -> tuple[Image, Labels]:
        pixels = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
        labels = np.zeros(shape, np.int32)
        labels[10:20, 10:20] = 1
        labels[10:20, 23:33] = 2
        image = viewer.add_image(pixels, name="hela")
        return image, viewer.add_labels(labels, name="by hand")

    return add
