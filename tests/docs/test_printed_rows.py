"""Rows of variants.yaml that a page prints resolve when they are added."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import yaml

from dualdistill.plan import plan as planning

ROOT = Path(__file__).parents[2]
ROWS = re.compile(r"^```yaml\n((?:[\w.-]+: \{(?:from|model): .*\}\n)+)```", re.MULTILINE)
PRINTED = {
    str(page.relative_to(ROOT)): "".join(found)
    for page in sorted((ROOT / "docs").rglob("*.md"))
    if (found := ROWS.findall(page.read_text()))
}


def test_pages_print_rows():
    assert {"docs/released.md", "docs/methods/mvp.md"} <= PRINTED.keys()


@pytest.mark.parametrize("page", PRINTED)
def test_a_printed_row_resolves(tmp_path: Path, page: str):
    profile = "nuscenes" if page == "docs/released.md" else "world"
    shutil.copytree(ROOT / "config", tmp_path / "config")
    with (tmp_path / "config" / "variants.yaml").open("a") as rows:
        rows.write(f"\n{PRINTED[page]}")
    plan = planning.load(tmp_path / "config" / "config.yaml", {"profile": profile}, tmp_path / "results")
    for row in yaml.safe_load(PRINTED[page]):
        assert plan.run(row).rows == (row,)
