"""The strict YAML reader: accepted values, refused values and their error messages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualdistill.config import yaml
from dualdistill.errors import UserError


def refusal(text: str) -> str:
    with pytest.raises(UserError) as caught:
        yaml.parse(text, "a.yaml")
    return str(caught.value)


def test_values_keep_their_lines():
    document = yaml.parse("# a comment\na: {b: 1}\nc:\n  - x\n  - y\n", "a.yaml")
    assert document.value == {"a": {"b": 1}, "c": ["x", "y"]}
    assert [document.where(place) for place in (("a", "b"), ("c",), ("c", 1), ("c", 1, "deeper"))] == [
        "a.yaml:2",
        "a.yaml:3",
        "a.yaml:5",
        "a.yaml:5",
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: 1\nb: 2\na: 3", "a.yaml:3: key 'a' is written twice (first in line 1)"),
        ("a: off", 'a.yaml:1: YAML reads off as false (write false, or "off" in quotes)'),
        ("a:\n  - yes", 'a.yaml:2: YAML reads yes as true (write true, or "yes" in quotes)'),
        ("no: 1", "a.yaml:1: key 'no' is not text to YAML (put it in quotes)"),
        ("a: 0123", "a.yaml:1: '0123' is not a plain number (write decimal digits, or put it in quotes)"),
        ("a: 12:30", "a.yaml:1: '12:30' is not a plain number (write decimal digits, or put it in quotes)"),
        ("a: .nan", "a.yaml:1: '.nan' is not a plain number (write decimal digits, or put it in quotes)"),
        ("a: 1.0e+999", "a.yaml:1: 1.0e+999 is too large for a number (write a smaller one)"),
        ("a: 2020-01-01", "a.yaml:1: '2020-01-01' is not a plain number (write decimal"),
        ("a: &x [1]\nb: *x", "a.yaml:1: anchors are not used here (write the value out)"),
        ("a: &x [*x]", "a.yaml:1: anchors are not used here (write the value out)"),
        ("a: !!python/object:os.system 1", "a.yaml:1: '1' is not a plain number"),
        ("a: [1", "a.yaml:2: not valid YAML: did not find expected"),
        ("a: \x07", "a.yaml: not valid YAML: it holds unprintable characters"),
        ("# nothing\n", "a.yaml: the file is empty"),
    ],
)
def test_a_value_that_yaml_would_misread_is_refused_with_its_line(text: str, sentence: str):
    assert refusal(text).startswith(sentence)


def test_a_missing_file_gives_one_sentence(tmp_path):
    with pytest.raises(UserError, match=r"gone\.yaml: cannot read the file: No such file or directory"):
        yaml.read(tmp_path / "gone.yaml")


KEYS = st.from_regex(r"[a-z]{1,6}x", fullmatch=True)


@given(st.dictionaries(KEYS, st.integers() | st.booleans() | st.none()))
def test_plain_values_are_read_back_unchanged(values):
    text = "".join(f"{key}: {'null' if v is None else str(v).lower()}\n" for key, v in values.items())
    if text:
        assert yaml.parse(text, "a.yaml").value == values
