"""Words of ours at the end of napari's status bar."""

from __future__ import annotations

from typing import Any

from napari_unet.widgets._connections import Connections
from napari_unet.widgets._session import Session


class StatusWords:
    """Keeps words at the end of what napari says about the place under the mouse.

    napari writes its status anew with each move of the mouse, from a thread of its own; the
    words are added to what it wrote last.
    """

    def __init__(self, session: Session, connections: Connections) -> None:
        self._session = session
        self._words = ""
        self._theirs: str | dict[str, Any] = session.viewer.status
        self._ours = self._theirs
        connections.connect(session.viewer.events.status, self._on_status)

    def add(self, words: str) -> None:
        """From now on say these words; none when empty."""
        self._words = words
        self._say(self._theirs)

    def _on_status(self, event: Any = None) -> None:
        status = self._session.viewer.status
        if status != self._ours:
            self._say(status)

    def _say(self, theirs: str | dict[str, Any]) -> None:
        self._theirs = theirs
        if not self._words:
            self._ours = theirs
        elif isinstance(theirs, dict):
            place = theirs.get("coordinates", "")
            self._ours = {**theirs, "coordinates": f"{place} · {self._words}"}
        else:
            self._ours = f"{theirs} · {self._words}"
        self._session.viewer.status = self._ours
