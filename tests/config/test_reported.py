"""config/reported.csv agrees with the differences that the poster prints."""

import csv
from decimal import Decimal
from pathlib import Path

ROOT = Path(__file__).parents[2]


def lines() -> list[dict[str, str]]:
    with (ROOT / "config" / "reported.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_printed_delta_is_the_value_minus_the_baseline():
    values = {(line["row"], line["metric"]): Decimal(line["value"]) for line in lines()}
    checked = 0
    for line in lines():
        assert bool(line["delta"]) == bool(line["baseline"]), line["row"]
        if line["delta"]:
            gain = values[line["row"], line["metric"]] - values[line["baseline"], line["metric"]]
            assert gain == Decimal(line["delta"]), line["row"]
            checked += 1
    # seven methods beside the baseline, two backbones, two metrics
    assert checked == 28


def test_every_row_has_both_metrics_in_points():
    reported = lines()
    assert len(reported) == 2 * len({line["row"] for line in reported}) == 58
    assert all(Decimal(20) < Decimal(line["value"]) < Decimal(70) for line in reported)


def test_rows_of_the_same_model_have_the_same_value():
    values = {(line["row"], line["metric"]): line["value"] for line in lines()}
    for metric in ("mAP", "NDS"):
        for rows in (
            ("r50_ours_mvp", "abl_mfd_crd", "align_aoa", "crd_teacher_t0.1"),
            ("r50_bevdepth", "abl_none"),
        ):
            assert len({values[row, metric] for row in rows}) == 1


def test_an_inferred_number_has_a_note():
    for line in lines():
        if line["certainty"] == "inferred":
            assert line["note"], line["row"]
