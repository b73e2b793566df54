"""Draw docs/architecture.svg from the imports of the code: python docs/draw_architecture.py"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "dualdistill"
PAGE = ROOT / "docs" / "architecture.md"
PICTURE = ROOT / "docs" / "architecture.svg"
ROW = re.compile(r"^\| (\d) \| (\w+) \| ([\w, ]*)\|$", re.MULTILINE)  # floor, folder, what it may import
FOR_ALL = ("errors", "seeding", "faults", "distributed")
OF_THE_PACKAGE = ("__init__", "__main__")
# across the picture, so that arrows lie beside each other
OFFSETS = {
    "probes": -0.75,
    "report": 1.0,
    "evaluation": -0.35,
    "interop": 1.0,
    "training": -0.1,
    "distill": -0.35,
    "models": -0.1,
    "data": -0.35,
    "plan": 0.75,
    "world": -1.0,
    "config": -0.35,
    "store": 0.75,
    "launch": -1.1,
}


def table() -> tuple[dict[str, int], dict[str, set[str]]]:
    """Floors and allowed imports of every folder, from the table of the page."""
    rows = ROW.findall(PAGE.read_text())
    floors = {folder: int(floor) for floor, folder, _ in rows}
    allowed = {folder: set(filter(None, names.strip().split(", "))) for _, folder, names in rows}
    allowed["cli"] = set(floors)
    return floors, allowed


def modules() -> dict[str, set[str]]:
    """Every module with the modules of the package that it imports, at its top or inside a function."""
    paths = {_name(path): path for path in PACKAGE.rglob("*.py")}
    imports: dict[str, set[str]] = defaultdict(set)
    for name, path in paths.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("dualdistill"):
                inner = {f"{node.module}.{alias.name}" for alias in node.names}
                imports[name] |= {module if module in paths else node.module for module in inner}
            elif isinstance(node, ast.Import):
                imports[name] |= {alias.name for alias in node.names if alias.name in paths}
    return imports


def arrows() -> dict[tuple[str, str], int]:
    """How many modules of one folder import the other."""
    count: dict[tuple[str, str], int] = defaultdict(int)
    for name, imported in modules().items():
        for folder in {_folder(module) for module in imported} - {_folder(name), "__init__"}:
            count[_folder(name), folder] += 1
    return {pair: count[pair] for pair in sorted(count) if pair[0] not in OF_THE_PACKAGE}


def direct(edges: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """The arrows that no longer way along other arrows replaces."""
    below: dict[str, set[str]] = defaultdict(set)
    for one, other in edges:
        below[one].add(other)

    def reach(folder: str) -> set[str]:
        return {folder}.union(*(reach(other) for other in below[folder]))

    return {
        (one, other) for one, other in edges if not any(other in reach(way) for way in below[one] - {other})
    }


def draw() -> Figure:
    """Folders on their floors; arrows that others replace are drawn pale."""
    floors, _ = table()
    places = {folder: (OFFSETS.get(folder, 0.0), floor) for folder, floor in floors.items()}
    figure = Figure(figsize=(7, 6.5))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-1.5, 1.5), ylim=(-0.5, max(floors.values()) + 0.5))
    axes.axis("off")
    edges = {pair for pair in arrows() if not {pair[0], pair[1]} & set(FOR_ALL) and pair[0] != "cli"}
    near = direct(edges) | {("cli", folder) for folder, floor in floors.items() if floor == floors["cli"] - 1}
    for one, other in sorted(edges | near):
        strong = (one, other) in near
        style = {"arrowstyle": "-|>", "color": "0.25" if strong else "0.8", "lw": 1.4 if strong else 0.8}
        axes.annotate("", places[other], places[one], arrowprops={**style, "shrinkA": 18, "shrinkB": 18})
    for folder, place in places.items():
        size = sum(1 for _ in (PACKAGE / folder).rglob("*.py"))
        label = f"{folder}/\n{size} modules" if size else f"{folder}.py"
        box = {"boxstyle": "round,pad=0.35", "facecolor": "#dbe9f6", "edgecolor": "#0072b2"}
        axes.text(*place, label, ha="center", va="center", fontsize=9, bbox=box)
    return figure


def save(path: Path) -> None:
    with matplotlib.rc_context({"svg.hashsalt": "architecture", "svg.fonttype": "none"}):
        draw().savefig(path, metadata={"Date": None})


def _name(path: Path) -> str:
    parts = ("dualdistill", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _folder(module: str) -> str:
    return module.split(".")[1] if "." in module else "__init__"


if __name__ == "__main__":
    save(PICTURE)
