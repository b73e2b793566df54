"""Student networks by name, with the spec class of each, read without importing torch.

A new student is one file in dualdistill/models/ with the network and, above it, a subclass of StudentSpec
with its numbers. Planning reads the file and executes this class only.
"""

from __future__ import annotations

import ast
import functools
from pathlib import Path
from typing import Any

from dualdistill.config import ranges, run_spec
from dualdistill.config.run_spec import BEVDepthSpec, StudentSpec
from dualdistill.errors import UserError

FOLDER = Path(__file__).parents[1] / "models"


@functools.cache
def students(folder: Path = FOLDER) -> dict[str, type[StudentSpec]]:
    """Spec class of every student network."""
    specs: dict[str, type[StudentSpec]] = {BEVDepthSpec.network: BEVDepthSpec}
    for path in sorted(folder.glob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8"), filename=str(path)).body:
            if isinstance(node, ast.ClassDef) and _derives(node, StudentSpec.__name__):
                specs[path.stem] = _execute(node, path)
    return specs


def _derives(node: ast.ClassDef, base: str) -> bool:
    return any(isinstance(parent, ast.Name) and parent.id == base for parent in node.bases)


def _execute(node: ast.ClassDef, path: Path) -> type[StudentSpec]:
    """Execute a spec class, given the names of config/run_spec.py and config/ranges.py."""
    names: dict[str, Any] = {**vars(run_spec), **vars(ranges), "__name__": f"dualdistill.models.{path.stem}"}
    code = compile(ast.Module([node], type_ignores=[]), str(path), "exec", dont_inherit=True)
    try:
        exec(code, names)
        spec: type[StudentSpec] = names[node.name]
        spec.network = path.stem
    except (NameError, AttributeError, TypeError) as error:
        hint = "it may use the names of config/run_spec.py and config/ranges.py"
        where = f"{path}:{node.lineno}"
        raise UserError(f"the spec {node.name} cannot be read: {error}", where=where, hint=hint) from error
    return spec
