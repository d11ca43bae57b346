"""Which image and which labels belong together, by their file names."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from napari_unet.core.errors import InputError

# What labelling tools put behind the image's name.
_LABEL_ENDING = re.compile(r"[_-](cp_)?(masks?|labels?|instances|seg|rois?)$", re.IGNORECASE)


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


def leave_out_shown(labels: Sequence[Path]) -> list[Path]:
    """The files but those beside which another one is called as their labels."""
    beside = {(path.parent, _bare(_stem(path))) for path in labels if _is_label(_stem(path))}
    return [path for path in labels if (path.parent, _stem(path)) not in beside]


def _stem(path: Path) -> str:
    """The file name without its ending, `.ome.tif` being one ending."""
    # a Mac writes é as two letters, others as one
    stem = unicodedata.normalize("NFC", path.stem)
    return stem[:-4] if stem.lower().endswith(".ome") else stem
