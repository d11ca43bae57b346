from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from napari_unet.core.room import Room


def test_no_more_is_taken_at_a_time_than_there_is():
    room, lock, taken, most = Room(10), threading.Lock(), [], []

    def work(size):
        with room.take(size):
            with lock:
                taken.append(size)
                most.append(sum(taken))
            threading.Event().wait(0.002)
            with lock:
                taken.remove(size)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, [3, 5, 2, 7, 1, 10] * 10))
    assert max(most) == 10


def test_who_asks_for_more_than_there_is_has_all_of_it():
    room = Room(10)
    with room.take(25):
        waiting = threading.Thread(target=lambda: room.take(1).__enter__())
        waiting.start()
        waiting.join(0.05)
        assert waiting.is_alive()
    waiting.join(10)
    assert not waiting.is_alive()


def test_room_is_given_back_after_an_error():
    room = Room(10)
    with pytest.raises(ZeroDivisionError), room.take(10):
        _ = 1 / 0
    with room.take(10):
        pass
