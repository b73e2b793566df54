"""Inputs that the command refuses; its scoring is tested by the commands in docs/world.md."""

from __future__ import annotations

from pathlib import Path

import pytest

from dualdistill.errors import DataError, UserError
from dualdistill.evaluation import world_shift
from dualdistill.plan import plan
from dualdistill.plan.plan import Plan


def lines(made: Plan, row: str, *texts: str) -> list[str]:
    return list(world_shift.lines(made, made.run(row), list(texts)))


@pytest.fixture
def smoke(checkout: Path, tmp_path: Path) -> Plan:
    return plan.load(checkout / "config/config.yaml", {"profile": "smoke"}, tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("densty=2", "no knob 'densty'"),
        ("train_scenes=2", "no knob 'train_scenes'"),
        ("density", "'density' needs a value"),
        ("density=many", "'density' must be a number, not the text 'many'"),
        ("lidar_beams=1.5", "'lidar_beams' must be a whole number, not 1.5"),
        ("weather=2", "'weather' must be at most 1, not 2"),
    ],
)
def test_an_unknown_knob_or_value_is_refused(smoke: Plan, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        lines(smoke, "centerpoint", text)


def test_a_run_with_virtual_points_is_refused(smoke: Plan) -> None:
    with pytest.raises(UserError, match="virtual points"):
        lines(smoke, "mvp")


def test_an_untrained_run_is_refused_before_a_world_is_made(smoke: Plan, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        lines(smoke, "centerpoint", "density=2")
    assert not list(tmp_path.iterdir())


def test_a_real_data_set_has_no_knobs(checkout: Path, tmp_path: Path) -> None:
    real = plan.load(checkout / "config/config.yaml", {"profile": "nuscenes"}, tmp_path)
    with pytest.raises(UserError, match="reads a real data set"):
        lines(real, "centerpoint", "density=2")
