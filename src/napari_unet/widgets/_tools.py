"""What the buttons of the Annotate panel do to the layers.

The person asked for it by a click or a key, so these, and only these, choose the active layer
and its tool. They change no pixel: painting is napari's, and so is undoing it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from napari.layers import Labels, Shapes

from napari_unet.core.errors import InputError
from napari_unet.widgets import _classes, _regions
from napari_unet.widgets._regions import Outline

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_unet.widgets._session import Session

_LARGE = 2**25


def start_cell(session: Session, class_name: str | None = None) -> int:
    """Take the brush with the label of a new cell, of the class of that name.

    Raises
    ------
    InputError
        No image is open, or the type of the labels has no number left.
    """
    labels = session.labels or session.add_annotation()
    label = find_free_label(session, labels)
    if class_name is not None and (label in session.classes() or len(session.class_names) > 1):
        _classes.set_class(labels, label, class_name)
    _take_brush(session.viewer, labels, label)
    return label


def start_background(session: Session) -> None:
    """Take the brush with -1, background that is said.

    Raises
    ------
    InputError
        No image is open, or the labels cannot hold -1.
    """
    labels = session.labels or session.add_annotation()
    if np.dtype(labels.dtype).kind != "i":
        raise InputError(
            f"“{labels.name}” holds {labels.dtype} labels, which have no -1 for background: right-"
            "click the layer ▸ Convert data type ▸ int32, or mark a complete region instead."
        )
    _take_brush(session.viewer, labels, -1)


def start_erasing(session: Session) -> None:
    """Take the eraser: what it takes away is unlabelled again."""
    labels = session.labels or session.add_annotation()
    activate(session.viewer, labels)
    labels.mode = "erase"


def start_region(session: Session, kind: Literal["rectangle", "polygon"]) -> None:
    """Take the tool that draws a complete region."""
    regions = session.add_regions()
    activate(session.viewer, regions)
    regions.mode = f"add_{kind}"


def is_framed(session: Session) -> bool:
    """Whether the whole frame is marked as complete."""
    return bool(_find_frame(session))


def set_framed(session: Session, framed: bool) -> None:
    """Mark the whole frame as complete, or take that mark away; other regions stay."""
    if framed and not _find_frame(session):
        outline, kind = _regions.frame(
            session.plane_index(session.need_image()), session.plane_shape()
        )
        session.add_regions().add([outline], shape_type=kind)
    elif not framed and session.regions is not None:
        session.regions.remove(_find_frame(session))


def clear_regions(session: Session) -> list[Outline]:
    """Remove the regions of the plane and return them for `restore_regions`."""
    if session.regions is None:
        return []
    return _regions.remove_outlines(session.regions, session.plane_index(session.need_image()))


def restore_regions(session: Session, outlines: list[Outline]) -> None:
    """Put back what `clear_regions` removed."""
    for vertices, kind in outlines:
        session.add_regions().add([vertices], shape_type=kind)


def count_regions(session: Session) -> int:
    """How many regions lie on the plane."""
    if session.regions is None or session.image is None:
        return 0
    return len(_regions.list_outlines(session.regions, session.plane_index(session.image)))


def find_free_label(session: Session, labels: Labels) -> int:
    """The smallest label above all that are in use.

    Raises
    ------
    InputError
        The type of the labels has no number left.
    """
    data, highest = labels.data, 0
    if data.size > _LARGE or not isinstance(data, np.ndarray):
        data = session.plane(labels)  # to look through a large stack would take too long
        # one table has the classes of the cells of all planes
        highest = max(_classes.classes_of_cells(labels), default=0)
    highest = max(0, highest, int(data.max(initial=0)))
    if highest >= np.iinfo(labels.dtype).max:
        raise InputError(
            f"“{labels.name}” holds {labels.dtype} labels and has no number left after "
            f"{highest}: right-click the layer ▸ Convert data type ▸ int32."
        )
    return highest + 1


def activate(viewer: ViewerModel, layer: Labels | Shapes) -> None:
    """Make `layer` the one that the mouse works on."""
    layer.visible = True
    viewer.layers.selection.active = layer


def describe_tool(session: Session) -> str:
    """What a stroke does now, in words; empty where the mouse does not work on the annotation."""
    active = session.viewer.layers.selection.active
    if active is None:
        return ""
    if active is session.regions and str(active.mode).startswith("add_"):
        return "drawing a complete region"
    if active is not session.labels or active.mode not in ("paint", "fill", "polygon", "erase"):
        return ""
    if active.mode == "erase" or active.selected_label == 0:
        return "erasing"
    if active.selected_label == -1:
        return "painting background"
    return f"painting cell {active.selected_label}"


def _take_brush(viewer: ViewerModel, labels: Labels, label: int) -> None:
    activate(viewer, labels)
    labels.selected_label = label
    labels.mode = "paint"


def _find_frame(session: Session) -> list[int]:
    """Numbers of the regions that are the whole frame."""
    if session.regions is None or session.image is None:
        return []
    index = session.plane_index(session.image)
    outline, _ = _regions.frame(index, session.plane_shape())
    regions = session.regions
    return [
        number
        for number in _regions.list_outlines(regions, index)
        if regions.data[number].shape == outline.shape
        and np.allclose(regions.data[number], outline)
    ]
