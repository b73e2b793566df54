"""A profile states what differs from the profile that it names in `from`."""

import dataclasses
from pathlib import Path

import pytest

from dualdistill.config import profile as profiles
from dualdistill.config.profile import Profile
from dualdistill.config.yaml import read
from dualdistill.errors import UserError


@pytest.fixture
def folder(whole_folder: Path) -> Path:
    return whole_folder / "profiles"


def load(folder: Path, name: str) -> Profile:
    return profiles.load(read(folder / f"{name}.yaml"))[0]


def fault(folder: Path, text: str, name: str = "mine") -> str:
    (folder / f"{name}.yaml").write_text(text)
    with pytest.raises(UserError) as caught:
        load(folder, name)
    return str(caught.value).removeprefix(f"{folder}/")


def test_an_empty_difference_is_the_profile_itself(folder: Path):
    (folder / "same.yaml").write_text("from: world\n")
    assert load(folder, "same") == load(folder, "world")


def test_only_what_is_stated_differs_however_deep_it_stands(folder: Path):
    (folder / "mine.yaml").write_text(
        "from: world\nthreads: 2\ndata: {world: {val_scenes: 7}}\n"
        "students: {bevdepth: {head: {max_candidates: 50}}}\nbackbones: {r101: {model.neck_channels: 32}}\n"
    )
    world, mine = load(folder, "world"), load(folder, "mine")
    assert mine.data == dataclasses.replace(
        world.data, world=dataclasses.replace(world.data.world, val_scenes=7)
    )
    student = world.students["bevdepth"]
    head = dataclasses.replace(student.head, max_candidates=50)
    assert mine.students == {"bevdepth": dataclasses.replace(student, head=head)}
    assert mine.backbones == world.backbones | {"r101": {"model.depth": 101, "model.neck_channels": 32}}
    rest = ("data", "students", "backbones", "threads")
    assert (mine.threads, world.threads) == (2, 1)
    assert dataclasses.replace(mine, **{key: getattr(world, key) for key in rest}) == world


def test_blocks_inherit_within_a_profile_after_it_has_inherited(folder: Path):
    (folder / "mine.yaml").write_text(
        "from: world\nschedules: {base: {batch: 8}, teacher: {batch: 6}}\n"
        "teachers: {centerpoint: {pillar_channels: 24}}\n"
    )
    mine = load(folder, "mine")
    schedules = mine.schedules
    assert (schedules.student.batch, schedules.teacher.batch, schedules.pretrain.batch) == (8, 6, 32)
    assert (mine.teachers.centerpoint.pillar_channels, mine.teachers.mvp.pillar_channels) == (24, 24)
    assert mine.teachers.mvp.virtual.damage is not None


def test_profiles_inherit_through_others(folder: Path):
    (folder / "mine.yaml").write_text("from: world-long\nteacher_seed: 3\n")
    mine, long = load(folder, "mine"), load(folder, "world-long")
    assert mine == dataclasses.replace(long, teacher_seed=3)


def test_the_long_world_differs_in_scored_scenes_schedule_and_teachers(folder: Path):
    world, long = load(folder, "world"), load(folder, "world-long")
    same = {
        "teacher_seed": 0,
        "schedules": dataclasses.replace(long.schedules, student=world.schedules.student),
    }
    more = dataclasses.replace(world.data.world, val_scenes=400)
    assert dataclasses.replace(long, **same) == dataclasses.replace(
        world, data=dataclasses.replace(world.data, world=more)
    )


def line_of(path: Path, text: str) -> int:
    return next(number for number, line in enumerate(path.read_text().splitlines(), 1) if text in line)


def test_a_fault_names_the_file_and_line_where_its_key_stands(folder: Path):
    what = "'val_scenes' in 'data.world' must be a whole number, not 1.5"
    text = "from: world-long\ndata:\n  world:\n    val_scenes: 1.5\n"
    assert fault(folder, text) == f"mine.yaml:4: {what}"
    assert fault(folder, "from: world\n\ngrid: {cell_n: 0.5}\n") == (
        "mine.yaml:3: unknown key 'cell_n' in 'grid' (did you mean 'cell_m'?)"
    )
    parent = folder / "world.yaml"
    parent.write_text(parent.read_text().replace("pillar_m: 0.1875", "pillar_m: -0.1875"))
    line = line_of(parent, "pillar_m: -0.1875")
    assert fault(folder, "from: world-long\n") == (
        f"world.yaml:{line}: 'pillar_m' in 'teachers.centerpoint' must be above 0, not -0.1875"
    )


def test_a_contradiction_of_two_files_names_the_one_that_states_the_block(folder: Path):
    assert fault(folder, "from: world\nschedules:\n  student: {batch_per_device: 3}\n") == (
        "mine.yaml:3: a batch of 4 is not a multiple of batch_per_device 3"
    )


def test_epochs_without_effect_are_refused(folder: Path):
    assert fault(folder, "from: world-long\nschedules: {student: {epochs: 3}}\n") == (
        "mine.yaml:2: 'epochs' in 'schedules.student' has no effect, because total_steps decides "
        "(add total_steps: null)"
    )
    (folder / "mine.yaml").write_text(
        "from: world-long\nschedules: {student: {epochs: 3, total_steps: null}}\n"
    )
    assert load(folder, "mine").schedules.student.steps_in_all(180) == 540


def test_steps_of_a_schedule_win_over_epochs_of_its_base(folder: Path):
    smoke = (folder / "smoke.yaml").read_text()
    (folder / "mine.yaml").write_text(
        smoke.replace("  base:", "  base:\n    epochs: 24", 1).replace("{epochs: 2}", "{total_steps: 5}", 1)
    )
    schedules = load(folder, "mine").schedules
    assert (schedules.student.steps_in_all(4), schedules.teacher.steps_in_all(4)) == (5, 4)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("threads: 1\nfrom: wrold\n", "mine.yaml:2: unknown profile 'wrold' (did you mean 'world'?)"),
        ("from: 3\n", "mine.yaml:1: 'from' must be text"),
        ("from: mine\n", "mine.yaml:1: profiles start from each other in a circle: mine -> mine"),
    ],
)
def test_a_profile_that_inherits_from_nothing_is_refused(folder: Path, text: str, sentence: str):
    assert fault(folder, text) == sentence


def test_a_circle_of_profiles_is_refused(folder: Path):
    (folder / "other.yaml").write_text("from: mine\n")
    assert fault(folder, "from: other\n") == (
        "other.yaml:1: profiles start from each other in a circle: mine -> other -> mine"
    )
