"""A JSON file that is a long list, of which one item at a time is in memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from napari_unet.core.files import write_atomically


def write_json(
    path: Path,
    head: Mapping[str, Any],
    name: str,
    items: Iterable[Any],
    tail: Callable[[], Mapping[str, Any]] = dict,
) -> None:
    """Write an object with a list in it, as `write_atomically`.

    Parameters
    ----------
    path : Path
    head : mapping
        What stands before the list; not empty.
    name : str
        Of the list.
    items : iterable
    tail : callable
        Gives what stands after the list, when that has been written.
    """

    def write(target: Path) -> None:
        with target.open("w", encoding="utf-8") as file:
            file.write(f"{json.dumps(head)[:-1]}, {json.dumps(name)}: [")
            for count, item in enumerate(items):
                file.write(", " if count else "")
                json.dump(item, file)
            file.write("]")
            for key, value in tail().items():
                file.write(f", {json.dumps(key)}: {json.dumps(value)}")
            file.write("}")

    write_atomically(path, write)
