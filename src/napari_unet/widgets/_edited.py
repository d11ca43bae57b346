"""A prediction that the person changed is theirs: it is kept, and the next one gets a layer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

from napari.layers import Labels, Shapes
from napari.utils.notifications import show_info

Cells: TypeAlias = Labels | Shapes

KEY = "napari_unet_edited"
"""Key of a layer's metadata that is there once somebody changed its cells."""


def watch_for_edits(layer: Cells) -> None:
    """From here on notice what is painted, drawn, moved or deleted on a layer."""
    _event_of(layer).connect(_note)


@contextmanager
def unwatched(layer: Cells) -> Iterator[None]:
    """In here a layer that is watched can be changed by us."""
    _event_of(layer).disconnect(_note)
    try:
        yield
    finally:
        watch_for_edits(layer)


def is_edited(layer: Cells) -> bool:
    """Whether somebody changed its cells, or is about to: of a stroke napari tells at its end."""
    return KEY in layer.metadata or bool(getattr(layer, "_staged_history", ()))


def set_aside(layer: Cells, role: str) -> bool:
    """Where somebody changed a layer's cells make it the person's own, hidden, and say so.

    Parameters
    ----------
    layer : Labels or Shapes
    role : str
        The key of its metadata by which it was found; it goes.

    Returns
    -------
    bool
        Whether it was.
    """
    if not is_edited(layer):
        return False
    _event_of(layer).disconnect(_note)
    metadata = dict(layer.metadata)
    for key in (KEY, role):
        metadata.pop(key, None)
    layer.metadata = metadata
    layer.name = f"{layer.name}, edited"
    layer.visible = False
    show_info(
        f"You changed predicted cells: they are kept as “{layer.name}”. The Correct panel edits "
        "predicted cells so that they are learned from."
    )
    return True


def _event_of(layer: Cells) -> Any:
    return layer.events.data if isinstance(layer, Shapes) else layer.events.paint


def _note(event: Any) -> None:
    layer: Cells = event.source
    # not `is_edited`: napari tells of a stroke before it forgets that it was under way
    if KEY not in layer.metadata:
        layer.metadata = {**layer.metadata, KEY: True}
