"""The bridge: every job ends with exactly one signal, whatever happens to the process."""

from __future__ import annotations

import gc
import json
import os
import random
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import QTimer

from napari_unet.core.card import ModelCard
from napari_unet.core.config import InstanceConfig, PredictConfig, TrainConfig
from napari_unet.core.types import Prepared, Repainted, Sample, Stepped, TileDone
from napari_unet.messages import Happened
from napari_unet.widgets import _compute
from napari_unet.widgets._compute import Compute
from napari_unet.widgets._pixels import Pixels

FAKE = (sys.executable, str(Path(__file__).parents[1] / "fake_compute.py"))
SEGMENTS = Path("/dev/shm")


@dataclass
class Record:
    """A bridge and everything it said."""

    compute: Compute
    ready: list = field(default_factory=list)
    events: list = field(default_factory=list)
    ends: list = field(default_factory=list)

    def __post_init__(self) -> None:
        self.compute.ready.connect(self.ready.append)
        self.compute.happened.connect(lambda job, event: self.events.append((job, event)))
        self.compute.done.connect(lambda job, result: self.ends.append((job, "done", result)))
        self.compute.stopped.connect(lambda job, result: self.ends.append((job, "stopped", result)))
        self.compute.failed.connect(lambda *said: self.ends.append((said[0], "failed", said[1:])))

    def ended(self, job: int) -> tuple:
        """How a job ended; fails where it ended twice."""
        (end,) = (end for end in self.ends if end[0] == job)
        return end[1:]


def segments(pid: int | None = None) -> set[str]:
    """What is left in shared memory of a process, by default of this one."""
    return {path.name for path in SEGMENTS.glob(f"unet_{pid or os.getpid()}_*")}


def ramp(height: int, width: int) -> np.ndarray:
    """An image of one channel without a zero in it."""
    return np.arange(1.0, 1 + height * width).reshape(1, height, width)


@pytest.fixture
def bridge(qapp):
    """Makes bridges; nothing of them is left after the test."""
    made = []

    def make(*command: str, patience: float = 5.0) -> Record:
        made.append(Record(Compute(command=command or FAKE, patience=patience)))
        return made[-1]

    yield make
    for record in made:
        record.compute.close()
        assert not record.compute.busy
    assert not segments()


@pytest.fixture
def record(bridge) -> Record:
    return bridge()


@pytest.fixture
def run(qtbot):
    """Starts what a training of this name does in the fake process, and may wait for its end."""

    def begin(record: Record, kind: str, wait: bool = True, **more) -> int:
        sample = Sample(np.full((1, 8, 8), 3, np.uint8), np.ones((8, 8), np.int32), name="hela")
        more = {"output": "/nowhere/model", **more}
        job = record.compute.train([sample], TrainConfig(steps=3), architecture=kind, **more)
        if wait:
            qtbot.waitUntil(lambda: any(end[0] == job for end in record.ends), timeout=20_000)
        return job

    return begin


def wait_for_step(qtbot, record: Record, job: int, count: int = 1) -> None:
    def seen() -> bool:
        return sum(each == job for each, _ in record.events) >= count

    qtbot.waitUntil(seen, timeout=20_000)


def test_a_training_says_its_events_and_its_result(record, run):
    job = run(record, "count")
    assert [event.step for each, event in record.events if each == job] == [1, 2, 3]
    assert record.ended(job) == ("done", {"mean": [3.0], "names": ["hela"]})
    assert record.compute.report.words == "Abacus, float32"
    assert record.ready == [record.compute.report]
    assert not record.compute.busy


def test_signals_never_come_from_within_a_call(record, run, qtbot):
    job = run(record, "loop", wait=False)
    record.compute.stop(job)  # the process is not there yet
    assert record.ends == []
    qtbot.waitUntil(lambda: record.ends != [])
    assert record.ended(job) == ("stopped", {"model": None})
    assert record.ended(run(record, "count"))[0] == "done"


