"""Cells that a model found, as any format of labels may tell them."""

from __future__ import annotations

from collections.abc import Sequence

from napari_unet.core.formats.labelled import Labelled, Shape
from napari_unet.core.types import Prediction


def as_labelled(prediction: Prediction, names: Sequence[str], image: str = "") -> Labelled:
    """A prediction with the classes and scores of its cells, each as a whole where it says so.

    Parameters
    ----------
    prediction : Prediction
    names : sequence of str
        Of the classes 1 … K; of a single one nothing is said.
    image : str
        The name of the image.
    """
    classes: dict[int, str] = {}
    if len(names) > 1:
        kinds = enumerate(prediction.classes.tolist(), 1)
        classes = {label: names[kind - 1] for label, kind in kinds}
    scores = dict(enumerate(prediction.scores.tolist(), 1))
    wholes: tuple[Shape, ...] = ()
    if prediction.instances is not None:
        cells = zip(prediction.instances.boxes.tolist(), prediction.instances.masks, strict=True)
        wholes = tuple(
            Shape(mask, (box[0], box[1]), label, 0, classes.get(label, ""), scores[label])
            for label, (box, mask) in enumerate(cells, 1)
        )
    return Labelled(prediction.labels, classes, scores, image=image, wholes=wholes)
