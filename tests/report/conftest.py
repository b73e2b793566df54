"""A plan with two seeds and the files that its runs would have left, metrics by formula."""

import shutil
from pathlib import Path

import pytest

from dualdistill import plan as planning
from dualdistill.plan import Plan
from dualdistill.records import write_metrics
from dualdistill.storage import sha256_file, write_json

ROOT = Path(__file__).parents[2]
MEAN_AP = {  # by row and seed
    "centerpoint": (0.9, 0.9),
    "bevdepth-r50": (0.3505, 0.3506),
    "dualdistill-r50-centerpoint": (0.4145, 0.4146),
    "bevdepth-r101": (0.4, 0.5),
    "dualdistill-r101-centerpoint": (0.45, 0.44),
}


def leave_run(plan: Plan, run_id: str, mean_ap: float) -> Path:
    """What train, predict and evaluate leave behind."""
    run = plan.runs[run_id]
    folder = plan.folder(run)
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(run_id.encode())
    (folder / "results_nusc.json").write_text(f'{{"made by": "{run_id}"}}')
    weights = sha256_file(folder / "model.safetensors")
    outputs = {"model.safetensors": weights}
    write_json(folder / "run.json", {"schema": 1, "spec_sha": run.spec.sha, "outputs": outputs})
    inputs = {"model.safetensors": weights, "index.npz": sha256_file(plan.paths.index)}
    inputs["results_nusc.json"] = sha256_file(folder / "results_nusc.json")
    record = {"mean_ap": mean_ap, "nd_score": mean_ap / 2 + 0.25, "tp_errors": {}, "inputs": inputs}
    write_metrics(folder, record | {"spec_sha": run.spec.sha, "data": plan.data_id})
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of config/."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    return tmp_path / "config"


@pytest.fixture
def plan(folder: Path) -> Plan:
    overrides = {"seeds": [0, 1], "profile": "world"}
    made = planning.load(folder / "config.yaml", overrides, results=folder.parent / "results")
    made.paths.index.parent.mkdir(parents=True)
    made.paths.index.write_bytes(b"index")
    for row in made.table("table_main").rows:
        for seed, run in enumerate(row.runs):
            leave_run(made, run, MEAN_AP[row.row][seed])
    return made
