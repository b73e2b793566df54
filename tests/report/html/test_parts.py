"""The parts of the page: tables, training curves, and pictures from files."""

import base64
import io
import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hand_runs import pictures as leave_pictures
from PIL import Image

from dualdistill.errors import DataError
from dualdistill.plan.columns import MEASURES, Measure
from dualdistill.report.claims import EFFECT
from dualdistill.report.html import loss_curves, pictures
from dualdistill.report.html.table import to_html
from dualdistill.report.numbers import Score
from dualdistill.report.table import Column, Kind, Measured, Reported, Row, Table

MINUS, TIMES = "\N{MINUS SIGN}", "\N{MULTIPLICATION SIGN}"
MAP, MINUTES = MEASURES["mAP"], MEASURES["minutes"]


def number(measure: Measure, value: float, **more: Any) -> Measured:
    return Measured(measure, Score.over_seeds([value]), **more)


def results(*rows: Row, columns: tuple[Column, ...] = (), **more: Any) -> Table:
    standard = (
        Column("method", Kind.LABEL, "Method"),
        Column("temperature", Kind.LABEL, "Temperature"),
        Column("mAP", Kind.MEAN, "mAP"),
        Column("mAP_std", Kind.STD, cell="mAP"),
        Column("n_seeds", Kind.SEEDS, "n"),
        Column("reported_mAP", Kind.REPORTED, "mAP", "mAP"),
        Column("run", Kind.RUNS),
    )
    return Table("table_some_view", "Some view", columns or standard, rows, **more)


@pytest.fixture
def table() -> Table:
    first = Row({"method": "A", "temperature": ""}, {"mAP": number(MAP, 0.405)}, runs=("a-s0-x",))
    score, gain = Score(Decimal("-0.03"), Decimal("0.0025"), 2), Decimal("-0.001")
    reported = Reported(Decimal("40.5"), Decimal("5.4"), damaged=True)
    labels = {"method": "B", "temperature": "0.5"}
    measured = {"mAP": Measured(MAP, score, gain)}
    runs = ("b-s0-y", "b-s1-z")
    return results(first, Row(labels, measured, {"mAP": reported}, runs=runs), about={"data": "world"})


def test_spread_and_gain_stand_in_the_cell_of_their_number(table: Table):
    shown = to_html(table, {})
    assert [column.title for column in shown.columns] == ["Method", "Temperature", "mAP", "Seeds", "mAP"]
    assert shown.groups == (("", 2), ("measured", 1), ("", 1), ("reported", 1))
    measured, reported = shown.rows[1].cells[2], shown.rows[1].cells[4]
    assert (measured.text, measured.spread, measured.gain) == (f"{MINUS}3.0", "0.25", f"{MINUS}0.1")
    assert (reported.text, reported.gain, reported.damaged) == ("40.5", "+5.4", True)
    assert shown.damaged


def test_rows_have_their_runs_and_facets(table: Table):
    shown = to_html(table, {"b-s0-y": {"teacher": "MVP"}})
    assert (shown.short, shown.about) == ("Some view", ("data: world",))
    assert shown.rows[1].runs == ("b-s0-y", "b-s1-z")
    assert [row.facets for row in shown.rows] == [{"method": "A"}, {"teacher": "MVP"}]
    assert [column.name for column in shown.columns if column.names] == ["method"]


def test_a_ratio_a_remark_and_a_missing_seed_stand_with_their_row():
    columns = (Column("row", Kind.LABEL, "Row"), Column("minutes", Kind.MEAN, "Minutes"))
    rows = (
        Row({"row": "a"}, {"minutes": number(MINUTES, 120)}),
        Row(
            {"row": "b"},
            {"minutes": number(MINUTES, 180, gain=Decimal("1.5"))},
            remark="rebuilt",
            missing=("x",),
        ),
    )
    shown = to_html(results(*rows, columns=columns), {})
    assert [row.cells[1].gain for row in shown.rows] == ["", f"{TIMES}1.5"]
    assert shown.remarks == ("rebuilt",)
    assert [row.missing for row in shown.rows] == ["", "1 of 2 seeds, missing x"]
    assert shown.groups == ()
    assert not shown.linked


