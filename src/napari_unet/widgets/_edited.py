"""A prediction that the person painted on is theirs: it is kept, and the next one gets a layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_info

if TYPE_CHECKING:
    from napari.layers import Labels

KEY = "napari_unet_edited"
"""Key of a layer's metadata that is there once somebody painted on it."""


def watch_for_edits(layer: Labels) -> None:
    """From here on notice what is painted on a layer."""
    layer.events.paint.connect(_note)


def is_edited(layer: Labels) -> bool:
    """Whether somebody painted on it."""
    return KEY in layer.metadata


def set_aside(layer: Labels, role: str) -> bool:
    """Where somebody painted on a layer make it the person's own, hidden, and say so.

    Parameters
    ----------
    layer : Labels
    role : str
        The key of its metadata by which it was found; it goes.

    Returns
    -------
    bool
        Whether it was.
    """
    if not is_edited(layer):
        return False
    layer.events.paint.disconnect(_note)
    metadata = dict(layer.metadata)
    for key in (KEY, role):
        metadata.pop(key, None)
    layer.metadata = metadata
    layer.name = f"{layer.name}, edited"
    layer.visible = False
    show_info(
        f"You painted on the prediction: that is kept as “{layer.name}”. The Correct panel edits "
        "predicted cells so that they are learned from."
    )
    return True


def _note(event: Any) -> None:
    layer: Labels = event.source
    if not is_edited(layer):
        layer.metadata = {**layer.metadata, KEY: True}
