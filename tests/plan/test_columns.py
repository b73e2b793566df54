"""Tables of other numbers than mAP and NDS: errors, costs and the teacher's score; footnotes and marks."""

import io
import re
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest
import yaml
from report_runs import leave_run, planned

from dualdistill.errors import UserError
from dualdistill.plan.columns import MEASURES
from dualdistill.plan.plan import Plan
from dualdistill.report.collect import gather
from dualdistill.report.renderers import to_csv, to_latex, to_markdown
from dualdistill.store.files import write_json
from dualdistill.store.records import read_metrics, write_metrics

OURS = "dualdistill-r50-centerpoint"


def with_table(folder: Path, **table: object) -> Plan:
    """The plan with one more table."""
    path = folder / "tables.yaml"
    value = yaml.safe_load(path.read_text())
    table = {"title": "More", "columns": ["row"], **table}
    value["tables"]["more"] = table
    path.write_text(yaml.safe_dump(value, sort_keys=False, allow_unicode=True))
    return planned(folder)


def frame(plan: Plan) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(to_csv(gather(plan, "more"))), index_col=0)


def test_every_measure_is_read_from_the_records(folder: Path):
    table = frame(with_table(folder, rows_of=["table_main"], measures=list(MEASURES)))
    ours, baseline = table.loc[OURS], table.loc["bevdepth-r50"]
    assert ours.mATE == pytest.approx(0.585)  # 1 - 0.41455
    assert (ours.AP_car, baseline.AP_car) == (46.5, 40.1)
    assert (ours.minutes, ours.memory_MB) == (20, 1020)
    assert (ours.parameters_M, ours.method_parameters_M) == (1.23, 0.09)
    assert (ours.ratio_minutes, ours.ratio_memory_MB) == (2.0, 1.0)
    assert pd.isna(baseline.ratio_minutes)
    # no class has a velocity error here, and the records have no AP of trucks
    assert pd.isna(ours.mAVE)
    assert pd.isna(ours.AP_truck)


@pytest.mark.parametrize(("smallest", "said"), [(1.0, True), (0.99, False)])
def test_velocities_that_nds_does_not_credit_are_called_descriptive(
    folder: Path, smallest: float, said: bool
):
    plan = with_table(folder, rows=[{"row": "bevdepth-r50"}, {"row": OURS}], measures=["mAVE"])
    for row in plan.table("more").rows:
        for run in row.runs:
            scores = plan.scores(plan.runs[run])
            errors = {"vel_err": 1.2 if row.row == OURS else smallest}
            write_metrics(scores, read_metrics(scores) | {"tp_errors": errors})
    sentence = "velocity is not learned here, and its errors are descriptive."
    assert (sentence in to_markdown(gather(plan, "more"))) == said


def test_students_of_all_seeds_share_one_teacher_score(folder: Path):
    plan = with_table(folder, rows=[{"row": "bevdepth-r50"}, {"row": OURS}], measures=["teacher_mAP", "mAP"])
    alone, taught = gather(plan, "more").rows
    assert "teacher_mAP" not in alone.measured
    teacher = taught.measured["teacher_mAP"].score
    assert (teacher.mean, teacher.n) == (Decimal("0.9"), 1)
    assert (taught.measured["mAP"].score.n, taught.seeds) == (2, 2)
    assert "| 90.0 " in to_markdown(gather(plan, "more"))


def test_the_smallest_error_is_bold_and_no_training_time_is(folder: Path):
    plan = with_table(folder, rows_of=["table_main"], measures=["mATE", "minutes"])
    lines = to_markdown(gather(plan, "more")).splitlines()
    ours, baseline = (next(line for line in lines if f"| {row}" in line) for row in (OURS, "bevdepth-r50"))
    assert "**0.585" in ours
    assert "**" not in baseline
    assert "20.0 ± 0.00 (×2.0)" in ours  # noqa: RUF001


def test_a_cost_table_names_the_machine(folder: Path):
    plan = with_table(folder, rows_of=["table_main"], measures=["minutes"])
    text = (
        "Wall-clock time and peak memory on x86_64, 2 cores, CPU, 1 thread(s), of one training each, beside"
    )
    assert text in to_markdown(gather(plan, "more"))
    assert "Wall-clock" not in to_markdown(gather(plan, "table_main"))


def test_a_row_of_several_tables_is_shown_once_without_the_texts_of_the_other_tables(folder: Path):
    rows = [{"row": OURS, "shown": {"row": "ours"}}, {"row": "bevdepth-r50"}]
    plan = with_table(folder, rows_of=["table_main"], rows=rows[:1])
    shown = [row.labels["row"] for row in gather(plan, "more").rows]
    assert shown == ["CenterPoint", "bevdepth-r50", "bevdepth-r101", "dualdistill-r101-centerpoint", "ours"]


