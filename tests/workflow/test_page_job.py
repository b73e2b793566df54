"""Jobs of the page, and the categories and captions of snakemake's report."""

import re
from pathlib import Path

import pytest
from checkouts import Checkout


def test_a_call_without_targets_makes_the_page(checkout: Checkout):
    assert checkout.announced()["page"] == 1


@pytest.mark.parametrize("name", ["page.html", "page.css", "page.js", "table.py"])
def test_edited_page_code_makes_the_page_again_and_nothing_else(finished: Checkout, name: str):
    assert finished.announced() == {}
    path = finished.root / "dualdistill" / "report" / "html" / name
    path.write_text(path.read_text() + "\n")
    assert finished.announced() == {"page": 1}


def test_the_page_follows_its_tables_and_runs(finished: Checkout):
    finished.edit("config/tables.yaml", "title: Detection", "title: 3D detection")
    assert finished.announced() == {"table": 1, "figure": 1, "page": 1}
    next((finished.root / "results" / "runs").glob("pretrain-r50-*/run.json")).touch()
    assert finished.announced() == {"table": 1, "figure": 1, "page": 1}


def test_every_result_in_the_report_has_a_category_and_a_caption(finished: Checkout, tmp_path: Path):
    done = finished.snakemake("--report", str(tmp_path / "report.html"))
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "report.html").read_text()
    for category in ("Tables", "Claims", "Scores", "Figures", "Page"):
        assert re.search(rf'"{category}"', text), category
    captions = (
        "repeat the poster's numbers",
        "say of each claim",
        "official nuScenes evaluation",
        "one page that needs no network",
    )
    assert [words for words in captions if words not in text.replace("\\n", " ").replace("&#x27;", "'")] == []