def test_stop_is_answered(record, run, qtbot):
    job = run(record, "loop", wait=False)
    wait_for_step(qtbot, record, job)
    begin = time.perf_counter()
    record.compute.stop(job)
    record.compute.stop(job)
    qtbot.waitUntil(lambda: record.ends != [])
    assert time.perf_counter() - begin < 1
    assert record.ended(job)[0] == "stopped"
    record.compute.stop(job)
    assert record.ended(run(record, "count"))[0] == "done"


def test_a_slow_save_is_waited_for(bridge, run, qtbot):
    record = bridge(patience=0.5)
    job = run(record, "stop slowly", wait=False)
    wait_for_step(qtbot, record, job, 2)
    record.compute.stop(job)
    qtbot.waitUntil(lambda: record.ends != [], timeout=10_000)
    assert record.ended(job)[0] == "stopped"


def test_a_job_that_does_not_answer_stop_is_ended(bridge, run, qtbot):
    record = bridge(patience=1.0)
    job = run(record, "hang", wait=False)
    wait_for_step(qtbot, record, job)
    record.compute.stop(job)
    qtbot.waitUntil(lambda: record.ends != [], timeout=10_000)
    assert record.ended(job)[1][0] == (
        "Training ended because the training did not answer Stop within 1 s and the compute "
        "process was ended: the next job starts a new one."
    )
    assert record.ended(run(record, "count"))[0] == "done"


def test_stopping_a_prediction_does_not_end_a_training_that_is_slow(
    bridge, run, qtbot, card, monkeypatch
):
    monkeypatch.setattr(_compute, "_SHARED", 2.0)
    record = bridge(patience=0.1)
    training = run(record, "hang", wait=False)
    wait_for_step(qtbot, record, training)
    job = record.compute.predict(card, Pixels.of(ramp(4, 4)))
    begin = time.perf_counter()
    record.compute.stop(job)
    qtbot.waitUntil(lambda: len(record.ends) == 2, timeout=10_000)
    assert time.perf_counter() - begin > 1.9
    assert record.ended(training)[0] == record.ended(job)[0] == "failed"


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("moment", [0.0, 0.02, 0.2, 0.6, 1.0])
def test_a_killed_process_fails_its_jobs_once_and_the_next_one_works(
    record, run, qtbot, moment, card
):
    record.compute.start()
    jobs = [run(record, "loop", wait=False), run(record, "loop", wait=False)]
    jobs.append(record.compute.predict(card, Pixels.of(ramp(100, 50)), PredictConfig(tile=4096)))
    if moment > 0.5:
        wait_for_step(qtbot, record, jobs[-1])
    qtbot.wait(int(1000 * moment * random.random()))
    os.kill(record.compute._children[0].pid, signal.SIGKILL)
    qtbot.waitUntil(lambda: len(record.ends) + len(retried(record)) == 3, timeout=20_000)
    for job in set(jobs) - retried(record):
        kind, (message, _) = record.ended(job)
        assert kind == "failed"
        assert "killed from outside, most likely because memory ran out" in message
        assert message.count(".") == 1
    for job in retried(record):
        record.compute.stop(job)
    assert record.ended(run(record, "count"))[0] == "done"
    qtbot.waitUntil(lambda: not record.compute.busy, timeout=20_000)
    for job in jobs:
        record.ended(job)


def retried(record: Record) -> set[int]:
    """Jobs that the killed process had not taken up; a new one does them."""
    return {job.number for job in record.compute._jobs.values() if job.tried_twice}


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_process_that_dies_idle_is_replaced_silently(record, run):
    run(record, "count")
    first = record.compute._children[0].pid
    os.kill(first, signal.SIGKILL)  # and the next job comes before it is quite dead
    assert record.ended(run(record, "count"))[0] == "done"
    assert record.compute._children[0].pid != first
    assert [end[1] for end in record.ends] == ["done", "done"]


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_job_asked_for_between_a_death_and_its_discovery_is_done(record, run, qtbot):
    lost = run(record, "loop", wait=False)
    wait_for_step(qtbot, record, lost)
    child = record.compute._children[0]
    os.kill(child.pid, signal.SIGKILL)
    while child.alive:
        time.sleep(0.01)
    assert record.ended(run(record, "count"))[0] == "done"
    assert record.ended(lost)[0] == "failed"


