"""The compute process over its pipe: turns, stopping, errors, and its own end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_unet.core.card import read_card
from napari_unet.core.config import InstanceConfig, PredictConfig, TrainConfig
from napari_unet.core.errors import InputError
from napari_unet.core.models import MODELS
from napari_unet.core.normalize import percentiles
from napari_unet.core.samples import make_sample
from napari_unet.core.start_models import find_model_file
from napari_unet.core.types import Looking, Stepped, TileDone, Warned
from napari_unet.failures import explain
from napari_unet.messages import (
    Channel,
    Compete,
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
from napari_unet.shared_arrays import SharedArrays

FAKE = (sys.executable, str(Path(__file__).parents[1] / "fake_compute.py"))
REAL = (sys.executable, "-P", "-m", "napari_unet.compute")


class Child:
    """The process and both ends of its pipe; a receive that takes too long fails the test."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self._channel = Channel(process.stdout, process.stdin)
        self.send = self._channel.send

    def receive(self, patience: float = 20.0):
        alarm = threading.Timer(patience, self.process.kill)
        alarm.start()
        try:
            return self._channel.receive()
        finally:
            alarm.cancel()

    def until(self, *kinds: type, patience: float = 20.0) -> list:
        """All messages up to the first one of these kinds."""
        messages = [self.receive(patience)]
        while not isinstance(messages[-1], kinds):
            messages.append(self.receive(patience))
        return messages


@contextmanager
def running(*command: str, ready: bool = True) -> Iterator[Child]:
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    child = Child(process)
    try:
        if ready:
            assert isinstance(child.receive(60), Ready)
        yield child
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            with suppress(BrokenPipeError):
                stream.close()


@pytest.fixture
def child() -> Iterator[Child]:
    with running(*FAKE) as started:
        yield started


def request(job: int, kind: str, steps: int | None = None, output: str = "") -> Train:
    return Train(job, (), TrainConfig(steps=steps), output, architecture=kind)


def steps(messages: list, job: int) -> list[int]:
    return [m.event.step for m in messages if isinstance(m, Happened) and m.job == job]


def test_a_job_says_that_it_started_every_event_and_its_result(child):
    child.send(request(7, "count", 3))
    messages = child.until(Done, Failed)
    assert messages[0] == Started(7)
    assert steps(messages, 7) == [1, 2, 3]
    assert messages[-1].job == 7
    assert messages[-1].result == {"mean": [], "names": []}


def begun(told: Path) -> bool:
    deadline = time.monotonic() + 20
    while not told.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    return told.exists()


def test_an_idle_process_rehearses_until_the_first_job_comes(tmp_path):
    told = tmp_path / "rehearsal"
    with running(*FAKE, "rehearse", str(told)) as child:
        assert begun(told)
        child.send(request(1, "count", 2))
        assert steps(child.until(Done), 1) == [1, 2]
        assert told.read_text() == "ended"


def test_a_rehearsal_that_fails_leaves_the_process_at_work(tmp_path):
    told = tmp_path / "rehearsal"
    with running(*FAKE, "stage fright", str(told)) as child:
        assert begun(told)
        child.send(request(1, "count", 2))
        assert steps(child.until(Done), 1) == [1, 2]
        child.process.stdin.close()
        child.process.wait(20)
        assert b"no step was taken" in child.process.stderr.read()


def test_jobs_take_turns(child):
    child.send(request(1, "loop"))
    child.until(Happened)
    child.send(request(2, "count", 20))
    messages = child.until(Done)
    own = [m.job for m in messages if isinstance(m, Happened)]
    first = own.index(2)
    assert own[first : first + 38] == [2, 1] * 19
    child.send(Stop(1))
    assert isinstance(child.until(Stopped)[-1], Stopped)


def test_stop_is_answered_at_the_next_yield(child):
    child.send(request(1, "loop"))
    child.until(Happened)
    begin = time.perf_counter()
    child.send(Stop(1))
    messages = child.until(Stopped, Failed)
    assert time.perf_counter() - begin < 0.5
    assert Stopping(1) in messages
    assert messages[-1].result == {}


def test_what_a_job_leaves_when_it_is_stopped_travels_with_the_answer(child, tmp_path):
    child.send(request(1, "save", output=str(tmp_path / "model")))
    child.until(Happened)
    child.send(Stop(1))
    assert child.until(Stopped)[-1].result == {"model": str(tmp_path / "model")}


