"""Runs of earlier versions in results/ change nothing of what is shown, and break nothing."""

import shutil
from pathlib import Path

from dualdistill.plan.plan import Plan
from dualdistill.report import html, renderers, status, timing
from dualdistill.store.files import read_json, write_json


def test_detectors_that_students_started_from_disturb_nothing(plan: Plan, folder: Path):
    target = plan.shown / "index.html"

    def shown() -> tuple[object, ...]:
        html.write(plan, target, None, folder)
        renderers.write(plan, "table_main", plan.shown / "table_main")
        table = (plan.shown / "table_main.csv").read_bytes()
        return status.gather(plan), timing.lines(plan), table, target.read_bytes()

    before = shown()
    student = next(run for run in plan.runs.values() if "bevdepth-r50" in run.rows)
    for former, kind in (
        ("detector-r50-s0-0123456789", "detector"),
        ("bevdepth-r50-s0-9876543210", "student"),
    ):
        left = plan.results / "runs" / former
        shutil.copytree(plan.folder(student), left)
        spec = {"kind": kind, "cell_class_weight": 5.0, "model": {"start": "detector"}}
        write_json(left / "run.json", read_json(left / "run.json") | {"run": former, "spec": spec})
    assert shown() == before