@pytest.mark.parametrize(
    ("kind", "sentence", "tail"),
    [
        ("abort", "Training ended because the compute process crashed (Aborted)", "in abort"),
        ("segfault", "crashed (Segmentation fault)", "Fatal Python error: Segmentation fault"),
        ("exit", "crashed (exit code 0x3)", "noise"),
    ],
)
@pytest.mark.skipif(os.name != "posix", reason="the words of POSIX")
def test_a_crash_is_a_sentence_with_the_last_words(record, run, qtbot, kind, sentence, tail):
    run(record, "bug")  # leaves noise on the standard error
    kind_of_end, (message, details) = record.ended(run(record, kind))
    assert kind_of_end == "failed"
    assert sentence in message
    assert tail in details
    assert record.ended(run(record, "count"))[0] == "done"


def test_a_failure_says_where_the_best_state_is(record, run, tmp_path):
    output = tmp_path / "model"
    output.write_text("of an earlier day", encoding="utf-8")
    os.utime(output, (0, 0))
    _, (message, _) = record.ended(run(record, "input", output=output))
    assert message == "Paint a cell."
    _, (message, _) = record.ended(run(record, "save and bug", output=output))
    assert message.endswith(f"The best state so far is saved in {output}.")


def test_a_lost_gpu_fails_all_jobs_and_the_next_one_works(record, run, qtbot):
    other = run(record, "loop", wait=False)
    wait_for_step(qtbot, record, other)
    lost = run(record, "lose gpu")
    qtbot.waitUntil(lambda: len(record.ends) == 2)
    assert "CUDA error" in record.ended(lost)[1][0]
    assert record.ended(other)[1][0] == "The GPU had to be given up after an error."
    assert record.ended(run(record, "count"))[0] == "done"


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ((*FAKE, "no torch"), "torch is not installed beside napari"),
        ((*FAKE, "old"), "restart napari"),
        ((*FAKE, "crash"), "Training ended because the compute process crashed"),
        (("/nowhere/python",), "The compute process cannot be started"),
    ],
)
def test_a_process_that_cannot_start_fails_what_waits_for_it(bridge, run, command, sentence):
    record = bridge(*command)
    for _ in range(2):
        kind, (message, _) = record.ended(run(record, "count"))
        assert kind == "failed"
        assert sentence in message


def test_a_start_that_takes_for_ever_is_given_up(bridge, run, monkeypatch):
    monkeypatch.setattr(_compute, "_STARTING", 0.5)
    record = bridge(*FAKE, "slow")
    _, (message, _) = record.ended(run(record, "count"))
    assert "was not ready after" in message


@pytest.fixture
def card(tmp_path) -> Path:
    """A model file without weights, of two classes: enough to know the shape of the answer."""
    header = ModelCard("unet", {}, 1, ("round", "long"), maps=2).to_header()
    text = json.dumps({"__metadata__": header}).encode()
    path = tmp_path / "two classes.model"
    path.write_bytes(struct.pack("<Q", len(text)) + text)
    return path


def test_a_prediction_hands_over_its_arrays(record, qtbot, card):
    image = np.zeros((1, 40, 60), np.float32)
    image[0, 10:20, 30:50] = 1
    job = record.compute.predict(card, Pixels.of(image), region=(slice(5, 35), slice(20, 60)))
    qtbot.waitUntil(lambda: record.ends != [], timeout=20_000)
    kind, result = record.ended(job)
    assert kind == "done"
    assert result["cells"] == 1
    assert result["labels"].dtype == np.int32
    assert result["evidence"].values.shape == (2, 30, 40)
    np.testing.assert_array_equal(result["labels"], image[0, 5:35, 20:60] > 0)
    assert not segments()  # the arrays live on, their names do not
    record.compute.close()
    gc.collect()
    assert result["labels"].sum() == 200
    result["labels"][:] = 5


