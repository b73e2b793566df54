"""Imported rows are marked; on nuScenes their distance from the published score is a column."""

import csv
import io
from pathlib import Path

import pytest
from report_runs import leave_run

from dualdistill.plan import plan as planning
from dualdistill.plan.plan import Plan
from dualdistill.report import status
from dualdistill.report.collect import gather
from dualdistill.report.html.table import to_html
from dualdistill.report.renderers import to_csv, to_latex, to_markdown

TABLE = """
  table_released:
    title: Released
    columns: [backbone, method]
    rows:
      - {row: released-centerpoint, reported: released_centerpoint}
      - {row: released-mvp}
      - {row: released-bevdepth-r50, reported: released_bevdepth_r50}
"""
SCORES = {"released-centerpoint": 0.4866, "released-mvp": 0.5, "released-bevdepth-r50": 0.332}


@pytest.fixture
def config(folder: Path) -> Path:
    with (folder / "tables.yaml").open("a") as stream:
        stream.write(TABLE)
    return folder / "config.yaml"


def scored(config: Path, profile: str, split: str) -> Plan:
    plan = planning.load(config, {"profile": profile, "seeds": [0, 1]}, config.parent / "results")
    plan.paths.index.parent.mkdir(parents=True)
    plan.paths.index.write_bytes(b"index")
    for row, mean_ap in SCORES.items():
        leave_run(plan, plan.run(row).id, mean_ap, split=split)
    return plan


def test_the_distance_from_the_published_score_is_a_column_and_a_sentence(config: Path):
    table = gather(scored(config, "nuscenes", "val"), "table_released")
    rows = list(csv.DictReader(io.StringIO(to_csv(table))))
    assert [row["distance_mAP"] for row in rows] == ["0.0", "", "-3.2"]
    assert [row["distance_NDS"] for row in rows] == ["-10.5", "", "-6.8"]
    assert [row["n_seeds"] for row in rows] == ["1", "1", "1"]  # one run for both seeds
    text = to_markdown(table)
    assert "- Not within 0.5: CenterPoint (NDS -10.5); ResNet-50 BEVDepth (mAP -3.2, NDS -6.8).\n" in text
    assert "- Reported: published numbers, on nuScenes.\n" in text
    assert "| mAP from reported " in text
    assert "† Imported, not trained here; see docs/released.md." in text
    assert "mAP from reported" in to_latex(table)
    shown = to_html(table, {})
    cells = [row.cells[[column.name for column in shown.columns].index("distance_mAP")] for row in shown.rows]
    assert [cell.text for cell in cells] == ["+0.0", "", "\N{MINUS SIGN}3.2"]


def test_rows_within_the_tolerance_are_named(config: Path):
    # leave_run's NDS is half the mAP and a quarter
    reported = config.parent / "reported.csv"
    reported.write_text(reported.read_text().replace("released,NDS,59.8", "released,NDS,49.4"))
    text = to_markdown(gather(scored(config, "nuscenes", "val"), "table_released"))
    assert "- Within 0.5 points of the published scores: CenterPoint.\n" in text


def test_scores_in_the_world_are_not_compared_with_published_ones(config: Path):
    table = gather(scored(config, "world", "world_val"), "table_released")
    assert "distance_mAP" not in to_csv(table)
    assert "Within" not in to_markdown(table)


def test_status_lists_an_imported_row_once_it_is_there(config: Path):
    before = planning.load(config, {"profile": "world"}, config.parent / "elsewhere")
    rows = {row for run in status.gather(before).runs for row in before.runs[run.run].rows}
    assert not rows & set(SCORES)
    plan = scored(config, "world", "world_val")
    states = {run.run: run.state for run in status.gather(plan).runs}
    assert {states[plan.run(row).id] for row in SCORES} == {"done"}
