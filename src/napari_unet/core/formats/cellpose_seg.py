"""Cellpose's `_seg.npy`: a pickled dict, of which nothing is run that could do harm."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
from skimage.segmentation import find_boundaries

from napari_unet.core.damage import DAMAGE, give_reason
from napari_unet.core.errors import InputError
from napari_unet.core.files import write_atomically
from napari_unet.core.formats.labelled import (
    Labelled,
    remark_background,
    remark_classes,
    remark_overlaps,
    remark_scores,
)
from napari_unet.core.label_files import as_labels

_ALLOWED = frozenset(
    f"{module}.{name}"
    for module, names in {
        "numpy": ("ndarray", "dtype"),
        "numpy.core.multiarray": ("_reconstruct", "scalar"),
        "numpy._core.multiarray": ("_reconstruct", "scalar"),
        "numpy.core.numeric": ("_frombuffer",),
        "numpy._core.numeric": ("_frombuffer",),
    }.items()
    for name in names
)
"""What pickles of arrays call, before and since NumPy 2."""


def is_seg(path: Path) -> bool:
    """Whether a file goes by the name that Cellpose gives."""
    return path.name.lower().endswith("_seg.npy")


def read_seg(path: Path, size: tuple[int, int] | None) -> list[Labelled]:
    """Read the masks; of a stack, (Z, H, W), all planes.

    Raises
    ------
    InputError
        The file is damaged, holds no masks or holds anything but numbers, words and arrays of
        them.
    """
    said = _load(path)
    masks = said.get("masks")
    if not isinstance(masks, np.ndarray) or masks.ndim not in (2, 3) or not masks.size:
        raise InputError(f"“{path}” has no masks: save it again from Cellpose.")
    return [Labelled(as_labels(masks, str(path)))]


def write_seg(path: Path, labelled: Labelled) -> tuple[str, ...]:
    """Write masks and outlines, numbered 1 … n as Cellpose expects; returns what was lost."""
    cells, masks = np.unique(np.maximum(labelled.labels, 0), return_inverse=True)
    masks = masks.reshape(labelled.labels.shape) + int(cells[0] > 0)
    count = int(masks.max(initial=0))
    renumbered = int(cells[-1]) != count
    masks = masks.astype(np.uint16 if count <= np.iinfo(np.uint16).max else np.uint32)
    edges = np.stack([find_boundaries(plane, mode="inner") for plane in np.atleast_3d(masks.T).T])
    said = {
        "filename": path.name[: -len("_seg.npy")],
        "masks": masks,
        "outlines": masks * edges.reshape(masks.shape),
        "chan_choose": [0, 0],
        "ismanual": np.ones(count, bool),
        "flows": [[], [], [], [], [[]]],
        "est_diam": 0,
    }

    def write(target: Path) -> None:
        with target.open("wb") as file:
            np.save(file, np.array(said, object), allow_pickle=True)

    write_atomically(path, write)
    return (
        *remark_background(labelled, "Masks of Cellpose"),
        *_remark_numbers(renumbered, count),
        *remark_classes(labelled, "A _seg.npy"),
        *remark_scores(labelled, "A _seg.npy"),
        *remark_overlaps(labelled),
    )


def _remark_numbers(renumbered: bool, count: int) -> tuple[str, ...]:
    if not renumbered:
        return ()
    return (f"Cellpose numbers cells without gaps: the labels became 1 … {count}.",)


def _load(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            if version[0] == 1:
                np.lib.format.read_array_header_1_0(file)
            else:
                np.lib.format.read_array_header_2_0(file)
            loaded = _Unpickler(file).load()
    except pickle.UnpicklingError as error:
        raise InputError(f"“{path}” is not read: {error}.") from error
    except DAMAGE as error:
        raise InputError(
            f"“{path}” cannot be read as masks of Cellpose ({give_reason(error)}): save it again "
            "from there."
        ) from error
    said = loaded.item() if isinstance(loaded, np.ndarray) and loaded.ndim == 0 else loaded
    if not isinstance(said, dict):
        raise InputError(f"“{path}” has no masks: save it again from Cellpose.")
    return said


class _Unpickler(pickle.Unpickler):
    """Makes arrays and what Python has literals for; calls nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if f"{module}.{name}" in _ALLOWED:
            return super().find_class(module, name)
        if (module, name) == ("_codecs", "encode"):
            return _encode
        if module.startswith("pathlib") and name.endswith("Path"):
            return _join
        raise pickle.UnpicklingError(
            f"it would run {module}.{name}, which masks have no need of; do not open it elsewhere "
            "unless you know who made it"
        )


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """What old pickles call for bytes."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it holds bytes as {encoding}")
    return text.encode("latin1")


def _join(*parts: str) -> str:
    """A path as words."""
    return "/".join(map(str, parts))
