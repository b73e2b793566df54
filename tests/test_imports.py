"""The imports of the package keep to the table of docs/architecture.md, and its picture shows them."""

from __future__ import annotations

import graphlib
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def architecture(checkout: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "draw_architecture", checkout / "docs" / "draw_architecture.py"
    )
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_folder_is_in_the_table(architecture: ModuleType, checkout: Path):
    floors, _ = architecture.table()
    folders = {path.parent.name for path in (checkout / "dualdistill").glob("*/__init__.py")}
    assert folders == set(floors) - {"cli"}


def test_no_folder_imports_what_the_table_does_not_allow(architecture: ModuleType):
    _, allowed = architecture.table()
    forbidden = [
        f"{one} -> {other}"
        for one, other in architecture.arrows()
        if one not in architecture.FOR_ALL and other not in {*allowed[one], *architecture.FOR_ALL}
    ]
    assert forbidden == []


def test_the_table_allows_nothing_that_is_not_used(architecture: ModuleType):
    _, allowed = architecture.table()
    used = set(architecture.arrows())
    unused = [
        f"{one} -> {other}" for one, names in allowed.items() for other in names if (one, other) not in used
    ]
    assert [edge for edge in unused if not edge.startswith("cli")] == []


def test_no_arrow_of_the_table_points_up(architecture: ModuleType):
    floors, allowed = architecture.table()
    level = {("config", "store")}
    up = [
        (one, other)
        for one, names in allowed.items()
        for other in names
        if floors[other] >= floors[one] and one != "cli" and (one, other) not in level
    ]
    assert up == []


def test_no_module_imports_itself_through_others(architecture: ModuleType):
    """Imports inside functions count: they hide a circle, they do not cut it."""
    graphlib.TopologicalSorter(architecture.modules()).prepare()


def test_few_modules_stand_beside_the_folders(checkout: Path):
    modules = {path.stem for path in (checkout / "dualdistill").glob("*.py")} - {"__init__", "__main__"}
    assert len(modules) <= 6, modules


def test_the_picture_is_drawn_from_the_imports_of_today(architecture: ModuleType, tmp_path: Path):
    architecture.save(tmp_path / "architecture.svg")
    drawn = (tmp_path / "architecture.svg").read_text()
    assert drawn == architecture.PICTURE.read_text(), "run python docs/draw_architecture.py"
