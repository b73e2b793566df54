"""Every command printed by the README and docs/ works, in a copy of the checkout."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from printed import PAGES, all_commands, commands, run_command

SCORES = ("mAP", "NDS", "delta_mAP", "delta_NDS", "reported_mAP", "reported_NDS")
COLUMNS = {"backbone", "method", "base", "teacher", *SCORES, "mAP_std", "NDS_std", "n_seeds"}
COLUMNS |= {"reported_delta_mAP", "reported_delta_NDS", "data", "recipe", "run"}


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize("page", PAGES)
def test_every_page_has_commands(checkout: Path, page: str) -> None:
    assert commands(checkout / page)


@pytest.mark.slow
@pytest.mark.timeout(1800)  # includes the README's first command, some 25 jobs
def test_the_first_command_makes_the_table(checkout: Path, made: Path) -> None:
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
    assert "Nothing to be done" in run_command(made, all_commands(checkout)[0])


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_printed_command_works(checkout: Path, made: Path) -> None:
    printed = all_commands(checkout)
    assert len(printed) >= len(PAGES)
    for line in printed[1:]:
        run_command(made, line)
    assert {row["verdict"] for row in rows(made / "results" / "claims.csv")} == {"undecided"}
    # together the commands make every target
    assert "Nothing to be done" in run_command(made, "snakemake")
