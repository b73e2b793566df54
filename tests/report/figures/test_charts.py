"""Charts show the measured numbers apart from the reported ones, and have the same bytes on any day."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from matplotlib import colors as colours
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from report_runs import check_readable, leave_run

from dualdistill.errors import UserError
from dualdistill.plan import figures
from dualdistill.plan import plan as planning
from dualdistill.plan.figures import FigureView
from dualdistill.plan.plan import Plan
from dualdistill.plan.snakemake_inputs import FigureJobs, Jobs
from dualdistill.report.figures import curves, draw, table_charts
from dualdistill.report.table import Column, Kind
from dualdistill.store.files import sha256_file, write_json

ROOT = Path(__file__).parents[3]
CONFIG = ROOT / "config"
# Machado et al. 2009, severity 1: linear RGB as a dichromat sees it
DICHROMATS = {
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.01182, 0.04294, 0.968881),
    ),
    "protanopia": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
}


@pytest.fixture(autouse=True)
def styled() -> Iterator[None]:
    with draw.styled(CONFIG / figures.STYLE):
        yield


def view(plan: Plan, name: str) -> FigureView:
    return figures.load(plan, config(plan))[name]


def config(plan: Plan) -> Path:
    return plan.results.parent / "config"


def of_table(plan: Plan, chart: str, **options: object) -> FigureView:
    """A figure of the main table that the repository has no line for."""
    table, show = plan.table("table_main"), cast(Any, options.get("show", {}))
    rows = tuple(row.row for row in table.rows if figures.keeps(show, row.shown))
    return replace(view(plan, "main"), chart=chart, rows=rows, options=options)


def texts(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def panel(figure: Figure, label: str) -> Axes:
    (panel,) = [axes for axes in figure.axes if label in (axes.get_ylabel(), axes.get_xlabel())]
    return panel


def errors(axes: Axes) -> int:
    return sum(
        len(container.get_children()) > 0 for container in axes.containers if "Error" in repr(container)
    )


def test_bars_have_the_height_of_the_scores_and_reported_bars_have_their_panels(plan: Plan):
    figure = draw.draw(plan, view(plan, "main"))
    measured, reported = panel(figure, "mAP on world"), panel(figure, "mAP, reported on nuScenes")
    assert [bar.get_height() for bar in measured.patches] == pytest.approx([35.055, 41.455, 45, 44.5])
    assert texts(measured) == ["35.1", "41.5", "45.0", "44.5"]
    assert [bar.get_height() for bar in reported.patches] == [35.1, 40.5, 41.2, 45.5]
    assert texts(reported) == ["35.1‡", "40.5", "41.2", "45.5"]
    assert {bar.get_hatch() for bar in measured.patches} == {None}
    assert all(bar.get_hatch() and to_rgb(bar.get_facecolor()) == (1, 1, 1) for bar in reported.patches)
    assert [label.get_text() for label in measured.get_xticklabels()] == ["ResNet-50", "ResNet-101"]
    assert [mark.get_marker() for mark in measured.lines if mark.get_marker() == "*"] == ["*", "*"]
    assert "not comparable with the poster's numbers" in figure.get_supxlabel()
    assert "\n‡ Read from a damaged print" in figure.get_supxlabel()
    check_readable(figure)


def test_a_reconstruction_has_a_dagger_and_a_footnote(plan: Plan, folder: Path):
    path = folder / "tables.yaml"
    line = "      - {row: x3kd-r50-centerpoint, baseline: bevdepth-r50}\n"
    path.write_text(path.read_text() + line)
    more = planning.load(folder / "config.yaml", {"seeds": [0, 1], "profile": "world"}, results=plan.results)
    for run in more.table("table_main").rows[-1].runs:
        leave_run(more, run, 0.2)
    figure = draw.draw(more, of_table(more, "bars", show={"teacher": ["CenterPoint"]}))
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert ["x3kd†" in name for name in names] == [False, False, True]
    assert "\n† x3kd is a reconstruction: " in figure.get_supxlabel()


def test_a_single_reported_number_has_no_panel(plan: Plan):
    shown = {"backbone": ["ResNet-101"], "method": ["BEVDepth"]}
    figure = draw.draw(plan, of_table(plan, "bars", show=shown))
    assert [axes.get_xlabel() for axes in figure.axes] == ["mAP on world", "NDS on world"]
    # a mark that no number bears needs no footnote
    shown["backbone"] = ["ResNet-50"]
    assert "‡" not in draw.draw(plan, of_table(plan, "bars", show=shown)).get_supxlabel()


def test_error_bars_need_two_seeds(plan: Plan):
    single = planning.load(
        config(plan) / "config.yaml", {"seeds": [0], "profile": "world"}, results=plan.results
    )
    for label in ("NDS on world", "mAP on world"):
        assert len(panel(draw.draw(plan, view(plan, "main")), label).collections) == 4
        assert len(panel(draw.draw(single, view(single, "main")), label).collections) == 0
    assert not panel(draw.draw(plan, view(plan, "main")), "mAP, reported on nuScenes").collections
    assert "so no error bars" in draw.draw(single, view(single, "main")).get_supxlabel()


def test_a_figure_with_a_missing_run_is_refused(plan: Plan):
    shutil.rmtree(plan.folder(plan.runs[plan.table("table_main").rows[1].runs[0]]))
    with pytest.raises(UserError, match="lacks 1 of 8 runs"):
        draw.draw(plan, view(plan, "main"))


def test_a_figure_needs_only_the_runs_of_its_rows(plan: Plan):
    shown, hidden = view(plan, "main"), plan.table("table_main").rows[0].runs[1]
    asked = " ".join(FigureJobs(Jobs(plan), config(plan)).inputs(SimpleNamespace(figure="main")))
    assert all(run in asked for run in shown.runs)
    assert hidden not in asked
    shutil.rmtree(plan.folder(plan.runs[hidden]))
    assert draw.draw(plan, shown).axes


def test_a_row_of_an_ablation_is_named_by_what_differs(plan: Plan):
    shown = of_table(plan, "bars", show={"backbone": ["ResNet-50"]})
    figure = draw.draw(plan, shown)
    names = [
        label.get_text().replace("\N{NO-BREAK SPACE}", " ") for label in figure.axes[0].get_yticklabels()
    ]
    assert names == ["BEVDepth", "DualDistill, BEVDepth,\nteacher CenterPoint"]
    measured = panel(figure, "mAP on world")
    assert [bar.get_width() for bar in measured.patches] == pytest.approx([35.055, 41.455])
    assert texts(measured) == ["35.1", "41.5 (+6.4)"]
    assert table_charts.names(table_charts.kept(plan, of_table(plan, "bars")))[0] == "CenterPoint"


def test_an_option_is_named_by_its_heading_and_left_out_where_it_has_no_effect(plan: Plan):
    table = table_charts.kept(plan, of_table(plan, "bars", show={"backbone": ["ResNet-50"]}))
    words = [{"mfd": "no", "labels": "GT", "temperature": "-"}, {"mfd": "yes", "labels": "Teacher"}]
    rows = [replace(table.rows[0], labels={"temperature": "0.5", **own}) for own in words]
    headings = {"mfd": "MFD", "labels": "Labels", "temperature": "Temperature"}
    columns = tuple(Column(name, Kind.LABEL, heading) for name, heading in headings.items())
    named = table_charts.names(replace(table, columns=columns, rows=tuple(rows)))
    spaced = [" ".join(name.split()) for name in named]
    assert spaced == ["without MFD, labels GT", "with MFD, labels Teacher, temperature 0.5"]


def leave_history(plan: Plan, run: str, terms: dict[str, list[float]]) -> None:
    folder = plan.folder(plan.runs[run])
    lines = [dict(zip(terms, values, strict=True)) for values in zip(*terms.values(), strict=True)]
    text = "".join(
        json.dumps({"step": n, "lr": 1, "grad_norm": 2, **line}) + "\n" for n, line in enumerate(lines, 1)
    )
    (folder / "history.jsonl").write_text(text)
    record = json.loads((folder / "run.json").read_text())
    record["outputs"]["history.jsonl"] = sha256_file(folder / "history.jsonl")
    write_json(folder / "run.json", record)


def test_curves_are_means_of_the_history_that_was_recorded(plan: Plan):
    shown = view(plan, "training")
    shown = replace(shown, options={**shown.options, "mean_over": 2})
    for number, run in enumerate(shown.runs):
        more = {"crd": [9.0, 7, 5, 3, 1]} if "dualdistill" in run else {}
        leave_history(plan, run, {"box": [number + 1.0, 3, 5, 7, 100], **more})
    figure = draw.draw(plan, shown)
    drawn = {axes.get_title(): axes for axes in figure.axes if axes.get_visible()}
    assert list(drawn) == ["box", "crd"]
    assert [line.get_ydata().tolist() for line in drawn["box"].lines] == [[2, 6], [2.5, 6], [3, 6], [3.5, 6]]
    assert drawn["box"].lines[0].get_xdata().tolist() == [1.5, 3.5]
    assert [line.get_ydata().tolist() for line in drawn["crd"].lines] == [[8, 4], [8, 4]]
    # a colour is a row, whatever its seed
    assert len({line.get_color() for line in drawn["box"].lines}) == 2
    (legend,) = [legend for part in figure.subfigs for legend in part.legends]
    named = ["BEVDepth ResNet-50", "DualDistill ResNet-50 taught by CenterPoint"]
    assert [text.get_text() for text in legend.get_texts()] == named
    assert figure.get_supxlabel() == "world, split train; seeds 0, 1, a line each; teacher of seed 0."
    path = plan.folder(plan.runs[shown.runs[0]]) / "history.jsonl"
    path.write_text(path.read_text().replace("100", "1"))
    with pytest.raises(UserError, match=r"not the one of run\.json"):
        draw.draw(plan, shown)


def test_a_training_without_a_step_has_no_curve(plan: Plan):
    shown = view(plan, "training")
    for run in shown.runs:
        leave_history(plan, run, {"box": []})
    with pytest.raises(
        UserError, match=r"history\.jsonl: a training without a step has no curve \(take its row"
    ):
        draw.draw(plan, shown)


def test_a_history_shorter_than_a_mean_is_one_point():
    step, loss = curves.means(np.array([1.0, 2, 3]), np.array([3.0, 6, 9]), 30)
    assert (step.tolist(), loss.tolist()) == ([2], [6])


def test_equal_inputs_give_equal_bytes_in_every_format(plan: Plan, tmp_path: Path):
    first = draw.write(plan, view(plan, "main"), tmp_path / "first")
    assert [path.suffix for path in first] == [".pdf", ".svg", ".png"]
    words = [
        "-m",
        "dualdistill",
        "figure",
        "main",
        "--config",
        str(config(plan) / "config.yaml"),
        "--profile",
        "world",
    ]
    words += ["--set", "seeds=[0,1]", "--results", str(plan.results), "--out", str(tmp_path / "second")]
    # another process, day, place and user settings
    (tmp_path / "matplotlibrc").write_text("font.size: 30\n")
    other = {
        "PYTHONHASHSEED": "7",
        "TZ": "Asia/Tokyo",
        "SOURCE_DATE_EPOCH": "0",
        "MPLCONFIGDIR": str(tmp_path),
    }
    paths = {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, *words], check=True, env=os.environ | other | paths, cwd=tmp_path)
    for path in first:
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes(), path.name
        assert b"matplotlib.org" not in path.read_bytes()


def lab(colour: str, seen: np.ndarray) -> np.ndarray:
    """CIELAB of a colour through a matrix on linear RGB."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_xyz @ np.clip(seen @ linear, 0, 1) / to_xyz.sum(axis=1)
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def closest(palette: list[str], seen: np.ndarray) -> float:
    colours_seen = [lab(colour, seen) for colour in palette]
    pairs = ((a, b) for n, a in enumerate(colours_seen) for b in colours_seen[:n])
    return min(float(np.linalg.norm(a - b)) for a, b in pairs)


@pytest.mark.parametrize("eyes", DICHROMATS)
def test_the_palette_can_be_told_apart_by_colour_blind_readers(eyes: str):
    seen = np.array(DICHROMATS[eyes])
    cycle = [table_charts.layout.colour(number) for number in range(7)]
    assert closest(cycle[:4], seen) > 15
    assert closest(cycle, seen) > 8
    # matplotlib's default colours do not pass, so the bound is meaningful
    assert closest(list(colours.TABLEAU_COLORS.values()), seen) < 8


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("font.size: 8\nfnt.size: 9\n", "fnt.size"), ("font.size: large and wide\n", "font.size")],
)
def test_a_fault_in_the_style_file_is_one_sentence(tmp_path: Path, text: str, sentence: str):
    (tmp_path / "a.mplstyle").write_text(text)
    with pytest.raises(UserError, match=sentence), draw.styled(tmp_path / "a.mplstyle"):
        pass
    with (
        pytest.raises(UserError, match="the style file does not exist"),
        draw.styled(tmp_path / "b.mplstyle"),
    ):
        pass
