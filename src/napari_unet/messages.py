"""What napari and its compute process say to each other.

Light: no torch and no Qt. A message is a frozen dataclass that travels pickled through the
child's standard input and output; pixels never do, they lie in shared memory.
"""

from __future__ import annotations

import pickle
import struct
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import IO, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.config import PredictConfig, TrainConfig
from napari_unet.core.types import FileDone, LargeEvent, PlaneDone, Region, TrainEvent
from napari_unet.shared_arrays import SharedArray, SharedSample

_LENGTH = struct.Struct("!Q")


@dataclass(frozen=True, eq=False)
class Train:
    """Train on the samples and save at `output`; the fields are those of `training.train`.

    With `resume` go on with the training of `output` that was stopped: `training.resume`.
    """

    job: int
    samples: tuple[SharedSample, ...]
    config: TrainConfig
    output: str
    architecture: str = "unet"
    preset: str = "default"
    start_from: str | None = None
    validation: tuple[SharedSample, ...] = ()
    class_names: tuple[str, ...] = ()
    resume: bool = False


@dataclass(frozen=True, eq=False)
class Compete:
    """Train a model of each kind on the samples, in `folder`, and judge them by the same cells.

    Each begins with the model of its kind in `start_from`, or from scratch: `contest.compete`.
    """

    job: int
    samples: tuple[SharedSample, ...]
    config: TrainConfig
    folder: str
    start_from: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Predict:
    """Predict a region of an image into `maps` (M, h, w) and `labels` (h, w).

    `image` may be the part of a plane that begins at `origin`: `windows.take_window`. `region` and
    `centre` are in its pixels, tiles that are done come in those of the plane. Of the plane come
    `grey`, its `normalize.percentiles`, and with a model for cells of any size `middles`, which
    `looked_at` is a part of: `prediction.look_for_zoom`. Of a stack they are those of several
    planes, so that all its planes are seen alike.
    """

    job: int
    model: str
    image: SharedArray
    config: PredictConfig
    region: Region | None
    maps: SharedArray
    labels: SharedArray
    name: str = "image"
    origin: tuple[int, int] = (0, 0)
    centre: tuple[float, float] | None = None
    grey: NDArray[np.float64] | None = None
    middles: tuple[SharedArray, ...] = ()
    looked_at: Region | None = None


@dataclass(frozen=True, eq=False)
class PredictFiles:
    """Predict files one after the other; the fields are those of `batch.Batch` and its pairs."""

    job: int
    model: str
    config: PredictConfig
    folder: str
    pairs: tuple[tuple[str, str], ...]
    link: bool = False
    resume: bool = True


@dataclass(frozen=True, eq=False)
class Repaint:
    """The shared labels of a training's only sample have been painted on: learn from them.

    `complete` is the mask of complete regions as `numpy.packbits` gives it, None where there is
    none.
    """

    job: int
    complete: bytes | None
    classes: Mapping[int, int]


@dataclass(frozen=True)
class Stop:
    """End this job at its next yield; what it has so far is kept."""

    job: int


@dataclass(frozen=True)
class Ready:
    """The child is warm. `version` is that of the package it runs; the rest is the device."""

    version: str
    device: str
    name: str
    precision: str
    reason: str
    hint: str = ""

    @property
    def words(self) -> str:
        """Short form for a badge."""
        return f"{self.name}, {self.precision}"


@dataclass(frozen=True)
class NotReady:
    """The child cannot work at all, and says why in one sentence before it ends."""

    message: str
    details: str = ""


@dataclass(frozen=True)
class Started:
    """The child has taken the job up: from here on it may have had effects."""

    job: int


@dataclass(frozen=True)
class Happened:
    """An event of the core."""

    job: int
    event: TrainEvent | LargeEvent | PlaneDone | FileDone


@dataclass(frozen=True)
class Stopping:
    """The job has been told to stop and is saving what it has."""

    job: int


@dataclass(frozen=True, eq=False)
class Done:
    """The job ran to its end."""

    job: int
    result: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Stopped:
    """The job ended because it was told to; the result is what it left."""

    job: int
    result: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Failed:
    """The job ended with an error: one sentence, and the traceback where there is one."""

    job: int
    message: str
    details: str = ""


Request: TypeAlias = Train | Compete | Predict | PredictFiles | Repaint | Stop
Reply: TypeAlias = Ready | NotReady | Started | Happened | Stopping | Done | Stopped | Failed


class Channel:
    """Whole messages over two binary streams. `send` may be called from any thread."""

    def __init__(self, reader: IO[bytes], writer: IO[bytes]) -> None:
        self._reader, self._writer = reader, writer
        self._lock = threading.Lock()

    def send(self, message: object) -> None:
        """Write one message.

        Raises
        ------
        OSError
            If the other side is gone.
        """
        data = pickle.dumps(message, protocol=5)
        with self._lock:
            self._writer.write(_LENGTH.pack(len(data)) + data)
            self._writer.flush()

    def receive(self) -> Any:
        """Wait for the next message.

        Raises
        ------
        EOFError
            If the other side is gone, also in the middle of a message.
        """
        (length,) = _LENGTH.unpack(self._read(_LENGTH.size))
        return pickle.loads(self._read(length))

    def _read(self, count: int) -> bytes:
        data = self._reader.read(count)
        if len(data) < count:
            raise EOFError("the other side is gone")
        return data
