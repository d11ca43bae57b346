from __future__ import annotations

import numpy as np

from napari_unet.core.class_weights import class_weight_values


def test_class_weights():
    np.testing.assert_allclose(class_weight_values([75, 25], "balanced"), [2 / 3, 2])
    np.testing.assert_allclose(class_weight_values([50, 25, 25], "balanced"), [2 / 3, 4 / 3, 4 / 3])
    np.testing.assert_allclose(class_weight_values([50, 0], "balanced"), [0.5, 1])
    np.testing.assert_allclose(class_weight_values([1, 2, 3], "none"), [1, 1, 1])
    np.testing.assert_allclose(class_weight_values([1, 2, 3], (0.1, 1.0)), [0.1, 1, 1])
