"""The bar says what happens, and its one button does what it says."""

from __future__ import annotations

import platform

import pytest
from qtpy.QtCore import Qt
from qtpy.QtGui import QGuiApplication

from napari_unet.widgets._task_bar import TaskBar, TaskState


@pytest.fixture
def bar(qtbot):
    bar = TaskBar("Train")
    qtbot.addWidget(bar)
    bar.resize(300, 120)
    bar.show()
    return bar


def click(qtbot, bar):
    qtbot.mouseClick(bar.button, Qt.MouseButton.LeftButton)


def test_the_button_starts_then_stops_at_the_same_place(qtbot, bar):
    place = bar.button.geometry()
    with qtbot.waitSignal(bar.start_clicked):
        click(qtbot, bar)
    bar.prepare("preparing")
    assert bar.button.text() == "Stop"
    bar.run("Training · 00:42 of 02:00 · AMD EPYC, bfloat16 · 31 images/s", 0.35)
    qtbot.wait(10)
    assert bar.button.geometry() == place
    with qtbot.waitSignal(bar.stop_clicked):
        click(qtbot, bar)
    assert bar.state is TaskState.STOPPING
    assert not bar.button.isEnabled()


def test_an_event_still_on_its_way_does_not_undo_stop(qtbot, bar):
    bar.run("running", 0.5)
    bar.stop()
    bar.run("running", 0.6)
    assert bar.state is TaskState.STOPPING
    bar.finish("stopped after 12 s")
    assert bar.state is TaskState.DONE
    assert bar.button.text() == "Train"
    assert bar.button.isEnabled()


def test_a_second_click_on_stop_is_not_a_second_stop(qtbot, bar):
    asked = []
    bar.stop_clicked.connect(lambda: asked.append(1))
    bar.run("running")
    click(qtbot, bar)
    click(qtbot, bar)
    assert asked == [1]


def test_a_failure_shows_details_and_copies_a_report(qtbot, bar):
    bar.fail("The loss is not a number.", "Traceback: boom in step 3")
    assert bar.sentence == "The loss is not a number."
    assert bar._failure.isVisible()
    assert not bar._details.isVisible()
    qtbot.mouseClick(bar._details_button, Qt.MouseButton.LeftButton)
    assert bar._details.isVisible()
    qtbot.mouseClick(bar._copy_button, Qt.MouseButton.LeftButton)
    report = QGuiApplication.clipboard().text()
    for part in ("The loss is not a number.", "boom in step 3", platform.python_version()):
        assert part in report
    assert "napari-unet-cells " in report


def test_what_the_person_can_mend_has_no_report(qtbot, bar):
    bar.fail("No image is open.")
    assert not bar._failure.isVisible()
    assert bar.report == ""


def test_the_next_start_forgets_the_failure(qtbot, bar):
    bar.fail("no", "trace")
    bar.prepare("preparing")
    assert not bar._failure.isVisible()


@pytest.mark.parametrize(("fraction", "value"), [(-1, 0), (0.25, 250), (3, 1000)])
def test_progress(qtbot, bar, fraction, value):
    bar.run("running", fraction)
    assert bar._progress.value() == value


def test_not_startable(qtbot, bar):
    bar.ready("No image is open.", startable=False)
    assert not bar.button.isEnabled()
    bar.ready()
    assert bar.button.isEnabled()


def test_what_is_not_known_blinks_slowly(bar):
    """Qt's own animation paints the window, and with it the canvas, thirty times a second."""
    bar.prepare("preparing")
    assert bar._progress.maximum() > 0
    assert bar._pulse.isActive()
    assert bar._pulse.interval() >= 250
    seen = []
    for _ in range(3):
        seen.append(bar._progress.value())
        bar._pulse.timeout.emit()
    assert seen[0] == seen[2] != seen[1]
    bar.run("half", 0.5)
    assert not bar._pulse.isActive()
    bar.run("some")
    assert bar._pulse.isActive()
    bar.finish("done")
    assert not bar._pulse.isActive()
