"""How much a pixel of each class counts, so that a rare class is not drowned by a frequent one."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_unet.core.config import ClassWeights
from napari_unet.core.errors import InputError


def class_weight_values(counts: ArrayLike, mode: ClassWeights) -> NDArray[np.float32]:
    """Weight w_c of each class.

    Parameters
    ----------
    counts : (K + 1,) integers
        Supervised pixels of the background and of each cell class.
    mode : "balanced", "none" or tuple of float
        N/((K + 1)·n_k), 1 where a class has no pixel; 1 everywhere; or the values given, of which
        the last also stands for all classes that follow it.

    Returns
    -------
    (K + 1,) float32 array
        Index 0 is the background.
    """
    numbers = np.asarray(counts, dtype=np.float64)
    if isinstance(mode, str):
        if mode == "none":
            return np.ones(numbers.size, np.float32)
        if mode != "balanced":
            raise InputError(
                f'Class weights "{mode}" are not known: say "balanced", "none" or a number a class.'
            )
        present = numbers > 0
        weights = np.ones(numbers.size)
        weights[present] = numbers.sum() / (numbers.size * numbers[present])
        return weights.astype(np.float32)
    given = np.asarray(mode, dtype=np.float64)
    if given.ndim != 1 or not 0 < given.size <= numbers.size or not np.all(given >= 0):
        raise InputError(
            f"Class weights {mode} do not fit: give up to {numbers.size} numbers from 0 up, "
            "the background's first."
        )
    return given[np.minimum(np.arange(numbers.size), given.size - 1)].astype(np.float32)
