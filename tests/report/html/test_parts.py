"""The parts of the page by themselves: tables from CSV, curves from histories, pictures from files."""

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from hand_runs import pictures as leave_pictures
from PIL import Image

from dualdistill.errors import DataError
from dualdistill.report.html import loss_curves, pictures
from dualdistill.report.html.table import Grid, Heading, read

CSV = """\
method,temperature,mAP,NDS,mAP_std,NDS_std,n_seeds,delta_mAP,reported_mAP,reported_delta_mAP,note,data,run
A,,40.5,1,,,1,,35.1,,,world,a-s0-x
B,0.5,-3.0,2,0.25,,2,-0.1,40.5,5.4,,world,b-s0-y b-s1-z
"""


def table(folder: Path, text: str = CSV) -> Grid:
    path = folder / "table_some_view.csv"
    path.write_text(text)
    return read(path)


def test_numbers_gather_what_belongs_to_them(tmp_path: Path):
    found = table(tmp_path)
    assert [column.title for column in found.columns] == [
        "Method",
        "Temperature",
        "mAP",
        "NDS",
        "Seeds",
        "mAP",
    ]
    assert found.groups == (("", 2), ("measured", 2), ("", 1), ("reported", 1))
    ours, theirs = found.lines[1].cells[2], found.lines[1].cells[5]
    assert (ours.text, ours.spread, ours.gain) == ("\N{MINUS SIGN}3.0", "0.25", "\N{MINUS SIGN}0.1")
    assert (theirs.text, theirs.gain) == ("40.5", "+5.4")


def test_a_table_says_whose_it_is(tmp_path: Path):
    found = table(tmp_path)
    assert (found.title, found.about) == ("Some view", ("data: world",))
    assert found.lines[1].runs == ("b-s0-y", "b-s1-z")
    assert found.lines[0].facets == {"method": "A"}
    assert [column.name for column in found.columns if column.names] == ["method"]


def test_a_ratio_an_interval_and_a_remark_stand_with_what_they_belong_to(tmp_path: Path):
    text = "row,minutes,ratio_minutes,effect,low,high,reported_effect,reported_holds,remark,level\n"
    text += "a,2.0,,1.5,-1,4,2.0,yes,,0.95\nb,3.0,1.50,0.5,0,1,,,rebuilt from its paper,0.95\n"
    found = table(tmp_path, text)
    titles = ["Row", "Minutes", "Effect", "Low", "High", "Effect", "Holds"]
    assert [column.title for column in found.columns] == titles
    assert found.groups == (("", 1), ("measured", 4), ("reported", 2))
    assert [line.cells[1].gain for line in found.lines] == ["", "\N{MULTIPLICATION SIGN}1.50"]
    assert found.lines[0].cells[3].text == "\N{MINUS SIGN}1"
    assert (found.remarks, found.lines[0].remark) == (("rebuilt from its paper",), "")
    assert found.about == ("level: 0.95",)
    assert not found.linked


DAMAGED = """\
metric,mAP,mAP_std,effect,low,high,reported_mAP,reported_NDS,reported_effect,damaged,verdict
mAP,1.0,0.1,0.5,0.2,0.8,35.1,47.5,4.1,mAP,supported
NDS,2.0,0.1,-1.5,-2,-1,36.6,46.1,3.0,mAP NDS,contradicted
NDS,2.0,0.1,-1.5,-2,-1,36.6,46.1,3.0,,contradicted
"""


def test_a_damaged_print_is_marked_where_it_is_reported(tmp_path: Path):
    found = table(tmp_path, DAMAGED)
    marked = [
        [column.name for column, cell in zip(found.columns, line.cells, strict=True) if cell.damaged]
        for line in found.lines
    ]
    both = ["reported_mAP", "reported_NDS", "reported_effect"]
    assert marked == [["reported_mAP", "reported_effect"], both, []]
    assert "damaged" not in [column.name for column in found.columns]
    assert found.damaged
    assert not table(tmp_path).damaged


def test_what_may_be_negative_has_no_bar(tmp_path: Path):
    found = table(tmp_path, DAMAGED)
    bars = {
        column.name for column, cell in zip(found.columns, found.lines[0].cells, strict=True) if cell.share
    }
    assert bars == {"mAP"}


def test_a_heading_names_columns_and_leaves_some_out(tmp_path: Path):
    path = tmp_path / "table_some_view.csv"
    path.write_text(CSV)
    heading = Heading("Some", {"mAP": "Precision", "method": "Who"}, "A note.", ("note", "NDS"))
    found = read(path, heading)
    titles = ["Who", "Temperature", "Precision", "Seeds", "Precision"]
    assert [column.title for column in found.columns] == titles
    assert (found.title, found.note) == ("Some", "A note.")


def test_bars_are_shares_of_the_largest_and_never_negative(tmp_path: Path):
    assert [line.cells[2].share for line in table(tmp_path).lines] == [1.0, 0.0]


def test_a_table_of_its_own_kind_is_shown_as_it_is(tmp_path: Path):
    found = table(tmp_path, "claim,effect,verdict\nx helps,1.5,supported\n")
    assert [cell.text for cell in found.lines[0].cells] == ["x helps", "1.5", "supported"]
    assert found.groups == ()


@pytest.mark.parametrize("text", ["", "a,b\n1\n", "a,b\n1,2,3\n"])
def test_a_damaged_table_is_refused_by_name(tmp_path: Path, text: str):
    with pytest.raises(DataError, match=r"table_some_view\.csv: the table has lines"):
        table(tmp_path, text)


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
