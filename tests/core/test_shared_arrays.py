"""Shared arrays: what goes in comes out, in another process too, and nothing stays behind."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from napari_unet import shared_arrays
from napari_unet.core.errors import InputError
from napari_unet.core.types import Sample
from napari_unet.shared_arrays import SharedArray, SharedArrays

SEGMENTS = Path("/dev/shm")
on_linux = pytest.mark.skipif(not SEGMENTS.is_dir(), reason="segments are files on Linux only")
dtypes = st.sampled_from(["|b1", "|u1", "<u2", ">u2", "<i4", ">f4", "<f4", "<f8", "<i8"])


@settings(deadline=None, max_examples=50)
@given(dtypes.flatmap(lambda d: arrays(d, array_shapes(max_dims=3, min_side=0, max_side=9))))
def test_what_is_shared_is_equal_and_native(array):
    with SharedArrays() as shared:
        handle = shared.share(array)
        assert shared[handle].dtype == array.dtype.newbyteorder("=")
        np.testing.assert_array_equal(shared[handle], array)


def test_a_strided_view_is_shared_as_it_looks():
    array = np.arange(60).reshape(3, 4, 5)[::-1, ::2].transpose(2, 0, 1)
    with SharedArrays() as shared:
        np.testing.assert_array_equal(shared[shared.share(array)], array)


@pytest.mark.parametrize("bad", [np.array(["a"]), np.array([object()]), np.array([1j])])
def test_what_is_no_number_is_refused_in_words(bad):
    with SharedArrays() as shared, pytest.raises(InputError, match="give whole or real numbers"):
        shared.share(bad)


def run(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


ATTACH = """
import gc, sys
import numpy as np
from napari_unet.shared_arrays import SharedArray, attach
name, *shape = sys.argv[1:]
array = attach(SharedArray(name, tuple(map(int, shape)), "<i4"))
part = array[1:, ::2].T
del array
gc.collect()
print(part.sum())
part[...] = 7
"""


def test_another_process_reads_and_writes_and_leaves_the_segment_alone():
    with SharedArrays() as shared:
        handle = shared.share(np.arange(12, dtype=np.int32).reshape(3, 4))
        done = run(ATTACH, handle.name, *handle.shape)
        assert done.stderr == ""  # no resource tracker complains at its end
        assert int(done.stdout) == 4 + 6 + 8 + 10
        expected = np.arange(12).reshape(3, 4)
        expected[1:, ::2] = 7
        np.testing.assert_array_equal(shared[handle], expected)
        assert run(ATTACH, handle.name, *handle.shape).stderr == ""  # it is still there


@on_linux
def test_free_takes_the_names_away_and_twice_does_no_harm():
    shared = SharedArrays()
    handle = shared.share(np.ones((10, 10)))
    assert (SEGMENTS / handle.name).exists()
    shared.free()
    shared.free()
    assert not (SEGMENTS / handle.name).exists()


def test_an_array_outlives_its_segment():
    shared = SharedArrays()
    handle = shared.share(np.arange(1_000_000))
    part = shared[handle][::2]
    shared.free()
    del shared
    gc.collect()
    assert part.sum() == 2 * sum(range(500_000))


def test_nothing_can_be_shared_any_more_once_freed():
    shared = SharedArrays()
    handle = shared.share(np.ones(3))
    shared.free()
    with pytest.raises(InputError, match="ended"):
        shared.share(np.ones(3))
    with pytest.raises(InputError, match="ended"):
        shared[handle]


@on_linux
def test_too_little_shared_memory_is_a_sentence_and_no_crash():
    too_much = os.statvfs(SEGMENTS).f_bavail * os.statvfs(SEGMENTS).f_frsize + 10**9
    with SharedArrays() as shared, pytest.raises(InputError, match="--shm-size"):
        shared.reserve((too_much,), np.uint8)


@on_linux
def test_a_killed_owner_leaves_no_segment():
    done = run(
        "import os, signal, numpy as np\n"
        "from napari_unet.shared_arrays import SharedArrays\n"
        "shared = SharedArrays()\n"
        "print(shared.share(np.ones(1000)).name, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    segment = SEGMENTS / done.stdout.strip()
    patience = time.monotonic() + 10
    while segment.exists() and time.monotonic() < patience:
        time.sleep(0.05)  # the resource tracker of Python cleans up behind it
    assert segment != SEGMENTS
    assert not segment.exists()


def test_a_sample_travels_whole():
    complete = np.zeros((4, 5), bool)
    complete[1] = True
    sample = Sample(
        image=np.arange(20, dtype=np.uint16).reshape(1, 4, 5),
        labels=np.arange(20, dtype=np.int32).reshape(4, 5) - 1,
        complete=complete,
        classes={3: 2},
        name="hela",
    )
    with SharedArrays() as shared:
        handles = shared.share_sample(sample)
        assert (handles.name, handles.classes) == ("hela", {3: 2})
        for name in ("image", "labels", "complete"):
            handle = getattr(handles, name)
            assert isinstance(handle, SharedArray)
            np.testing.assert_array_equal(shared[handle], getattr(sample, name))


def test_a_sample_without_a_complete_mask_has_none_there(monkeypatch):
    sample = Sample(np.ones((1, 2, 2)), np.ones((2, 2), np.int32))
    with SharedArrays() as shared:
        handles = shared.share_sample(sample)
        monkeypatch.setattr(shared_arrays, "attach", shared.__getitem__)
        back = shared_arrays.attach_sample(handles)
        assert back.complete is None
        np.testing.assert_array_equal(back.image, sample.image)
