"""Other ways to learn cells from a few crops, each with its own training and prediction.

Each function takes the crops [(image (C, H, W), labels (H, W)), …], a budget in minutes and a
seed, and returns what finds labels in an image. Beside this project they need

    pip install scikit-learn "cellpose<4" stardist tensorflow

(Cellpose 4 can no longer be trained from scratch.) Where a peer has no time limit of its own,
its epochs are chosen by timing a few first; start-up and compiling are not counted.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

Crops: TypeAlias = Sequence[tuple[np.ndarray, np.ndarray]]
Find: TypeAlias = Callable[[np.ndarray], np.ndarray]

_EPOCHS_TIMED = 5
_FOREST_PIXELS = 100_000
_SMALLEST = 20  # px


def forest(crops: Crops, minutes: float, seed: int) -> Find:
    """A random forest on scikit-image's multiscale features, then a watershed of the distance."""
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


def stardist(crops: Crops, minutes: float, seed: int) -> Find:
    """StarDist's own network from scratch, with its thresholds found on the crops."""
    import tensorflow as tf
    from csbdeep.utils import normalize
    from stardist.models import Config2D, StarDist2D

    class StopAfter(tf.keras.callbacks.Callback):
        """Ends the training when the time is up; the first step compiles and is not counted."""

        end: float | None = None

        def on_train_batch_end(self, batch: int, logs: object = None) -> None:
            self.end = self.end or time.perf_counter() + 60 * minutes
            if time.perf_counter() > self.end:
                self.model.stop_training = True

    def ready(image: np.ndarray) -> np.ndarray:
        return normalize(np.moveaxis(image, 0, -1).squeeze().astype(np.float32), 1, 99.8)

    def augment(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        turns, mirror = rng.integers(4), rng.integers(2)
        x, y = np.rot90(x, turns), np.rot90(y, turns)
        x, y = (x[::-1], y[::-1]) if mirror else (x, y)
        return x * rng.uniform(0.6, 2) + rng.uniform(-0.2, 0.2), y

    rng = np.random.default_rng(seed)
    tf.keras.utils.set_random_seed(seed)  # NumPy's global state too, from which patches are drawn
    images, labels = [ready(image) for image, _ in crops], [each for _, each in crops]
    config = Config2D(
        n_rays=32,
        grid=(2, 2),
        n_channel_in=len(crops[0][0]),
        train_patch_size=(256, 256),
        train_batch_size=4,
        train_epochs=10_000,
        train_steps_per_epoch=20,
        train_tensorboard=False,
    )
    with tempfile.TemporaryDirectory() as folder:
        model = StarDist2D(config, name="crops", basedir=folder)
        model.prepare_for_training()
        model.callbacks.append(StopAfter())
        last = (images[-1:], labels[-1:])
        model.train(images, labels, validation_data=last, augmenter=augment)
        model.optimize_thresholds(images, labels)

    def find(image: np.ndarray) -> np.ndarray:
        pixels = ready(image)
        return model.predict_instances(pixels, n_tiles=model._guess_n_tiles(pixels))[0]

    return find


def cellpose(crops: Crops, minutes: float, seed: int) -> Find:
    """Cellpose 3's own network from scratch."""
    import torch
    from cellpose.models import CellposeModel
    from cellpose.train import train_seg

    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - its training draws from the global state
    images = [image.mean(0) for image, _ in crops]
    labels = [each.astype(np.int32) for _, each in crops]

    def fit(epochs: int) -> CellposeModel:
        model = CellposeModel(gpu=False, pretrained_model=None)
        with tempfile.TemporaryDirectory() as folder:
            train_seg(
                model.net, images, labels, channels=[0, 0], n_epochs=epochs, learning_rate=0.1,
                weight_decay=1e-4, SGD=True, batch_size=4, nimg_per_epoch=max(8, len(images)),
                min_train_masks=1, save_path=folder,
            )  # fmt: skip
        return model

    fit(1)
    begin = time.perf_counter()
    fit(_EPOCHS_TIMED)
    pace = (time.perf_counter() - begin) / _EPOCHS_TIMED
    model = fit(max(1, round(60 * minutes / pace)))
    diameter = float(model.net.diam_labels.item())
    return lambda image: model.eval(image.mean(0), channels=[0, 0], diameter=diameter)[0]


PEERS = {"forest": forest, "stardist": stardist, "cellpose": cellpose}
