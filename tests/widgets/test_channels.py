"""Channels: an axis of the image, some of them, or several layers."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtWidgets import QFormLayout, QWidget

from napari_unet.core.errors import InputError
from napari_unet.widgets import _cell_layers, _layers, _planes
from napari_unet.widgets._channel_choice import ChannelChoice
from napari_unet.widgets._channels import Channels, list_alike
from napari_unet.widgets._connections import Connections
from napari_unet.widgets._session import session


@pytest.fixture
def image(model):
    """Time, channel, rows, columns."""
    data = np.random.default_rng(0).integers(0, 999, (4, 3, 20, 30), dtype=np.uint16)
    layer = model.add_image(
        data, name="cells", axis_labels=("t", "c", "y", "x"), scale=(1, 1, 0.5, 0.5)
    )
    model.dims.set_current_step(0, 2)
    model.dims.set_current_step(1, 1)
    return layer


@pytest.fixture
def row(qtbot, model):
    """The row in a form of its own."""
    panel = QWidget()
    qtbot.addWidget(panel)
    rows = QFormLayout(panel)
    connections = Connections()
    choice = ChannelChoice(session(model), connections, rows)
    panel.show()
    yield choice
    connections.undo()


def test_an_axis_that_is_called_so_holds_the_channels(model, image):
    state = session(model)
    assert state.channels() == 3
    assert state.plane_index(image) == (2, 0, None, None)
    assert state.plane_shape() == (20, 30)
    np.testing.assert_array_equal(state.image_reader()(), image.data[2])
    assert len(_planes.list_planes(image, state.plane_index(image))) == 4
    assert _planes.count_planes(image) == 4


def test_some_channels_are_read_in_their_order(model, image):
    state = session(model)
    heard = []
    state.channels_changed.connect(lambda: heard.append(state.channels()))
    state.choose_channels(Channels((0, 2)))
    state.choose_channels(Channels((0, 2)))
    assert heard == [2]
    np.testing.assert_array_equal(state.image_reader()(), image.data[2, [0, 2]])
    state.choose_channel_axis(None)
    assert state.channels() == 1
    np.testing.assert_array_equal(state.image_reader()()[0], image.data[2, 1])


def test_what_is_painted_belongs_to_all_channels(model, image):
    state = session(model)
    labels = state.add_annotation()
    assert labels.data.shape == (4, 1, 20, 30)
    assert state.fits(labels)
    for channel in range(3):  # it is in view whichever channel is
        model.dims.set_current_step(1, channel)
        point = labels.world_to_data(model.dims.point)
        assert round(point[1]) == 0
        assert round(point[0]) == 2
    labels.data[2, 0, 3:9, 4:12] = 1
    sample = state.sample_reader()()
    assert sample.image.shape == (3, 20, 30)
    assert (sample.labels[3:9, 4:12] == 1).all()


def test_regions_and_maps_belong_to_all_channels(model, image):
    state = session(model)
    model.dims.set_current_step(1, 2)
    layer = state.add_regions()
    here = layer.world_to_data(model.dims.point)
    corners = np.array([[*here[:2], row, column] for row, column in
                        ((0, 0), (0, 9), (9, 9), (9, 0))])  # fmt: skip
    layer.add([corners], shape_type="rectangle")
    weights = _layers.show_weights(
        model, image, np.ones((20, 30), np.float32), state.plane_index(image)
    )
    for channel in range(3):
        model.dims.set_current_step(1, channel)
        assert state.complete().sum() == 100
        assert np.allclose(np.round(weights.world_to_data(model.dims.point))[:2], 0)
    model.dims.set_current_step(0, 1)
    assert state.complete() is None


def test_predictions_lie_on_the_plane_whatever_the_axis_was(model, image):
    state = session(model)
    state.choose_channel_axis(None)
    cells = np.ones((20, 30), np.int32)
    first = _cell_layers.show_prediction(model, image, cells, index=state.plane_index(image))
    assert first.data.shape == (4, 3, 20, 30)
    state.choose_channel_axis(1)
    layer = _cell_layers.show_prediction(model, image, 2 * cells, index=state.plane_index(image))
    assert layer is first
    assert layer.data.shape == (4, 1, 20, 30)
    assert (layer.data[2] == 2).all()
    assert not layer.data[0].any()
    np.testing.assert_allclose(layer.scale, (1, 3, 0.5, 0.5))
    np.testing.assert_allclose(layer.translate, (0, 1, 0, 0))


def test_layers_beside_one_another_are_channels(model):
    pixels = np.random.default_rng(0).integers(0, 99, (3, 12, 16), dtype=np.uint8)
    red, green, blue = model.add_image(pixels, channel_axis=0, name=["red", "green", "blue"])
    model.add_image(np.zeros((5, 5)), name="small")
    model.add_image(pixels[0], name="elsewhere", translate=(100, 0))
    state = session(model)
    state.image = green
    assert list_alike(model, green) == [red, green, blue]
    assert state.channels() == 1
    state.choose_channels(Channels(layers=(red, green, blue)))
    assert state.channels() == 3
    np.testing.assert_array_equal(state.image_reader()(), pixels)
    model.layers.remove(red)
    np.testing.assert_array_equal(state.image_reader()(), pixels[1:])
    model.layers.remove(blue)
    assert state.channels() == 1
    state.image = model.layers["small"]
    assert state.channels() == 1


def test_colours_can_be_left_out(model):
    pixels = np.random.default_rng(0).integers(0, 255, (16, 24, 4), dtype=np.uint8)
    model.add_image(pixels, rgb=True)
    state = session(model)
    state.choose_channels(Channels((0, 2)))
    np.testing.assert_array_equal(state.image_reader()(), np.moveaxis(pixels[..., [0, 2]], -1, 0))


def test_the_row_is_there_where_there_is_a_choice(model, row):
    assert not row.isVisible()
    plain = model.add_image(np.zeros((8, 9)), name="plain")
    assert not row.isVisible()
    model.add_image(np.zeros((8, 9)), name="other")
    assert row.isVisible()
    assert not row.axis.isVisible()
    assert row.button.text() == "plain"
    model.layers.remove("other")
    assert not row.isVisible()
    model.layers.remove(plain)
    model.add_image(np.zeros((5, 8, 9)), name="stack")
    assert row.axis.isVisible()
    assert row.axis.currentText() == "none"
    assert not row.button.isVisible()


def test_an_axis_is_chosen_and_channels_are_ticked(model, row):
    data = np.arange(5 * 8 * 9).reshape(5, 8, 9)
    model.add_image(data, name="stack")
    state = session(model)
    row.axis.setCurrentIndex(row.axis.findData(0))
    row.axis.activated.emit(row.axis.currentIndex())
    assert state.channels() == 5
    assert row.button.text() == "all 5"
    row._menu.aboutToShow.emit()
    for number in (0, 2, 3):
        row.ticks[number].click()
    assert row.button.text() == "2 of 5"
    assert row.button.toolTip() == "seen: channel 2, channel 5"
    np.testing.assert_array_equal(state.image_reader()(), data[[1, 4]])
    row.ticks[1].click()
    row.ticks[4].click()  # the last one stays
    assert row.ticks[4].isChecked()
    assert state.chosen == Channels((4,))
    for number in range(4):
        row.ticks[number].click()
    assert state.chosen == Channels()


def test_layers_are_ticked(model, row):
    one = model.add_image(np.zeros((8, 9)), name="actin")
    two = model.add_image(np.ones((8, 9)), name="DAPI")
    state = session(model)
    state.image = one
    row._menu.aboutToShow.emit()
    assert [tick.text() for tick in row.ticks] == ["actin", "DAPI"]
    assert not row.ticks[0].isEnabled()
    row.ticks[1].click()
    assert state.chosen.layers == (one, two)
    assert row.button.text() == "2 layers"
    row.ticks[1].click()
    assert state.chosen == Channels()


def test_labels_of_another_plane_are_still_refused(model, image):
    state = session(model)
    state.labels = model.add_labels(np.zeros((4, 3, 20, 31), int), name="other")
    with pytest.raises(InputError, match="20 × 31 px"):
        state.sample_reader()()
