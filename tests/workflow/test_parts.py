"""The long profile is made in parts, by the commands at the head of its file."""

import re
import shlex
from pathlib import Path

import pytest
from checkouts import copy

ROOT = Path(__file__).parents[2]
PROFILE = ROOT / "config" / "profiles" / "world-long.yaml"


def parts() -> list[str]:
    return re.findall(r"^#   (long '.*)$", PROFILE.read_text(), re.MULTILINE)


def words(part: str) -> list[str]:
    """The arguments that the function `long` gives snakemake."""
    _, seeds, *targets = shlex.split(part)
    expanded = []
    for target in targets:
        braces = re.search(r"\{(.*)\}", target)
        names = braces[1].split(",") if braces else [""]
        expanded += [target.replace(braces[0], name) if braces else target for name in names]
    return [*expanded, "--config", "profile=world-long", f"seeds={seeds}"]


def test_the_profile_and_the_page_print_the_same_parts():
    page = (ROOT / "docs" / "world.md").read_text()
    assert len(parts()) == 4
    assert "\n".join(parts()) in page


@pytest.mark.slow
def test_every_part_trains_its_rows_with_the_teachers_of_their_seeds(tmp_path: Path):
    whole = copy(tmp_path / "checkout", whole=True)
    main, ablations, deep, budgets = (whole.jobs(*words(part)) for part in parts())
    # a pre-training per seed, of one backbone alone
    assert [jobs["pretrain"] for jobs in (main, ablations, deep, budgets)] == [5, 3, 3, 2]
    assert main["train"] % 5 == ablations["train"] % 3 == deep["train"] % 3 == 0
    assert (deep["train"], deep["table"]) == (3 * 8, 1)
    # five rows of five lengths
    assert (budgets["train"], budgets["train_teacher"], budgets["table"]) == (2 * 25, 2 * 2, 1)