def test_a_prediction_can_be_looked_at_while_it_runs(record, qtbot, card):
    job = record.compute.predict(card, Pixels.of(ramp(100, 8)), PredictConfig(tile=1024))
    assert record.compute.evidence(job) is None
    wait_for_step(qtbot, record, job, 3)
    done = [event.region for _, event in record.events if isinstance(event, TileDone)][-1]
    live = record.compute.evidence(job).values
    assert (live[:, *done] == 1).all()
    assert live[:, -1].sum() == 0
    qtbot.waitUntil(lambda: record.ends != [], timeout=20_000)
    assert record.compute.evidence(job) is None
    assert live.all()


def test_a_stopped_prediction_hands_over_what_it_has(record, qtbot, card):
    job = record.compute.predict(card, Pixels.of(ramp(200, 8)), PredictConfig(tile=1024))
    wait_for_step(qtbot, record, job, 3)
    record.compute.stop(job)
    qtbot.waitUntil(lambda: record.ends != [], timeout=20_000)
    kind, result = record.ended(job)
    assert kind == "stopped"
    rows = len([event for _, event in record.events if isinstance(event, TileDone)])
    assert 3 <= rows < 200
    assert (result["evidence"].values[:1, :rows] == 1).all()
    assert not result["evidence"].values[:, -1].any()
    assert not segments()


@pytest.mark.parametrize(
    ("image", "model", "sentence"),
    [
        (np.arange(16.0).reshape(1, 4, 4), "none", "There is no model file"),
        (np.array([[["a"]]]), None, "give whole or real numbers"),
    ],
)
def test_what_cannot_be_sent_is_a_sentence(record, qtbot, card, image, model, sentence):
    job = record.compute.predict(model or card, Pixels.of(image))
    qtbot.waitUntil(lambda: record.ends != [], timeout=20_000)
    kind, (message, _) = record.ended(job)
    assert kind == "failed"
    assert sentence in message


class Pulse:
    """The longest pause between two turns of the event loop, and the longest work in one.

    The work is processor time of this thread, which does not grow when the machine is busy.
    """

    def __init__(self) -> None:
        self.pause = self.work = 0.0
        self._last = time.perf_counter(), time.thread_time()
        self._timer = QTimer()
        self._timer.timeout.connect(self._beat)
        self._timer.start(5)

    def _beat(self) -> None:
        now = time.perf_counter(), time.thread_time()
        self.pause = max(self.pause, now[0] - self._last[0])
        self.work = max(self.work, now[1] - self._last[1])
        self._last = now

    def __enter__(self) -> Pulse:
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.stop()


def test_the_event_loop_keeps_ticking(record, run, qtbot, card):
    """Large images are copied, sent and handed over without a frame being missed."""
    record.compute.start()
    qtbot.waitUntil(lambda: record.ready != [], timeout=20_000)
    gc.collect()
    sample = Sample(np.ones((3, 3000, 3000), np.uint16), np.ones((3000, 3000), np.int32))
    with Pulse() as pulse:
        looping = run(record, "loop", wait=False)
        config = TrainConfig(steps=50)
        job = record.compute.train([sample], config, output="x", architecture="count")
        qtbot.waitUntil(lambda: any(end[0] == job for end in record.ends), timeout=20_000)
        record.compute.stop(looping)
        qtbot.waitUntil(lambda: not record.compute.busy, timeout=20_000)
    assert record.ended(job)[1]["mean"] == [1.0]
    assert pulse.work < 0.02
    assert pulse.pause < 0.3


def test_a_look_at_the_inbox_is_short_however_full_it_is(record, run, qtbot):
    """Steps that are overtaken are passed over, all other events arrive."""
    job = run(record, "loop", wait=False)
    wait_for_step(qtbot, record, job)
    child = record.compute._children[0]
    record.events.clear()
    record.compute.happened.connect(lambda *_: time.sleep(0.002))
    for number in range(300):
        tile = TileDone(number, 300, (slice(0), slice(0)))
        record.compute._inbox.put((child, Happened(job, Stepped(number, 0, 0, 0, 0, 0))))
        if number % 10 == 0:
            record.compute._inbox.put((child, Happened(job, tile)))
    record.compute._tick()
    assert len(record.events) <= 4  # 5 ms of them, at 2 ms each
    qtbot.waitUntil(lambda: record.compute._inbox.empty(), timeout=5000)
    tiles = [event.done for _, event in record.events if isinstance(event, TileDone)]
    assert tiles == list(range(0, 300, 10))
    steps = [event.step for _, event in record.events if isinstance(event, Stepped)]
    assert 299 in steps
    assert len(steps) < 100


