"""What each cell measures: size, shape, place and grey values, one row a cell."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi
from skimage.measure import perimeter, regionprops_table

from napari_unet.core.errors import InputError
from napari_unet.core.label_boxes import name_densely
from napari_unet.core.tables import Table, join_tables, take_rows

Scale: TypeAlias = tuple[float, float]
"""Height and width of a pixel, in the unit that goes with it."""

PIXEL = "px"

_PIXEL_WORDS = {"", "px", "pixel", "pixels", "dimensionless"}
_MICROMETRE_WORDS = {"µm", "μm", "um", "micron", "microns", "micrometer", "micrometre"}
_LENGTHS = {
    "equivalent_diameter_area": "equivalent_diameter",
    "axis_major_length": "axis_major",
    "axis_minor_length": "axis_minor",
    "perimeter": "perimeter",
}
_RATIOS = ("eccentricity", "solidity")
_PLACE = {"centroid-0": "centroid_y", "centroid-1": "centroid_x"}
_GREY = ("intensity_mean", "intensity_min", "intensity_max", "intensity_std")


@dataclass(frozen=True)
class Summary:
    """Number of cells, their median equivalent diameter, and how many touch the border.

    The diameter is in the unit of the table, NaN where there is no cell.
    """

    cells: int
    diameter: float
    at_border: int


def measure(
    labels: NDArray[Any],
    image: NDArray[Any] | None = None,
    scale: Scale = (1.0, 1.0),
    unit: str = PIXEL,
    classes: Mapping[int, Any] | None = None,
    scores: Mapping[int, float] | None = None,
    channel_names: Sequence[str] | None = None,
) -> Table:
    """Measure every cell of a plane, or of each frame of a stack.

    Parameters
    ----------
    labels : (H, W) or (T, H, W) array of integers
        > 0 a cell; of a stack each frame is measured by itself.
    image : (H, W) or (C, H, W) array, of a stack (T, H, W) or (T, C, H, W), optional
        The grey values that the intensities are of, in the image's own unit.
    scale : (float, float)
        Height and width of a pixel in `unit`; they may differ.
    unit : str
        A unit of length, such as "um" or "µm"; "px" where the size of a pixel is not known.
    classes, scores : mapping of label to class and to score, optional
        The columns `class` (text, empty where nothing is said) and `score` (NaN).
    channel_names : sequence of str, optional
        One a channel; "ch1", "ch2" … by default, and none where there is one channel.

    Returns
    -------
    dict of str to (n,) array
        One row a cell, by frame and label. The columns are named `quantity_unit` in plain
        letters, so that `table.area_um2` is valid in pandas and `table$area_um2` in R:

        ==========================================  =============================================
        frame                                       of a stack, counted from 0
        label, class, score
        area_um2                                    pixels × their size
        equivalent_diameter_um                      of a disk as large
        axis_major_um, axis_minor_um                of the ellipse with the same second moments
        perimeter_um                                Benkrid and Crookes 2000, as scikit-image has it
        eccentricity                                of that ellipse: 0 a circle, towards 1 a line
        solidity                                    area ÷ area of the convex hull
        centroid_y_um, centroid_x_um                the middle of the first pixel is 0
        intensity_mean, _min, _max, _std            of several channels `intensity_mean_ch1` …
        touches_border                              whether it may be cut by the edge of the plane
        ==========================================  =============================================

    Raises
    ------
    InputError
        The labels are no planes of whole numbers, the image or the names do not fit them, or
        scale and unit say nothing together.

    Notes
    -----
    The perimeter is defined on square pixels. A cell of other pixels is put onto squares as large
    as the shorter side, by interpolating the distance to its border (Raya and Udupa 1990).
    """
    labels = np.asarray(labels)
    if labels.ndim not in (2, 3) or not labels.size or labels.dtype.kind not in "iub":
        raise InputError(
            f"Labels of shape {labels.shape} and type {labels.dtype} cannot be measured: give a "
            "plane, or a stack of planes, of whole numbers."
        )
    unit = spell_unit(unit)
    _check_scale(scale, unit)
    channels = None if image is None else _channels_of(np.asarray(image), labels)
    suffixes = _suffixes(0 if channels is None else channels.shape[-3], channel_names)
    said = (classes, scores, suffixes)
    if labels.ndim == 2:
        return _measure_plane(labels, channels, scale, unit, *said)
    planes = [
        _measure_plane(plane, None if channels is None else channels[frame], scale, unit, *said)
        for frame, plane in enumerate(labels)
    ]
    return join_tables("frame", range(len(planes)), planes)


def measure_layers(
    layers: Sequence[NDArray[Any]],
    image: NDArray[Any] | None = None,
    scale: Scale = (1.0, 1.0),
    unit: str = PIXEL,
    classes: Mapping[int, Any] | None = None,
    scores: Mapping[int, float] | None = None,
    channel_names: Sequence[str] | None = None,
) -> Table:
    """Measure cells that overlap, each over all its pixels.

    Parameters
    ----------
    layers : sequence of (H, W) array of integers, or (L, H, W)
        Of one plane: > 0 a cell, which is whole in one of them.
    image, scale, unit, classes, scores, channel_names
        As for `measure`, whose table this is.
    """
    said = (classes, scores, channel_names)
    tables = [measure(labels, image, scale, unit, *said) for labels in layers]
    joined = join_tables("layer", range(len(tables)), tables)
    del joined["layer"]
    return take_rows(joined, np.argsort(joined["label"]))


def summarise(table: Table, unit: str = PIXEL) -> Summary:
    """The figures of a table that `measure` made with this unit."""
    diameters = table[f"equivalent_diameter_{spell_unit(unit)}"]
    median = float(np.median(diameters)) if diameters.size else float("nan")
    return Summary(len(diameters), median, int(np.count_nonzero(table["touches_border"])))


def spell_unit(unit: str) -> str:
    """A unit in plain letters, as it stands in the name of a column: "um" for "µm".

    Raises
    ------
    InputError
        It is no word of plain letters.
    """
    word = unit.strip()
    if word.lower() in _PIXEL_WORDS:
        return PIXEL
    if word.lower() in _MICROMETRE_WORDS:
        return "um"
    if not re.fullmatch(r"[A-Za-z]+", word):
        raise InputError(f"“{unit}” is no unit of length: give one such as um, nm or mm.")
    return word


def _check_scale(scale: Scale, unit: str) -> None:
    if len(scale) != 2 or not all(np.isfinite(size) and size > 0 for size in scale):
        raise InputError(f"A pixel cannot measure {scale}: give its height and width, above 0.")
    if unit == PIXEL and tuple(scale) != (1.0, 1.0):
        raise InputError(
            f"Pixels of {scale[0]:g} × {scale[1]:g} need a unit: say which, such as um."
        )


def _channels_of(image: NDArray[Any], labels: NDArray[Any]) -> NDArray[Any]:
    """The image as (C, H, W), of a stack (T, C, H, W)."""
    if image.ndim == labels.ndim:
        image = np.expand_dims(image, -3)
    frames, size = labels.shape[:-2], labels.shape[-2:]
    if image.shape[:-3] != frames or image.shape[-2:] != size or image.ndim != labels.ndim + 1:
        raise InputError(
            f"The image is {_words(image.shape)} and the labels are {_words(labels.shape)}: "
            "measure an image with the labels of its own size."
        )
    if image.dtype == np.float16:  # sums of squares leave its range
        return image.astype(np.float32)
    return image.astype(np.uint8) if image.dtype.kind == "b" else image


def _suffixes(channels: int, names: Sequence[str] | None) -> list[str]:
    """What stands behind the intensities of each channel, in plain letters, each another."""
    if names is None:
        return [""] if channels == 1 else [f"_ch{number}" for number in range(1, channels + 1)]
    if len(names) != channels:
        raise InputError(
            f"{len(names)} names are given for {channels} channels: give one name a channel."
        )
    plain = ["_" + (re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_") or "ch") for name in names]
    return [
        suffix if plain.count(suffix) == 1 else f"{suffix}_{number}"
        for number, suffix in enumerate(plain, 1)
    ]


def _measure_plane(
    labels: NDArray[Any],
    channels: NDArray[Any] | None,
    scale: Scale,
    unit: str,
    classes: Mapping[int, Any] | None,
    scores: Mapping[int, float] | None,
    suffixes: Sequence[str],
) -> Table:
    names, values = name_densely(labels)
    names = np.maximum(names, 0).astype(np.int32)
    found = _describe(names, channels, scale)
    number = found["label"]
    label = number if values is None else values[number].astype(np.int64)
    table: Table = {"label": label}
    if classes is not None:
        table["class"] = np.array([str(classes.get(i, "")) for i in label.tolist()], dtype=str)
    if scores is not None:
        table["score"] = np.array([scores.get(i, np.nan) for i in label.tolist()], dtype=float)
    table[f"area_{unit}2"] = found["area"]
    for theirs, ours in _LENGTHS.items():
        table[f"{ours}_{unit}"] = found[theirs]
    for name in _RATIOS:
        table[name] = found[name]
    for theirs, ours in _PLACE.items():
        table[f"{ours}_{unit}"] = found[theirs]
    for channel, suffix in enumerate(suffixes):
        for name in _GREY:
            table[name + suffix] = found[f"{name}-{channel}"]
    table["touches_border"] = np.isin(number, _at_border(names))
    return table


def _describe(
    names: NDArray[np.int32], channels: NDArray[Any] | None, scale: Scale
) -> dict[str, NDArray[Any]]:
    """What scikit-image finds, under its names; lengths in the unit of `scale`."""
    properties = ["label", "area", *_LENGTHS, *_RATIOS, "centroid"]
    own: list[Callable[..., float]] = []
    if scale[0] != scale[1]:
        properties.remove("perimeter")
        own.append(_perimeter_of(scale))
    grey: NDArray[Any] | None = None
    if channels is not None:
        properties += _GREY
        grey = np.moveaxis(channels, 0, -1)
    found: dict[str, NDArray[Any]] = regionprops_table(
        names, grey, properties=properties, spacing=scale, extra_properties=own or None
    )
    if own:
        found["perimeter"] = found.pop(own[0].__name__)
    return found


def _perimeter_of(scale: Scale) -> Callable[[NDArray[np.bool_]], float]:
    """What finds the perimeter of a mask whose pixels are not square."""
    side = min(scale)
    factors = tuple(size / side for size in scale)

    def perimeter_on_squares(mask: NDArray[np.bool_]) -> float:
        padded = np.pad(mask, 1)
        depth = ndi.distance_transform_edt(padded, scale)
        depth -= ndi.distance_transform_edt(~padded, scale)
        depth = ndi.zoom(depth, factors, order=1, mode="nearest", grid_mode=True)
        # without it the steps of the larger pixels stay: 11 % too long where they are 2 × 1
        square = ndi.gaussian_filter(depth, max(factors) - 1) > 0
        return float(perimeter(square, 4) * side)

    return perimeter_on_squares


def _at_border(names: NDArray[np.int32]) -> NDArray[np.int32]:
    return np.unique(np.concatenate((names[0], names[-1], names[:, 0], names[:, -1])))


def _words(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))
