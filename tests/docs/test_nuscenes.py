"""Every command of docs/nuscenes.md works, with a small root and small networks in place of nuScenes."""

from __future__ import annotations

import csv
import re
import shutil
from pathlib import Path

import pytest
import reduced
import torch
import yaml
from pages import clone
from printed import commands, run_command

from dualdistill import models
from dualdistill.data import stand_in
from dualdistill.interop import key_maps
from dualdistill.plan import plan as planning

PAGE = "docs/nuscenes.md"
SETTINGS = re.compile(r"^```yaml\n(profile: nuscenes.*?)^```", re.MULTILINE | re.DOTALL)
HEADER = re.compile(r"^#   (snakemake .*?)\n#\n", re.MULTILINE | re.DOTALL)
SMALL = " frames_per_scene=2 image_height=45 image_width=80 train_scenes=1 val_scenes=1"


@pytest.fixture(scope="module")
def lab(checkout: Path, official_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone whose profile nuscenes is small and trains two steps a row, with a root and files in /data."""
    target = clone(checkout, tmp_path_factory.mktemp("nuscenes") / "dualdistill")
    shutil.rmtree(target / "config")
    file = reduced.write_config(checkout, target / "config", official_root, official_root / stand_in.MASKS)
    shutil.copytree(checkout / "tests" / "small", target / "config", dirs_exist_ok=True)
    _keep_released_table(checkout, target / "config" / "tables.yaml")
    rows = [line["row"] for line in _tables(target / "config")["tables"]["table_main"]["rows"]]
    reduced.set_epochs(file.parent, dict.fromkeys([*rows, "labels"], 0.1))
    plan = planning.load(file, {})
    weights = models.build(plan.run("released-centerpoint").spec).state_dict()
    content = {"meta": {"mmdet3d_version": "0.17.2"}, "state_dict": _released(weights)}
    torch.save(content, target / "centerpoint.pth")
    return target


def _released(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights of a teacher under the names of the released ones."""
    dynamic = {
        ours: theirs
        for theirs, ours in key_maps.TEACHER.items()
        if not theirs.endswith((".linear.", ".norm."))
    }
    prefix = {name: max((ours for ours in dynamic if name.startswith(ours)), key=len) for name in weights}
    return {dynamic[prefix[name]] + name.removeprefix(prefix[name]): weights[name] for name in weights}


def _keep_released_table(checkout: Path, file: Path) -> None:
    """Add the table of imported rows to the small tables, with the words that it needs."""
    full, small = _tables(checkout / "config"), yaml.safe_load(file.read_text())
    small["names"] |= full["names"]
    small["tables"]["table_released"] = full["tables"]["table_released"]
    file.write_text(yaml.safe_dump(small, sort_keys=False))


def _tables(config: Path) -> dict:
    return yaml.safe_load((config / "tables.yaml").read_text())


def placed(line: str, lab: Path) -> str:
    """A printed command with the paths of this test."""
    settings = yaml.safe_load((lab / "config" / "config.yaml").read_text())
    paths = {
        "/data/released": str(lab),
        "/data/nuscenes": settings["data_root"],
        "/data/masks": settings["masks"],
    }
    paths |= {f"/data/resnet{depth}.pth": settings["imagenet"][f"r{depth}"] for depth in (50, 101)}
    for before, after in paths.items():
        line = line.replace(before, after)
    return line + SMALL if "stand-in" in line else line


def test_the_page_s_settings_are_those_of_config_yaml(checkout: Path) -> None:
    match = SETTINGS.search((checkout / PAGE).read_text())
    assert match
    settings = yaml.safe_load((checkout / "config" / "config.yaml").read_text())
    shown = yaml.safe_load(match[1])
    assert set(shown) <= set(settings)
    assert set(shown["imagenet"]) == set(settings["imagenet"])


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_command_of_the_page_works(checkout: Path, lab: Path) -> None:
    printed = commands(checkout / PAGE)
    assert len(printed) >= 10
    for line in printed:
        run_command(lab, placed(line, lab))
    for table, data in (("table_main", 5), ("table_released", 12)):
        with (lab / "results" / f"{table}.csv").open(newline="") as stream:
            rows = list(csv.DictReader(stream))
        assert len(rows) == data
        assert {row["data"] for row in rows} == {"nuscenes-stand-in"}
    imported = [row for row in rows if row["mAP"]]
    assert [row["method"] for row in imported] == ["CenterPoint"]
    assert imported[0]["reported_mAP"] == "48.7"
    assert "distance_mAP" not in imported[0]  # from a published score: only on nuScenes


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_command_of_the_profile_s_first_lines_works(checkout: Path, lab: Path) -> None:
    match = HEADER.search((checkout / "config" / "profiles" / "nuscenes.yaml").read_text())
    assert match
    line = match[1].replace("\\\n#", " ")
    assert "Nothing to be done" in run_command(lab, placed(line, lab))
