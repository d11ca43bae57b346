from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from napari.layers import Labels

from napari_unet.widgets import _dirty, _planes


@pytest.fixture(params=[_dirty.AT_ONCE, 0], ids=["at once", "in a thread"])
def painted(qtbot, monkeypatch, request):
    """A layer, the regions that were reported, and a function that waits for the report."""
    monkeypatch.setattr(_dirty, "AT_ONCE", request.param)
    layer = Labels(np.zeros((40, 50), np.int32))
    layer.brush_size = 3
    regions: list = []
    end = _dirty.watch(layer, regions.append, delay_ms=1)

    def settle():
        qtbot.waitUntil(lambda: not end.__self__.busy)
        return regions

    yield layer, settle
    end()


def test_paint_reports_the_box_that_changed(painted):
    layer, settle = painted
    layer.paint((10, 20), 1)
    assert settle() == [(slice(9, 12), slice(19, 22))]


def test_the_brush_reports_while_it_moves(painted):
    layer, settle = painted
    with layer.block_history():
        layer.paint((10, 20), 1)
        assert len(settle()) == 1
        layer.paint((10, 30), 1)
        assert len(settle()) == 2
    assert len(settle()) == 2  # the end of the stroke is no change


@pytest.mark.parametrize("how", ["undo", "redo", "fill", "data_setitem", "polygon", "data", "raw"])
def test_every_way_to_edit_is_seen(painted, how):
    layer, settle = painted
    layer.paint((10, 20), 1)
    if how == "redo":
        layer.undo()
    settle().clear()
    if how in ("undo", "redo"):
        getattr(layer, how)()
    elif how == "fill":
        layer.fill((10, 20), 2)
    elif how == "data_setitem":
        layer.data_setitem((np.array([9, 11]), np.array([19, 21])), [3, 3])
    elif how == "polygon":
        layer.paint_polygon([[9, 19], [9, 21], [11, 21], [11, 19]], 4)
    elif how == "data":
        layer.data = np.zeros((40, 50), np.int32)
    else:
        layer.data[9:12, 19:22] = 7
        layer.refresh()
    assert settle() == [(slice(9, 12), slice(19, 22))]


@pytest.mark.parametrize("attribute", ["contour", "opacity", "brush_size", "selected_label"])
def test_what_changes_no_pixel_is_not_reported(painted, attribute):
    layer, settle = painted
    setattr(layer, attribute, 1)
    layer.refresh()
    assert settle() == []


def test_another_shape_is_anything(painted):
    layer, settle = painted
    layer.data = np.zeros((10, 10), np.int32)
    assert settle() == [None]
    layer.data[3, 4] = 1
    layer.refresh()
    assert settle()[1:] == [(slice(3, 4), slice(4, 5))]


def test_another_dtype_is_compared(painted):
    layer, settle = painted
    layer.data = np.full((40, 50), 2**40, np.int64)
    assert len(settle()) == 1
    layer.refresh()
    assert len(settle()) == 1


def test_ended_is_silent(qtbot):
    layer = Labels(np.zeros((40, 50), np.int32))
    regions: list = []
    end = _dirty.watch(layer, regions.append, delay_ms=1)
    layer.data[10, 20] = 1
    layer.refresh()
    end()
    layer.paint((20, 20), 1)
    qtbot.wait(20)
    assert regions == []


@given(arrays(np.int32, (7, 9), elements=st.integers(0, 2)), st.data())
def test_found_box_is_the_smallest(before, data):
    after = data.draw(arrays(np.int32, (7, 9), elements=st.integers(0, 2)))
    region = _dirty.find_change(before, after)
    differs = np.argwhere(before != after)
    if region is None:
        assert not len(differs)
    else:
        assert [part.start for part in region] == differs.min(axis=0).tolist()
        assert [part.stop for part in region] == (differs.max(axis=0) + 1).tolist()


def test_of_a_hidden_layer_the_slider_says_that_another_plane_is_in_view(qtbot, model):
    layer = model.add_labels(np.zeros((3, 8, 8), np.int32), visible=False)
    layer.data[2, 1:3, 1:3] = 1
    changes = []

    def plane():
        index = _planes.find_plane(model, layer)
        return index, _planes.read_plane(layer, index)

    end = _dirty.watch(layer, changes.append, plane, moved=model.dims.events.current_step)
    model.dims.set_point(0, 2)
    qtbot.waitUntil(lambda: changes == [None])
    end()
    model.dims.set_point(0, 0)
    qtbot.wait(60)
    assert changes == [None]
