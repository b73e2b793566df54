"""Files of trained and scored runs, written without training; metrics follow formulas."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.text import Text

from dualdistill.data.scene_draws import SceneDraws
from dualdistill.plan import plan as planning
from dualdistill.plan.plan import Plan
from dualdistill.store.files import sha256_file, write_json
from dualdistill.store.records import SCENE_DRAWS, write_metrics

MEAN_AP = {  # by row and seed
    "centerpoint": (0.9, 0.9),
    "bevdepth-r50": (0.3505, 0.3506),
    "dualdistill-r50-centerpoint": (0.4145, 0.4146),
    "bevdepth-r101": (0.4, 0.5),
    "dualdistill-r101-centerpoint": (0.45, 0.44),
}


def check_readable(figure: Figure) -> None:
    """Check that a figure is 7 inches wide and has no text below 7 points, as figures.mplstyle sets."""
    assert figure.get_figwidth() == 7
    sizes = {text.get_text(): text.get_fontsize() for text in figure.findobj(Text) if text.get_text()}
    assert min(sizes.values()) >= 7, min(sizes, key=lambda text: sizes[text])


def leave_run(
    plan: Plan, run_id: str, mean_ap: float, *, minutes: float = 10.0, split: str = "world_val"
) -> Path:
    """Write the files of train, predict and evaluate; errors and costs follow from the arguments."""
    run = plan.runs[run_id]
    folder, scores = plan.folder(run), plan.scores(run)
    scores.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(run_id.encode())
    (scores / "results_nusc.json").write_text(f'{{"made by": "{run_id}"}}')
    weights = sha256_file(folder / "model.safetensors")
    outputs = {"model.safetensors": weights}
    trained = {
        "schema": 1,
        "spec_sha": run.spec.sha,
        "outputs": outputs,
        "seconds": 60 * minutes,
        "peak_memory_mb": 1000 + minutes,
        "parameters": {"learner": 1_234_567, "method": 89_000 if run.teacher else 0},
        "provenance": {"machine": "x86_64", "cores": 2, "threads": 1, "devices": []},
    }
    write_json(folder / "run.json", trained)
    inputs = {"model.safetensors": weights, "index.npz": sha256_file(plan.paths.index)}
    inputs["results_nusc.json"] = sha256_file(scores / "results_nusc.json")
    record = {
        "mean_ap": mean_ap,
        "nd_score": mean_ap / 2 + 0.25,
        "tp_errors": {"trans_err": 1 - mean_ap, "vel_err": None},
        "mean_dist_aps": {"car": mean_ap + 0.05},
        "inputs": inputs,
    }
    write_metrics(scores, record | {"spec_sha": run.spec.sha, "data": plan.data_id, "split": split})
    leave_draws(scores, mean_ap)
    return folder


def leave_draws(scores: Path, mean_ap: float, sha: bytes = b"ten scenes") -> None:
    """Write draws of ten scenes: the more of the easy half are drawn, the higher is the score."""
    easy = np.random.default_rng(0).multinomial(10, np.full(10, 0.1), 1000)[:, ::2].sum(axis=1)
    mean_ap_B = mean_ap * (0.9 + 0.02 * easy)
    SceneDraws(np.array(sha), np.array(b""), np.array(10), np.array(mean_ap), mean_ap_B).save(
        scores / SCENE_DRAWS
    )


def planned(folder: Path) -> Plan:
    """A plan with two seeds, with an index and the files of all runs of its main table."""
    overrides = {"seeds": [0, 1], "profile": "world"}
    made = planning.load(folder / "config.yaml", overrides, results=folder.parent / "results")
    made.paths.index.parent.mkdir(parents=True, exist_ok=True)
    made.paths.index.write_bytes(b"index")
    for row in made.table("table_main").rows:
        for seed, run in enumerate(row.runs):
            if not made.folder(made.runs[run]).exists():
                leave_run(made, run, MEAN_AP[row.row][seed], minutes=20.0 if "distill" in row.row else 10.0)
    return made
