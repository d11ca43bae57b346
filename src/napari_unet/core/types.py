"""What travels between the rooms: samples in, events and predictions out. Frozen, picklable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from napari_unet.core.candidates import Candidates

Region: TypeAlias = tuple[slice, slice]
"""A box of an image as (rows, columns), in pixels."""


@dataclass(frozen=True, eq=False)
class Sample:
    """One image with what is known about it.

    Attributes
    ----------
    image : (C, H, W) array of any integer or float dtype
        The raw grey values, channels first, in the image's own unit.
    labels : (H, W) int32 array
        > 0 a cell instance, -1 background said explicitly, 0 not said.
    complete : (H, W) bool array, optional
        True where everything that is a cell is painted, so that 0 means background.
        None where the person marked no region: see `napari_unet.core.annotation.supervision`.
    classes : mapping of label to class, optional
        Class 1 … K of each cell; a label that is not in it is of class 1.
    name : str
        How messages call this image.
    """

    image: NDArray[Any]
    labels: NDArray[np.int32]
    complete: NDArray[np.bool_] | None = None
    classes: Mapping[int, int] = field(default_factory=dict)
    name: str = "image"


@dataclass(frozen=True)
class Prepared:
    """Training is about to start.

    `device` and `precision` are words for the person ("NVIDIA H200", "bfloat16"); `held_out`
    says what validation looks at ("40 of 200 images"), empty when nothing could be held out.
    """

    device: str
    precision: str
    images: int
    cells: int
    held_out: str
    parameters: int


@dataclass(frozen=True)
class Stepped:
    """One optimiser step is done; `fraction` of the budget is used, `remaining` is in seconds."""

    step: int
    fraction: float
    seconds: float
    remaining: float
    loss: float
    images_per_second: float


@dataclass(frozen=True)
class Repainted:
    """From here on training draws from what was painted since it began: so many cells now."""

    cells: int


@dataclass(frozen=True)
class Judging:
    """The held-out part is being looked at: `done` of `total` images or parts of such."""

    done: int
    total: int


@dataclass(frozen=True)
class Validated:
    """The held-out part was scored.

    Mean loss, foreground IoU, instance F1 and AP at IoU 0.5, and AP averaged over IoU 0.5 … 0.95,
    by which the `best` state is chosen: at 0.5 alone a chance gain early on beats better outlines.
    """

    step: int
    loss: float
    iou: float
    f1: float
    ap50: float
    mean_ap: float
    best: bool


@dataclass(frozen=True)
class Warned:
    """Something the person should know that does not stop the work: one sentence."""

    message: str


@dataclass(frozen=True)
class TileDone:
    """One tile is predicted: `region` of the image is final, `done` of `total` tiles.

    `found` are the candidates for cells that reach into it, in pixels of what is predicted, from
    a model family that looks for whole cells.
    """

    done: int
    total: int
    region: Region
    found: Candidates | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Looking:
    """A first look at how large the cells are: `done` of `total` tiles of it."""

    done: int
    total: int


@dataclass(frozen=True)
class Resumed:
    """So many tiles and blocks of a large image were done before and need not be done again."""

    tiles: int
    blocks: int


@dataclass(frozen=True)
class BlockLabelled:
    """The cells of one block of a large image are found: `done` of `total` blocks."""

    done: int
    total: int
    region: Region


@dataclass(frozen=True)
class ChunkWritten:
    """One chunk of the labels of a large image is written: `done` of `total`, all levels."""

    done: int
    total: int


@dataclass(frozen=True)
class PlaneDone:
    """One plane of a stack is on disk, `done` of `total`, with so many cells.

    `place` is where it lies, such as {"T": 3}; `kept` says that it was done before.
    """

    done: int
    total: int
    place: Mapping[str, int]
    cells: int
    kept: bool


@dataclass(frozen=True)
class FileDone:
    """One of several files is through: `number` of `total`.

    `status` is "done", "kept" (its result of before still holds) or "failed", for the reason that
    `sentence` says; `result` is what was written, `cells` how many it has in all its `planes`,
    `ids` how many numbers these have where they are linked, `diameter` their median in pixels
    where it is known, `seconds` how long it took.
    """

    file: str
    result: str
    status: Literal["done", "kept", "failed"]
    cells: int | None
    number: int
    total: int
    diameter: float | None = None
    seconds: float | None = None
    sentence: str = ""
    planes: int = 1
    ids: int | None = None


TrainEvent: TypeAlias = Prepared | Stepped | Repainted | Judging | Validated | Warned
PredictEvent: TypeAlias = Looking | TileDone | Warned
LargeEvent: TypeAlias = PredictEvent | Resumed | BlockLabelled | ChunkWritten


@dataclass(frozen=True, eq=False)
class Instances:
    """Cells as wholes: one may lie over another.

    Attributes
    ----------
    boxes : (n, 4) int32 array
        First row, first column, and the row and column after the last, in pixels of what was
        predicted.
    masks : tuple of (h, w) bool arrays
        Of each cell in its box, with what others lie over.
    """

    boxes: NDArray[np.int32]
    masks: tuple[NDArray[np.bool_], ...]


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a model says about one image.

    Attributes
    ----------
    labels : (H, W) int32 array
        Instances 1 … n without gaps, 0 background.
    classes : (n,) uint8 array
        Class 1 … K of instance i + 1.
    scores : (n,) float32 array
        Confidence of instance i + 1, 0 to 1.
    probabilities : (K, H, W) float32 array, optional
        Probability of each cell class; None for a model family that has no such map.
    instances : Instances, optional
        Instance i + 1 as a whole, from a model family whose cells may overlap: `labels` gives
        each pixel to one of them.
    """

    labels: NDArray[np.int32]
    classes: NDArray[np.uint8]
    scores: NDArray[np.float32]
    probabilities: NDArray[np.float32] | None = None
    instances: Instances | None = None


@dataclass(frozen=True)
class StackPrediction:
    """So many cells in so many planes, and their median diameter in pixels where there are any.

    `ids` is how many numbers they have, where those are linked between planes.
    """

    cells: int
    planes: int
    diameter: float | None
    ids: int | None = None


@dataclass(frozen=True)
class LargePrediction:
    """What a model says about a large image.

    Attributes
    ----------
    path : str
        An OME-Zarr 0.5 label image with a pyramid, int32: instances 1 … n, numbered in the raster
        order of their first pixels, 0 background. Its arrays `cells/class` and `cells/score` have
        what `Prediction.classes` and `Prediction.scores` have.
    cells : int
        n.
    """

    path: str
    cells: int
