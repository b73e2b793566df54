"""Docstrings are imperatives or nouns, and functions fit on a screen."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

QUESTIONS = ("what", "which", "whose", "who")
LONGEST = 60  # lines of a function
LONGEST_METHOD = 120  # lines of the file of a distillation method
Node = ast.Module | ast.ClassDef | ast.FunctionDef


def nodes(folder: Path) -> Iterator[tuple[str, Node]]:
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                yield f"{path}:{getattr(node, 'lineno', 1)}", node


def test_no_docstring_begins_with_a_question_word(checkout: Path):
    asking = [
        f"{where}: {docstring.splitlines()[0]}"
        for folder in ("dualdistill", "tests", "docs")
        for where, node in nodes(checkout / folder)
        if (docstring := ast.get_docstring(node)) and docstring.split()[0].lower() in QUESTIONS
    ]
    assert asking == []


def test_functions_fit_on_a_screen(checkout: Path):
    long = [
        where
        for where, node in nodes(checkout / "dualdistill")
        if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno >= LONGEST
    ]
    assert long == []


def test_a_distillation_method_fits_in_a_short_file(checkout: Path):
    methods = (checkout / "dualdistill" / "distill").glob("*.py")
    assert [path.name for path in methods if len(path.read_text().splitlines()) > LONGEST_METHOD] == []
