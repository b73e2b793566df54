"""figures.yaml is checked against the plan: a fault gives a sentence with a line and a hint."""

import subprocess
import sys
from pathlib import Path

import pytest

from dualdistill.config.views import CHARTS, METRICS
from dualdistill.errors import UserError
from dualdistill.plan import figures
from dualdistill.plan import plan as planning
from dualdistill.plan.plan import Plan

CONFIG = Path(__file__).parents[2] / "config"


def change(folder: Path, old: str, new: str) -> None:
    path = folder / figures.FILE
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_every_table_of_scores_has_a_chart(tmp_path: Path):
    plan = planning.load(CONFIG / "config.yaml", {"profile": "world"}, tmp_path)
    drawn = {view.table for view in figures.load(plan, CONFIG).values()}
    scores = {name: table for name, table in plan.tables.items() if set(METRICS) <= set(table.measures)}
    imported = {name for name, table in scores.items() if all(row.imported for row in table.rows)}
    parts = {name for name, table in scores.items() if table.part}
    assert parts == {"table_r50", "table_r101"}
    assert scores.keys() - drawn - parts == imported == {"table_released"}


def test_every_figure_fits_the_plan(plan: Plan, folder: Path):
    views = figures.load(plan, folder)
    assert views["main"].table == "table_main"
    teachers = [run.id for run in plan.runs.values() if "centerpoint" in run.rows and run.spec.seed == 0]
    assert list(views["temperature"].runs) == teachers
    # all seeds of compared rows, a single student for a single frame
    assert len(views["training"].runs) == 4
    assert [len(views[name].runs) for name in ("attention", "alignment")] == [1, 1]


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("chart: groups", "chart: group", "must be one of"),
        ("table: table_main", "table: table_mian", "figure 'main' shows the unknown table 'table_mian'"),
        ("colour: method", "colour: metod", "names column 'metod', which table_main does not have"),
        (
            "[BEVDepth, DualDistill]",
            "[BEVDepht]",
            "shows 'BEVDepht', which no row of table_main prints as its",
        ),
        (
            "[BEVDepth, DualDistill]",
            "[BEVDepth], teacher: [CenterPoint]",
            "shows no row of table_main: none prints all of these words (name fewer columns)",
        ),
        ("show: {method", "show: {metod", "names column 'metod', which table_main does not have"),
        ('CenterPoint: "*", ', "", "figure 'main' has no mark for 'CenterPoint' (add it to marks)"),
        ("mean_over: 30", "mean_ovr: 30", "missing key 'mean_over' in figure 'training'"),
        (
            "tap: head",
            "tap: head\n    tpa: s2",
            "unknown key 'tpa' in figure 'attention' (did you mean 'tap'?)",
        ),
        ("mean_over: 30", "mean_over: 0", "must be at least 1, not 0"),
        ("rows: [bevdepth-r50,", "rows: [bevdepth-r55,", "(did you mean 'bevdepth-r50'?)"),
        (
            "teacher: centerpoint",
            "teacher: bevdepth-r50",
            "figure 'temperature' needs a teacher, but 'bevdepth-r50' trains a student",
        ),
        (
            "student: dualdistill-r50-centerpoint\n    tap",
            "student: bevdepth-r50\n    tap",
            "figure 'attention' needs a student with a method, but 'bevdepth-r50' has no method",
        ),
        ("tap: head", "tap: s9", "must be one of s2, s3, head"),
    ],
)
def test_a_fault_gives_a_sentence_with_its_line(plan: Plan, folder: Path, old: str, new: str, sentence: str):
    change(folder, old, new)
    with pytest.raises(UserError) as caught:
        figures.load(plan, folder)
    assert sentence in str(caught.value)
    lines = (folder / figures.FILE).read_text().splitlines()
    first = next(number for number, text in enumerate(lines, 1) if "main:" in text)
    assert str(caught.value).startswith(f"{folder / figures.FILE}:")
    assert int(str(caught.value).split(":")[1]) >= first


def test_an_unknown_figure_gets_a_suggestion(plan: Plan, folder: Path):
    with pytest.raises(UserError, match=r"no figure is named 'trainig' \(did you mean 'training'\?\)"):
        figures.find(figures.load(plan, folder), "trainig")


def test_a_drawing_key_changes_the_figure_but_not_the_probe(plan: Plan, folder: Path):
    before = figures.load(plan, folder)["frame"]
    change(folder, "min_score: 0.3", "min_score: 0.5")
    after = figures.load(plan, folder)["frame"]
    assert (before.probe_sha == after.probe_sha, before.sha == after.sha) == (True, False)
    change(folder, "{scene: 0, frame: 2}", "{scene: 1, frame: 2}")
    assert figures.load(plan, folder)["frame"].probe_sha != after.probe_sha


def test_a_figure_of_results_has_no_probe(plan: Plan, folder: Path):
    with pytest.raises(UserError, match="is drawn from results alone"):
        figures.probe_file(figures.load(plan, folder)["main"])


def test_planning_figures_imports_no_library_and_drawing_them_imports_no_torch():
    code = "import sys, dualdistill.plan.snakemake_inputs\n"
    code += "print([name for name in ('numpy', 'matplotlib', 'torch') if name in sys.modules])\n"
    code += "import dualdistill.report.figures.draw\n"
    code += "".join(f"import dualdistill.report.figures.{chart}\n" for chart in CHARTS)
    code += "print('torch' in sys.modules)"
    printed = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert printed.split("\n")[:2] == ["[]", "False"]
