"""constraints.txt, environment.yml, pyproject.toml and the installed packages agree on versions."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from dualdistill.store.provenance import package_versions

ROOT = Path(__file__).resolve().parents[2]
FIRST = {"torch", "setuptools"}  # torch needs packages that are not pinned; setuptools builds the others


def pin_lines() -> list[str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def pins() -> dict[str, str]:
    return {canonicalize_name(name): number for name, number in (line.split("==") for line in pin_lines())}


def conda() -> dict:
    return yaml.safe_load((ROOT / "environment.yml").read_text())


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_constraints_are_exact_and_unique():
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in pin_lines())
    assert len(pins()) == len(pin_lines())


def test_environment_yml_is_a_conda_environment():
    environment = conda()
    assert set(environment) == {"name", "channels", "dependencies"}
    assert environment["channels"] == ["conda-forge"]
    *packages, pip_section = environment["dependencies"]
    assert {"python=3.11", "pip"} == set(packages)
    assert list(pip_section) == ["pip"]


def test_environment_yml_uses_the_pins_of_constraints_txt():
    bound, *lines = conda()["dependencies"][-1]["pip"]
    assert bound == "--constraint constraints.txt"
    assert {canonicalize_name(line.split("==")[0]) for line in lines} == FIRST
    assert set(lines) <= set(pin_lines())


@pytest.mark.parametrize("group", ["dependencies", "slurm", "dev"])
def test_every_requirement_is_pinned_within_its_bounds(group: str):
    groups = {"dependencies": project()["dependencies"], **project()["optional-dependencies"]}
    for requirement in map(Requirement, groups[group]):
        pinned = pins().get(canonicalize_name(requirement.name))
        assert pinned, f"{requirement.name} is not pinned"
        assert requirement.specifier.contains(pinned), f"{requirement} excludes the pin {pinned}"


def test_the_installed_packages_have_the_pinned_versions():
    """A full mmcv may replace mmcv-lite."""
    installed = {name: version(name).split("+")[0] for name in pins() if name != "mmcv-lite"}
    assert installed.items() <= pins().items()
    assert package_versions(("mmcv", "mmcv-lite")).popitem()[1] == pins()["mmcv-lite"]


def test_the_project_requires_neither_mmcv_nor_mmcv_lite():
    assert not [line for line in project()["dependencies"] if Requirement(line).name.startswith("mmcv")]


def test_conda_users_install_with_the_same_options_as_run():
    text = (ROOT / "environment.yml").read_text()
    for part in ("--no-deps", "--no-build-isolation", "--editable"):
        assert part in text
        assert part in (ROOT / "run").read_text()
