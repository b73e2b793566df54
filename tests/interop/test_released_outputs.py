"""The weights of the recorded released modules, through a file and an import, give their head outputs."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import released_goldens as goldens
import torch

from dualdistill import models
from dualdistill.config.run_spec import RunSpec
from dualdistill.interop.import_checkpoint import import_checkpoint
from dualdistill.plan import plan as planning
from dualdistill.plan.plan import Plan
from dualdistill.store.records import read_run
from dualdistill.training.checkpoint import load_weights

CLOSE = 1e-4  # of the largest value
IMAGES = {"image_height": 64, "image_width": 176}


def sized(spec: RunSpec, kind: str) -> RunSpec:
    """A row's spec with the sizes of the recorded module."""
    if kind == "student":
        size = dataclasses.replace(spec.input, **IMAGES)
        model = dataclasses.replace(goldens.STUDENT, start="random")
        return dataclasses.replace(spec, model=model, grid=goldens.STUDENT_GRID, input=size)
    return dataclasses.replace(spec, model=goldens.TEACHERS[kind], grid=goldens.TEACHER_GRID)


def planned(folder: Path, row: str, kind: str) -> Plan:
    plan = planning.load(folder / "config.yaml", {"profile": "nuscenes"}, folder.parent / "results")
    run = plan.run(row)
    sized_run = dataclasses.replace(run, spec=sized(run.spec, kind))
    return dataclasses.replace(plan, runs={run.id: sized_run})


@pytest.mark.parametrize(
    ("row", "kind", "golden"),
    [
        ("released-dualdistill-r50-mvp", "student", "student"),
        ("released-centerpoint", "points5", "teacher_points5"),
        ("released-mvp", "mvp17", "teacher_mvp17"),
    ],
)
@torch.no_grad()
def test_head_outputs_equal_the_released_ones_after_an_import(
    whole_folder: Path, tmp_path: Path, row: str, kind: str, golden: str
):
    weights = goldens.arrays(golden, "weights")
    torch.save({"meta": {"mmdet3d_version": "0.17.2"}, "state_dict": weights}, tmp_path / "epoch_24.pth")
    plan = planned(whole_folder, row, kind)
    import_checkpoint(plan, row, tmp_path / "epoch_24.pth")
    run = plan.run(row)
    network, outputs = models.build(run.spec).eval(), read_run(plan.folder(run))["outputs"]
    load_weights(plan.folder(run) / "model.safetensors", network, outputs["model.safetensors"])
    batch = goldens.student_batch() if kind == "student" else goldens.teacher_batch(kind)
    ours = goldens.their_convention(network(batch).predictions)
    recorded = {name: map_ for name, map_ in _recorded(golden).items() if name.startswith("head.")}
    assert len(recorded) == len(ours) == 36
    differences = {name: goldens.difference(ours[name], map_) for name, map_ in recorded.items()}
    assert {name: value for name, value in differences.items() if not value < CLOSE} == {}


def _recorded(golden: str) -> dict[str, torch.Tensor]:
    return goldens.arrays(golden, "a" if golden == "student" else "outputs")
