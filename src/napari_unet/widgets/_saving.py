"""Where a table goes: the person says it, a thread writes it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFileDialog, QWidget

from napari_unet.core.errors import InputError
from napari_unet.core.tables import Table, write_table
from napari_unet.widgets._measurer import measurement_of
from napari_unet.widgets._worker import run

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_unet.widgets._session import Session

Say = Callable[[str], None]


def save_table(dock: QWidget, name: str, table: Table, on_done: Say, on_error: Say) -> None:
    """Ask for a file and write a table of cells; nothing happens where the person cancels.

    Parameters
    ----------
    name : str
        Of the layer, for a first proposal.
    on_done, on_error : callable
        Get a sentence.
    """
    path = ask_for_csv(dock, name)
    if path is not None:
        _write(dock, path, lambda: table, on_done, on_error)


def save_measurements(
    dock: QWidget, session: Session, labels: Labels, on_done: Say, on_error: Say
) -> None:
    """As `save_table`, of all cells of the plane of a layer that is shown."""
    path = ask_for_csv(dock, labels.name)
    if path is None:
        return
    try:
        measure = measurement_of(session, labels)
    except InputError as error:
        on_error(str(error))
        return
    _write(dock, path, lambda: measure().table, on_done, on_error)


def ask_for_csv(parent: QWidget, name: str) -> Path | None:
    """Ask where a table is to be written; None where the person cancels."""
    safe = "".join("_" if sign in '<>:"/\\|?*' else sign for sign in name)
    chosen, _ = QFileDialog.getSaveFileName(
        parent, "Save the measurements", f"{safe}.csv", "Table (*.csv)"
    )
    if not chosen:
        return None
    path = Path(chosen)
    return path if path.suffix else path.with_suffix(".csv")


def _write(
    dock: QWidget, path: Path, make: Callable[[], Table], on_done: Say, on_error: Say
) -> None:
    def work() -> int:
        table = make()
        write_table(path, table)
        return len(table["label"])

    run(
        work,
        on_done=lambda cells: on_done(f"Saved {cells} cells as “{path.name}”."),
        on_error=on_error,
        owner=dock,
    )
