from __future__ import annotations

import itertools
import sys

import dask.array as da
import numpy as np
import pytest
from napari.layers import Image, Labels
from napari.layers._layer_actions import _duplicate_layer
from napari.utils import colormaps
from napari.utils.colormaps import _accelerated_cmap

from napari_unet.core.errors import InputError
from napari_unet.widgets import _cell_layers, _colors, _layers, _planes, _regions
from napari_unet.widgets._session import session

PLACED = {
    "scale": (2.0, 0.5, 0.25),
    "translate": (3.0, -7.0, 11.0),
    "rotate": 30.0,  # within the plane: napari cannot slice a stack that is tilted
    "shear": (0.0, 0.0, -0.2),
    "affine": np.array([[1, 0, 0, 5], [0, 0.9, 0.1, 6], [0, -0.1, 0.9, 7], [0, 0, 0, 1.0]]),
    "units": ("um", "um", "um"),
}


@pytest.fixture
def stack(model):
    image = model.add_image(np.zeros((5, 20, 30), np.uint8), name="stack", **PLACED)
    model.dims.set_current_step(0, 3)
    return image


def quietly(model, add):
    """Call `add()` and check that nobody notices a change of the selection."""
    seen: list = []
    selection = model.layers.selection
    before, active = set(selection), selection.active
    selection.events.active.connect(seen.append)
    camera = _planes.find_camera(model).model_copy()
    layer = add()
    assert set(selection) == before
    assert selection.active is active
    assert not seen
    after = _planes.find_camera(model)
    assert (after.center, after.zoom) == (camera.center, camera.zoom)
    return layer


def makers(image, weights):
    return {
        _layers.ANNOTATION: lambda viewer: _layers.add_annotation(viewer, image),
        _layers.REGIONS: lambda viewer: _layers.add_regions(viewer, image),
        _layers.WEIGHTS: lambda viewer: _layers.show_weights(viewer, image, weights),
        _layers.PREDICTION: lambda viewer: _cell_layers.show_prediction(
            viewer, image, weights.astype(np.int32)
        ),
    }


def test_layers_of_ours_are_quiet_named_found_and_placed(model, stack):
    for role, make in makers(stack, np.ones((20, 30), np.float32)).items():
        layer = quietly(model, lambda make=make: make(model))
        assert layer.name.startswith("stack · ")
        assert _layers.find(model, role, stack) is layer
        assert layer.units == stack.units
        assert layer.axis_labels == stack.axis_labels
        offset = np.array([3, 0, 0]) if role == _layers.WEIGHTS else np.zeros(3)
        for corner in ([0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]):
            np.testing.assert_allclose(
                layer.data_to_world(corner), stack.data_to_world(offset + corner)
            )


def test_an_empty_selection_stays_empty(model, stack):
    model.layers.selection.clear()
    for make in makers(stack, np.ones((20, 30), np.float32)).values():
        make(model)
        assert not model.layers.selection


def test_the_person_keeps_painting_while_layers_come(model, stack):
    labels = _layers.add_annotation(model, stack)
    model.layers.selection.active = labels
    labels.mode = "polygon"
    for make in makers(stack, np.ones((20, 30), np.float32)).values():
        quietly(model, lambda make=make: make(model))
    assert labels.mode == "polygon"


def test_the_map_lies_between_image_and_annotation(model):
    image = model.add_image(np.zeros((20, 30), np.uint8), name="hela")
    labels = _layers.add_annotation(model, image)
    cells = _cell_layers.show_prediction(model, image, np.zeros((20, 30), np.int32))
    weights = _layers.show_weights(model, image, np.zeros((20, 30), np.float32))
    assert list(model.layers) == [image, weights, cells, labels]


def test_two_images_have_their_own_layers(model):
    images = [model.add_image(np.zeros((8, 8), np.uint8), name="same") for _ in range(2)]
    layers = [_layers.add_annotation(model, image) for image in images]
    assert [_layers.find(model, _layers.ANNOTATION, image) for image in images] == layers
    images[0].name = "renamed"
    assert _layers.find(model, _layers.ANNOTATION, images[0]) is layers[0]


