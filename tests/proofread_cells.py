"""An edit applied to an annotation, and discs to edit."""

from __future__ import annotations

import numpy as np


def apply(annotation, edit):
    after = annotation.copy()
    after[edit.box] = edit.labels
    return after


def disc(shape, centre, radius):
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 <= radius**2


def make_two():
    """Two discs that touch, predicted as 3 and 7, and an empty annotation."""
    prediction = np.zeros((60, 90), np.int32)
    prediction[disc(prediction.shape, (30, 30), 12)] = 3
    prediction[disc(prediction.shape, (30, 53), 12)] = 7
    return prediction, np.zeros_like(prediction)
