"""Sweeps over a label and over a measure: places, names and lines of the points."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from report_runs import check_readable, leave_run

from dualdistill.errors import UserError
from dualdistill.plan import figures
from dualdistill.plan import plan as planning
from dualdistill.plan.figures import FigureView
from dualdistill.plan.plan import Plan
from dualdistill.report.figures import draw

CONFIG = Path(__file__).parents[3] / "config"
TABLES = """
  table_temperature:
    title: A sweep
    columns: [temperature]
    rows:
      - {row: temperature-1.0, reported: crd_teacher_t1.0}
      - {row: temperature-0.5, reported: crd_teacher_t0.5}
  table_teacher:
    title: A student and its teacher
    columns: [teacher_row]
    measures: [teacher_mAP, mAP, NDS]
    rows:
      - {row: bevdepth-r50, shown: {teacher_row: no teacher}}
      - {row: dualdistill-r50-centerpoint, shown: {teacher_row: all of it}}
      - {row: taught-by-every-ring-2, shown: {teacher_row: half}}
      - {row: taught-by-every-ring-4, shown: {teacher_row: a quarter}}
      - {row: taught-by-noise-0.2, shown: {teacher_row: noisy}}
"""
FIGURES = """
  sweep: {chart: sweep, table: table_temperature, x: temperature}
  teacher:
    chart: sweep
    table: table_teacher
    x: teacher_mAP
    lines:
      rings: {teacher_row: [all of it, half, a quarter]}
      noise: {teacher_row: [all of it, noisy]}
"""
MEAN_AP = {"temperature-1.0": 0.2, "temperature-0.5": 0.25, "half": 0.4, "a quarter": 0.3, "noisy": 0.35}
TAUGHT = {"all of it": 0.9, "half": 0.6, "a quarter": 0.1, "noisy": 0.5}  # teacher's mAP


@pytest.fixture(autouse=True)
def styled() -> Iterator[None]:
    with draw.styled(CONFIG / figures.STYLE):
        yield


@pytest.fixture
def swept(plan: Plan, folder: Path) -> Plan:
    """The small plan with two sweeps, two seeds a point apart."""
    for name, more in (("tables.yaml", TABLES), ("figures.yaml", FIGURES)):
        (folder / name).write_text((folder / name).read_text() + more)
    overrides = {"seeds": [0, 1], "profile": "world"}
    made = planning.load(folder / "config.yaml", overrides, results=plan.results)
    for table in ("table_temperature", "table_teacher"):
        for row in made.table(table).rows:
            name = row.shown.get("teacher_row", row.row)
            for seed, run in enumerate(row.runs):
                teacher = made.runs[run].teacher
                if teacher and not made.folder(made.runs[teacher]).exists():
                    leave_run(made, teacher, TAUGHT.get(name, 0.9))
                if name in MEAN_AP:
                    leave_run(made, run, MEAN_AP[name] + 0.01 * seed)
    return made


def view(plan: Plan, name: str) -> FigureView:
    return figures.load(plan, plan.results.parent / "config")[name]


def drawn(figure: Figure, label: str) -> list[tuple[list[float], list[float]]]:
    """The lines of a panel by their marks' places."""
    (axes,) = [axes for axes in figure.axes if axes.get_ylabel() == label]
    lines = [container.lines[0] for container in axes.containers]
    return [(line.get_xdata().tolist(), line.get_ydata().tolist()) for line in lines]


def test_points_over_a_label_bear_their_numbers(swept: Plan):
    figure = draw.draw(swept, view(swept, "sweep"))
    ((x, y),) = drawn(figure, "mAP on world")
    assert x == [0.5, 1.0]
    assert y == pytest.approx([25.5, 20.5])
    ((x, y),) = drawn(figure, "NDS, reported on nuScenes")
    assert (x, y) == ([0.5, 1.0], [51.9, 51.5])
    assert sorted(text.get_text() for text in figure.axes[-1].texts) == ["51.5‡", "51.9"]
    assert figure.axes[-1].get_xlabel() == "Temperature"
    check_readable(figure)


