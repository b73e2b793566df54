"""The table of keys in docs/recipes.md states the values that rows resolve to."""

from __future__ import annotations

import functools
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from dualdistill.plan import plan as planning
from dualdistill.plan.plan import Plan

ROOT = Path(__file__).parents[2]
TITLE = "## Keys that choose between the released systems and ours"
LINE = re.compile(
    r"^\| (?P<difference>[^|]+) \| (?P<key>[^|]+) \| (?P<matched>[^|]+) \| [^|]+ \| (?P<world>[^|]+) \|$"
)
# rows whose numbers stand for all others, by the beginning of a key; the last one for the rest
ROWS = {
    "input.paste": "centerpoint",
    "model.pillar_points": "centerpoint",
    "schedule.cycle_momentum": "centerpoint",
    "input.resize": "dualdistill-r101-mvp",
    "label_encoder.": "labeldistill-r50-centerpoint",
    "": "dualdistill-r50-mvp",
}


def table() -> list[dict[str, str]]:
    text = (ROOT / "docs" / "recipes.md").read_text().partition(TITLE)[2].partition("\n## ")[0]
    lines = [match.groupdict() for match in map(LINE.match, text.splitlines()) if match]
    return [line for line in lines if "`" in line["key"]]


@functools.cache
def planned(profile: str) -> Plan:
    return planning.load(ROOT / "config" / "config.yaml", {"profile": profile})


def quoted(cell: str) -> Any:
    """The value that a cell begins with, in backticks."""
    return yaml.safe_load(cell.split("`")[1])


def value(plan: Plan, key: str) -> Any:
    row = next(row for start, row in ROWS.items() if key.startswith(start))
    spec = asdict(plan.run(row).spec)
    if "." not in key:
        return plain(spec["distill"]["options"][key])
    first, *rest = key.split(".")
    found = spec["distill"]["label_encoder"]["model"] if first == "label_encoder" else spec[first]
    for part in rest:
        found = found[part]
    return plain(found)


def plain(found: Any) -> Any:
    return list(found) if isinstance(found, tuple) else found


@pytest.mark.parametrize("line", table(), ids=lambda line: quoted(line["key"]))
@pytest.mark.parametrize(("column", "profile"), [("matched", "nuscenes"), ("world", "world")])
def test_the_table_states_the_value_of_every_key(line: dict[str, str], column: str, profile: str) -> None:
    assert value(planned(profile), quoted(line["key"])) == quoted(line[column])


def test_the_table_has_a_line_for_every_difference_that_a_key_closes() -> None:
    assert len(table()) == 21
