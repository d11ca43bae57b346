"""Warping error of Jain et al. 2010: errors of topology, not of where exactly a border runs."""

from __future__ import annotations

from functools import cache
from typing import Any

import numba as nb
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

from napari_unet.core.errors import InputError

_jit: Any = nb.njit(cache=True, nogil=True)


def warping_error(truth: NDArray[Any], prediction: NDArray[Any]) -> float:
    """Fraction of pixels that still differ when the truth has been warped to the prediction.

    A pixel of the truth that differs from the prediction is flipped as long as that leaves the
    topology as it is (a simple point: cells 4-connected, membranes 8-connected), in raster
    order until none is left. What remains are splits, mergers, and objects or holes that are
    missing or too many. No limit is put on how far a border may move.

    Parameters
    ----------
    truth, prediction : (H, W) arrays of bool or integer
        > 0 inside a cell, everything else is membrane or background.

    Returns
    -------
    float
        0 to 1, 0 for the same topology.

    Raises
    ------
    InputError
        For arrays that are not 2-D or differ in shape.

    References
    ----------
    Jain et al., Boundary learning by optimization with topological constraints, CVPR 2010.
    """
    truth, prediction = np.asarray(truth), np.asarray(prediction)
    if truth.ndim != 2 or truth.shape != prediction.shape:
        raise InputError(
            f"The truth has the shape {truth.shape} and the prediction {prediction.shape}: give "
            "two images (rows, columns) of the same size."
        )
    if truth.size == 0:
        return 0.0
    warped = np.pad(truth > 0, 1)
    target = np.pad(prediction > 0, 1)
    _warp(warped, target, _simple_points())
    return float(np.mean(warped[1:-1, 1:-1] != target[1:-1, 1:-1]))


@cache
def _simple_points() -> NDArray[np.bool_]:
    """Whether the pixel amid each of the 256 neighbourhoods, coded as in `_warp`, is simple."""
    simple = np.zeros(256, bool)
    for code in range(256):
        bits = [bool(code >> bit & 1) for bit in range(8)]
        inside = np.array([*bits[:4], False, *bits[4:]]).reshape(3, 3)
        outside = ~inside
        outside[1, 1] = False
        cells, _ = ndi.label(inside)
        around = np.array([cells[0, 1], cells[1, 0], cells[1, 2], cells[2, 1]])
        _, holes = ndi.label(outside, np.ones((3, 3)))
        simple[code] = len(np.unique(around[around > 0])) == 1 and holes == 1
    return simple


@_jit  # type: ignore[untyped-decorator]
def _warp(warped: Any, target: Any, simple: Any) -> None:
    """Flip simple points of `warped` that differ from `target` until none is left."""
    changed = True
    while changed:
        changed = False
        for y in range(1, warped.shape[0] - 1):
            for x in range(1, warped.shape[1] - 1):
                if warped[y, x] == target[y, x]:
                    continue
                code = 0
                bit = 0
                for i in range(-1, 2):
                    for j in range(-1, 2):
                        if i != 0 or j != 0:
                            code |= int(warped[y + i, x + j]) << bit
                            bit += 1
                if simple[code]:
                    warped[y, x] = target[y, x]
                    changed = True
