"""The parts of the page: tables, training curves, and pictures from files."""

import base64
import io
import json
import re
from collections.abc import Iterator
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
from dualdistill.plan.figures import STYLE
from dualdistill.report.claims.table import EFFECT
from dualdistill.report.figures.draw import styled
from dualdistill.report.html import pictures
from dualdistill.report.html.loss_curves import BINS, Panel, Pen
from dualdistill.report.html.table import to_html
from dualdistill.report.numbers import Score
from dualdistill.report.table import Column, Kind, Measured, Reported, Row, Table
from dualdistill.store.files import sha256_file, write_json

CONFIG = Path(__file__).parents[3] / "config"
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


def test_an_effect_has_its_interval_beside_it_and_no_bar():
    columns = (
        Column("says", Kind.LABEL, "Claim"),
        Column("effect", Kind.MEAN, "Effect"),
        Column("students", Kind.INTERVAL, "Students"),
        Column("students_low", Kind.LOW, cell="students"),
        Column("reported_effect", Kind.REPORTED, "Effect", "effect"),
        Column("level", Kind.ABOUT),
    )
    interval = Decimal("-0.01"), Decimal("0.04")
    reported = Reported(Decimal("-1"), note="does not hold")
    measured = {
        "effect": number(EFFECT, 0.015),
        "students": number(EFFECT, 0.015, interval=interval),
    }
    row = Row({"says": "x helps"}, measured, {"effect": reported})
    shown = to_html(results(row, columns=columns, about={"level": "0.95"}), {})
    effect, students, theirs = shown.rows[0].cells[1:]
    assert (effect.text, effect.share, students.text) == ("1.50", None, f"[{MINUS}1.00, 4.00]")
    assert (theirs.text, theirs.below) == (f"{MINUS}1.0", "does not hold")
    assert shown.groups == (("", 1), ("measured", 2), ("reported", 1))


def test_bars_are_shares_of_the_largest_and_never_negative(table: Table):
    assert [row.cells[2].share for row in to_html(table, {}).rows] == [1.0, 0.0]


def test_an_empty_column_is_left_out(table: Table):
    shown = to_html(replace(table, rows=table.rows[:1]), {})
    assert [column.title for column in shown.columns] == ["Method", "mAP", "Seeds"]


@pytest.fixture
def pen() -> Iterator[Pen]:
    with styled(CONFIG / STYLE):
        yield Pen()


def history(folder: Path, rows: list[dict[str, float]]) -> Path:
    """A run's folder with its history and the record of it."""
    path = folder / "history.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    outputs = {path.name: sha256_file(path)}
    write_json(folder / "run.json", {"schema": 1, "spec_sha": "", "outputs": outputs})
    return folder


def points(panel: Panel) -> list[tuple[float, float]]:
    """The curve in the coordinates of its SVG."""
    path = re.search(r'class="curve"><path d="([^"]*)"', panel.svg)[1]
    return [tuple(map(float, point.split())) for point in re.split("[ML]", path)[1:]]


def test_a_curve_is_drawn_on_a_logarithmic_axis(tmp_path: Path, pen: Pen):
    rows = [{"step": step, "lr": 0.0, "grad_norm": 0.0, "loss": 10.0 ** (3 - step)} for step in (1, 2, 3)]
    (panel,) = pen.panels(history(tmp_path, rows))
    assert (panel.title, panel.first, panel.last) == ("loss", "100", "1")
    (x1, y1), (x2, y2), (x3, y3) = points(panel)
    assert x2 - x1 == pytest.approx(x3 - x2, abs=0.2)
    assert y2 - y1 == pytest.approx(y3 - y2, abs=0.2)
    assert y1 < y3, "the largest loss is on top"
    assert re.findall(">([^<]+)<", panel.svg) == ["0", "3", "1", "100"]