def test_points_over_a_measure_bear_their_names(swept: Plan):
    figure = draw.draw(swept, view(swept, "teacher"))
    rings, noise, common = drawn(figure, "mAP on world")
    assert rings[0] == pytest.approx([10, 60, 90])
    assert rings[1] == pytest.approx([30.5, 40.5, 41.455])
    assert noise[0] == pytest.approx([50, 90])
    assert (common[0], common[1]) == (pytest.approx([90]), pytest.approx([41.455]))
    assert [axes.get_ylabel() for axes in figure.axes] == ["mAP on world", "NDS on world"]
    names = [" ".join(text.get_text().split()) for text in figure.axes[0].texts]
    assert sorted(names) == ["a quarter", "all of it", "half", "no teacher", "noisy"]
    assert figure.axes[1].get_xlabel() == "teacher mAP on world"
    check_readable(figure)


def test_a_row_without_the_measure_is_a_level_with_its_deviation(swept: Plan, folder: Path):
    axes = draw.draw(swept, view(swept, "teacher")).axes[0]
    (level,) = [line for line in axes.lines if line.get_linestyle() == "--"]
    assert level.get_ydata() == pytest.approx([35.055, 35.055])
    (band,) = axes.patches
    assert band.get_height() == pytest.approx(2 * 0.01 / 2**0.5)
    overrides = {"seeds": [0], "profile": "world"}
    single = planning.load(folder / "config.yaml", overrides, results=swept.results)
    assert not draw.draw(single, view(single, "teacher")).axes[0].patches


def test_a_label_that_is_no_number_is_refused(swept: Plan):
    shown = replace(view(swept, "main"), chart="sweep", options={"x": "teacher"})
    with pytest.raises(UserError, match="draws teacher as a line, and one row prints"):
        draw.draw(swept, shown)


def test_a_dagger_is_not_part_of_a_label(swept: Plan, folder: Path):
    """X3KD keeps its name and its option its number, whichever of them bears the dagger."""
    tables, figures_file = folder / "tables.yaml", folder / "figures.yaml"
    by_name = "columns: [method], measures: [teacher_mAP, mAP, NDS]"
    both = "rows: [{row: dualdistill-r50-centerpoint}, {row: x3kd-r50-centerpoint}]"
    table = f"  table_method: {{title: Two, {by_name}, {both}}}\n"
    table += "  table_weight: {title: One, columns: [xfd_weight], rows: [{row: x3kd-r50-centerpoint}]}\n"
    tables.write_text(tables.read_text() + table)
    lines = "lines: {both: {method: [DualDistill, x3kd]}}"
    line = f"  method: {{chart: sweep, table: table_method, x: teacher_mAP, {lines}}}\n"
    line += "  weight: {chart: sweep, table: table_weight, x: xfd_weight}\n"
    figures_file.write_text(figures_file.read_text() + line)
    overrides = {"seeds": [0, 1], "profile": "world"}
    made = planning.load(folder / "config.yaml", overrides, results=swept.results)
    for run in made.table("table_method").rows[1].runs:
        leave_run(made, run, 0.2)
    for figure, places in (("method", [90, 90]), ("weight", [10])):
        ((x, _y),) = drawn(draw.draw(made, view(made, figure)), "mAP on world")
        assert x == pytest.approx(places)


def test_a_row_on_no_line_is_refused(swept: Plan, folder: Path):
    path = folder / "figures.yaml"
    path.write_text(path.read_text().replace("[all of it, noisy]", "[all of it]"))
    with pytest.raises(UserError, match="figure 'teacher' has no line for the row 'noisy'"):
        draw.draw(swept, view(swept, "teacher"))


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("x: teacher_mAP", "x: teacher_map", r"'teacher_map', which .* \(did you mean 'teacher_mAP'\?\)"),
        ("[all of it, noisy]", "[all of it, nosiy]", "shows 'nosiy', which no row of table_teacher prints"),
        ("noise: {teacher_row", "noise: {teacher_rwo", "names column 'teacher_rwo'"),
    ],
)
def test_a_fault_in_a_line_is_one_sentence(swept: Plan, folder: Path, old: str, new: str, sentence: str):
    path = folder / "figures.yaml"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(UserError, match=rf"figures.yaml:\d+: figure 'teacher' .*{sentence}"):
        figures.load(swept, folder)
