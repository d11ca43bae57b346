"""Other ways to learn cells from a few crops, each with its own training and prediction.

Each function takes the crops [(image (C, H, W), labels (H, W)), …], a budget in minutes and a
seed, and returns what finds labels in an image. Beside this project they need scikit-learn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

Crops: TypeAlias = Sequence[tuple[np.ndarray, np.ndarray]]
Find: TypeAlias = Callable[[np.ndarray], np.ndarray]

_FOREST_PIXELS = 100_000
_SMALLEST = 20  # px


def forest(crops: Crops, minutes: float, seed: int) -> Find:
    """A random forest on scikit-image's multiscale features, then a watershed of the distance.

    It is trained within the minutes, in some seconds.
    """
    from scipy import ndimage as ndi
    from skimage.feature import multiscale_basic_features, peak_local_max
    from skimage.morphology import remove_small_objects
    from skimage.segmentation import watershed
    from sklearn.ensemble import RandomForestClassifier

    def features(image: np.ndarray) -> np.ndarray:
        low, high = np.percentile(image, (1, 99.8))
        scaled = (image.astype(np.float32) - low) / max(high - low, 1e-6)
        return multiscale_basic_features(scaled, channel_axis=0)

    x = np.concatenate([features(image).reshape(labels.size, -1) for image, labels in crops])
    y = np.concatenate([(labels > 0).ravel() for _, labels in crops])
    chosen = np.random.default_rng(seed).permutation(len(y))[:_FOREST_PIXELS]
    trees = RandomForestClassifier(100, max_depth=20, n_jobs=-1, random_state=seed)
    trees.fit(x[chosen], y[chosen])

    def find(image: np.ndarray) -> np.ndarray:
        maps = features(image)
        inside = trees.predict_proba(maps.reshape(-1, maps.shape[-1]))[:, 1] > 0.5
        mask = ndi.binary_fill_holes(inside.reshape(maps.shape[:2]))
        depth = ndi.gaussian_filter(ndi.distance_transform_edt(mask), 1)
        peaks = peak_local_max(depth, min_distance=4, labels=ndi.label(mask)[0])
        seeds = np.zeros(mask.shape, np.int32)
        seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
        return remove_small_objects(watershed(-depth, seeds, mask=mask), max_size=_SMALLEST - 1)

    return find


PEERS = {"forest": forest}
