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
    scores = dict(enumerate(prediction.scores.tolist(), 1))
    wholes = list_wholes(prediction, names)
    return Labelled(
        prediction.labels, _name_classes(prediction, names), scores, image=image, wholes=wholes
    )


def list_wholes(prediction: Prediction, names: Sequence[str]) -> tuple[Shape, ...]:
    """Each cell of a prediction as a whole; none where it does not say it. As `as_labelled`."""
    if prediction.instances is None:
        return ()
    classes, scores = _name_classes(prediction, names), prediction.scores.tolist()
    cells = zip(
        prediction.instances.boxes.tolist(), prediction.instances.masks, scores, strict=True
    )
    return tuple(
        Shape(mask, (box[0], box[1]), label, 0, classes.get(label, ""), score)
        for label, (box, mask, score) in enumerate(cells, 1)
    )


def _name_classes(prediction: Prediction, names: Sequence[str]) -> dict[int, str]:
    if len(names) < 2:
        return {}
    return {label: names[kind - 1] for label, kind in enumerate(prediction.classes.tolist(), 1)}
