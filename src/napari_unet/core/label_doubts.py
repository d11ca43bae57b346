"""Where the labels of a window may differ from those of the whole image.

How far each step of `instances.label_instances` looks beyond the component that it works on.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

from napari_unet.core.config import InstanceConfig
from napari_unet.core.instances import find_contacts
from napari_unet.core.regions import widen
from napari_unet.core.types import Region

_SMOOTHED = 5  # px: the height is smoothed over 4, a maximum looks at 1 more
_MEASURED = 12  # px: and near another component its depth is that to the border between them
_GROWN = 8  # px: a ridge is 2 wide, looks at 2 more, and is flooded from 1 more; with room
_ROUND_A_CELL = 4  # px: what a cell gains by growing lies in its component's box and these


def find_doubts(
    mask: NDArray[np.bool_], open_sides: tuple[bool, bool, bool, bool], config: InstanceConfig
) -> list[Region]:
    """Boxes of a window in which its labels may differ from those of the whole image.

    Parameters
    ----------
    mask : (h, w) bool array
        The foreground in the window.
    open_sides : (top, bottom, left, right)
        Whether the image goes on there.
    config : InstanceConfig

    Returns
    -------
    list of Region
        Within the window. In doubt are components that touch an open side; those split anew by
        what is unknown within a few pixels of them; those that such ones may grow into; and
        background that may be a hole of a component that touches an open side.
    """
    if not any(open_sides):
        return []
    components, n = ndi.label(mask, output=np.int32)
    cut = np.zeros(n + 1, bool)
    cut[find_rim(components, open_sides, 1)] = True
    cut[0] = False
    unknown = np.zeros(mask.shape, bool)
    boxes = []
    if config.fill_holes:
        patches, unsure = _unsure_holes(mask, components, cut, open_sides)
        unknown = unsure[patches]
        boxes += [box for box, is_one in _boxes_of(patches, unsure) if is_one]
    small = cut & (np.bincount(components.ravel(), minlength=n + 1) < 2 * max(config.min_size, 1))
    splits = cut | _reached(components, unknown | small[components], _SMOOTHED)
    splits[find_rim(components, open_sides, _MEASURED)] = True
    splits[0] = False
    grows = splits | _reached(components, splits[components], _GROWN)
    boxes += [
        widen(box, _ROUND_A_CELL, (mask.shape[0], mask.shape[1]))
        for box, is_one in _boxes_of(components, grows)
        if is_one
    ]
    return boxes


def _unsure_holes(
    mask: NDArray[np.bool_],
    components: NDArray[np.int32],
    cut: NDArray[np.bool_],
    open_sides: tuple[bool, bool, bool, bool],
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """The patches of background, and for each whether it may or may not be a hole.

    A hole lies in the box of its one component. So a patch that has come to an open side and
    touches a component that has not is none.
    """
    patches, n = ndi.label(~mask, output=np.int32)
    inside, outside = find_contacts(patches, components)
    is_open, is_closed, is_settled = (np.zeros(n + 1, bool) for _ in range(3))
    is_open[find_rim(patches, open_sides, 1)] = True
    top, bottom, left, right = open_sides
    is_closed[find_rim(patches, (not top, not bottom, not left, not right), 1)] = True
    is_settled[inside[~cut[outside]]] = True
    lowest, highest = np.full(n + 1, len(cut)), np.zeros(n + 1, np.int64)
    np.minimum.at(lowest, inside, outside)
    np.maximum.at(highest, inside, outside)
    unsure = (is_open | (lowest != highest)) & ~is_closed & ~is_settled
    unsure[0] = False
    return patches, unsure


def _reached(
    components: NDArray[np.int32], source: NDArray[np.bool_], distance: int
) -> NDArray[np.bool_]:
    """For each component whether `source` comes within `distance` px of it."""
    found = np.zeros(int(components.max(initial=0)) + 1, bool)
    if source.any():
        near = ndi.maximum_filter(source.view(np.uint8), 2 * distance + 1, mode="constant")
        found[components[near > 0]] = True
        found[0] = False
    return found


def _boxes_of(
    labels: NDArray[np.int32], chosen: NDArray[np.bool_]
) -> list[tuple[Region, np.bool_]]:
    return list(zip(ndi.find_objects(labels, len(chosen) - 1), chosen[1:], strict=True))


def find_rim(
    labels: NDArray[np.int32], sides: tuple[bool, bool, bool, bool], width: int = 1
) -> NDArray[np.int32]:
    """The labels within `width` px of the chosen sides (top, bottom, left, right)."""
    strips = (labels[:width], labels[-width:], labels[:, :width], labels[:, -width:])
    chosen = [strip.ravel() for strip, is_one in zip(strips, sides, strict=True) if is_one]
    return np.concatenate(chosen) if chosen else np.zeros(0, np.int32)


def find_open_sides(window: Region, shape: tuple[int, int]) -> tuple[bool, bool, bool, bool]:
    """Whether there is more of an image beyond the top, bottom, left and right of a window."""
    rows, columns = window
    return rows.start > 0, rows.stop < shape[0], columns.start > 0, columns.stop < shape[1]