def test_a_layer_of_a_reader_is_found_by_the_name_of_its_image(model):
    image = model.add_image(np.zeros((8, 8), np.uint8), name="hela")
    other = model.add_image(np.zeros((8, 8), np.uint8), name="other")
    said = {_layers.KEY: {"role": _layers.ANNOTATION, "image": "hela"}}
    labels = model.add_labels(np.zeros((8, 8), int), metadata=said)
    assert _layers.find(model, _layers.ANNOTATION, image) is labels
    assert _layers.find(model, _layers.ANNOTATION, other) is None


def test_maps_are_updated_in_place(model, stack):
    first = _layers.show_weights(model, stack, np.ones((20, 30), np.float32))
    weights = np.full((20, 30), 2, np.float32)
    again = quietly(model, lambda: _layers.show_weights(model, stack, weights))
    assert again is first
    assert np.shares_memory(again.data, weights)
    weights[3, 4] = 5  # as a stroke does
    assert again.data.max() == 5


def test_the_map_follows_to_another_plane(model, stack):
    weights = np.ones((20, 30), np.float32)
    layer = _layers.show_weights(model, stack, weights)
    model.dims.set_current_step(0, 1)
    assert _layers.show_weights(model, stack, weights) is layer
    np.testing.assert_allclose(layer.data_to_world([0, 0, 0]), stack.data_to_world([1, 0, 0]))


def test_a_prediction_grows_tile_by_tile(model, stack):
    labels = np.arange(600, dtype=np.int32).reshape(20, 30)
    left, right = (slice(0, 20), slice(0, 15)), (slice(0, 20), slice(15, 30))
    layer = _cell_layers.show_prediction(model, stack, labels, left)
    assert layer.data[3].any(axis=0).tolist() == [True] * 15 + [False] * 15
    assert _cell_layers.show_prediction(model, stack, labels[right], right) is layer
    np.testing.assert_array_equal(layer.data[3], labels)
    assert not layer.data[[0, 1, 2, 4]].any()


def paint(layer, place=(1, 1), number=7):
    layer.selected_label = number
    layer.paint(place, number)


def test_a_prediction_that_was_painted_on_is_kept(model):
    image = model.add_image(np.zeros((20, 30)), name="flat")
    cells = np.zeros((20, 30), np.int32)
    cells[10:14, 10:14] = 1
    edited = _cell_layers.show_prediction(model, image, cells)
    paint(edited)
    now = edited.data.copy()
    new = _cell_layers.show_piece(
        model, image, np.full((2, 2), 3, np.int32), (slice(5, 7), slice(5, 7)), (None, None)
    )
    np.testing.assert_array_equal(edited.data, now)
    assert edited.name == "flat · prediction, edited"
    assert (edited.visible, new.visible) == (False, True)
    assert new.name == "flat · prediction"
    assert (new.data[6, 6], new.data[11, 11]) == (3, 1)  # the rest as it was shown
    assert _layers.find(model, _layers.PREDICTION, image) is new
    assert _cell_layers.show_prediction(model, image, cells) is new  # which nobody painted on
    assert (new.data == cells).all()
    paint(edited, (2, 2))
    assert _cell_layers.show_prediction(model, image, cells) is new


def test_the_colours_of_labels_are_compiled_before_they_are_waited_for(model):
    _colors.warm_up()
    kernel = _accelerated_cmap._zero_preserving_modulo_inner_loop
    known = set(kernel.signatures)
    image = model.add_image(np.zeros((20, 30)), name="flat")
    annotation = _layers.add_annotation(model, image)
    paint(annotation)
    cells = np.kron(np.eye(2, dtype=np.int32), np.ones((10, 15), np.int32))
    _cell_layers.show_prediction(model, image, cells)
    _cell_layers.show_piece(model, image, cells[:5], (slice(3, 8), slice(0, 30)), (None, None))
    assert set(kernel.signatures) == known


def test_another_napari_may_colour_labels_otherwise(monkeypatch):
    """The names are its own: without them the panels open all the same."""
    monkeypatch.delattr(_accelerated_cmap, "_zero_preserving_modulo_inner_loop")
    _colors.warm_up.__wrapped__()
    monkeypatch.setitem(sys.modules, "napari.utils.colormaps._accelerated_cmap", None)
    monkeypatch.delattr(colormaps, "_accelerated_cmap")
    _colors.warm_up.__wrapped__()


