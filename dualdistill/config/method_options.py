"""Distillation methods by file name: `method: tigbev` in YAML is the class TiGBEV in distill/tigbev.py.

The keywords of a method's constructor are its YAML keys, with their defaults and ranges. They are read from
the source text, because importing a method imports torch and planning must not.
"""

from __future__ import annotations

import ast
import functools
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from dualdistill.config import ranges
from dualdistill.config.validation import build, keys
from dualdistill.config.yaml import nearest
from dualdistill.errors import UserError

FOLDER = Path(__file__).parents[1] / "distill"
BASE = "Distiller"
OPTIONS = ConfigDict(**ranges.STRICT, frozen=True, protected_namespaces=())
# names that an option's annotation may use
ANNOTATIONS = {**vars(ranges), "Annotated": Annotated, "Field": Field, "Literal": Literal}


@functools.cache
def methods(folder: Path = FOLDER) -> dict[str, type[BaseModel]]:
    """Every method, with its options as a pydantic model."""
    return {
        method: _options(node, _constants(tree.body), path)
        for method, (node, tree, path) in _classes(folder).items()
    }


def options(method: str, folder: Path = FOLDER) -> dict[str, Any]:
    """A method's options with their types."""
    return keys(_model(method, folder))


def fill(method: str, given: Mapping[str, Any], folder: Path = FOLDER) -> dict[str, Any]:
    """All options of a method: `given` and the defaults. Writing a default out or omitting it is the same."""
    model = _model(method, folder)
    missing = [
        name for name, field in model.model_fields.items() if field.is_required() and name not in given
    ]
    if missing:
        raise UserError(f"method '{method}' needs '{missing[0]}'")
    return dict(build(model, given))


@functools.cache
def trait(method: str, name: str, default: Any = None, folder: Path = FOLDER) -> Any:
    """A class attribute of a method such as `reconstruction = True`, read without importing it."""
    _model(method, folder)
    node, tree, path = _classes(folder)[method]
    for item in node.body:
        if isinstance(item, ast.AnnAssign | ast.Assign):
            target = item.target if isinstance(item, ast.AnnAssign) else item.targets[0]
            if isinstance(target, ast.Name) and target.id == name and item.value is not None:
                return _literal(item.value, _constants(tree.body), f"{path}:{item.lineno}")
    return default


def load(method: str) -> type[Any]:
    """The class of a method. Imports torch."""
    _model(method, FOLDER)
    members = vars(importlib.import_module(f"dualdistill.distill.{method}")).items()
    return next(value for name, value in members if isinstance(value, type) and _same(name, method))


def _model(method: str, folder: Path) -> type[BaseModel]:
    known = methods(folder)
    if method not in known:
        raise UserError(f"unknown method '{method}'", hint=nearest(method, known))
    return known[method]


@functools.cache
def _classes(folder: Path) -> dict[str, tuple[ast.ClassDef, ast.Module, Path]]:
    """The class of every method; a file without a Distiller of its name is a building block of methods."""
    classes = {}
    for path in sorted(folder.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and _is_method(node, path.stem):
                classes[path.stem] = (node, tree, path)
    return classes


def _is_method(node: ast.ClassDef, stem: str) -> bool:
    bases = {base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "") for base in node.bases}
    return _same(node.name, stem) and BASE in bases


def _same(class_name: str, stem: str) -> bool:
    return class_name.lower() == stem.replace("_", "")


def _constants(body: list[ast.stmt]) -> dict[str, ast.expr]:
    """Assignments NAME = value at the top of a module, which defaults may refer to."""
    return {
        node.targets[0].id: node.value
        for node in body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }


def _options(node: ast.ClassDef, constants: Mapping[str, ast.expr], path: Path) -> type[BaseModel]:
    """A pydantic model of the keywords of a constructor."""
    fields: dict[str, Any] = {}
    for init in node.body:
        if not isinstance(init, ast.FunctionDef) or init.name != "__init__":
            continue
        arguments = init.args
        if len(arguments.args) > 1 or arguments.vararg or arguments.kwarg:
            what = f"the constructor of {node.name} takes more than keywords"
            raise UserError(what, where=f"{path}:{init.lineno}", hint="put * first")
        for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
            where = f"{path}:{argument.lineno}"
            value = ... if default is None else _literal(default, constants, where)
            fields[argument.arg] = (_annotation(argument.annotation, where), value)
    return create_model(node.name, __config__=OPTIONS, **fields)


def _annotation(node: ast.expr | None, where: str) -> Any:
    """The type of an option, written with the names of config/ranges.py and Python's built-in types."""
    written = ast.unparse(node) if node else "nothing"
    try:
        if node is not None:
            return eval(written, dict(ANNOTATIONS))
    except (NameError, TypeError):
        pass
    hint = (
        "bool, int, float, str, Literal, tuple, unions of them, and the names of dualdistill/config/ranges.py"
    )
    raise UserError(f"an option is annotated with {written}", where=where, hint=hint)


def _literal(node: ast.expr, constants: Mapping[str, ast.expr], where: str) -> Any:
    if isinstance(node, ast.Name):
        node = constants.get(node.id, node)
    try:
        return ast.literal_eval(node)
    except ValueError as error:
        written = ast.unparse(node)
        raise UserError(f"the default {written} cannot be read without running it", where=where) from error
