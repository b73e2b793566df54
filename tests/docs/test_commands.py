"""Every command that the README and docs/ print is typed here, as printed, in a copy of the checkout."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from printed import PAGES, commands, to_type, type_in

SCORES = ("mAP", "NDS", "delta_mAP", "delta_NDS", "reported_mAP", "reported_NDS")
COLUMNS = {"backbone", "method", "base", "teacher", *SCORES, "mAP_std", "NDS_std", "n_seeds"}
COLUMNS |= {"reported_delta_mAP", "reported_delta_NDS", "data", "recipe", "run"}


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize("page", PAGES)
def test_a_page_prints_commands(checkout: Path, page: str) -> None:
    assert commands(checkout / page)


@pytest.mark.slow
@pytest.mark.timeout(1800)  # the README's first command runs before it, some 25 jobs
def test_the_first_command_ends_in_the_table(checkout: Path, made: Path) -> None:
    table = rows(made / "results" / "table_main.csv")
    assert set(table[0]) >= COLUMNS
    assert [(row["method"], row["backbone"]) for row in table] == [
        ("CenterPoint", ""),
        ("BEVDepth", "ResNet-50"),
        ("DualDistill", "ResNet-50"),
        ("BEVDepth", "ResNet-101"),
        ("DualDistill", "ResNet-101"),
    ]
    assert all(0 <= float(row[metric]) <= 100 for row in table for metric in ("mAP", "NDS"))
    assert {(row["data"], row["profile"]) for row in table} == {("world", "smoke")}
    assert table[2]["reported_mAP"] == "40.5"
    assert "Nothing to be done" in type_in(made, to_type(checkout)[0])


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_printed_command_works_as_printed(checkout: Path, made: Path) -> None:
    typed = to_type(checkout)
    assert len(typed) >= len(PAGES)
    for line in typed[1:]:
        type_in(made, line)
    assert {row["verdict"] for row in rows(made / "results" / "claims.csv")} == {"undecided"}
    # together they have made all there is to make
    assert "Nothing to be done" in type_in(made, "snakemake")