@pytest.mark.parametrize("contour", [0, 2])
def test_a_piece_is_drawn_as_in_the_whole_plane(model, monkeypatch, contour):
    """And from memory laid out as a plane is: napari compiles anew, for a second, for any other."""
    image = model.add_image(np.zeros((40, 60)), name="flat")
    cells = np.kron(np.arange(1, 25, dtype=np.int32).reshape(4, 6), np.ones((10, 10), np.int32))
    layer = _cell_layers.show_prediction(model, image, cells)
    layer.contour = contour
    napari_maps, packed = _accelerated_cmap.zero_preserving_modulo, []

    def look(values, *args):
        packed.append(values.flags.c_contiguous)
        return napari_maps(values, *args)

    monkeypatch.setattr(_accelerated_cmap, "zero_preserving_modulo", look)
    part = (slice(8, 31), slice(0, 25))
    _cell_layers.show_piece(model, image, cells[part].T.copy().T % 7, part, (None, None))
    shown = layer._slice.image.view.copy()
    assert packed == [True]
    layer.refresh()
    np.testing.assert_array_equal(shown, layer._slice.image.view)
    assert len(np.unique(shown)) > 5


def test_a_copy_of_a_prediction_is_the_persons_own(model):
    image = model.add_image(np.zeros((64, 64), np.uint8), name="hela")
    found = np.zeros((64, 64), np.int32)
    found[5:10, 5:10] = 1
    layer = _cell_layers.show_prediction(model, image, found)
    model.layers.selection.active = layer
    _duplicate_layer(model.layers)
    copy = model.layers[f"{layer.name} copy"]
    assert _layers.role_of(copy) == ""
    copy.data[40:50, 40:50] = 77
    assert _cell_layers.show_prediction(model, image, found.copy()) is layer
    assert (copy.data == 77).any()


def test_corrected_cells_that_were_painted_on_are_kept(model):
    image = model.add_image(np.zeros((64, 64), np.uint8), name="hela")
    cells = np.zeros((64, 64), np.int32)
    layer = _cell_layers.show_corrected(model, image, cells, (None, None))
    layer.paint((40, 40), 77)
    other = _cell_layers.show_corrected(model, image, cells.copy(), (None, None))
    assert other is not layer
    assert (layer.data == 77).any()


@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize("region", [None, (slice(0, 64), slice(0, 64))])
def test_a_prediction_that_was_opened_from_a_file_is_not_written_into(model, levels, region):
    image = model.add_image(np.zeros((256, 256), np.uint8), name="big")
    full = np.zeros((256, 256), np.int32)
    full[10:30, 10:30] = 1
    data = da.from_array(full)
    opened = [data, data[::2, ::2]] if levels == 2 else data
    layer = _cell_layers.add_prediction(model, image, opened)
    found = np.full((64, 64) if region else full.shape, 3, np.int32)
    shown = _cell_layers.show_prediction(model, image, found, region)
    assert shown is not layer
    assert np.count_nonzero(shown.data == 3) == found.size
    assert not layer.visible
    assert _layers.find(model, _layers.PREDICTION, image) is shown


def test_of_a_stack_that_was_painted_on_the_other_planes_come_along(model, stack):
    edited = _cell_layers.show_prediction(model, stack, np.ones((20, 30), np.int32))
    paint(edited, (2, 1, 1))
    new = _cell_layers.show_prediction(model, stack, np.full((20, 30), 2, np.int32))
    assert new is not edited
    assert (new.data[3] == 2).all()
    assert (edited.data[3] == 1).all()
    assert new.data[2, 1, 1] == edited.data[2, 1, 1] == 7


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_the_plane_is_what_is_shown(model, order):
    data = np.arange(4 * 5 * 6).reshape(4, 5, 6)
    layer = model.add_image(data, scale=(2, 3, 4))
    model.dims.set_current_step((0, 1, 2), (2, 3, 4))
    model.dims.order = order
    plane = _planes.read_plane(layer, _planes.find_plane(model, layer))
    shown = layer._slice.image.raw
    np.testing.assert_array_equal(plane, shown if order[1] < order[2] else shown.T)