def test_the_timer_rests_when_there_is_nothing_to_do(record, run, qtbot):
    run(record, "count")
    qtbot.wait(60)
    assert not record.compute._timer.isActive()


def test_close_lets_a_training_save_and_says_nothing(bridge, run, qtbot, tmp_path):
    record = bridge()
    run_output = tmp_path / "model"
    job = run(record, "save", wait=False, output=run_output)
    wait_for_step(qtbot, record, job, 2)
    pid = record.compute._children[0].pid
    record.compute.close()
    record.compute.close()
    assert run_output.read_text(encoding="utf-8") == "model"
    qtbot.wait(60)
    assert record.ends == []
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert record.ended(run(record, "count"))[0] == "done"  # it can be used again


def test_a_slot_may_close_the_bridge_or_start_the_next_job(record, run, qtbot):
    record.compute.stopped.connect(lambda *_: run(record, "count", wait=False))
    record.compute.done.connect(lambda *_: record.compute.close())
    job = run(record, "loop", wait=False)
    wait_for_step(qtbot, record, job)
    record.compute.stop(job)
    qtbot.waitUntil(lambda: len(record.ends) == 2, timeout=10_000)
    assert [end[1] for end in record.ends] == ["stopped", "done"]


def test_a_forgotten_bridge_takes_its_process_along(qtbot, run):
    record = Record(Compute(command=FAKE))
    run(record, "count")
    pid = record.compute._children[0].pid
    del record
    gc.collect()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


FORGETFUL = """
import os, sys
import numpy as np
from qtpy.QtCore import QCoreApplication
from napari_unet.core.config import TrainConfig
from napari_unet.core.types import Sample
from napari_unet.widgets._compute import Compute
from napari_unet.widgets._pixels import Pixels
application = QCoreApplication([])
compute = Compute(command=sys.argv[1:])
sample = Sample(np.ones((1, 9, 9)), np.ones((9, 9), np.int32))
job = compute.train([sample], TrainConfig(), output="x", architecture="loop")
compute.happened.connect(lambda *_: application.quit())
application.exec()
print(os.getpid(), compute._children[0].pid)
"""


@pytest.mark.skipif(os.name != "posix", reason="asks POSIX whether a process is there")
def test_at_the_end_of_the_interpreter_nothing_stays(qapp):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", FORGETFUL, *FAKE],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    own, child = map(int, done.stdout.split())
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
    assert not segments(own)


@pytest.fixture(scope="module")
def warm(qapp) -> Iterator[Compute]:
    """The real process, shared because importing torch takes seconds."""
    compute = Compute()
    compute.start()
    yield compute
    compute.close()


@pytest.fixture
def real(warm) -> Iterator[Record]:
    record = Record(warm)
    yield record
    for signal_ in (warm.ready, warm.happened, warm.done, warm.stopped, warm.failed):
        signal_.disconnect()


QUICK = TrainConfig(
    steps=3, batch_size=1, tile=32, val_fraction=0, device="cpu", precision="float32"
)


