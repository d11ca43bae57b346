"""How many cells there are of each kind: a sentence whose counts can be clicked."""

from __future__ import annotations

from napari.utils.theme import get_theme
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QLabel, QWidget

from napari_unet.core.comparison import Difference, DifferenceMap, MatchMap, Verdict
from napari_unet.widgets._cell_layers import VERDICT_COLORS

_NO_BREAK = "\N{NO-BREAK SPACE}"

WORDS: dict[str, tuple[str, str]] = {
    Verdict.TRUE_POSITIVE: (
        "found",
        "a true cell and a predicted one that overlap with IoU 0.5 or more",
    ),
    Verdict.FALSE_NEGATIVE: ("missed", "a true cell without such a partner"),
    Verdict.FALSE_POSITIVE: ("false", "a predicted cell without such a partner"),
    Verdict.MERGED: (
        "merged",
        "a predicted cell that holds more than half of each of several true ones",
    ),
    Verdict.SPLIT: ("split", "a true cell that several predicted ones share among them"),
    Difference.FIRST_FINDS: (
        "found by A alone",
        "a true cell that overlaps with one of A with IoU 0.5 or more, and with none of B",
    ),
    Difference.SECOND_FINDS: ("found by B alone", "the same the other way round"),
    Difference.FIRST_INVENTS: ("false in A alone", "a cell of A that is false and not in B"),
    Difference.SECOND_INVENTS: ("false in B alone", "a cell of B that is false and not in A"),
}
"""Of each kind of cell the word for it, and what it means; in the order in which they are told."""


class VerdictLine(QLabel):
    """The counts of a map of cells, each a link where there is something to see.

    Signals
    -------
    clicked(kind : str)
        A Verdict or Difference.
    """

    clicked = Signal(str)

    def __init__(self, theme: str = "dark", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._found: MatchMap | DifferenceMap | None = None
        self.setWordWrap(True)
        self.setTextFormat(Qt.TextFormat.RichText)
        self.setTextInteractionFlags(
            Qt.TextInteractionFlag.LinksAccessibleByMouse
            | Qt.TextInteractionFlag.LinksAccessibleByKeyboard
        )
        # a click leaves the keys with the canvas; Tab reaches the links
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.linkActivated.connect(self.clicked)
        self.set_theme(theme)

    def set_theme(self, theme: str) -> None:
        """Take the colour of text of napari's theme of this name."""
        self._text_color = get_theme(theme).text.as_hex(format="long")
        if self._found is not None:
            self.show_counts(self._found)

    def show_counts(self, found: MatchMap | DifferenceMap) -> None:
        """Say how many there are of each kind."""
        self._found = found
        kinds = [kind for kind in WORDS if kind in found.places]
        counts = {kind: len(found.places[kind]) for kind in kinds}
        texts = {kind: f"{counts[kind]} {WORDS[kind][0]}" for kind in kinds}
        if Verdict.TRUE_POSITIVE in counts:
            right = counts[Verdict.TRUE_POSITIVE]
            cells = right + counts[Verdict.FALSE_NEGATIVE]
            noun = "cell" if cells == 1 else "cells"
            texts[Verdict.TRUE_POSITIVE] = f"{right} of {cells} {noun} found"
        self.setText(" · ".join(self._link(kind, texts[kind], counts[kind]) for kind in kinds))
        meanings = [f"{word}: {why}" for word, why in (WORDS[kind] for kind in kinds)]
        self.setToolTip("\n".join(["Click on a count to walk through these cells.", *meanings]))

    def _link(self, kind: str, text: str, count: int) -> str:
        text = text.replace(" ", _NO_BREAK)
        if not count:
            return text
        dot = f'<span style="color: {VERDICT_COLORS[kind]}">■</span>{_NO_BREAK}'
        return f'{dot}<a href="{kind}" style="color: {self._text_color}">{text}</a>'