def test_a_job_stopped_before_its_first_step_never_runs(child, tmp_path):
    child.send(request(1, "save", output=str(tmp_path / "model")))
    child.send(Stop(1))
    child.until(Stopped)
    child.send(Stop(99))  # unknown: ignored
    child.send(request(2, "count", 1))
    assert child.until(Done)[-1].job == 2


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("input", "Paint a cell."),
        ("bug", "Training failed: one line (RuntimeError)."),
        ("memory", "Training failed: the memory of this computer ran out; choose a smaller tile"),
        ("out of gpu", "Training failed: the memory of the GPU ran out; choose a smaller tile"),
    ],
)
def test_an_error_is_a_sentence_and_the_process_lives_on(child, kind, sentence):
    child.send(request(1, kind))
    failed = child.until(Done, Failed)[-1]
    assert failed.message.startswith(sentence)
    assert ("Traceback" in failed.details) == (kind != "input")
    child.send(request(2, "count"))
    assert child.until(Done, Failed)[-1].job == 2


def test_an_error_while_stopping_is_a_failure(child):
    child.send(request(1, "stop badly"))
    child.until(Happened)
    child.until(Happened)
    child.send(Stop(1))
    assert child.until(Stopped, Failed)[-1].message == "Training failed: disk full (OSError)."


def test_a_lost_gpu_ends_the_process(child):
    child.send(request(1, "lose gpu"))
    assert isinstance(child.until(Failed)[-1], Failed)
    assert isinstance(child.receive(), NotReady)
    with pytest.raises(EOFError):
        child.receive()
    assert child.process.wait(10) == 1


def test_warnings_are_events_of_the_job(child):
    child.send(request(1, "warn"))
    assert Happened(1, Warned("The image is dim.")) in child.until(Done)


def test_the_process_ends_when_its_pipe_closes_and_closes_its_jobs(tmp_path):
    with running(*FAKE) as child:
        child.send(request(1, "save", output=str(tmp_path / "model")))
        child.until(Happened)
        child.process.stdin.close()
        while True:
            try:
                child.receive()
            except EOFError:
                break
        assert child.process.wait(10) == 0
        assert child.process.stderr.read() == b""
    assert (tmp_path / "model").read_text() == "model"


def test_an_idle_process_ends_quietly_when_its_pipe_closes(child):
    child.process.stdin.close()
    assert child.process.wait(10) == 0
    assert child.process.stderr.read() == b""


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_interrupting_napari_in_a_terminal_is_not_for_this_process(child):
    child.process.send_signal(signal.SIGINT)
    child.send(request(1, "count"))
    assert isinstance(child.until(Done, Failed)[-1], Done)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_process_stands_back(child):
    assert os.getpriority(os.PRIO_PROCESS, child.process.pid) >= 5
    assert Path(f"/proc/{child.process.pid}/oom_score_adj").read_text().strip() == "500"


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("no torch", "torch is not installed beside napari: run `pip install napari-unet-cells`"),
        (
            "broken torch",
            "torch cannot be loaded (libcudart.so.12: cannot open shared object file)",
        ),
    ],
)
def test_a_process_that_cannot_start_says_what_to_do(kind, sentence):
    with running(*FAKE, kind, ready=False) as child:
        answer = child.receive()
        assert isinstance(answer, NotReady)
        assert answer.message.startswith(sentence)
        assert "Traceback" in answer.details
        assert child.process.wait(10) == 0


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (InputError("Paint."), "Paint."),
        (ValueError("No.\nMore"), "Prediction failed: No (ValueError)."),
        (ValueError(), "Prediction failed: no reason was given (ValueError)."),
    ],
)
def test_explain(error, expected):
    assert explain("Prediction", error) == expected


@pytest.fixture(scope="module")
def real() -> Iterator[Child]:
    with running(*REAL) as started:
        yield started


def test_train_and_predict_for_real(real, tmp_path, discs, quick):
    path, config = tmp_path / "discs.model", replace(quick, steps=3, val_fraction=0)
    with SharedArrays() as shared:
        real.send(Train(1, (shared.share_sample(discs),), config, str(path)))
        messages = real.until(Done, Failed)
    assert isinstance(messages[-1], Done), messages[-1]
    assert messages[-1].result == {"model": str(path)}
    assert [m.event.step for m in messages[1:-1] if isinstance(m.event, Stepped)] == [1, 2, 3]

    # everything is cell: what came back is what the model said, not the zeros that were there
    say_cell = PredictConfig(device="cpu", instances=InstanceConfig(threshold=0.01, min_size=0))
    region = (slice(10, 80), slice(5, 55))
    with SharedArrays() as shared:
        probabilities = shared.reserve((2, 70, 50), np.float32)
        labels = shared.reserve((70, 50), np.int32)
        image = shared.share(discs.image)
        real.send(Predict(2, str(path), image, say_cell, region, probabilities, labels))
        messages = real.until(Done, Failed)
        assert isinstance(messages[-1], Done), messages[-1]
        assert any(isinstance(m.event, TileDone) for m in messages[1:-1])
        result = messages[-1].result
        assert result["cells"] == len(result["classes"]) == len(result["scores"]) > 0
        assert shared[labels].max() == result["cells"]
        assert 0 < shared[probabilities].min() <= shared[probabilities].max() < 1


