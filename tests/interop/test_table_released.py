"""Released checkpoints end to end, on the small synthetic world: import, predict, score, table_released."""

from __future__ import annotations

import csv
from pathlib import Path

import forked
import pytest
import released_keys as released
import torch
from checkouts import Checkout, copy

from dualdistill import models
from dualdistill.interop import key_maps
from dualdistill.plan import plan as planning

forked.load_beforehand("snakemake.cli", "dualdistill.models")

SMOKE = ("--config", "profile=smoke")
TARGET = "results/table_released.csv"
TABLE = """
  table_released:
    title: Released checkpoints, imported and scored here
    columns: [backbone, method, base, teacher]
    rows:
      - {row: released-mmdet3d, reported: released_mmdet3d, shown: {method: CenterPoint of mmdet3d}}
      - {row: released-centerpoint, reported: released_centerpoint}
      - {row: released-distillbev-r50-centerpoint, reported: r50_distillbev_cp}
"""
ROWS = ("released-mmdet3d", "released-centerpoint", "released-distillbev-r50-centerpoint")
LINEAR = "pts_voxel_encoder.pfn_layers.0.linear.weight"  # mmdet3d's name
DYNAMIC = {
    theirs: ours for theirs, ours in key_maps.TEACHER.items() if not theirs.endswith((".linear.", ".norm."))
}


def released_file(checkout: Checkout, row: str) -> Path:
    """Random weights of a row's network as a released file has them."""
    plan = planning.load(checkout.root / "config" / "config.yaml", {"profile": "smoke"}, Path("results"))
    torch.manual_seed(len(row))
    weights = models.build(plan.run(row).spec).state_dict()
    meta: dict[str, object] = {"mmdet3d_version": "0.17.2"}
    if "distillbev" in row:
        content = released.under_released_names(weights, key_maps.STUDENT)
        content["img_view_transformer.frustum"] = torch.zeros(16, 2, 6, 3)  # images of 32 x 96
        content["channel_wise_adaptations.0.weight"] = torch.zeros(3)
    elif "mmdet3d" in row:
        del weights["pillars.padding_C"]
        content = released.under_released_names(weights, key_maps.TEACHER)
        content[LINEAR] = torch.cat([content[LINEAR], content[LINEAR][:, :1]], dim=1)
        meta = {"mmengine_version": "0.10.7"}
    else:
        content = released.under_released_names(weights, DYNAMIC)
    path = checkout.root / f"{row}.pth"
    torch.save({"meta": meta, "state_dict": content, "optimizer": {}}, path)
    return path


def import_as(checkout: Checkout, file: Path, row: str) -> tuple[int, str]:
    words = ("import-checkpoint", str(file), "--as", row, "--profile", "smoke")
    done = forked.run("dualdistill", *words, folder=checkout.root)
    return done.returncode, done.stderr


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_released_checkpoints_are_imported_scored_and_shown(tmp_path: Path):
    checkout = copy(tmp_path / "checkout")
    checkout.add("config/tables.yaml", TABLE)
    files = {row: released_file(checkout, row) for row in ROWS}

    without = checkout.snakemake(TARGET, *SMOKE)
    command = f"python -m dualdistill import-checkpoint FILE --as {ROWS[1]} --profile smoke"
    assert without.returncode == 3
    assert f"row {ROWS[1]} is imported: {command}" in without.stderr
    assert not (checkout.root / "results" / "data").exists()  # before any job

    code, sentence = import_as(checkout, files[ROWS[2]], ROWS[1])
    assert code == 4
    assert "the file holds a student (DistillBEV), and row 'released-centerpoint' is a teacher" in sentence
    assert "Traceback" not in sentence

    for row, file in files.items():
        assert import_as(checkout, file, row) == (0, ""), row
    made = checkout.snakemake(TARGET, *SMOKE)
    assert made.returncode == 0, made.stdout[-3000:] + made.stderr[-3000:]
    with (checkout.root / TARGET).open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["method"] for row in rows] == ["CenterPoint of mmdet3d", "CenterPoint", "distillbev"]
    assert all(row["remark"].startswith("Imported, not trained here") for row in rows)
    assert [row["reported_mAP"] for row in rows] == ["48.7", "48.7", "39.0"]
    assert all(0 <= float(row["mAP"]) <= 100 for row in rows)
    assert "distance_mAP" not in rows[0]  # the world's scores are not to be compared with published ones
    assert not list((checkout.root / "results" / "runs").glob("*/history.jsonl"))  # nothing was trained
    assert "Nothing to be done" in checkout.snakemake(TARGET, *SMOKE).stderr
