"""Files on disk: which ones are meant, which belong together, and labels in and out."""

from __future__ import annotations

import glob
import os
import re
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_unet.core.errors import InputError
from napari_unet.core.lazy_image import is_zarr
from napari_unet.core.pixels import read_image, read_plane

__all__ = [
    "IMAGE_SUFFIXES",
    "as_labels",
    "expand",
    "find_home",
    "match_stems",
    "name_results",
    "pair_by_stem",
    "read_image",
    "read_labels",
    "write_atomically",
    "write_labels",
    "write_text",
]

IMAGE_SUFFIXES = frozenset({".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp", ".lsm"})

# What labelling tools put behind the image's name.
_LABEL_ENDING = re.compile(r"[_-](cp_)?(masks?|labels?|instances|seg|rois?)$", re.IGNORECASE)
_OF_CELLPOSE = re.compile(r"_seg\.npy$", re.IGNORECASE)
_OF_OTHERS = re.compile(r"\.(zip|roi|json|geojson)$", re.IGNORECASE)


def expand(paths: str | Path | Iterable[str | Path], what: str = "images") -> list[Path]:
    """The files that are meant by files, folders and glob patterns.

    Parameters
    ----------
    paths : one or several of: a file, a folder, a glob pattern (`**` crosses folders)
        A folder stands for the image files directly in it. Hidden files are left out.
    what : str
        What is looked for, for the message: "images", "labels". Of anything but images a folder
        stands for Cellpose's masks, which lie beside the images; else for its image files, of
        `a.tif` and `a_masks.tif` for the latter; else for ROIs, COCO and GeoJSON; and one that is
        a zarr stands for itself.

    Returns
    -------
    list of Path
        Each file once, in the order of `paths`; within a folder or pattern in natural order
        (cell2 before cell10).

    Raises
    ------
    InputError
        A path does not exist or cannot be looked into, or a folder or pattern holds no image.
    """
    entries = [paths] if isinstance(paths, str | Path) else list(paths)
    if not entries:
        raise InputError(f"No {what} were given; name a file, a folder or a pattern.")
    found: dict[Path, None] = {}
    for entry in entries:
        path = find_home(entry)
        try:
            found.update(dict.fromkeys(_expand_one(path, what)))
        except OSError as error:
            raise InputError(
                f"“{path}” cannot be looked into ({error.strerror}); check its name and who may "
                "read it."
            ) from error
    return list(found)


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


def _expand_one(path: Path, what: str) -> list[Path]:
    if path.is_file() or (what != "images" and is_zarr(path)):
        return [path]
    if path.is_dir():
        inside = _choose(path.iterdir(), what)
        if not inside:
            endings = " ".join(sorted(IMAGE_SUFFIXES))
            raise InputError(
                f"No {what} are in the folder “{path}”; it should hold files that end in {endings}."
            )
        return inside
    if glob.has_magic(str(path)):
        inside = _choose(map(Path, glob.iglob(str(path), recursive=True)), what)
        if not inside:
            raise InputError(f"No {what} match “{path}”; check the folder and the pattern.")
        return inside
    raise InputError(f"“{path}” does not exist; check the path to the {what}.")


def _choose(paths: Iterable[Path], what: str) -> list[Path]:
    files = [path for path in paths if not path.name.startswith(".") and path.is_file()]
    images = [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES]
    if what != "images":
        masks = [path for path in files if _OF_CELLPOSE.search(path.name)]
        images = (
            masks
            or _leave_out_shown(images)
            or [path for path in files if _OF_OTHERS.search(path.name)]
        )
    return sorted(images, key=_natural)


def _leave_out_shown(labels: Sequence[Path]) -> list[Path]:
    """The files but those beside which another one is called as their labels."""
    beside = {(path.parent, _bare(_stem(path))) for path in labels if _is_label(_stem(path))}
    return [path for path in labels if (path.parent, _stem(path)) not in beside]


