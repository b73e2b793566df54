"""Schemas for editors accept the files of this repository and refuse what the suite refuses."""

import json
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator, ValidationError

from dualdistill import cli
from dualdistill.config.editor_schema import SCHEMAS, schema

FILES = {
    "config": ["config.yaml"],
    "profile": [f"profiles/{name}.yaml" for name in ("world", "world-long", "smoke", "nuscenes")],
    "variants": ["variants.yaml"],
    "tables": ["tables.yaml"],
    "claims": ["claims.yaml"],
    "figures": ["figures.yaml"],
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_files_of_the_repository_fit_their_schemas(checkout: Path, name: str):
    made = schema(name)
    Draft202012Validator.check_schema(made)
    for file in FILES[name]:
        Draft202012Validator(made).validate(yaml.safe_load((checkout / "config" / file).read_text()))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config", {"profile": "world", "recipe": "matched", "seeds": [-1]}),
        ("variants", {"x": {"temprature": 0.5}}),
        ("variants", {"x": {"schedule.ema": 1.5}}),
        ("profile", {"from": "world", "thread": 2}),
        ("profile", {"from": 3}),
        ("claims", {"level": 95, "claims": {"c": {"says": "x", "pairs": [{"row": "a", "beats": "b"}]}}}),
        ("figures", {"frame": {"scene": 0, "frame": 0}, "marks": {}, "figures": {"f": {"chart": "bar"}}}),
    ],
)
def test_a_fault_does_not_fit(name: str, content: dict):
    with pytest.raises(ValidationError):
        Draft202012Validator(schema(name)).validate(content)


@pytest.mark.parametrize("methods", [{"dualdistil": {}}, {"dualdistill": {"mfd_wait": 0.5}}])
def test_options_of_methods_in_a_profile_are_checked(checkout: Path, methods: dict):
    profile = yaml.safe_load((checkout / "config" / "profiles" / "world.yaml").read_text())
    fitting = Draft202012Validator(schema("profile"))
    fitting.validate(profile | {"methods": {"dualdistill": {"mfd_weight": 0.5}}})
    with pytest.raises(ValidationError):
        fitting.validate(profile | {"methods": methods})


def test_comments_of_the_source_are_descriptions():
    schedule = schema("profile")["$defs"]["ScheduleSpec"]["properties"]
    assert schedule["batch"]["description"].startswith("samples per optimizer step")
    above = schema("profile")["$defs"]["InputSpec"]["properties"]["scene_start"]
    assert above["description"].startswith("previous frame at a scene's start")
    assert schedule["batch"]["minimum"] == 1


def test_the_command_prints_a_schema(capsys: pytest.CaptureFixture[str]):
    assert cli.main(["schema", "tables"]) == 0
    assert json.loads(capsys.readouterr().out)["$schema"].endswith("2020-12/schema")
