"""The order of the rooms: core knows no GUI, napari's process no torch, no dock another dock.

Read from the imports, wherever in a file they stand, and then proved in fresh interpreters.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import napari_unet

PACKAGE = Path(napari_unet.__file__).parent
GUI = {"napari", "qtpy", "magicgui", "superqt", "vispy", "pyqtgraph", "PyQt5", "PyQt6", "PySide6"}
TORCH = {"torch", "torchvision", "triton"}

# From the bottom up; a room imports rooms below it, and its own.
ORDER = (
    {"errors", "types", "config", "events"},
    {
        "allocation", "annotation", "apart", "augment", "block_candidates", "block_cells",
        "block_labels", "border_weights", "box_index", "candidate_store", "candidates", "card",
        "class_numbers", "class_weights", "cluster", "comparison", "crowd", "device",
        "disagreement", "evidence", "file_pairs", "files", "instances", "label_doubts",
        "label_files", "large_job", "lazy_image", "listing", "map_store", "matching", "metrics",
        "ngff", "normalize", "regions", "samples", "standings", "tile_store", "tiling", "tuning",
        "whole_cells",
    },
    {"models"},
    {"dataset"},
    {
        "checkpoint", "entries", "evaluation", "learner", "prediction", "run", "starting",
        "training", "validation",
    },
    {"contest", "large_stages"},
    {"large_prediction"},
)  # fmt: skip


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
CORE = [name for name in MODULES if name.startswith("napari_unet.core")]
WIDGETS = [name for name in MODULES if name.startswith("napari_unet.widgets")]
DOCKS = [name for name in WIDGETS if re.fullmatch(r".*\.[a-z]\w*_dock", name)]
# The command line starts it, and it opens napari when it runs, not when it is imported.
DEMO = "napari_unet.demo"
# What napari imports into its own process.
IN_NAPARI = [*WIDGETS, *(f"napari_unet.{name}" for name in ("io", "sample_data", "messages")), DEMO]


@cache
def imports_of(module: str) -> frozenset[str]:
    """All that a module imports anywhere in it, for the type checker alone excepted."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for child in node.orelse:
                visit(child)
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports are absolute here"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in MODULES else str(node.module))
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(MODULES[module].read_text(encoding="utf-8")))
    return frozenset(found)


def room_of(module: str) -> str:
    """`models` for `napari_unet.core.models.unet`."""
    return module.removeprefix("napari_unet.core.").split(".")[0]


def ours(module: str) -> list[str]:
    return sorted(name for name in imports_of(module) if name in MODULES)


def foreign(module: str) -> set[str]:
    return {name.split(".")[0] for name in imports_of(module)}


def reached_from(module: str) -> dict[str, str]:
    """Each module of ours that an import leads to, and by which way."""
    ways = {module: module}
    waiting = [module]
    while waiting:
        at = waiting.pop()
        for name in ours(at):
            if name not in ways and name != DEMO:
                ways[name] = f"{ways[at]} → {name}"
                waiting.append(name)
    return ways


def test_the_modules_were_found() -> None:
    assert {"napari_unet.core.types", "napari_unet.core.config"} <= set(CORE)
    assert "napari_unet.widgets" in WIDGETS
    assert "napari_unet.core.errors" in imports_of("napari_unet.core.files")


@pytest.mark.parametrize("module", [*CORE, "napari_unet.cli", "napari_unet.compute"])
def test_the_core_and_its_processes_know_no_gui(module: str) -> None:
    for name, way in reached_from(module).items():
        assert not foreign(name) & GUI, way
        assert not name.startswith("napari_unet.widgets"), way


@pytest.mark.parametrize("module", CORE)
def test_the_core_imports_the_core_alone(module: str) -> None:
    assert set(ours(module)) <= {*CORE, "napari_unet"}  # the package itself: its version


@pytest.mark.parametrize("module", CORE)
def test_rooms_import_downwards(module: str) -> None:
    floor_of = {room: floor for floor, rooms in enumerate(ORDER) for room in rooms}
    room = room_of(module)
    for name in ours(module):
        other = room_of(name)
        if room in floor_of and other in floor_of:
            assert floor_of[other] <= floor_of[room], f"{module} imports {name}"


def test_there_is_no_circle() -> None:
    done: set[str] = set()

    def walk(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, " → ".join((*way, module))
        if module not in done:
            for name in ours(module):
                walk(name, (*way, module))
            done.add(module)

    for module in MODULES:
        walk(module, ())


@pytest.mark.parametrize("module", [name for name in IN_NAPARI if name in MODULES])
def test_no_torch_in_napari(module: str) -> None:
    for name, way in reached_from(module).items():
        assert not foreign(name) & TORCH, way


@pytest.mark.parametrize("module", DOCKS)
def test_no_dock_imports_another_dock(module: str) -> None:
    assert not set(ours(module)) & set(DOCKS)


def test_docks_are_put_together_in_one_place() -> None:
    importing = {name for name in MODULES if set(ours(name)) & set(DOCKS)}
    assert importing <= {"napari_unet.widgets.all_docks"}


# --- proved in fresh interpreters ----------------------------------------------------------------


def loaded_after(code: str) -> set[str]:
    """Top-level modules that an interpreter has loaded after running `code`."""
    script = (
        f"{code}\nimport sys\nprint('loaded:', *{{name.split('.')[0] for name in sys.modules}})"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("loaded:")[2].split())


def test_importing_core_and_command_line_brings_no_gui() -> None:
    modules = [*CORE, "napari_unet.cli", DEMO]
    loaded = loaded_after("\n".join(f"import {name}" for name in modules if name in MODULES))
    assert "numpy" in loaded
    assert not loaded & GUI


def test_importing_the_command_line_waits_for_torch() -> None:
    assert not loaded_after("import napari_unet.cli") & TORCH


def test_importing_every_widget_brings_no_torch() -> None:
    modules = [name for name in IN_NAPARI if name in MODULES]
    loaded = loaded_after("\n".join(f"import {name}" for name in modules))
    assert "napari" in loaded
    assert not loaded & TORCH


def test_importing_the_package_is_light() -> None:
    assert not loaded_after("import napari_unet") & (GUI | TORCH | {"numpy", "scipy", "numba"})


def test_importing_the_package_is_quick() -> None:
    code = (
        "import time; start = time.perf_counter(); import napari_unet; "
        "print(time.perf_counter() - start)"
    )
    times = [
        float(subprocess.check_output([sys.executable, "-c", code], text=True, timeout=60))
        for _ in range(5)
    ]
    assert min(times) < 0.3