def _natural(path: Path) -> list[tuple[int, int, str]]:
    """Sort key in which digits count as numbers."""
    pieces = filter(None, re.split(r"([0-9]+)", str(path).lower()))
    return [(0, int(piece), "") if piece.isdecimal() else (1, 0, piece) for piece in pieces]


def _stem(path: Path) -> str:
    """The file name without its ending, `.ome.tif` being one ending."""
    stem = path.stem
    return stem[:-4] if stem.lower().endswith(".ome") else stem


def pair_by_stem(images: Sequence[Path], labels: Sequence[Path]) -> list[tuple[Path, Path]]:
    """Put each image together with the labels of the same file name.

    The endings may differ (`a.ome.tif` and `a.png`), and either may carry what tools add to labels:
    `a_masks.tif`, `a_cp_masks.png`, `a_labels.tif`, `a-mask.png`, `a_seg.npy`. Both may lie in one
    folder, as Cellpose has them: there what is so called is labels, and no image is its own.

    Returns
    -------
    list of (image, labels) paths
        In the order of `images`.

    Raises
    ------
    InputError
        A file has no partner or more than one; the sentence names the files on each side.
    """
    shown = _leave_out_labels(images, labels)
    files = _real(shown)
    others = [path for path in labels if os.path.realpath(path) not in files]
    if labels and not others:
        raise InputError(
            f"“{labels[0]}” is given as an image and as its labels; give labels of its own, such "
            f"as “{_stem(labels[0])}_masks.tif”."
        )
    return match_stems(shown, others)


def _leave_out_labels(images: Sequence[Path], labels: Sequence[Path]) -> list[Path]:
    """The images but those that are called as the labels of another, and have none themselves."""
    stems, files = {_stem(path) for path in images}, _real(images)
    others = [_stem(path) for path in labels if os.path.realpath(path) not in files]
    labelled = {*others, *map(_bare, others)}
    return [
        path
        for path in images
        if (stem := _stem(path)) in labelled or not (_is_label(stem) and _bare(stem) in stems)
    ]


def _real(paths: Iterable[Path]) -> set[str]:
    """By which a file is known whatever the way to it."""
    return {os.path.realpath(path) for path in paths}


def _bare(stem: str) -> str:
    return _LABEL_ENDING.sub("", stem)


def _is_label(stem: str) -> bool:
    return _bare(stem) != stem


def match_stems(images: Sequence[Path], labels: Sequence[Path]) -> list[tuple[Path, Path]]:
    """As `pair_by_stem` of two lists of labels: a file may be its own partner.

    Raises
    ------
    InputError
        As `pair_by_stem`.
    """
    image_of = {_stem(path): path for path in images}
    _refuse_doubles([_stem(path) for path in images], "images")
    stem_of = {_bare(stem): stem for stem in image_of} | {s: s for s in image_of}
    exact = [_stem(path) for path in labels]
    stems = [stem_of.get(stem, stem_of.get(_bare(stem), _bare(stem))) for stem in exact]
    _refuse_doubles(stems, "labels")
    labels_of = dict(zip(stems, labels, strict=True))
    alone = [path for stem, path in image_of.items() if stem not in labels_of]
    stray = [path for stem, path in labels_of.items() if stem not in image_of]
    complaints = [_without_partner(alone, "no labels"), _without_partner(stray, "no image")]
    if any(complaints):
        raise InputError(
            f"{' and '.join(filter(None, complaints))}; "
            "give an image and its labels the same file name, or leave the file out."
        )
    return [(path, labels_of[stem]) for stem, path in image_of.items()]


def _refuse_doubles(stems: Sequence[str], what: str) -> None:
    double = [stem for stem, count in Counter(stems).items() if count > 1]
    if double:
        raise InputError(
            f"Several {what} have the name “{double[0]}”, so that it is open which one is meant; "
            "leave one of them out."
        )


