"""A table as CSV, Markdown and LaTeX from the same cells."""

import io
from dataclasses import replace
from decimal import Decimal

import pandas as pd
import pytest

from dualdistill.plan.columns import MEASURES
from dualdistill.report.numbers import Score
from dualdistill.report.renderers import to_csv, to_latex, to_markdown
from dualdistill.report.table import NOT_COMPARABLE, Column, Kind, Measured, Reported, Row, Table

METRICS = ("mAP", "NDS")
COMMAND = "snakemake --cores all results/t.csv"


def row(method, backbone, mean_ap, nds, *, gains=(None, None), **more):
    scores = zip(METRICS, (mean_ap, nds), gains, strict=True)
    measured = {
        name: Measured(MEASURES[name], Score.over_seeds(values), gain)
        for name, values, gain in scores
        if values
    }
    filled = {"block": backbone, "runs": (f"{method}-s0-0123456789",)} | more
    return Row({"backbone": backbone, "method": method}, measured, **filled)


@pytest.fixture
def table():
    gains = Decimal("0.0640"), Decimal("-0.01449")
    reported = {"mAP": Reported(Decimal("41.5"), Decimal("6.4")), "NDS": Reported(Decimal("51.9"))}
    rows = (
        row("CenterPoint", "", [0.9], [0.9]),
        row("BEVDepth", "ResNet-50", [0.35], [0.53]),
        row("Ours_&_mine", "ResNet-50", [0.4145], [0.51549], gains=gains, reported=reported),
        row("BEVDepth", "ResNet-101", [0.41449], [0.41449]),
        row("Ours", "ResNet-101", [0.4136, 0.4138], [0.4, 0.5]),
    )
    columns = (
        Column("backbone", Kind.LABEL, "Backbone"),
        Column("method", Kind.LABEL, "Method"),
        *(Column(name, Kind.MEAN, name) for name in METRICS),
        *(Column(f"{name}_std", Kind.STD, cell=name) for name in METRICS),
        Column("n_seeds", Kind.SEEDS, "n"),
        *(Column(f"delta_{name}", Kind.GAIN, cell=name) for name in METRICS),
        *(Column(f"reported_{name}", Kind.REPORTED, name, name) for name in METRICS),
        *(Column(f"reported_delta_{name}", Kind.REPORTED_GAIN, cell=name) for name in METRICS),
        Column("data", Kind.ABOUT),
        Column("run", Kind.RUNS),
        Column("command", Kind.ABOUT),
    )
    about = {"data": "world", "command": COMMAND}
    preface = (f"Data: world ({NOT_COMPARABLE}).", f"Made by: {COMMAND}")
    return Table("t", "Main", columns, rows, about, synthetic=True, preface=preface)


def test_the_csv_has_the_promised_columns_in_points(table):
    frame = pd.read_csv(io.StringIO(to_csv(table)))
    assert list(frame.columns) == [column.name for column in table.columns]
    assert frame.mAP.tolist() == [90.0, 35.0, 41.5, 41.4, 41.4]
    assert frame.delta_mAP[2] == 6.4
    assert frame.delta_NDS[2] == -1.4
    assert frame.reported_mAP[2] == 41.5
    assert frame.reported_delta_mAP[2] == 6.4
    assert set(frame.data) == {"world"}


def test_one_seed_prints_no_standard_deviation(table):
    frame = pd.read_csv(io.StringIO(to_csv(table)))
    assert frame.mAP_std.isna().tolist() == [True] * 4 + [False]
    assert frame.n_seeds.tolist() == [1, 1, 1, 1, 2]
    assert frame.NDS_std[4] == 7.07
    assert to_markdown(table).split("\n\n", 2)[2].count("±") == 2


def test_the_best_number_of_a_block_is_bold_and_a_tie_as_printed_makes_two(table):
    lines = to_markdown(table).splitlines()
    alone, baseline, ours, other, last = [line for line in lines if line.startswith("|")][2:]
    assert "**" not in alone, "a row alone in its block has no rival"
    assert "**41.5 (+6.4)**" in ours
    assert "**53.0**" in baseline
    assert "**41.4**" in other
    assert "**41.4 ± 0.01**" in last


def test_the_mark_of_a_row_that_is_not_complete_leaves_its_bold_number_bold(table):
    first = row("Ours", "ResNet-50", [0.4], [0.5], missing=("ours-s1-c",))
    text = to_markdown(replace(table, rows=(first, row("BEVDepth", "ResNet-50", [0.3], [0.4]))))
    assert "| **40.0§** |" in text


def test_numbers_keep_their_decimal_in_markdown(table):
    assert "| 35.0 " in to_markdown(table)
    assert "**53.0**" in to_markdown(table)


def test_the_preface_stands_above_a_printed_table(table):
    for text in (to_markdown(table), to_latex(table)):
        assert text.count(NOT_COMPARABLE) == 1 + (text.startswith("%"))  # in the caption too
        assert COMMAND in text


def test_a_caption_names_the_synthetic_world(table):
    assert f"\\caption{{Main ({NOT_COMPARABLE}).}}" in to_latex(table)
    assert "\\caption{Main.}" in to_latex(replace(table, synthetic=False))


def test_latex_is_booktabs_with_special_characters_escaped(table):
    text = to_latex(table)
    assert text.count("\\toprule") == text.count("\\bottomrule") == 1
    assert "Ours\\_\\&\\_mine" in text
    assert "\\textbf{41.5 (+6.4)}" in text
    assert "51.5 ($-$1.4)" in text
    assert "\\begin{tabular}{llrrrrr}" in text


def test_latex_rules_off_every_block_that_has_a_best_number_of_its_own(table):
    body = to_latex(table).split("\\toprule\n")[1].split("\\bottomrule")[0]
    assert [part.count("\\\\") for part in body.split("\\midrule\n")] == [1, 1, 2, 2]


def test_latex_keeps_what_is_not_to_be_typeset_in_comments_and_escapes_the_rest(table):
    text = to_latex(replace(table, title=r"50 % of {a_b} < 1 ~ \x^2"))
    typeset = [line for line in text.splitlines() if not line.startswith("%")]
    assert "% Made by: snakemake --cores all results/t.csv" in text.splitlines()
    assert not any("--cores" in line for line in typeset)
    (caption,) = [line for line in typeset if line.startswith("\\caption")]
    escaped = r"50 \% of \{a\_b\} \textless{} 1 \textasciitilde{} \textbackslash{}x\textasciicircum{}2"
    assert caption == f"\\caption{{{escaped} ({NOT_COMPARABLE}).}}"


def test_a_row_without_its_runs_is_a_dash_with_a_footnote(table):
    gone = row("Ours", "ResNet-101", [], [], missing=("ours-s0-a", "ours-s1-b"))
    part = row("Ours", "ResNet-50", [0.4], [0.5], missing=("ours-s2-c",))
    holes = replace(table, rows=(gone, part))
    text = to_markdown(holes)
    assert "| -§ " in text
    assert "| 40.0§ " in text
    assert "\n§ ResNet-101 Ours: 0 of 2 seeds, missing ours-s0-a, ours-s1-b.\n" in text
    assert "\n§ ResNet-50 Ours: 1 of 2 seeds, missing ours-s2-c.\n" in text
    assert "ResNet-101 & Ours & --$^\\S$ & --$^\\S$" in to_latex(holes)
    frame = pd.read_csv(io.StringIO(to_csv(holes)))
    assert frame.n_seeds.tolist() == [0, 1]
    assert frame.mAP.isna().tolist() == [True, False]
