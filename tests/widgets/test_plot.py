"""The curves stay cheap however long a training is, and follow the theme."""

from __future__ import annotations

import time

import numpy as np
import pytest

from napari_unet.widgets._plot import _MAX_POINTS, CurvePlot


@pytest.fixture
def plot(qtbot):
    plot = CurvePlot("dark")
    qtbot.addWidget(plot)
    plot.resize(300, 180)
    plot.show()
    return plot


def drawn(line):
    x, y = line.getData()
    return (np.array([]), np.array([])) if x is None else (x, y)


def test_points_are_drawn_soon(qtbot, plot):
    plot.add_loss(0.1, 2.0)
    plot.add_loss(0.2, 1.0)
    plot.add_validation(0.2, 1.5, 0.4)
    qtbot.waitUntil(lambda: len(drawn(plot._loss_line)[0]) == 2, timeout=2000)
    assert drawn(plot._f1_line)[1].tolist() == [0.4]
    assert drawn(plot._validation_line)[1].tolist() == [1.5]
    assert "0.40" in plot._legend.text()


def test_a_long_training_keeps_its_shape_in_few_points(plot):
    minutes = np.linspace(0, 10, 20_000)
    for minute in minutes:
        plot.add_loss(float(minute), float(10 - minute))
    plot.draw()
    x, y = drawn(plot._loss_line)
    assert len(x) < _MAX_POINTS
    assert (np.diff(x) > 0).all()
    np.testing.assert_allclose(y, 10 - x, atol=0.1)


def test_drawing_takes_less_than_a_frame(plot):
    for i in range(_MAX_POINTS - 1):
        plot.add_loss(i / 100, 1 / (i + 1))
    times = []
    for _ in range(9):
        begin = time.thread_time()
        plot.draw()
        times.append(time.thread_time() - begin)
    assert sorted(times)[4] < 0.016


def test_clear_forgets(plot):
    plot.add_loss(1, 1)
    plot.add_validation(1, 1, 1)
    plot.draw()
    plot.clear()
    assert len(drawn(plot._loss_line)[0]) == 0
    assert len(drawn(plot._f1_line)[0]) == 0


def test_theme(plot):
    dark = plot._plot.backgroundBrush().color().lightness()
    plot.set_theme("light")
    light = plot._plot.backgroundBrush().color().lightness()
    assert dark < 100 < light
    assert plot._loss_line.opts["pen"].color().lightness() < 130


def test_the_time_axis_shows_the_budget(plot):
    plot.set_budget(5.0)
    plot.add_loss(0.1, 1.0)
    plot.draw()
    low, high = plot._plot.getPlotItem().vb.viewRange()[0]
    assert low <= 0.0 < 5.0 <= high
