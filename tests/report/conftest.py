"""A plan with two seeds and the files that its runs would have left, metrics by formula."""

from pathlib import Path

import pytest

from dualdistill import plan as planning
from dualdistill.plan import Plan
from dualdistill.records import write_metrics
from dualdistill.storage import sha256_file, write_json

CONFIG = Path(__file__).parents[2] / "config" / "config.yaml"
MEAN_AP = {  # by row and seed
    "centerpoint": (0.9, 0.9),
    "bevdepth-r50": (0.3505, 0.3506),
    "dualdistill-r50-centerpoint": (0.4145, 0.4146),
    "bevdepth-r101": (0.4, 0.5),
    "dualdistill-r101-centerpoint": (0.45, 0.44),
}


def leave_run(plan: Plan, run_id: str, mean_ap: float, split: str = "world_val") -> Path:
    """What train, predict and evaluate leave behind."""
    run = plan.runs[run_id]
    folder, scores = plan.folder(run), plan.scores(run)
    scores.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(run_id.encode())
    (scores / "results_nusc.json").write_text(f'{{"made by": "{run_id}"}}')
    weights = sha256_file(folder / "model.safetensors")
    outputs = {"model.safetensors": weights}
    write_json(folder / "run.json", {"schema": 1, "spec_sha": run.spec.sha, "outputs": outputs})
    inputs = {"model.safetensors": weights, "index.npz": sha256_file(plan.paths.index)}
    inputs["results_nusc.json"] = sha256_file(scores / "results_nusc.json")
    record = {"mean_ap": mean_ap, "nd_score": mean_ap / 2 + 0.25, "tp_errors": {}, "inputs": inputs}
    lineage = {"spec_sha": run.spec.sha, "data": plan.data_id, "split": split}
    write_metrics(scores, record | lineage)
    return folder


@pytest.fixture
def dev_plan(tmp_path: Path) -> Plan:
    """The same rows with one seed, scored on the dev split."""
    made = planning.load(CONFIG, {"split": "dev", "profile": "world"}, results=tmp_path / "results")
    made.paths.index.parent.mkdir(parents=True)
    made.paths.index.write_bytes(b"index")
    for row in made.table("table_main").rows:
        leave_run(made, row.runs[0], MEAN_AP[row.row][0], "world_dev")
    return made


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    made = planning.load(CONFIG, {"seeds": [0, 1], "profile": "world"}, results=tmp_path / "results")
    made.paths.index.parent.mkdir(parents=True)
    made.paths.index.write_bytes(b"index")
    for row in made.table("table_main").rows:
        for seed, run in enumerate(row.runs):
            leave_run(made, run, MEAN_AP[row.row][seed])
    return made
