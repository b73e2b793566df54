"""One HTML file with all results: tables, figures, and a page for every run behind them.

The file holds its own style, script and pictures; its security policy forbids it to load anything.
The same inputs give the same bytes: its date is that of the newest run.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from dualdistill.config.yaml import read
from dualdistill.plan.figures import FILE, STYLE
from dualdistill.plan.plan import Plan
from dualdistill.report.figures.draw import styled
from dualdistill.report.html import content
from dualdistill.report.table import DAMAGED, HOW_DAMAGED, MISSING
from dualdistill.store.files import atomic_write

FOLDER = Path(__file__).parent


def write(plan: Plan, path: Path, figures: Sequence[Path] | None, config: Path) -> None:
    """The page at a path, from the records of the runs, the figures, and the texts of config/.

    Without a list of figures: those that the configuration names, as far as they have been drawn.
    """
    named = config / FILE
    views = read(named).value["figures"] if named.exists() else {}
    if figures is None:
        drawn = (plan.drawn / f"{name}.{ending}" for name in views for ending in ("svg", "png"))
        figures = [path for path in drawn if path.exists()]
    with styled(config / STYLE):
        page = content.gather(plan, figures, views)
    atomic_write(path, html(page))


def html(page: content.Content) -> str:
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["yaml"] = _yaml
    environment.globals |= {"DAMAGED": DAMAGED, "HOW_DAMAGED": HOW_DAMAGED, "MISSING": MISSING}
    style, script = ((FOLDER / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    return environment.get_template("page.html").render(
        page=page, style=style, script=script, style_hash=_hash(style), script_hash=_hash(script)
    )


def _yaml(value: Any) -> str:
    """A number, a word or a list as YAML writes it on one line."""
    return yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix("...\n").strip()


def _hash(text: str) -> str:
    """The name of a style or script in a content security policy, which admits no other."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