def test_rgb_multiscale_and_mixed_dimensions(model):
    rgb = model.add_image(np.zeros((7, 20, 30, 3), np.uint8), rgb=True)
    assert _planes.read_plane(rgb, _planes.find_plane(model, rgb)).shape == (20, 30, 3)
    levels = [np.ones((64, 96)), np.zeros((32, 48))]
    pyramid = model.add_image(levels, multiscale=True)
    plane = _planes.read_plane(pyramid, _planes.find_plane(model, pyramid))
    assert plane.shape == (64, 96)
    assert plane.all()
    assert _layers.add_annotation(model, pyramid).data.shape == (64, 96)
    model.dims.order = (1, 0, 2)  # the flat image has no such axis
    assert _planes.find_plane(model, pyramid) == (None, None)


def test_the_visible_part_follows_the_camera(model):
    image = model.add_image(np.zeros((400, 600), np.uint8), scale=(0.5, 0.5), translate=(10, 20))
    camera = _planes.find_camera(model)
    index = _planes.find_plane(model, image)
    height, width = model.canvas.size
    camera.zoom = 10
    camera.center = tuple(image.data_to_world((100, 200)))
    rows, cols = _planes.find_visible(model, image, index)
    assert (rows.start + rows.stop) / 2 == pytest.approx(100.5, abs=1)
    assert (cols.start + cols.stop) / 2 == pytest.approx(200.5, abs=1)
    assert rows.stop - rows.start == pytest.approx(height / 10 / 0.5, abs=1.5)
    assert cols.stop - cols.start == pytest.approx(width / 10 / 0.5, abs=1.5)
    model.reset_view()
    assert _planes.find_visible(model, image, index) == (slice(0, 400), slice(0, 600))
    camera.center = (1e4, 1e4)
    with pytest.raises(InputError, match="in view"):
        _planes.find_visible(model, image, index)


def test_the_view_is_centred_on_a_region(model, stack):
    index = _planes.find_plane(model, stack)
    camera = _planes.find_camera(model)
    zoom = camera.zoom
    _planes.centre_on(model, stack, index, (slice(4, 7), slice(10, 21)))
    np.testing.assert_allclose(camera.center[-2:], stack.data_to_world([3, 5, 15])[-2:])
    assert camera.zoom == zoom


def test_background_paint_has_a_colour_that_no_cell_has():
    layer = Labels(np.array([[-1, 0], [1, 2]], np.int32), colormap=_colors.annotation_colors())
    np.testing.assert_allclose(layer.get_color(-1), _colors.BACKGROUND_COLOR, atol=1e-6)
    plain = Labels(np.zeros((2, 2), np.int32))
    for label in (1, 2, 48, 49, 50, 1000):
        np.testing.assert_allclose(layer.get_color(label), plain.get_color(label))
    textures = layer.colormap._data_to_texture(np.array([-1, 0, 1, 5000], np.int32))
    assert len(set(textures.tolist())) == 4


def test_regions_are_drawn_as_they_look(model, stack):
    layer = _layers.add_regions(model, stack)
    index = _planes.find_plane(model, stack)
    assert _regions.draw_mask(layer, index, (20, 30)) is None
    layer.add([[[3, 2, 4], [3, 2, 9], [3, 6, 9], [3, 6, 4]]], shape_type="rectangle")
    layer.add([[[2, 0, 0], [2, 0, 9], [2, 9, 9], [2, 9, 0]]], shape_type="rectangle")
    layer.add([[[3, 0, 0], [3, 19, 29]]], shape_type="line")
    mask = _regions.draw_mask(layer, index, (20, 30))
    expected = np.zeros((20, 30), bool)
    expected[2:7, 4:10] = True
    np.testing.assert_array_equal(mask, expected)
    removed = _regions.remove_outlines(layer, index)
    assert len(removed) == 1
    assert _regions.draw_mask(layer, index, (20, 30)) is None
    assert len(layer.data) == 2


def test_an_ellipse_is_round(model):
    image = model.add_image(np.zeros((40, 40), np.uint8))
    layer = _layers.add_regions(model, image)
    layer.add([[[9.5, 9.5], [9.5, 29.5], [29.5, 29.5], [29.5, 9.5]]], shape_type="ellipse")
    mask = _regions.draw_mask(layer, _planes.find_plane(model, image), (40, 40))
    assert mask.sum() == pytest.approx(np.pi * 100, rel=0.03)
    assert not mask[10, 10]


