"""Fixtures shared by many folders. Torch uses a single thread, because two change the last bits."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from folders import FolderScheduling, group
from report_runs import MEAN_AP, leave_run, planned

import dualdistill  # noqa: F401  with mmcv-lite, mmdet and mmdet3d can be imported only after it
from dualdistill.plan import plan as planning
from dualdistill.plan.plan import Plan

torch.set_num_threads(1)

TESTS = Path(__file__).parent
SLOW_FOLDERS = ("docs", "workflow", "training", "models")  # the slowest first


@pytest.fixture(scope="session")
def checkout() -> Path:
    return TESTS.parent


@pytest.fixture(scope="session")
def official_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small synthetic root under nuScenes' names at its rates, with masks; shared and read-only."""
    from dualdistill.data import stand_in

    root = tmp_path_factory.mktemp("official") / "root"
    sizes = {"frames_per_scene": "3", "image_height": "90", "image_width": "160", "lidar_azimuths": "180"}
    stand_in.build(root, sizes, workers=1)
    return root


@pytest.fixture
def whole_folder(tmp_path: Path) -> Path:
    """A copy of config/ that a test may spoil."""
    shutil.copytree(TESTS.parent / "config", tmp_path / "config")
    return tmp_path / "config"


@pytest.fixture
def folder(whole_folder: Path) -> Path:
    """The same, with one small table and two claims."""
    shutil.copytree(TESTS / "small", whole_folder, dirs_exist_ok=True)
    return whole_folder


@pytest.fixture
def plan(folder: Path) -> Plan:
    """A plan of the small table, with the files of all its runs."""
    return planned(folder)


@pytest.fixture
def dev_plan(folder: Path) -> Plan:
    """The same rows with one seed, trained and scored on the dev split."""
    overrides = {"split": "dev", "profile": "world"}
    made = planning.load(folder / "config.yaml", overrides, results=folder.parent / "results")
    made.paths.index.parent.mkdir(parents=True)
    made.paths.index.write_bytes(b"index")
    for row in made.table("table_main").rows:
        leave_run(made, row.runs[0], MEAN_AP[row.row][0], split="world_dev")
    return made


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With `-n 2`, start the slow folders first, so that processes finish at about the same time."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: (*SLOW_FOLDERS, group(item.nodeid)).index(group(item.nodeid)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With `-n 2`, keep a folder in one process, so that its fixtures are built once."""
    return FolderScheduling(config, log)
