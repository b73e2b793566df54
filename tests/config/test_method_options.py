"""Methods are found by file name, and their options are read without importing them."""

from pathlib import Path

import pytest

from dualdistill.config import method_options, row_keys, yaml
from dualdistill.config.validation import check, is_list, words
from dualdistill.errors import UserError

METHOD = """
from typing import Literal
import a_package_that_does_not_exist
WEIGHT = 6e-3
class TiGBEV(base.Distiller):
    plain = WEIGHT
    typed: ClassVar[bool] = True
    empty: ClassVar[bool]
    def __init__(self, *, mode: Literal["a", "b"] = "a", weight: float = WEIGHT, steps: int = 3,
                 on: bool = True, level: float | None = None, sizes: tuple[float, ...] = (1.0, 2.0),
                 needed: str):
        ...
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tig_bev.py").write_text(METHOD)
    (tmp_path / "base.py").write_text("class Distiller: ...\n")
    (tmp_path / "aoa.py").write_text("class AOA(nn.Module):\n    def __init__(self, channels): ...\n")
    (tmp_path / "plain.py").write_text("class Plain(Distiller): ...\n")
    return tmp_path


def test_a_file_with_a_distiller_of_its_name_is_a_method(folder: Path):
    assert list(method_options.methods(folder)) == ["plain", "tig_bev"]


def test_types_and_defaults_are_read_from_the_signature(folder: Path):
    options = method_options.options("tig_bev", folder)
    assert list(options) == ["mode", "weight", "steps", "on", "level", "sizes", "needed"]
    assert words(options["mode"]) == ("a", "b")
    assert is_list(options["sizes"])
    assert method_options.fill("tig_bev", {"needed": "x"}, folder)["weight"] == 6e-3
    model = method_options.methods(folder)["tig_bev"]
    assert [name for name, field in model.model_fields.items() if field.is_required()] == ["needed"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("weight: -1.0", "'weight' must be at least 0, not -1.0"),
        ("share: 1.5", "'share' must be at most 1, not 1.5"),
        ("points: 1", "'points' must be at least 2, not 1"),
        ("offset: a", "'offset' must be a number, not the text 'a'"),
    ],
)
def test_the_range_in_an_annotation_is_checked(tmp_path: Path, text: str, sentence: str):
    options = "weight: Weight = 1.0, share: Share = 0.5, offset: float = -1.0, "
    options += "points: Annotated[int, Field(ge=2)] = 2"
    (tmp_path / "ranged.py").write_text(
        f"class Ranged(Distiller):\n    def __init__(self, *, {options}): ...\n"
    )
    model = method_options.methods(tmp_path)["ranged"]
    assert check(yaml.parse("offset: -2.0", "a.yaml"), model).offset == -2.0
    with pytest.raises(UserError, match=sentence):
        check(yaml.parse(text, "a.yaml"), model)


def test_class_attributes_are_read_without_running_the_class(folder: Path):
    traits = {
        name: method_options.trait("tig_bev", name, "-", folder)
        for name in ("plain", "typed", "empty", "none")
    }
    assert traits == {"plain": 6e-3, "typed": True, "empty": "-", "none": "-"}
    assert method_options.trait("plain", "typed", folder=folder) is None
    with pytest.raises(UserError, match="unknown method 'plane'"):
        method_options.trait("plane", "typed", folder=folder)


def test_an_omitted_and_an_explicit_default_are_equal(folder: Path):
    omitted = method_options.fill("tig_bev", {"needed": "x"}, folder)
    written = method_options.fill(
        "tig_bev", {"needed": "x", "mode": "a", "weight": 0.006, "level": None}, folder
    )
    assert omitted == written
    whole = method_options.fill("tig_bev", {"needed": "x", "weight": 1, "level": 2}, folder)
    assert isinstance(whole["weight"], float)
    assert isinstance(whole["level"], float)


def test_a_missing_required_option_is_refused(folder: Path):
    with pytest.raises(UserError, match="method 'tig_bev' needs 'needed'"):
        method_options.fill("tig_bev", {}, folder)


@pytest.mark.parametrize(
    ("signature", "sentence"),
    [
        ("self, weight", "takes more than keywords"),
        ("self, *, weight: Tensor = 1", "an option is annotated with Tensor"),
        ("self, *, weight=1.0", "an option is annotated with nothing"),
        ("self, *, weight: float = sqrt(2)", r"the default sqrt\(2\) cannot be read without running it"),
    ],
)
def test_an_unreadable_constructor_is_refused(tmp_path: Path, signature: str, sentence: str):
    (tmp_path / "odd.py").write_text(f"class Odd(Distiller):\n    def __init__({signature}): ...\n")
    with pytest.raises(UserError, match=sentence) as caught:
        method_options.methods(tmp_path)
    assert "odd.py:2" in str(caught.value)


def test_an_unknown_method_gets_a_suggestion():
    with pytest.raises(UserError, match="unknown method 'dualdistil' \\(did you mean 'dualdistill'\\?\\)"):
        method_options.options("dualdistil")


def test_no_option_has_the_name_of_a_key_of_every_row():
    for method, options in method_options.methods().items():
        assert not row_keys.OF_EVERY_ROW.keys() & options.model_fields.keys(), method
