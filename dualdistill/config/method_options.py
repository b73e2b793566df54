"""The distillation methods, by file name: distill/tigbev.py holds class TiGBEV, `method: tigbev` in YAML.

The keywords of a constructor are the method's YAML keys, read from the source: planning needs no torch.
"""

from __future__ import annotations

import ast
import functools
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dualdistill.config.yaml import nearest
from dualdistill.errors import UserError

FOLDER = Path(__file__).parents[1] / "distill"
BASE = "Distiller"
_TYPES = {"bool": "boolean", "int": "integer", "float": "number", "str": "string"}


@dataclass(frozen=True)
class Option:
    """One keyword of a constructor, as a JSON schema and a default."""

    name: str
    schema: dict[str, Any]
    required: bool
    default: Any = None


def _spelled(schema: Mapping[str, Any], given: Any) -> Any:
    """The same number has one spelling: 1 given for a float becomes 1.0."""
    kinds = [part.get("type") for part in schema.get("anyOf", [schema])]
    return float(given) if "number" in kinds and type(given) is int else given


@functools.cache
def _classes(folder: Path) -> dict[str, tuple[ast.ClassDef, ast.Module, Path]]:
    """The class of every method; a file without a Distiller of its name is a building block."""
    found = {}
    for path in sorted(folder.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and _is_method(node, path.stem):
                found[path.stem] = (node, tree, path)
    return found


@functools.cache
def methods(folder: Path = FOLDER) -> dict[str, tuple[Option, ...]]:
    """Every method with its options."""
    return {
        method: tuple(_options(node, _constants(tree.body), path))
        for method, (node, tree, path) in _classes(folder).items()
    }


def options(method: str, folder: Path = FOLDER) -> dict[str, Option]:
    known = methods(folder)
    if method not in known:
        raise UserError(f"unknown method '{method}'", hint=nearest(method, known))
    return {option.name: option for option in known[method]}


def fill(method: str, given: Mapping[str, Any], folder: Path = FOLDER) -> dict[str, Any]:
    """All options of a method: a default that is written out and one that is left out come out equal."""
    known = options(method, folder)
    missing = [name for name, option in known.items() if option.required and name not in given]
    if missing:
        raise UserError(f"method '{method}' needs '{missing[0]}'")
    return {name: _spelled(option.schema, given.get(name, option.default)) for name, option in known.items()}


@functools.cache
def trait(method: str, name: str, default: Any = None, folder: Path = FOLDER) -> Any:
    """What a method's class says of itself in its body, e.g. `reconstruction = True`."""
    options(method, folder)
    node, tree, path = _classes(folder)[method]
    for item in node.body:
        if isinstance(item, ast.AnnAssign | ast.Assign):
            target = item.target if isinstance(item, ast.AnnAssign) else item.targets[0]
            if isinstance(target, ast.Name) and target.id == name and item.value is not None:
                return _literal(item.value, _constants(tree.body), f"{path}:{item.lineno}")
    return default


def load(method: str) -> type[Any]:
    """The class itself; imports torch."""
    options(method)
    found = vars(importlib.import_module(f"dualdistill.distill.{method}")).items()
    return next(value for name, value in found if isinstance(value, type) and _same(name, method))


def _is_method(node: ast.ClassDef, stem: str) -> bool:
    bases = {base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "") for base in node.bases}
    return _same(node.name, stem) and BASE in bases


def _same(class_name: str, stem: str) -> bool:
    return class_name.lower() == stem.replace("_", "")


def _constants(body: list[ast.stmt]) -> dict[str, ast.expr]:
    """NAME = value in a module, which a default may name, or in a class."""
    return {
        node.targets[0].id: node.value
        for node in body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }


def _options(node: ast.ClassDef, constants: Mapping[str, ast.expr], path: Path) -> list[Option]:
    inits = [item for item in node.body if isinstance(item, ast.FunctionDef) and item.name == "__init__"]
    if not inits:
        return []
    arguments = inits[0].args
    if len(arguments.args) > 1 or arguments.vararg or arguments.kwarg:
        what = f"the constructor of {node.name} takes more than keywords"
        raise UserError(what, where=f"{path}:{inits[0].lineno}", hint="put * first")
    found = []
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        where = f"{path}:{argument.lineno}"
        schema = _schema(argument.annotation, where)
        value = None if default is None else _literal(default, constants, where)
        found.append(Option(argument.arg, schema, required=default is None, default=value))
    return found


def _literal(node: ast.expr, constants: Mapping[str, ast.expr], where: str) -> Any:
    if isinstance(node, ast.Name):
        node = constants.get(node.id, node)
    try:
        return ast.literal_eval(node)
    except ValueError as error:
        written = ast.unparse(node)
        raise UserError(f"the default {written} cannot be read without running it", where=where) from error


def _schema(node: ast.expr | None, where: str) -> dict[str, Any]:
    """bool, int, float, str, Literal[...], a union of them, or tuple[x, ...], as a JSON schema."""
    if isinstance(node, ast.Name) and node.id in _TYPES:
        # no option of any method so far means something below zero
        bound = {"minimum": 0} if node.id in ("int", "float") else {}
        return {"type": _TYPES[node.id], **bound}
    if isinstance(node, ast.Constant) and node.value is None:
        return {"type": "null"}
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return {"anyOf": [_schema(node.left, where), _schema(node.right, where)]}
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
        inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if node.value.id == "Literal":
            return {"enum": [ast.literal_eval(item) for item in inner]}
        if node.value.id == "tuple" and len(inner) == 2 and isinstance(inner[1], ast.Constant):
            return {"type": "array", "items": _schema(inner[0], where)}
    written = ast.unparse(node) if node else "nothing"
    hint = "bool, int, float, str, Literal, tuple[x, ...] and unions of them can be checked"
    raise UserError(f"an option is annotated with {written}", where=where, hint=hint)