def _without_partner(paths: Sequence[Path], missing: str) -> str:
    if not paths:
        return ""
    names = ", ".join(f"“{path.name}”" for path in paths[:3])
    more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    return f"{names}{more} {'has' if len(paths) == 1 else 'have'} {missing}"


def name_results(paths: list[Path], folder: Path) -> list[Path]:
    """`<stem>.tif` in a folder, which is made, for each path.

    Raises
    ------
    InputError
        Two of them have the same stem, one is such a file itself, or the folder cannot be made.
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
        if target.exists() and target.samefile(path):
            raise InputError(f"{target} would be written over: choose another output folder.")
    return targets


def read_labels(path: str | Path) -> NDArray[np.int32]:
    """Read a label image: > 0 a cell instance, −1 background said, 0 not said.

    Parameters
    ----------
    path : str or Path
        A TIFF, PNG or BMP of one plane with whole numbers. In a palette PNG the index counts.

    Returns
    -------
    (H, W) int32 array
        The values as they stand in the file; a black-and-white mask becomes 0 and 1.

    Raises
    ------
    InputError
        The file cannot be read, is a colour image or a stack, or holds fractions, numbers
        below −1 or numbers beyond int32.
    """
    return as_labels(read_plane(path), str(path))


def as_labels(plane: NDArray[Any], name: str) -> NDArray[np.int32]:
    """The values of a label image as int32.

    Raises
    ------
    InputError
        They are fractions, or numbers below −1 or beyond int32.
    """
    if plane.dtype.kind == "f":
        if not np.isfinite(plane).all() or (plane != np.round(plane)).any():
            raise InputError(
                f"“{name}” holds fractions or NaN, so that it is no label image; "
                "labels are whole numbers, one for each cell."
            )
    elif plane.dtype.kind not in "iub":
        raise InputError(f"“{name}” holds {plane.dtype} values; labels are whole numbers.")
    low, high = (plane.min(), plane.max()) if plane.size else (0, 0)
    if low < -1:
        raise InputError(
            f"“{name}” holds the label {int(low)}; only −1 (background), 0 and positive labels "
            "have a meaning."
        )
    if high > np.iinfo(np.int32).max:
        raise InputError(
            f"“{name}” holds the label {int(high)}, which is beyond 2147483647; relabel the cells."
        )
    return plane.astype(np.int32)


def write_labels(path: str | Path, labels: NDArray[Any]) -> None:
    """Write labels as a TIFF, deflate compressed, all or nothing.

    uint16 where all labels fit (0 … 65535), which every tool reads; else int32, as for the −1
    of background that is said.

    Parameters
    ----------
    path : str or Path
        Should end in .tif or .tiff. Missing folders are made.
    labels : (H, W) array of integers from −1 to 2147483647
        Or a stack of planes, (Z, H, W) or (T, Z, H, W).

    Raises
    ------
    InputError
        `labels` are no planes of such integers, or the file cannot be written.
    """
    labels = np.asarray(labels)
    if not 2 <= labels.ndim <= 4 or labels.dtype.kind not in "iub":
        raise InputError(
            f"Labels of shape {labels.shape} and type {labels.dtype} cannot be written to "
            f"“{path}”; planes of whole numbers are needed."
        )
    low, high = (labels.min(), labels.max()) if labels.size else (0, 0)
    if low < -1 or high > np.iinfo(np.int32).max:
        raise InputError(
            f"Labels from {low} to {high} cannot be written to “{path}”; "
            "they must lie between −1 and 2147483647."
        )
    fits = low >= 0 and high <= np.iinfo(np.uint16).max
    values = labels.astype(np.uint16 if fits else np.int32)
    axes = "TZYX"[-labels.ndim :]

    def write(target: Path) -> None:
        tifffile.imwrite(
            target,
            values,
            photometric="minisblack",
            compression="zlib",
            metadata={"axes": axes},
        )

    write_atomically(path, write)


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
