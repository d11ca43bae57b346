"""The manifest: valid, true to what the modules define, and usable through npe2."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer, Shapes
from npe2 import PluginManager, PluginManifest

import napari_unet
from napari_unet.core.label_files import read_labels
from napari_unet.core.samples import SAMPLES

ROOT = Path(__file__).parents[1]
PACKAGE = Path(napari_unet.__file__).parent
MANIFEST = PACKAGE / "napari.yaml"


@pytest.fixture
def manifest() -> PluginManifest:
    return PluginManifest.from_file(MANIFEST)


@pytest.fixture
def manager(manifest: PluginManifest) -> PluginManager:
    """npe2 with this plugin alone."""
    manager = PluginManager()
    manager.register(manifest)
    manager.activate(manifest.name)
    return manager


def defined_in(path: Path) -> set[str]:
    """The names that a module defines at its top level, read without importing it."""
    names = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return names


def test_the_name_is_that_of_the_distribution(manifest: PluginManifest) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert manifest.name == project["name"]
    assert project["entry-points"]["napari.manifest"] == {manifest.name: "napari_unet:napari.yaml"}


def test_the_one_at_the_top_is_the_one_in_the_package() -> None:
    assert (ROOT / "napari.yaml").read_bytes() == MANIFEST.read_bytes()


def test_napari_finds_it_in_the_installed_distribution(manifest: PluginManifest) -> None:
    assert PluginManifest.from_distribution(manifest.name).contributions == manifest.contributions


def test_every_command_is_defined_where_it_says(manifest: PluginManifest) -> None:
    for command in manifest.contributions.commands:
        module, name = command.python_name.split(":")
        path = PACKAGE.parent.joinpath(*module.split(".")).with_suffix(".py")
        assert path.is_file(), f"{command.id}: there is no {path}"
        assert name in defined_in(path), f"{command.id}: {path} defines no {name}"


def test_every_contribution_names_a_command_and_every_command_is_used(
    manifest: PluginManifest,
) -> None:
    points = manifest.contributions
    used = [item.command for item in points.widgets + points.sample_data]
    used += [item.command for item in points.readers + points.writers]
    in_menus = [item.command for items in points.menus.values() for item in items]
    assert set(used) == {command.id for command in points.commands}
    assert set(in_menus) <= set(used)


def test_the_menus_are_open_to_plugins(manifest: PluginManifest) -> None:
    from napari._app_model.constants import MenuId

    assert set(manifest.contributions.menus) <= {
        str(menu.value) for menu in MenuId if menu in MenuId.contributables()
    }


def test_the_panels_have_their_names(manifest: PluginManifest) -> None:
    names = [widget.display_name for widget in manifest.contributions.widgets]
    assert names == [
        "All panels",
        "Annotate",
        "Weight map",
        "Train",
        "Predict",
        "Correct",
        "Measure",
        "Evaluate",
    ]


def test_the_samples_are_those_of_the_core(manifest: PluginManifest) -> None:
    assert {item.key: item.display_name for item in manifest.contributions.sample_data} == SAMPLES


# --- what the commands do ------------------------------------------------------------------------


def open_sample(manager: PluginManager, key: str) -> list[Layer]:
    (sample,) = (
        item for _, items in manager.iter_sample_data() for item in items if item.key == key
    )
    return [Layer.create(*layer) for layer in sample.open(_registry=manager.commands)]


@pytest.mark.parametrize("key", list(SAMPLES))
def test_a_sample_opens_with_its_annotation_on_top(manager: PluginManager, key: str) -> None:
    from napari_unet.widgets import _classes, _layers
    from napari_unet.widgets._regions import draw_mask

    viewer = ViewerModel()
    for layer in open_sample(manager, key):
        viewer.add_layer(layer)
    image, truth, regions, annotation = viewer.layers
    assert isinstance(image, Image)
    assert (image.rgb, image.name) == (key == "two-classes", key)
    assert isinstance(truth, Labels)
    assert not truth.visible
    assert _layers.find(viewer, "truth", image) is truth
    assert isinstance(regions, Shapes)
    assert _layers.find(viewer, _layers.REGIONS, image) is regions
    assert isinstance(annotation, Labels)
    assert _layers.find(viewer, _layers.ANNOTATION, image) is annotation
    assert viewer.layers.selection.active is annotation
    assert annotation.data.dtype == np.int32

    complete = draw_mask(regions, (None, None), annotation.data.shape)
    assert complete is not None
    np.testing.assert_array_equal(annotation.data[complete], truth.data[complete])
    painted = set(np.unique(annotation.data)) - {0}
    assert 8 <= len(painted) < 20
    classes = _classes.classes_of_cells(annotation)
    assert set(classes) == painted
    assert len(set(classes.values())) == len(_classes.class_names(annotation))


def test_a_sample_opened_twice_keeps_its_layers_apart(
    manager: PluginManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_unet.widgets import _layers

    viewer = ViewerModel()
    monkeypatch.setattr("napari.current_viewer", lambda: viewer)
    for _ in range(2):
        for layer in open_sample(manager, "phase"):
            viewer.add_layer(layer)
    first, second = (layer for layer in viewer.layers if isinstance(layer, Image))
    assert (first.name, second.name) == ("phase", "phase 2")
    assert _layers.find(viewer, _layers.ANNOTATION, first) is viewer.layers[3]
    assert _layers.find(viewer, _layers.ANNOTATION, second) is viewer.layers[7]


def test_the_session_takes_a_sample_up(manager: PluginManager) -> None:
    from napari_unet.widgets._session import session

    viewer = ViewerModel()
    for layer in open_sample(manager, "two-classes"):
        viewer.add_layer(layer)
    sample = session(viewer).sample_reader()()
    assert sample.image.shape == (3, 512, 512)
    assert sample.complete is not None
    assert 0 < sample.complete.mean() < 0.5
    assert set(sample.classes.values()) == {1, 2}


def write(manager: PluginManager, path: Path, layers: list[Layer]) -> list[str]:
    kinds = [layer._type_string for layer in layers]
    contributions = {each.command for each in manager.iter_compatible_writers(kinds)}
    assert "napari-unet-cells.write_labels" in contributions
    command = manager.commands.get("napari-unet-cells.write_labels")
    return command(str(path), [layer.as_layer_data_tuple() for layer in layers])


def test_saved_labels_say_the_background_of_complete_regions(
    manager: PluginManager, tmp_path: Path
) -> None:
    _, truth, regions, annotation = open_sample(manager, "fluorescence")
    path = tmp_path / "a.tif"
    assert write(manager, path, [annotation, regions]) == [str(path)]
    written = read_labels(path)
    np.testing.assert_array_equal(np.maximum(written, 0), annotation.data)
    assert 0.05 < (written == -1).mean() < 0.5
    assert ((written == -1) <= (truth.data == 0)).all()

    write(manager, path, [annotation])
    np.testing.assert_array_equal(read_labels(path), annotation.data)
    shapes = Shapes(regions.data, shape_type="rectangle", name="somebody's own")
    write(manager, path, [annotation, shapes])
    np.testing.assert_array_equal(read_labels(path), annotation.data)


def test_a_region_counts_on_its_plane_of_a_stack(manager: PluginManager, tmp_path: Path) -> None:
    import tifffile

    labels = Labels(np.zeros((3, 20, 30), np.int32))
    labels.data[1, 5:8, 5:8] = 7
    corners = np.array([[1, -0.5, -0.5], [1, -0.5, 9.5], [1, 9.5, 9.5], [1, 9.5, -0.5]])
    regions = Shapes(
        [corners], shape_type="rectangle", metadata={"napari_unet": {"role": "regions"}}
    )
    write(manager, tmp_path / "a.tif", [labels, regions])
    written = tifffile.imread(tmp_path / "a.tif")
    expected = labels.data.copy()
    expected[1, :10, :10] = np.where(expected[1, :10, :10] == 0, -1, 7)
    np.testing.assert_array_equal(written, expected)


def test_a_model_becomes_the_one_in_use(
    manager: PluginManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import json

    from napari_unet.core.card import ModelCard
    from napari_unet.widgets._session import session

    header: dict[str, Any] = {"__metadata__": ModelCard("unet", {}, 1, maps=1).to_header()}
    content = json.dumps(header).encode()
    path = tmp_path / "hela.safetensors"
    path.write_bytes(len(content).to_bytes(8, "little") + content)

    viewer = ViewerModel()
    monkeypatch.setattr("napari.current_viewer", lambda: viewer)
    (reader,) = manager.iter_compatible_readers([str(path)])
    read = reader.exec(kwargs={"path": [str(path)], "stack": False}, _registry=manager.commands)
    assert read is not None
    assert read([str(path)], stack=False) == [(None,)]
    assert session(viewer).model == path
    assert not viewer.layers


@pytest.mark.parametrize("name", ["roi.zip", "a_seg.npy", "a.json", "a.geojson"])
def test_files_of_others_are_left_to_other_readers(
    manager: PluginManager, tmp_path: Path, name: str
) -> None:
    """A JSON of another kind; any zip, by its name alone, may be one of regions."""
    path = tmp_path / name
    path.write_text('{"weather": "fine"}')
    (reader,) = manager.iter_compatible_readers([str(path)])
    read = manager.commands.get(reader.command)(str(path))
    assert (read is None) == name.endswith("json")
    assert manager.commands.get(reader.command)([str(path)]) is None


@pytest.mark.parametrize("content", [b"", b"not a model", (2).to_bytes(8, "little") + b"{}"])
def test_foreign_models_are_left_to_other_readers(
    manager: PluginManager, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "other.safetensors"
    path.write_bytes(content)
    (reader,) = manager.iter_compatible_readers([str(path)])
    assert manager.commands.get(reader.command)(str(path)) is None