def test_the_frame_holds_every_pixel(model, stack):
    layer = _layers.add_regions(model, stack)
    index = _planes.find_plane(model, stack)
    outline, kind = _regions.frame(index, (20, 30))
    layer.add([outline], shape_type=kind)
    assert _regions.draw_mask(layer, index, (20, 30)).all()


def test_a_map_is_no_image_of_the_person(model, stack):
    layer = _layers.show_weights(model, stack, np.ones((20, 30), np.float32))
    assert isinstance(layer, Image)
    assert _layers.role_of(layer) == _layers.WEIGHTS
    assert _layers.role_of(stack) == ""


def test_a_stroke_under_way_on_predicted_cells_is_kept(model):
    image = model.add_image(np.zeros((20, 30), np.uint8), name="flat")
    cells = np.ones((20, 30), np.int32)
    layer = _cell_layers.show_prediction(model, image, cells)
    with layer.block_history():  # from the press of the button to its release
        layer.paint((10, 10), 7)
        new = _cell_layers.show_prediction(model, image, np.full((20, 30), 2, np.int32))
        layer.paint((12, 12), 7)
    assert new is not layer
    with new.block_history():
        new.paint((5, 5), 9)
    later = _cell_layers.show_prediction(model, image, cells)
    assert later is not new
    assert new.data[5, 5] == 9
    assert layer.data[10, 10] == layer.data[12, 12] == 7
    assert not (new.data == 7).any()


def test_layers_of_ours_follow_their_image(qtbot, model):
    image = model.add_image(np.zeros((5, 20, 30), np.uint8), name="stack")
    other = model.add_labels(np.zeros((5, 20, 30), int), name="own")
    model.dims.set_current_step(0, 3)
    session(model)
    layers = [make(model) for make in makers(image, np.ones((20, 30), np.float32)).values()]
    marker = _layers.add_marker(model, layers[0])
    for name, value in PLACED.items():
        setattr(image, name, value)
    (weights,) = [layer for layer in layers if _layers.role_of(layer) == _layers.WEIGHTS]
    qtbot.waitUntil(lambda: np.array_equal(weights.scale, image.scale))
    qtbot.waitUntil(lambda: np.array_equal(marker.scale, image.scale))
    whole = [layer for layer in (*layers, marker) if _layers.role_of(layer) != _layers.WEIGHTS]
    for layer in whole:
        np.testing.assert_allclose(layer.data_to_world((2, 5, 7)), image.data_to_world((2, 5, 7)))
        assert layer.units == image.units
    np.testing.assert_allclose(weights.data_to_world((0, 5, 7)), image.data_to_world((3, 5, 7)))
    np.testing.assert_array_equal(other.scale, (1, 1, 1))
    image.data = np.zeros((20, 30), np.uint8)  # ours are of what it was
    image.scale = (1, 1)
    qtbot.wait(250)
    np.testing.assert_allclose(layers[0].scale, PLACED["scale"])


def test_a_prediction_knows_where_the_network_has_looked(model):
    image = model.add_image(np.zeros((3, 20, 30), np.uint8), name="stack")
    index, part = (1, None, None), (slice(0, 20), slice(0, 10))
    layer = _cell_layers.show_prediction(model, image, np.ones((20, 10), np.int32), part, index)
    seen = _cell_layers.find_predicted(layer, index)
    assert seen[:, :10].all()
    assert not seen[:, 10:].any()
    more = (slice(5, 9), slice(20, 25))
    _cell_layers.show_piece(model, image, np.ones((4, 5), np.int32), more, index)
    assert _cell_layers.find_predicted(layer, index).sum() == 200 + 20
    _cell_layers.show_prediction(model, image, np.ones((20, 30), np.int32), None, index)
    assert _cell_layers.find_predicted(layer, index) is None
    _cell_layers.show_prediction(model, image, np.ones((20, 10), np.int32), part, index)
    assert _cell_layers.find_predicted(layer, index) is None  # the rest is what was shown
