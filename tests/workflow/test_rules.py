"""The source of the rules: lint, format, and a single command per rule."""

import re
import subprocess
import sys
from pathlib import Path

from checkouts import Checkout


def test_lint_finds_nothing(checkout: Checkout):
    done = checkout.snakemake("--lint")
    assert done.returncode == 0, done.stderr


def test_the_workflow_is_formatted():
    root = Path(__file__).parents[2]
    words = [sys.executable, "-m", "snakefmt", "--check", str(root / "Snakefile"), str(root / "workflow")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_rule_is_a_single_command():
    workflow = Path(__file__).parents[2] / "workflow"
    files = [workflow / "Snakefile", *sorted((workflow / "rules").glob("*.smk"))]
    text = "\n".join(path.read_text() for path in files)
    assert len(text.splitlines()) <= 450
    assert not re.findall(r"\blambda\b|^ +(?:run|script|notebook|wrapper):", text, re.MULTILINE)
    rules = re.findall(r"^rule (\w+):", text, re.MULTILINE)
    commands = re.findall(r'shell:\n +f"\{SUITE\} [a-z]+ [^|;&]*> \{\{log\}\} 2>&1"', text)
    assert len(commands) == len(rules) - 2 == 14  # all and figures only collect
