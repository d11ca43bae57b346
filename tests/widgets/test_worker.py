from __future__ import annotations

import gc
import threading
import time

import pytest
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QObject, Qt, QThread

from napari_unet.core.errors import InputError
from napari_unet.widgets import _worker


@pytest.fixture
def reported(monkeypatch):
    errors: list[BaseException] = []
    monkeypatch.setattr(
        type(notification_manager),
        "receive_error",
        lambda self, kind, error, *_: errors.append(error),
    )
    return errors


@pytest.fixture
def owner():
    return QObject()


def fail(error):
    raise error


def test_work_is_done_elsewhere_and_shown_here(qtbot):
    owner, done = QObject(), []
    here = threading.get_ident()
    _worker.run(
        threading.get_ident,
        on_done=lambda there: done.append((there, threading.get_ident())),
        owner=owner,
    )
    qtbot.waitUntil(lambda: bool(done))
    assert done[0][0] != here
    assert done[0][1] == here
    assert owner.thread() == QThread.currentThread()


def test_what_the_person_can_mend_is_a_sentence(qtbot, reported, owner, monkeypatch):
    said: list[str] = []
    error = InputError("Paint a cell.")
    _worker.run(fail, error, on_done=said.append, on_error=said.append, owner=owner)
    monkeypatch.setattr(_worker, "show_warning", said.append)
    _worker.run(fail, error, on_done=said.append, owner=owner)
    qtbot.waitUntil(lambda: said == ["Paint a cell."] * 2)
    assert not reported


@pytest.mark.parametrize("error", [RuntimeError("CUDA"), MemoryError(), ValueError("bug")])
def test_a_fault_of_ours_is_reported_and_said(qtbot, reported, owner, error):
    said: list[str] = []
    _worker.run(fail, error, on_done=said.append, on_error=said.append, owner=owner)
    qtbot.waitUntil(lambda: bool(said))
    assert reported == [error]
    assert type(error).__name__ in said[0]


def test_nothing_comes_to_an_owner_that_is_gone(qtbot):
    go, done = threading.Event(), []
    owner = QObject()
    _worker.run(go.wait, 5, on_done=done.append, owner=owner)
    del owner
    gc.collect()
    go.set()
    qtbot.wait(100)
    assert not done
    assert not _worker._calls


def test_a_thread_may_still_be_sending_when_its_outcome_has_arrived(qtbot, owner):
    """Qt crashed where the sender went with what it had sent."""
    go, done, sent = threading.Event(), [], []

    def linger(*_):
        sent.append(go.wait(5))

    post = _worker._post()
    post.arrived.connect(linger, Qt.ConnectionType.DirectConnection)
    try:
        _worker.run(str, 3, on_done=done.append, owner=owner)
        qtbot.waitUntil(lambda: done == ["3"])
        gc.collect()
        assert not sent
        go.set()
        qtbot.waitUntil(lambda: sent == [True])
    finally:
        post.arrived.disconnect(linger)
    assert not _worker._calls


def test_of_many_requests_the_first_and_the_last_are_done(qtbot, owner):
    latest, go, done = _worker.Latest(owner), threading.Event(), []

    def work(number):
        assert go.wait(5)
        return number

    for number in range(5):
        latest.run(work, number, on_done=done.append)
        assert latest.busy
    go.set()
    qtbot.waitUntil(lambda: len(done) == 2)
    assert done == [0, 4]
    assert not latest.busy


def test_after_a_failure_the_next_request_runs(qtbot, reported, owner):
    latest, said = _worker.Latest(owner), []
    latest.run(fail, InputError("no"), on_done=said.append, on_error=said.append)
    latest.run(fail, ValueError("bug"), on_done=said.append, on_error=said.append)
    latest.run(str, 3, on_done=said.append)
    qtbot.waitUntil(lambda: "3" in said)
    assert said[0] == "no"


def test_requests_in_order_leave_none_out(qtbot, owner):
    """The first is the slowest, and yet the first; a fault does not hold up the rest."""
    done: list[int] = []
    requests = _worker.InOrder(owner)

    def take(number):
        time.sleep(0.05 * (3 - number))
        if number == 1:
            raise InputError("Not this one.")
        return number

    for number in range(4):
        requests.run(take, number, on_done=done.append, on_error=lambda _: done.append(-1))
    qtbot.waitUntil(lambda: len(done) == 4)
    assert done == [0, -1, 2, 3]
