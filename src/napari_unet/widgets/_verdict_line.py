"""How many cells there are of each kind: a sentence whose counts can be clicked."""

from __future__ import annotations

from dataclasses import dataclass

from napari.utils.theme import get_theme
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QLabel, QWidget

from napari_unet.core.comparison import Difference, DifferenceMap, MatchMap, Verdict
from napari_unet.widgets._cell_layers import OUTLINED, VERDICT_COLORS

_NO_BREAK = "\N{NO-BREAK SPACE}"


@dataclass(frozen=True)
class Words:
    """How a kind of cell is told: in short, in full, what it means, and in the line of whom."""

    short: str
    full: str
    meaning: str
    whose: str = ""


WORDS: dict[str, Words] = {
    Verdict.TRUE_POSITIVE: Words(
        "found", "found", "a true cell and a predicted one that overlap with IoU 0.5 or more"
    ),
    Verdict.FALSE_NEGATIVE: Words("missed", "missed", "a true cell without such a partner"),
    Verdict.FALSE_POSITIVE: Words("false", "false", "a predicted cell without such a partner"),
    Verdict.MERGED: Words(
        "merged",
        "merged",
        "a predicted cell that holds more than half of each of several true ones",
    ),
    Verdict.SPLIT: Words(
        "split", "split", "a true cell that several predicted ones share among them"
    ),
    Difference.FIRST_FINDS: Words(
        "found",
        "found by A alone",
        "a true cell that one of A overlaps with IoU 0.5 or more, and none of B",
        "A alone",
    ),
    Difference.FIRST_INVENTS: Words(
        "false", "false in A alone", "a cell of A that is false and not in B", "A alone"
    ),
    Difference.SECOND_FINDS: Words(
        "found",
        "found by B alone",
        "a true cell that one of B overlaps with IoU 0.5 or more, and none of A",
        "B alone",
    ),
    Difference.SECOND_INVENTS: Words(
        "false", "false in B alone", "a cell of B that is false and not in A", "B alone"
    ),
}
"""Of each kind of cell, in the order in which they are told."""


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
        texts = {kind: f"{counts[kind]} {WORDS[kind].short}" for kind in kinds}
        if Verdict.TRUE_POSITIVE in counts:
            right = counts[Verdict.TRUE_POSITIVE]
            cells = right + counts[Verdict.FALSE_NEGATIVE]
            noun = "cell" if cells == 1 else "cells"
            texts[Verdict.TRUE_POSITIVE] = f"{right} of {cells} {noun} found"
        lines: dict[str, list[str]] = {}
        for kind in kinds:
            link = self._link(kind, texts[kind], counts[kind])
            lines.setdefault(WORDS[kind].whose, []).append(link)
        self.setText("<br>".join(_write_line(whose, links) for whose, links in lines.items()))
        meanings = [f"{WORDS[kind].full}: {WORDS[kind].meaning}" for kind in kinds]
        self.setToolTip("\n".join(["Click on a count to walk through these cells.", *meanings]))

    def _link(self, kind: str, text: str, count: int) -> str:
        text = text.replace(" ", _NO_BREAK)
        if not count:
            return text
        box = "□" if kind in OUTLINED else "■"
        dot = f'<span style="color: {VERDICT_COLORS[kind]}">{box}</span>{_NO_BREAK}'
        return f'{dot}<a href="{kind}" style="color: {self._text_color}">{text}</a>'


def _write_line(whose: str, links: list[str]) -> str:
    links = [f"{link}{_NO_BREAK}·" for link in links[:-1]] + links[-1:]
    return (f"{whose}: " if whose else "") + " ".join(links)
