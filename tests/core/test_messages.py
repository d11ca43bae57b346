"""Messages travel whole, from several threads, and a broken pipe is an end and no riddle."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest

from napari_unet.core.config import PredictConfig, TrainConfig
from napari_unet.core.types import Stepped, TileDone, Warned
from napari_unet.messages import (
    Channel,
    Done,
    Failed,
    Happened,
    NotReady,
    Predict,
    Ready,
    Started,
    Stop,
    Stopped,
    Stopping,
    Train,
)
from napari_unet.shared_arrays import SharedArray, SharedSample

ARRAY = SharedArray("psm_1", (1, 4, 5), "<u2")
PLAIN = [
    Stop(1),
    Ready("1.0", "cuda", "NVIDIA H200", "bfloat16", "A CUDA GPU was found."),
    NotReady("No torch.", "Traceback"),
    Started(1),
    Happened(1, Stepped(3, 0.1, 2.0, 18.0, 0.5, 12.0)),
    Happened(1, TileDone(1, 4, (slice(0, 5), slice(2, 9)))),
    Happened(2, Warned("Dim.")),
    Stopping(1),
    Failed(1, "Paint a cell.", ""),
]


@pytest.fixture
def pipe():
    reading, writing = os.pipe()
    with open(reading, "rb") as reader, open(writing, "wb") as writer:
        yield reader, writer


@pytest.mark.parametrize("message", PLAIN, ids=lambda message: type(message).__name__)
def test_a_message_arrives_as_it_was_sent(pipe, message):
    reader, writer = pipe
    Channel(io.BytesIO(), writer).send(message)
    assert Channel(reader, writer).receive() == message


def test_requests_and_results_keep_their_fields(pipe):
    reader, writer = pipe
    channel = Channel(reader, writer)
    shared = SharedSample(ARRAY, ARRAY, None, {1: 2}, "hela")
    sent = [
        Train(1, (shared,), TrainConfig(steps=3), "model.unet", validation=(shared,)),
        Predict(2, "model.unet", ARRAY, PredictConfig(), (slice(0, 3), slice(1, 4)), ARRAY, ARRAY),
        Done(1, {"scores": np.float32([0.5, 1])}),
        Stopped(1, {"model": None}),
    ]
    for message in sent:
        channel.send(message)
        back = channel.receive()
        assert type(back) is type(message)
        assert repr(back) == repr(message)


def test_messages_are_frozen():
    for message in PLAIN:
        with pytest.raises(AttributeError):
            message.job = 3


def test_many_threads_do_not_mix_their_messages(pipe):
    reader, writer = pipe
    channel = Channel(reader, writer)

    def send(job):
        for _ in range(50):
            channel.send(Failed(job, "x" * 3000 * job))

    threads = [threading.Thread(target=send, args=[job]) for job in range(1, 5)]
    for thread in threads:
        thread.start()
    received = [channel.receive() for _ in range(200)]
    for thread in threads:
        thread.join()
    assert all(len(each.message) == 3000 * each.job for each in received)
    assert sorted(each.job for each in received) == sorted([1, 2, 3, 4] * 50)


@pytest.mark.parametrize("kept", [0, 5, 20])
def test_an_end_in_the_middle_of_a_message_is_an_end(kept):
    whole = io.BytesIO()
    Channel(io.BytesIO(), whole).send(Failed(1, "A sentence that is cut."))
    with pytest.raises(EOFError):
        Channel(io.BytesIO(whole.getvalue()[:kept]), io.BytesIO()).receive()


def test_messages_cost_neither_torch_nor_qt():
    code = (
        "import sys, napari_unet.messages, napari_unet.shared_arrays, napari_unet.compute\n"
        "heavy = {'torch', 'qtpy', 'napari', 'magicgui'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_training_of_many_images_is_a_small_message():
    shared = SharedSample(ARRAY, ARRAY, ARRAY, {}, "hela")
    assert len(pickle.dumps(Train(1, (shared,) * 200, TrainConfig(), "m"))) < 20_000