def test_an_effect_has_its_interval_and_no_bar():
    columns = (
        Column("says", Kind.LABEL, "Claim"),
        Column("effect", Kind.MEAN, "Effect"),
        Column("low", Kind.LOW, cell="effect"),
        Column("reported_effect", Kind.REPORTED, "Effect", "effect"),
        Column("level", Kind.ABOUT),
    )
    interval = Decimal("-0.01"), Decimal("0.04")
    reported = Reported(Decimal("-1"), note="does not hold")
    row = Row({"says": "x helps"}, {"effect": number(EFFECT, 0.015, interval=interval)}, {"effect": reported})
    shown = to_html(results(row, columns=columns, about={"level": "0.95"}), {})
    effect, theirs = shown.rows[0].cells[1:]
    assert (effect.text, effect.below, effect.share) == ("1.50", f"[{MINUS}1.00, 4.00]", None)
    assert (theirs.text, theirs.below) == (f"{MINUS}1.0", "does not hold")
    assert shown.groups == (("", 1), ("measured", 1), ("reported", 1))


def test_bars_are_shares_of_the_largest_and_never_negative(table: Table):
    assert [row.cells[2].share for row in to_html(table, {}).rows] == [1.0, 0.0]


def test_an_empty_column_is_left_out(table: Table):
    shown = to_html(replace(table, rows=table.rows[:1]), {})
    assert [column.title for column in shown.columns] == ["Method", "mAP", "Seeds"]


def history(folder: Path, rows: list[dict[str, float]]) -> Path:
    path = folder / "history.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_curve_is_drawn_on_a_logarithmic_axis(tmp_path: Path):
    rows = [{"step": step, "lr": 0.0, "grad_norm": 0.0, "loss": 10.0 ** (2 - step)} for step in range(3)]
    (panel,) = loss_curves.panels(history(tmp_path, rows))
    assert panel.path == "M0 2.0L120 32.0L240 62.0"
    assert (panel.title, panel.first, panel.last) == ("loss", "100", "1")


def test_curves_are_the_sum_the_terms_by_size_and_the_rest(tmp_path: Path):
    row = {"lr": 1e-3, "grad_norm": 7.0, "small": 1.0, "large_term": 2.0}
    found = loss_curves.panels(history(tmp_path, [{"step": step, **row} for step in range(1000)]))
    titles = ["sum of the losses", "large term", "small", "learning rate", "gradient norm"]
    assert [panel.title for panel in found] == titles
    assert [panel.last for panel in found] == ["3", "2", "1", "0.001", "7"]
    assert found[0].path.count("L") == loss_curves.BINS - 1


def test_without_a_history_there_is_no_curve_and_a_damaged_one_is_refused(tmp_path: Path):
    assert loss_curves.panels(tmp_path / "history.jsonl") == ()
    (tmp_path / "history.jsonl").write_text("not a line\n")
    with pytest.raises(DataError, match="not a history"):
        loss_curves.panels(tmp_path / "history.jsonl")


def test_a_picture_is_shown_once_as_a_drawing_if_there_is_one(tmp_path: Path):
    views = {"main": {"table": "t"}, "frame": {"title": "A frame", "student": "s", "teacher": "t"}}
    found = pictures.load(leave_pictures(tmp_path / "figures"), views, {"t": "The table"})
    assert [(one.name, one.title) for one in found] == [("frame", "A frame"), ("main", "The table")]
    assert found[0].rows == {"s", "t"}
    assert found[1].files == ("main.pdf", "main.png", "main.svg")
    assert found[0].source.startswith("data:image/png;base64,")
    assert found[1].source.startswith("data:image/svg+xml;base64,")


def test_a_heavy_picture_is_compressed_and_a_heavy_drawing_replaced(tmp_path: Path):
    noise = np.random.default_rng(0).integers(0, 255, (400, 2000, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "some.png")
    (tmp_path / "some.svg").write_text("<svg>" + " " * pictures.LARGE + "</svg>")
    (found,) = pictures.load([tmp_path / "some.svg", tmp_path / "some.png"], {}, {})
    kind, content = found.source.split(";base64,")
    assert kind == "data:image/webp"
    assert Image.open(io.BytesIO(base64.b64decode(content))).width == pictures.WIDEST_PX


def test_what_is_no_picture_is_refused_by_name(tmp_path: Path):
    (tmp_path / "some.png").write_bytes(b"0" * (pictures.LARGE + 1))
    with pytest.raises(DataError, match=r"some\.png: not a picture"):
        pictures.load([tmp_path / "some.png"], {}, {})
