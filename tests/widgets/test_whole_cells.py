"""Layers of whole cells: made, changed in place, left to the person, and read again."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Labels

from napari_unet.core.formats.labelled import Shape
from napari_unet.core.whole_cells import box_of, fill_outlines, outline
from napari_unet.widgets import _cell_layers, _layers, _whole_cells
from napari_unet.widgets._cell_reader import cells_reader, find_cell, fits
from napari_unet.widgets._labels_choice import LabelsChoice
from napari_unet.widgets._session import session

PLANE = (None, None)


def two_cells(shift=0):
    """A square over another; of each its class and score."""
    square = np.ones((10, 10), bool)
    return [
        Shape(square, (10 + shift, 10), 1, 0, "round", 0.9),
        Shape(square, (15 + shift, 15), 2, 0, "long", 0.8),
    ]


def draw(cells, shape=(64, 64)):
    drawn = np.zeros((len(cells), *shape), bool)
    for one, cell in zip(drawn, cells, strict=True):
        one[box_of(cell)] = cell.mask
    return drawn


def read(layer, index=PLANE):
    return fill_outlines(_whole_cells.read_wholes(layer, index))


@pytest.fixture
def image(model):
    return model.add_image(np.zeros((64, 64)), name="hela", scale=(0.5, 0.5), translate=(3, 4))


def test_it_is_found_by_its_role_over_its_image(model, image):
    labels = _cell_layers.show_prediction(model, image, np.zeros((64, 64), np.int32))
    active = model.layers.selection.active
    layer = _whole_cells.show_wholes(model, image, outline(two_cells()), PLANE)
    assert layer is _layers.find(model, _layers.WHOLES, image)
    assert layer.name == "hela · whole cells"
    assert model.layers.index(layer) == model.layers.index(labels) + 1
    assert model.layers.selection.active is active
    np.testing.assert_array_equal(layer.scale, image.scale)
    np.testing.assert_array_equal(layer.translate, image.translate)
    assert layer.units == image.units
    assert layer.features.to_dict("list") == {
        "index": [1, 2],
        "class": ["round", "long"],
        "score": [0.9, 0.8],
    }
    np.testing.assert_allclose(layer.edge_color[1], labels.get_color(2))
    np.testing.assert_array_equal(draw(read(layer)), draw(two_cells()))


def test_another_threshold_changes_it_in_place(model, image):
    layer = _whole_cells.show_wholes(model, image, outline(two_cells()), PLANE)
    layer.visible = False
    assert _whole_cells.show_wholes(model, image, outline(two_cells(3)[1:]), PLANE) is layer
    (cell,) = read(layer)
    assert (cell.label, cell.kind, cell.score, layer.visible) == (2, "long", 0.8, False)
    np.testing.assert_array_equal(draw([cell]), draw(two_cells(3)[1:]))
    _whole_cells.clear_wholes(model, image, PLANE)
    assert layer.nshapes == 0
    assert layer in model.layers
    _whole_cells.show_wholes(model, image, outline(two_cells()), PLANE)
    assert [cell.label for cell in read(layer)] == [1, 2]


@pytest.mark.parametrize("how", ["deleted", "drawn", "moved"])
def test_what_the_person_changed_stays(model, image, how):
    layer = _whole_cells.show_wholes(model, image, outline(two_cells()), PLANE)
    if how == "deleted":
        layer.selected_data = {0}
        layer.remove_selected()
    elif how == "drawn":
        layer.add_polygons([[40, 40], [40, 50], [50, 50]])
    else:
        layer.data = [np.asarray(line) + 2 for line in layer.data]
    changed = [np.array(line) for line in layer.data]
    new = _whole_cells.show_wholes(model, image, outline(two_cells(5)), PLANE)
    assert new is not layer
    assert layer.name == "hela · whole cells, edited"
    assert not layer.visible
    for before, after in zip(changed, layer.data, strict=True):
        np.testing.assert_array_equal(before, after)
    assert new is _layers.find(model, _layers.WHOLES, image)
    new.add_polygons([[40, 40], [40, 50], [50, 50]])
    _whole_cells.clear_wholes(model, image, PLANE)  # nothing is known now, and it is left too
    assert new.nshapes == 3
    assert _layers.find(model, _layers.WHOLES, image) is None


def test_planes_of_a_stack_have_their_own(model):
    stack = model.add_image(np.zeros((3, 64, 64)), name="film")
    layer = _whole_cells.show_wholes(model, stack, outline(two_cells()), (0, None, None))
    _whole_cells.show_wholes(model, stack, outline(two_cells(4)), (2, None, None))
    _whole_cells.show_wholes(model, stack, outline(two_cells(8)[:1]), (0, None, None))
    assert [cell.label for cell in read(layer, (0, None, None))] == [1]
    assert read(layer, (1, None, None)) == []
    np.testing.assert_array_equal(draw(read(layer, (2, None, None))), draw(two_cells(4)))
    assert layer.features["index"].tolist() == [1, 2, 1]


def test_what_is_drawn_or_pasted_gets_a_number_of_its_own(model, image):
    layer = _whole_cells.show_wholes(model, image, outline(two_cells()), PLANE)
    layer.add_polygons([[39.5, 39.5], [39.5, 49.5], [49.5, 49.5], [49.5, 39.5]])
    layer.add_ellipses([[0, 30], [0, 40], [10, 40], [10, 30]])
    layer.add_lines([[0, 0], [9, 9]])
    cells = read(layer)
    assert [cell.label for cell in cells] == [1, 2, 3, 4]
    assert cells[2].mask.sum() == 100
    assert cells[3].mask.sum() == pytest.approx(np.pi * 25, rel=0.1)


def test_the_cells_of_a_layer_of_any_kind(model, image):
    wholes = _whole_cells.show_wholes(model, image, outline(two_cells()), PLANE)
    found = cells_reader(session(model), wholes)()
    assert (found.classes, found.scores) == ({1: "round", 2: "long"}, {1: 0.9, 2: 0.8})
    assert len(found.wholes) == 2
    table = {"index": [1, 2], "class": ["round", "long"], "score": [0.9, 0.8]}
    flat = model.add_labels(np.array(found.labels), features=table)
    again = cells_reader(session(model), flat)()
    np.testing.assert_array_equal(again.labels, found.labels)
    assert (again.classes, again.scores, again.wholes) == (found.classes, found.scores, ())


def test_the_cell_at_a_place_in_the_world(model, image):
    layer = _whole_cells.show_wholes(model, image, outline(two_cells()), PLANE)
    place = image.data_to_world((12, 12))
    assert find_cell(session(model), layer, place) == 1
    assert find_cell(session(model), layer, image.data_to_world((22, 22))) == 2
    assert find_cell(session(model), layer, image.data_to_world((40, 40))) == 0


def test_which_shapes_are_offered_as_cells(qtbot, model, image):
    state = session(model)
    wholes = _whole_cells.show_wholes(model, image, outline(two_cells()), PLANE)
    drawn = model.add_shapes([[[0, 0], [0, 9], [9, 9]]], shape_type="polygon", name="a box")
    regions = state.add_regions()
    assert fits(state, wholes)
    assert not fits(state, drawn)
    assert not fits(state, regions)
    other = model.add_image(np.zeros((64, 64)), name="other")
    state.image = other
    assert not fits(state, wholes)
    assert not any(isinstance(layer, Labels) for layer in model.layers)
    choice = LabelsChoice(state, state._connections, lambda _: None, "", "none")
    qtbot.addWidget(choice)
    assert choice.count() == 1
    state.image = image
    assert [choice.itemText(row) for row in range(choice.count())] == ["none", wholes.name]
