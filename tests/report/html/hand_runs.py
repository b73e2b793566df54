"""Runs as train, predict and evaluate leave them, complete and by formula."""

import json
import math
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from PIL import Image
from report_runs import leave_draws

from dualdistill.plan import plan as planning
from dualdistill.plan.plan import WITHOUT_BOXES, Plan, Run
from dualdistill.report import html
from dualdistill.store.files import sha256_file, write_json
from dualdistill.store.records import WEIGHTS, write_metrics

ROOT = Path(__file__).parents[3]
CLASSES = ("car", "truck", "bus", "trailer", "construction_vehicle", "pedestrian")
CLASSES += ("motorcycle", "bicycle", "traffic_cone", "barrier")
ERRORS = ("trans_err", "scale_err", "orient_err", "vel_err", "attr_err")
# markup that would break out of HTML, an attribute or a script
HOSTILE = """</script><script>alert("x")</script><img src=x onerror='alert(1)'>&amp;{{ 7 * 7 }}"""


def configured(
    folder: Path, seeds: list[int], edits: dict[str, dict[str, str]] | None = None, split: str = "val"
) -> Plan:
    """The repository's configuration in a folder, with some of its text replaced."""
    shutil.copytree(ROOT / "config", folder / "config")
    for name, changes in (edits or {}).items():
        path = folder / "config" / name
        text = path.read_text()
        for old, new in changes.items():
            assert old in text
            text = text.replace(old, new)
        path.write_text(text)
    plan = planning.load(
        folder / "config" / "config.yaml", {"seeds": seeds, "split": split}, folder / "results"
    )
    plan.paths.index.parent.mkdir(parents=True)
    plan.paths.index.write_bytes(b"index")
    return plan


def leave_all(plan: Plan, **about: Any) -> None:
    for number, name in enumerate(plan.shown_runs()):
        leave(plan, plan.runs[name], number, **about)


def leave(plan: Plan, run: Run, number: int, **about: Any) -> None:
    folder = plan.folder(run)
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(run.id.encode())
    steps = ({"step": step, "lr": 1e-3, "grad_norm": 5.0, **_losses(step)} for step in range(1, 201))
    (folder / "history.jsonl").write_text("".join(json.dumps(row) + "\n" for row in steps))
    names = ("model.safetensors", "history.jsonl")
    record = {
        "schema": 1,
        "run": run.id,
        "spec": asdict(run.spec),
        "spec_sha": run.spec.sha,
        "start": {"from": "random"},
        "outputs": {name: sha256_file(folder / name) for name in names},
        "seconds": 61.0 + number,
        "peak_memory_mb": 1000.0,
        "parameters": {"learner": 2_000_000, "method": 0},
        "provenance": {
            "host": "desk",
            "platform": "Linux",
            "cores_allowed": 2,
            "threads": 1,
            "devices": [],
            "python": "3.11.7",
            "packages": {"torch": "2.13.0"},
            "git": {"commit": "0123456789abcdef", "dirty": False},
            "time": f"2026-01-{1 + number % 28:02d}T10:00:00+00:00",
            **about,
        },
    }
    precision = {"by_class": dict.fromkeys(CLASSES, 0.75)}
    if run.spec.kind == "pretrain":
        record["held_out"] = {"accuracy": 0.75, **precision}
    if run.spec.kind == "labels":
        record["redecoded"] = {"mean_ap": 0.5, **precision}
    write_json(folder / "run.json", record)
    if run.spec.kind not in WITHOUT_BOXES:
        score(plan, run, (10 + 7 * number % 31) / 100)


def _losses(step: int) -> dict[str, float]:
    return {"heatmap": 20 * math.exp(-step / 60) + 2, "box": 5.0}


def score(plan: Plan, run: Run, mean_ap: float) -> None:
    folder = plan.scores(run)
    folder.mkdir(exist_ok=True)
    (folder / "results_nusc.json").write_text(f'{{"made by": "{run.id}"}}')
    files = {"index.npz": plan.paths.index} | {
        name: place / name for name, place in (("results_nusc.json", folder), (WEIGHTS, plan.folder(run)))
    }
    precision = {name: min(1.0, mean_ap * place / 5) for place, name in enumerate(CLASSES)}
    record = {
        "mean_ap": mean_ap,
        "nd_score": mean_ap / 2 + 0.1,
        "tp_errors": {name: 0.5 + place / 10 for place, name in enumerate(ERRORS)},
        "mean_dist_aps": precision,
        "ground_truth_boxes": dict.fromkeys(CLASSES, 100),
        "inputs": {name: sha256_file(path) for name, path in files.items()},
        "spec_sha": run.spec.sha,
        "data": plan.data_id,
        "config": "detection_cvpr_2019",
        "split": plan.scored_split,
        "samples": 160,
    }
    write_metrics(folder, record)
    leave_draws(folder, mean_ap)


def pictures(folder: Path) -> list[Path]:
    """A drawing in three formats, and a photograph."""
    folder.mkdir()
    (folder / "main.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 4"><path d="M0 0h8v4"/></svg>'
    )
    (folder / "main.pdf").write_bytes(b"%PDF-1.4")
    Image.new("RGB", (8, 4), "teal").save(folder / "main.png")
    Image.new("RGB", (60, 40), "navy").save(folder / "frame.png")
    return sorted(folder.iterdir())


def build(plan: Plan, figures: list[Path]) -> str:
    """The page with every table and claim that has a score."""
    target = plan.shown / "index.html"
    html.write(plan, target, figures, plan.results.parent / "config")
    return target.read_text()
