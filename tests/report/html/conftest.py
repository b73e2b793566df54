"""Pages of hand-made runs, read-only for the tests that share them, and a browser to open them in."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hand_runs import build, configured, leave_all, pictures

from dualdistill.plan.plan import Plan

FIGURES = """figures:
  main: {chart: groups, table: table_main}
  frame: {title: Boxes in one key frame, student: dualdistill-r50-centerpoint}
"""
BROWSERS = (
    "chromium",
    "chromium-headless-shell",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
)


@pytest.fixture(scope="session")
def two_seeds(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, str]:
    """Every run of every table with two seeds, with pictures: the plan and its page."""
    folder = tmp_path_factory.mktemp("page")
    plan = configured(folder, [0, 1])
    (folder / "config" / "figures.yaml").write_text(FIGURES)
    leave_all(plan)
    return plan, build(plan, pictures(folder / "figures"))


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """The system's Chromium, headless and without a network: no host name resolves."""
    named = os.environ.get("CHROMIUM")
    program = named or next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if program is None:
        pytest.skip("no Chromium on PATH and none in CHROMIUM (Debian: apt install chromium-headless-shell)")
    api = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pip install '.[dev]'"
    )
    # Chromium refuses to start its sandbox as root
    words = ["--host-resolver-rules=MAP * ~NOTFOUND", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=words)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def address(two_seeds: tuple[Plan, str]) -> str:
    path: Path = two_seeds[0].results / "index.html"
    return path.as_uri()