def discs() -> Sample:
    """Bright discs on a dim ground, all of them painted."""
    rows, columns = np.indices((128, 128))
    labels = np.zeros((128, 128), np.int32)
    for number in range(9):
        centre = 20 + 40 * (number // 3), 20 + 40 * (number % 3)
        labels[np.hypot(rows - centre[0], columns - centre[1]) < 12] = number + 1
    noise = np.random.default_rng(0).normal(100, 10, labels.shape)
    return Sample((noise + 300 * (labels > 0))[None].astype(np.uint16), labels, name="discs")


def test_train_and_predict_beside_a_shown_viewer(real, viewer, qtbot, tmp_path):
    viewer.window.show()
    sample, path = discs(), tmp_path / "discs.model"
    viewer.add_image(sample.image[0])
    training = real.compute.train([sample], QUICK, output=path)
    wait_for_step(qtbot, real, training)
    with Pulse() as pulse:
        qtbot.waitUntil(lambda: real.ends != [], timeout=120_000)
    assert real.ended(training) == ("done", {"model": str(path)})
    events = [event for _, event in real.events]
    assert isinstance(events[0], Prepared)
    assert [event.step for event in events if isinstance(event, Stepped)] == [1, 2, 3]
    assert pulse.pause < 1

    say_cell = PredictConfig(
        device="cpu", precision="float32", instances=InstanceConfig(threshold=0.01, min_size=0)
    )
    region = (slice(8, 108), slice(0, 90))
    prediction = real.compute.predict(path, Pixels.of(sample.image), say_cell, region=region)
    qtbot.waitUntil(lambda: len(real.ends) == 2, timeout=120_000)
    kind, result = real.ended(prediction)
    assert kind == "done", result
    assert result["labels"].shape == (100, 90)
    assert result["labels"].max() == result["cells"] == len(result["scores"]) > 0
    assert 0 < result["evidence"].values.min() <= result["evidence"].values.max() < 1
    viewer.add_labels(result["labels"], translate=(8, 0))
    qtbot.wait(100)
    assert "torch" not in sys.modules
    assert not segments()


def test_what_is_painted_meanwhile_reaches_the_process(real, qtbot, tmp_path):
    sample = discs()
    few = replace(sample, labels=np.where(sample.labels < 4, sample.labels, 0).astype(np.int32))
    endless = replace(QUICK, steps=None, minutes=5, val_fraction=0)
    job = real.compute.train([few], endless, output=tmp_path / "model")
    wait_for_step(qtbot, real, job)
    small = replace(sample, image=sample.image[:, :64], labels=sample.labels[:64])
    real.compute.repaint(job, small)  # another image has come: not of this training
    real.compute.repaint(job, sample)
    qtbot.waitUntil(lambda: (job, Repainted(9)) in real.events, timeout=120_000)
    real.compute.stop(job)
    qtbot.waitUntil(lambda: real.ends != [], timeout=120_000)
    assert real.ended(job)[0] == "stopped"
    real.compute.repaint(job, sample)
    assert not segments()


def test_a_prediction_runs_while_training_goes_on(real, qtbot, tmp_path):
    sample = discs()
    first = real.compute.train([sample], replace(QUICK, steps=1), output=tmp_path / "a")
    endless = replace(QUICK, steps=None, minutes=5)
    training = real.compute.train([sample], endless, output=tmp_path / "b")
    qtbot.waitUntil(lambda: real.ends != [], timeout=120_000)
    assert real.ended(first)[0] == "done"
    prediction = real.compute.predict(
        tmp_path / "a", Pixels.of(sample.image), PredictConfig(device="cpu", precision="float32")
    )
    qtbot.waitUntil(lambda: len(real.ends) == 2, timeout=120_000)
    assert real.ended(prediction)[0] == "done"
    count = len(real.events)
    qtbot.waitUntil(lambda: len(real.events) > count + 2, timeout=120_000)
    real.compute.stop(training)
    qtbot.waitUntil(lambda: len(real.ends) == 3, timeout=120_000)
    assert real.ended(training) == ("stopped", {"model": str(tmp_path / "b")})


def test_nothing_to_learn_from_is_the_sentence_of_the_core(real, qtbot, tmp_path):
    blank = Sample(discs().image, np.zeros((128, 128), np.int32), name="blank")
    job = real.compute.train([blank], QUICK, output=tmp_path / "model")
    qtbot.waitUntil(lambda: real.ends != [], timeout=120_000)
    kind, (message, details) = real.ended(job)
    assert (kind, details) == ("failed", "")
    assert "Error" not in message
