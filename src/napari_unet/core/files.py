"""Files on disk: where they are, what results are called, and writing them all or nothing."""

from __future__ import annotations

import os
import uuid
from collections import Counter
from collections.abc import Callable, Container, Sequence
from pathlib import Path

from napari_unet.core.errors import InputError


def find_home(path: str | Path) -> Path:
    """The path in full where it begins with `~` or `~somebody`.

    Raises
    ------
    InputError
        If nobody is called so here.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise InputError(
            f"“{path}” begins with a home folder that is not known here; write the path in full."
        ) from error


def name_results(paths: list[Path], folder: Path, known: Container[str] = ()) -> list[Path]:
    """`<stem>.tif` in a folder, which is made, for each path.

    Parameters
    ----------
    paths : list of Path
    folder : Path
    known : container of str
        As of `keep_apart`.

    Raises
    ------
    InputError
        Two of them have the same stem, or as `keep_apart`, or the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"The folder {folder} cannot be made ({error.strerror}): choose another one."
        ) from error
    targets = [
        folder / f"{path.name.removesuffix(path.suffix).removesuffix('.ome')}.tif" for path in paths
    ]
    shared = Counter(targets)
    for path, target in zip(paths, targets, strict=True):
        if shared[target] > 1:
            raise InputError(
                f"Two files are called {target.stem!r}, such as {path}: "
                "write them into different folders."
            )
    keep_apart(targets, paths, known)
    return targets


def keep_apart(targets: Sequence[Path], inputs: Sequence[Path], known: Container[str] = ()) -> None:
    """Let no result take the place of what is read, or of a file that lies beside that.

    The TIFF beside `cell.png` or `cell_seg.npy` may be the image itself.

    Parameters
    ----------
    targets, inputs : sequences of Path
    known : container of str
        Results of before, as resolved paths, which may be replaced wherever they are.

    Raises
    ------
    InputError
        If one would.
    """
    read = {path.resolve() for path in inputs}
    folders = {path.parent for path in read} | {path.parent.resolve() for path in inputs}
    for target in targets:
        place = target.resolve()
        if place in read or (
            target.exists() and target.parent.resolve() in folders and str(place) not in known
        ):
            raise InputError(
                f"{target} would be written over, and lies where files are read from: choose "
                "another output folder."
            )


def write_text(path: str | Path, text: str) -> None:
    """Write a text as UTF-8, as `write_atomically`."""

    def write(target: Path) -> None:
        target.write_text(text, encoding="utf-8")

    write_atomically(path, write)


def write_atomically(path: str | Path, write: Callable[[Path], None]) -> None:
    """Let `write` make a file, which then takes the place of `path` in one step.

    Whatever happens meanwhile, at `path` there is the whole old file or the whole new one; a link
    stays one.

    Parameters
    ----------
    path : str or Path
        Where the file is to be. Missing folders are made.
    write : callable
        Gets the path to write to: same folder, same ending.

    Raises
    ------
    InputError
        The disk refuses (no right to write, disk full, a folder in the way).
    """
    path = Path(os.path.realpath(path))
    partial = path.with_name(f".{uuid.uuid4().hex[:12]}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            partial.touch()
            mode = partial.stat().st_mode
            write(partial)
            partial.chmod(mode)  # some writers make files that nobody else can read
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(
            f"“{path}” cannot be written ({reason}); choose another place or make room."
        ) from error