def test_curves_are_the_sum_the_losses_by_size_and_the_rest(tmp_path: Path, pen: Pen):
    row = {"lr": 1e-3, "grad_norm": 7.0, "small": 1.0, "large_term": 2.0}
    panels = pen.panels(history(tmp_path, [{"step": step, **row} for step in range(1000)]))
    titles = ["sum of the losses", "large term", "small", "learning rate", "gradient norm"]
    assert [panel.title for panel in panels] == titles
    assert [panel.last for panel in panels] == ["3", "2", "1", "0.001", "7"]


def test_a_long_history_is_averaged_over_stretches(tmp_path: Path, pen: Pen):
    steps = range(1, 40 * BINS + 1)
    rows = [{"step": step, "lr": 1.0, "grad_norm": 1.0, "loss": 1.0 + step % 2} for step in steps]
    (loss, *_) = pen.panels(history(tmp_path, rows))
    assert (loss.first, loss.last) == ("1.5", "1.5")


def test_a_panel_does_not_depend_on_those_before_it(tmp_path: Path, pen: Pen):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    rows = [{"step": step, "lr": 0.1, "grad_norm": 5.0, "loss": 20.0 - step} for step in range(1, 9)]
    first = history(tmp_path / "first", rows)
    second = history(tmp_path / "second", [row | {"loss": row["loss"] ** 3} for row in rows])
    alone = Pen().panels(first)
    pen.panels(second)
    assert pen.panels(first) == alone


def test_a_panel_obeys_the_security_policy_of_the_page(tmp_path: Path, pen: Pen):
    rows = [{"step": step, "lr": 0.1, "grad_norm": 5.0, "loss": 20.0 - step} for step in range(1, 9)]
    for panel in pen.panels(history(tmp_path, rows)):
        assert not re.search(r"style|\bid=|href|url\(|http|xmlns", panel.svg)
        assert "#" not in panel.svg, "every colour follows the page"


def test_without_a_step_there_is_no_curve_and_another_history_is_refused(tmp_path: Path, pen: Pen):
    assert pen.panels(tmp_path) == ()
    assert pen.panels(history(tmp_path, [])) == ()
    (tmp_path / "history.jsonl").write_text("not a line\n")
    with pytest.raises(DataError, match=r"the history is not the one of run\.json"):
        pen.panels(tmp_path)


def test_a_picture_is_shown_once_as_a_drawing_if_there_is_one(tmp_path: Path):
    views = {"main": {"table": "t"}, "frame": {"title": "A frame", "student": "s", "teacher": "t"}}
    images = pictures.load(leave_pictures(tmp_path / "figures"), views, {"t": "The table"})
    assert [(picture.name, picture.title) for picture in images] == [
        ("frame", "A frame"),
        ("main", "The table"),
    ]
    assert images[0].rows == {"s", "t"}
    assert images[1].files == ("main.pdf", "main.png", "main.svg")
    assert images[0].source.startswith("data:image/png;base64,")
    assert images[1].source.startswith("data:image/svg+xml;base64,")


def test_a_heavy_picture_is_compressed_and_a_heavy_drawing_replaced(tmp_path: Path):
    noise = np.random.default_rng(0).integers(0, 255, (400, 2000, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "some.png")
    (tmp_path / "some.svg").write_text("<svg>" + " " * pictures.LARGE + "</svg>")
    (picture,) = pictures.load([tmp_path / "some.svg", tmp_path / "some.png"], {}, {})
    kind, content = picture.source.split(";base64,")
    assert kind == "data:image/webp"
    assert Image.open(io.BytesIO(base64.b64decode(content))).width == pictures.WIDEST_PX


def test_a_file_that_is_no_picture_is_refused_by_name(tmp_path: Path):
    (tmp_path / "some.png").write_bytes(b"0" * (pictures.LARGE + 1))
    with pytest.raises(DataError, match=r"some\.png: not a picture"):
        pictures.load([tmp_path / "some.png"], {}, {})
