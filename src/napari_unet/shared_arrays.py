"""Arrays that napari and its compute process both see, without a copy in between."""

from __future__ import annotations

import os
import secrets
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from napari_unet.core.errors import InputError
from napari_unet.core.types import Sample

_LINUX_SEGMENTS = "/dev/shm"


@dataclass(frozen=True)
class SharedArray:
    """Where an array lies: the name of the segment, the shape and `numpy.dtype.str`."""

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, eq=False)
class SharedSample:
    """A `Sample` whose arrays are shared."""

    image: SharedArray
    labels: SharedArray
    complete: SharedArray | None
    classes: Mapping[int, int]
    name: str


class SharedArrays:
    """Arrays that another process can see; the side that makes them also frees them.

    `free` takes the names away, so that nothing is left behind whatever happens to the other
    side. The memory itself goes with the last array that shows it, here and there, which takes
    about 0.2 ms per MB: `let_go` may be called where nobody waits.
    """

    def __init__(self) -> None:
        self._arrays: dict[str, tuple[SharedMemory, NDArray[Any]]] = {}
        self._lock = threading.Lock()
        self._freed = False

    def share(self, array: NDArray[Any]) -> SharedArray:
        """Copy an array of numbers or booleans into shared memory, in native byte order.

        Raises
        ------
        InputError
            If it is no array of numbers, or if there is not enough shared memory.
        """
        array = np.asarray(array)
        if array.dtype.kind not in "biuf":
            raise InputError(
                f"An array of {array.dtype} cannot be used: give whole or real numbers."
            )
        handle = self.reserve(array.shape, array.dtype.newbyteorder("="))
        self[handle][...] = array
        return handle

    def share_sample(self, sample: Sample) -> SharedSample:
        """Copy the arrays of a sample into shared memory."""
        return SharedSample(
            image=self.share(sample.image),
            labels=self.share(sample.labels),
            complete=None if sample.complete is None else self.share(sample.complete),
            classes=dict(sample.classes),
            name=sample.name,
        )

    def reserve(self, shape: tuple[int, ...], dtype: DTypeLike) -> SharedArray:
        """An array of zeros in shared memory."""
        kind = np.dtype(dtype)
        size = max(1, int(np.prod(shape, dtype=np.int64)) * kind.itemsize)
        with self._lock:
            if self._freed:
                raise InputError("The job has ended already.")
            _check_space(size)
            try:
                segment = SharedMemory(_new_name(), create=True, size=size)
            except OSError as error:
                raise InputError(_no_space(size, error.strerror or str(error))) from error
            handle = SharedArray(segment.name, tuple(map(int, shape)), kind.str)
            self._arrays[handle.name] = (segment, _array_on(segment, handle))
        return handle

    def __getitem__(self, handle: SharedArray) -> NDArray[Any]:
        """The array itself; it may be kept for as long as it is wanted."""
        with self._lock:
            if self._freed:
                raise InputError("The job has ended already.")
            return self._arrays[handle.name][1]

    def free(self) -> None:
        """Take all names away. Safe to call twice."""
        with self._lock:
            if not self._freed:
                self._freed = True
                for segment, _ in self._arrays.values():
                    segment.unlink()

    def let_go(self) -> None:
        """Free, and hold on to no array."""
        self.free()
        self._arrays.clear()

    def __enter__(self) -> SharedArrays:
        return self

    def __exit__(self, *_: object) -> None:
        self.let_go()


def attach(handle: SharedArray) -> NDArray[Any]:
    """The array that the other process shares; the mapping goes with the last view of it."""
    if sys.version_info >= (3, 13):
        return _array_on(SharedMemory(handle.name, track=False), handle)
    segment = SharedMemory(handle.name)
    if os.name == "posix":
        # else the resource tracker of this process would remove the other's segment (gh-82300)
        resource_tracker.unregister("/" + segment.name, "shared_memory")
    return _array_on(segment, handle)


def attach_sample(shared: SharedSample) -> Sample:
    """The sample that the other process shares."""
    return Sample(
        image=attach(shared.image),
        labels=attach(shared.labels),
        complete=None if shared.complete is None else attach(shared.complete),
        classes=shared.classes,
        name=shared.name,
    )


class _Mapped:
    """Keeps a segment mapped for as long as an array shows it.

    An array made straight from `SharedMemory.buf` would dangle once the segment is collected,
    and closing one with a live view raises BufferError; numpy holds on to whatever offers the
    array interface instead.
    """

    def __init__(self, segment: SharedMemory, handle: SharedArray) -> None:
        self.segment = segment
        first = np.frombuffer(segment.buf, np.uint8, 1)  # type: ignore[arg-type]  # not closed
        self.__array_interface__ = {
            "version": 3,
            "data": (first.ctypes.data, False),
            "shape": handle.shape,
            "typestr": handle.dtype,
        }


def _array_on(segment: SharedMemory, handle: SharedArray) -> NDArray[Any]:
    return np.asarray(_Mapped(segment, handle))


def _new_name() -> str:
    """Says whose it is, should one ever be left behind; macOS takes 30 characters."""
    return f"unet_{os.getpid()}_{secrets.token_hex(5)}"


def _check_space(size: int) -> None:
    # Linux gives a segment without looking, and kills whoever writes where there is no room.
    if sys.platform == "linux" and os.path.isdir(_LINUX_SEGMENTS):
        free = os.statvfs(_LINUX_SEGMENTS)
        available = free.f_bavail * free.f_frsize
        if size > available:
            raise InputError(
                _no_space(size, f"{_LINUX_SEGMENTS} has {available / 1e6:.0f} MB left")
            )


def _no_space(size: int, why: str) -> str:
    return (
        f"There is not enough shared memory for {size / 1e6:.0f} MB ({why}): use a smaller image "
        "or region, or in a container give it more (--shm-size=4g)."
    )
