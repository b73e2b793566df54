"""The printed files of two seeds of five rows, byte by byte. The numbers of golden/ were checked by hand."""

import re
from pathlib import Path

import pytest
from report_runs import planned

from dualdistill.report import renderers
from dualdistill.report.claims import files

GOLDEN = Path(__file__).parent / "golden"
NAMES = ("table_main.csv", "table_main.md", "table_main.tex", "claims.csv", "claims_pairs.csv", "claims.md")


@pytest.mark.parametrize("name", NAMES)
def test_the_printed_files_are_those_of_the_hand_made_runs(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    monkeypatch.chdir(folder.parent)
    plan = planned(Path("config"))
    if name.startswith("table"):
        renderers.write(plan, "table_main", plan.results / "table_main")
    else:
        files.write(plan, plan.results / "claims")
    # a run's digits follow from the numbers of its profile, which are tuned
    text = re.sub(r"(-s\d)-[0-9a-f]{10}", r"\1", (plan.results / name).read_text())
    assert text == (GOLDEN / name).read_text()