def test_a_window_is_predicted_in_pixels_of_its_plane_and_looked_at_once(real):
    sample = make_sample("fluorescence", (300, 260), seed=3)
    model, config = str(find_model_file("nuclei")), PredictConfig(tile=64, device="cpu")
    with SharedArrays() as shared:
        image = shared.share(sample.image)
        request = Predict(
            5,
            model,
            image,
            config,
            (slice(50, 250), slice(40, 200)),
            shared.reserve((2, 200, 160), np.float32),
            shared.reserve((200, 160), np.int32),
            origin=(1000, 2000),
            centre=(240.0, 50.0),
            grey=percentiles(sample.image, read_card(model).normalize),
            middles=(image,),
            looked_at=(slice(0, 300), slice(0, 260)),
        )
        real.send(request)
        messages = real.until(Done, Failed)
        assert isinstance(messages[-1], Done), messages[-1]
        tiles = [m.event for m in messages[1:-1] if isinstance(m.event, TileDone)]
        assert any(isinstance(m.event, Looking) for m in messages[1:-1])
        rows, columns = tiles[0].region
        assert rows.start <= 1240 < rows.stop
        assert columns.start <= 2050 < columns.stop
        covered = sum((r.stop - r.start) * (c.stop - c.start) for r, c in (t.region for t in tiles))
        assert covered == 200 * 160
        first = shared[request.labels].copy()
        assert first.any()

        real.send(replace(request, job=6))
        again = real.until(Done, Failed)
        assert not any(isinstance(m.event, Looking) for m in again[1:-1])
        np.testing.assert_array_equal(shared[request.labels], first)


def test_a_model_that_is_not_there_is_one_sentence(real, tmp_path, discs):
    with SharedArrays() as shared:
        image = shared.share(discs.image)
        out = shared.reserve((1, 128, 160), np.float32), shared.reserve((128, 160), np.int32)
        real.send(Predict(3, str(tmp_path / "none"), image, PredictConfig(), None, *out))
        failed = real.until(Done, Failed)[-1]
    assert failed == Failed(3, f"There is no model file {tmp_path / 'none'}.", "")


def test_a_stopped_training_says_whether_it_saved(real, tmp_path, discs, quick):
    config = replace(quick, steps=None, minutes=5, val_fraction=0)
    with SharedArrays() as shared:
        samples = (shared.share_sample(discs),)
        real.send(Train(4, samples, config, str(tmp_path / "model")))
        while not isinstance(getattr(real.receive(), "event", None), Stepped):
            pass
        real.send(Stop(4))
        stopped = real.until(Stopped, Failed, Done)[-1]
    assert stopped.result == {"model": str(tmp_path / "model")}
    assert (tmp_path / "model").is_file()


def test_a_model_of_each_kind_is_trained_in_a_process_of_its_own(real, tmp_path, quick):
    sample = make_sample("fluorescence", (256, 256), seed=1)
    config = replace(quick, steps=2, batch_size=1, tile=64, validations=1, val_fraction=0.3)
    with SharedArrays() as shared:
        real.send(Compete(7, (shared.share_sample(sample),), config, str(tmp_path)))
        messages = real.until(Done, Failed, patience=60)
    assert isinstance(messages[-1], Done), messages[-1]
    outcome = messages[-1].result["outcome"]
    assert [one.name for one in outcome.standings] == list(MODELS)
    assert all(Path(one.model).parent == tmp_path for one in outcome.standings)
    assert all(one.memory > 10**8 for one in outcome.standings)
    told = {m.event.name for m in messages[1:-1] if isinstance(m.event.event, Stepped)}
    assert told == set(MODELS)


def test_a_stopped_comparison_keeps_what_was_learnt(real, tmp_path, quick):
    config = replace(quick, steps=None, minutes=5)
    sample = make_sample("fluorescence", (256, 256), seed=1)
    with SharedArrays() as shared:
        real.send(Compete(8, (shared.share_sample(sample),), config, str(tmp_path)))
        said = None
        while not isinstance(said, Stepped):
            said = getattr(getattr(real.receive(60), "event", None), "event", None)
        real.send(Stop(8))
        stopped = real.until(Stopped, Failed, Done, patience=60)[-1]
    assert isinstance(stopped, Stopped), stopped
    assert [path.stem for path in tmp_path.glob("*.safetensors")] == [next(iter(MODELS))]
