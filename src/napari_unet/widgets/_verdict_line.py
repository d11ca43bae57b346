"""How many cells were found, missed, joined and cut: a sentence whose counts can be clicked."""

from __future__ import annotations

from napari.utils.theme import get_theme
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QLabel, QWidget

from napari_unet.core.comparison import MatchMap, Verdict
from napari_unet.widgets._cell_layers import VERDICT_COLORS

_NO_BREAK = "\N{NO-BREAK SPACE}"
_MEANING = (
    "Click on a count to walk through these cells.\n"
    "found: a true cell and a predicted one that overlap with IoU 0.5 or more\n"
    "missed: a true cell without such a partner\n"
    "false: a predicted cell without such a partner\n"
    "merged: a predicted cell that holds more than half of each of several true ones\n"
    "split: a true cell that several predicted ones share among them"
)


class VerdictLine(QLabel):
    """The counts of a `MatchMap`, each a link where there is something to see.

    Signals
    -------
    clicked(verdict : Verdict)
    """

    clicked = Signal(object)

    def __init__(self, theme: str = "dark", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._found: MatchMap | None = None
        self.setWordWrap(True)
        self.setTextFormat(Qt.TextFormat.RichText)
        self.setTextInteractionFlags(
            Qt.TextInteractionFlag.LinksAccessibleByMouse
            | Qt.TextInteractionFlag.LinksAccessibleByKeyboard
        )
        # a click leaves the keys with the canvas; Tab reaches the links
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setToolTip(_MEANING)
        self.linkActivated.connect(lambda link: self.clicked.emit(Verdict(link)))
        self.set_theme(theme)

    def set_theme(self, theme: str) -> None:
        """Take the colour of text of napari's theme of this name."""
        self._text_color = get_theme(theme).text.as_hex(format="long")
        if self._found is not None:
            self.show_counts(self._found)

    def show_counts(self, found: MatchMap) -> None:
        """Say how many there are of each kind."""
        self._found = found
        of = {verdict: len(places) for verdict, places in found.places.items()}
        right, missed = of[Verdict.TRUE_POSITIVE], of[Verdict.FALSE_NEGATIVE]
        cells = "cell" if right + missed == 1 else "cells"
        parts = (
            (Verdict.TRUE_POSITIVE, f"{right} of {right + missed} {cells} found"),
            (Verdict.FALSE_NEGATIVE, f"{missed} missed"),
            (Verdict.FALSE_POSITIVE, f"{of[Verdict.FALSE_POSITIVE]} false"),
            (Verdict.MERGED, f"{of[Verdict.MERGED]} merged"),
            (Verdict.SPLIT, f"{of[Verdict.SPLIT]} split"),
        )
        self.setText(" · ".join(self._link(verdict, text, of[verdict]) for verdict, text in parts))

    def _link(self, verdict: Verdict, text: str, count: int) -> str:
        text = text.replace(" ", _NO_BREAK)
        if not count:
            return text
        dot = f'<span style="color: {VERDICT_COLORS[verdict]}">■</span>{_NO_BREAK}'
        return f'{dot}<a href="{verdict}" style="color: {self._text_color}">{text}</a>'