def test_a_reconstruction_gets_a_dagger_and_a_footnote(folder: Path):
    rows = [{"row": f"x3kd-r{depth}-centerpoint"} for depth in (50, 101)]
    table = gather(with_table(folder, rows_of=["table_main"], rows=rows), "more", allow_missing=True)
    text = to_markdown(table)
    assert [f"| {line['row']}† " in text for line in rows] == [True, True]
    assert f"| {OURS} " in text
    assert text.count("† x3kd is a reconstruction: neither its code nor its full text could be read") == 1
    assert "x3kd-r50-centerpoint$^\\dagger$" in to_latex(table)
    assert "†" not in to_csv(table)
    remarks = [row.remark for row in table.rows]
    assert [bool(remark) for remark in remarks] == [False] * 5 + [True] * 2
    assert remarks[-1].endswith("see docs/methods/x3kd.md.")


def test_an_inferred_reported_number_gets_a_footnote(plan: Plan):
    text = to_markdown(gather(plan, "table_main"))
    assert "| 35.1‡ " in text
    assert "| 40.5 (+5.4)" in text
    assert text.count("‡ Read from a damaged print") == 1
    assert "35.1$^\\ddagger$" in to_latex(gather(plan, "table_main"))


def test_a_gain_that_the_poster_does_not_print_is_computed_from_its_numbers(folder: Path):
    rows = [
        {"row": "upsample-conv3", "reported": "align_upconv3"},
        {"row": "dualdistill-r50-mvp", "baseline": "upsample-conv3", "reported": "align_aoa"},
    ]
    ours = gather(with_table(folder, rows=rows), "more", allow_missing=True).rows[1]
    assert [ours.reported[name].gain for name in ("mAP", "NDS")] == [Decimal("0.5"), Decimal("0.6")]


def test_the_minutes_before_sum_all_earlier_runs_and_are_unknown_if_a_record_is_missing(folder: Path):
    plan = with_table(folder, rows=[{"row": "labeldistill-r50-centerpoint"}], measures=["minutes_before"])
    students = plan.table("more").rows[0].runs
    for student in students:
        leave_run(plan, student, 0.4)
    start = plan.runs[students[0]].pretraining
    minutes = {start: 1}
    minutes |= {plan.runs[student].label_encoder: 4 for student in students}
    for name, duration in minutes.items():
        assert gather(plan, "more").rows[0].measured == {}
        record = {"schema": 1, "spec_sha": plan.runs[name].spec.sha, "outputs": {}, "seconds": 60 * duration}
        plan.folder(plan.runs[name]).mkdir()
        write_json(plan.folder(plan.runs[name]) / "run.json", record)
    # the teacher took 10
    assert frame(plan).minutes_before.tolist() == [15.0]


def test_a_wide_latex_table_spans_both_columns(folder: Path):
    measures = [name for name in MEASURES if name.startswith("AP_")]
    text = to_latex(gather(with_table(folder, rows_of=["table_main"], measures=measures), "more"))
    assert "\\begin{table*}" in text
    assert "\\resizebox{" in text
    assert "AP construction vehicle" in text


FAULTS = {
    "unknown measure": (
        {"rows_of": ["table_main"], "measures": ["mAp"]},
        "unknown measure 'mAp' (did you mean 'mAP'?)",
    ),
    "rows of an unknown table": (
        {"rows_of": ["table_mian"]},
        "takes the rows of 'table_mian', which defines no rows",
    ),
    "no rows": ({}, "table 'more' has no rows (add rows: or rows_of:)"),
    "rows that print alike": (
        {"columns": ["method"], "rows": [{"row": OURS}, {"row": "mfd-only"}]},
        f"table 'more' prints the rows '{OURS}' and 'mfd-only' alike: 'DualDistill' "
        "(add a column in which they differ",
    ),
    "two reports of one row": (
        {"rows": [{"row": "bevdepth-r50", "reported": "r101_bevdepth"}]},
        "row 'bevdepth-r50' has two reports that differ: 'r50_bevdepth' and 'r101_bevdepth'",
    ),
    "text for an unknown column": (
        {"rows": [{"row": OURS, "shown": {"temperature": "-"}}]},
        "table 'more' names the unknown column 'temperature'",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_a_table_gives_one_sentence_with_its_line(folder: Path, fault: str):
    table, sentence = FAULTS[fault]
    with pytest.raises(UserError, match=re.escape(sentence)) as caught:
        with_table(folder, **table)
    assert re.fullmatch(rf"{re.escape(str(folder / 'tables.yaml'))}:\d+", caught.value.where)
