"""Pages of hand-made runs, read-only for the tests that share them."""

from pathlib import Path

import pytest
from chromium import Chromium, find
from hand_runs import build, configured, leave_all, pictures

from dualdistill.plan.plan import Plan

FIGURES = """figures:
  main: {chart: groups, table: table_main}
  frame: {title: Boxes in one key frame, student: dualdistill-r50-centerpoint}
"""


@pytest.fixture(scope="session")
def two_seeds(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, str]:
    """Every run of every table with two seeds, with pictures: the plan and its page."""
    folder = tmp_path_factory.mktemp("page")
    plan = configured(folder, [0, 1])
    (folder / "config" / "figures.yaml").write_text(FIGURES)
    leave_all(plan)
    return plan, build(plan, pictures(folder / "figures"))


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory):
    program = find()
    if program is None:
        pytest.skip("no Chromium on PATH and none in CHROMIUM (Debian: apt install chromium-headless-shell)")
    with Chromium(program, tmp_path_factory.mktemp("chromium")) as found:
        yield found


@pytest.fixture(scope="session")
def address(two_seeds: tuple[Plan, str]) -> str:
    path: Path = two_seeds[0].results / "index.html"
    return path.as_uri()
