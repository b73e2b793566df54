"""One HTML file with everything a colleague asks: tables, pictures, and a page for every run behind them.

The file holds its own style, script and pictures and may load nothing: so says its security policy.
It is the same bytes for the same inputs: its date is that of the newest run.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from dualdistill.config.yaml import read
from dualdistill.plan.plan import Plan
from dualdistill.plan.snakemake_inputs import CLAIMS
from dualdistill.report.html import content
from dualdistill.report.tables import DAMAGED, HOW_DAMAGED
from dualdistill.store.files import atomic_write

FOLDER = Path(__file__).parent


def write(
    plan: Plan, path: Path, tables: Sequence[Path] | None, figures: Sequence[Path] | None, config: Path
) -> None:
    """The page at a path, from tables, figures, the records of the runs and what config/ says of them.

    Files that are not named are those that the configuration names, as far as they have been made.
    """
    named = config / "figures.yaml"
    views = read(named).value["figures"] if named.exists() else {}
    if tables is None:
        tables = _there(plan.shown / f"{name}.csv" for name in (*plan.tables, *CLAIMS))
    if figures is None:
        figures = _there(plan.drawn / f"{name}.{ending}" for name in views for ending in ("svg", "png"))
    atomic_write(path, html(content.gather(plan, tables, figures, views)))


def _there(paths: Iterable[Path]) -> list[Path]:
    return [path for path in paths if path.exists()]


def html(page: content.Content) -> str:
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["yaml"] = _yaml
    environment.globals |= {"DAMAGED": DAMAGED, "HOW_DAMAGED": HOW_DAMAGED}
    style, script = ((FOLDER / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    return environment.get_template("page.html").render(
        page=page, style=style, script=script, style_hash=_hash(style), script_hash=_hash(script)
    )


def _yaml(value: Any) -> str:
    """A number, a word or a list as YAML writes it on one line."""
    return yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix("...\n").strip()


def _hash(text: str) -> str:
    """What a content security policy calls this text, so that no other style or script is obeyed."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
