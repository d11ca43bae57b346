"""Work in a process of its own: relayed, stopped, and told of where it dies."""

from __future__ import annotations

import os
import signal
import sys
import time

import numpy as np
import pytest

from napari_unet.core.apart import peak_memory, work_apart
from napari_unet.core.errors import InputError
from napari_unet.core.events import exhaust

MB = 2**20


def count(last):
    yield os.getpid()
    yield from range(last)
    return {"last": last}


def count_until_closed(path):
    try:
        for number in range(10**6):
            yield number
            time.sleep(0.01)
    finally:
        path.write_text("closed", encoding="utf-8")


def fail(how):
    yield 1
    if how == "input":
        raise InputError("Paint a cell.")
    if how == "bug":
        raise KeyError("weights")
    os.kill(os.getpid(), signal.SIGKILL)


def hold(size):
    before = peak_memory()
    held = np.ones(size, np.uint8)
    yield int(held[-1])
    del held
    return before, peak_memory()


def test_events_and_result_come_from_another_process():
    seen = []
    assert exhaust(work_apart(count, 3), seen.append) == {"last": 3}
    assert seen[0] != os.getpid()
    assert seen[1:] == [0, 1, 2]


def test_closing_closes_the_work_there(tmp_path):
    path = tmp_path / "told"
    work = work_apart(count_until_closed, path)
    assert [next(work), next(work)] == [0, 1]
    assert not path.exists()
    work.close()
    assert path.read_text() == "closed"


def test_ctrl_c_reaches_this_process_alone():
    work = work_apart(count_here_and_there, signal.SIGINT)
    assert list(work) == [1, 2]


def count_here_and_there(number):
    yield 1
    os.kill(os.getpid(), number)
    yield 2


def test_what_fails_there_is_a_sentence_here(capfd):
    with pytest.raises(InputError, match=r"^Paint a cell\.$"):
        exhaust(work_apart(fail, "input"))
    assert "Traceback" not in capfd.readouterr().err
    with pytest.raises(InputError, match=r"It failed: 'weights' \(KeyError\)"):
        exhaust(work_apart(fail, "bug"))
    assert "Traceback" in capfd.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="there are no signals")
def test_a_process_that_is_killed_is_a_sentence():
    with pytest.raises(InputError, match="ended by signal 9, as the system does where memory"):
        exhaust(work_apart(fail, "killed"))


@pytest.mark.skipif(peak_memory() is None, reason="the peak cannot be told here")
def test_the_peak_is_that_of_the_work_alone():
    ballast = np.ones(400 * MB, np.uint8)  # not a word of it in the other process
    before, after = exhaust(work_apart(hold, 200 * MB))
    assert ballast[-1] == 1
    assert before < 300 * MB
    assert 190 * MB < after - before < 260 * MB
