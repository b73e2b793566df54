"""A recipe changes the numbers and methods that it names, and nothing else."""

from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from dualdistill.config import method_options
from dualdistill.config.run_spec import HeadSpec
from dualdistill.config.settings import load
from dualdistill.errors import UserError
from dualdistill.plan import plan as planning
from dualdistill.plan.plan import Plan
from dualdistill.plan.snakemake_inputs import Jobs
from dualdistill.plan.variants import Resolver
from dualdistill.report.collect import gather

PROFILES = ("smoke", "world", "nuscenes")
OTHER = "as_published"


def planned(folder: Path, **overrides: Any) -> Plan:
    return planning.load(folder / "config.yaml", overrides)


def published(folder: Path, profile: str) -> Plan:
    return planned(folder, profile=profile, recipe=OTHER)


def write_recipe(folder: Path, text: str) -> None:
    (folder / "recipes" / "mine.yaml").write_text(f"title: a test\n{text}\n")


def add(folder: Path, text: str) -> None:
    with (folder / "variants.yaml").open("a") as stream:
        stream.write(text + "\n")


def dotted(value: Any, prefix: str = "") -> dict[str, Any]:
    """Every number of a spec by its path."""
    if not isinstance(value, dict):
        return {prefix: value}
    return {
        name: leaf for key, part in value.items() for name, leaf in dotted(part, f"{prefix}.{key}").items()
    }


def test_the_default_changes_nothing(folder: Path):
    read = load(folder / "config.yaml")
    assert read.settings.recipe == "matched"
    assert read.recipe.value.keys() == {"title"}


@pytest.mark.parametrize("profile", PROFILES)
def test_every_row_differs_exactly_in_the_numbers_of_the_recipe(folder: Path, profile: str):
    resolvers = [
        Resolver(load(folder / "config.yaml", {"profile": profile, "recipe": name}))
        for name in ("matched", OTHER)
    ]
    before, after = resolvers
    for name, variant in after.variants.items():
        if variant.imported:  # no recipe applies
            assert before.spec(name, 0) == after.spec(name, 0)
            continue
        teaching = after.variants[variant.teacher].model if variant.teacher else None
        expected = after.recipe.changes(variant.method or variant.model, variant.backbone, teaching)
        old, new = (asdict(each.spec(name, 0)) for each in resolvers)
        if old["teacher"]:
            teacher = str(variant.teacher)
            assert (old["teacher"], new["teacher"]) == tuple(
                asdict(each.spec(teacher, 0)) for each in resolvers
            )
            old["teacher"] = new["teacher"] = None
            for each in (old, new):
                encoder = each["distill"].pop("label_encoder")  # its spec holds the teacher's
                each["label_encoder"] = encoder and encoder["model"]
        changed = {key.lstrip(".") for key, value in dotted(new).items() if value != dotted(old)[key]}
        # the detectors that give a student its initial weights are the same network and change with it
        changed = {key.replace("pretraining.", "") for key in changed}
        assert changed <= expected.keys() - before.variants[name].changes.keys(), name
        for key in expected.keys() - variant.changes.keys():
            value = dotted(new)[f".{key}"]
            assert (list(value) if isinstance(value, tuple) else value) == expected[key], (name, key)


def test_every_method_and_every_model_has_an_entry(folder: Path):
    profile = yaml.safe_load((folder / "profiles" / "world.yaml").read_text())
    entries = yaml.safe_load((folder / "recipes" / f"{OTHER}.yaml").read_text())
    networks = {*profile["students"], *profile["teachers"]}
    assert entries.keys() - {"title"} == {*method_options.methods(), *networks}


def test_the_published_differences(folder: Path):
    plan = published(folder, "nuscenes")

    def schedule(row: str) -> tuple[Any, ...]:
        spec = plan.run(row).spec.schedule
        return spec.epochs, spec.steps, spec.cbgs, spec.ema, spec.batch, spec.weight_decay, spec.warmup_iters

    assert schedule("bevdepth-r50") == (20, (16, 19), True, 0.0, 64, 1e-7, 0)
    assert schedule("bevdepth-r101") == (20, (16, 19), True, 0.0, 64, 1e-3, 0)
    assert schedule("dualdistill-r50-mvp") == (24, (16, 22), True, 0.0, 32, 0.01, 500)
    assert schedule("distillbev-r101-mvp") == (24, (16, 22), True, 0.0, 64, 0.01, 500)
    assert schedule("tigbev-r50-centerpoint") == (24, (19, 23), False, 0.0, 64, 1e-7, 0)
    assert schedule("labeldistill-r50-centerpoint") == (30, (19, 23), False, 0.999, 16, 0.01, 0)
    assert schedule("tigbev-r101-centerpoint") == (20, (16, 19), True, 0.0, 64, 0.01, 200)
    rows = (
        "bevdepth-r50",
        "dualdistill-r50-mvp",
        "distillbev-r101-mvp",
        "labeldistill-r50-centerpoint",
        "mvp",
    )
    assert [plan.run(row).spec.schedule.batch_per_device for row in rows] == [8, 16, 8, 4, 4]
    rows = ("bevdepth-r50", "tigbev-r101-centerpoint", "distillbev-r50-centerpoint")
    assert [plan.run(row).spec.model.extra_norm for row in rows] == [False, False, True]
    jitter = [plan.run(row).spec.input.resize_jitter for row in ("bevdepth-r50", "bevdepth-r101")]
    assert jitter == [(-0.054, 0.11), (-0.108, 0.22)]
    rows = ("tigbev-r50-centerpoint", "tigbev-r101-centerpoint", "dualdistill-r50-mvp", "distillbev-r50-mvp")
    assert [plan.run(row).spec.input.scene_start for row in rows] == ["next", "next", "current", "current"]
    rows = ("dualdistill-r101-mvp", "distillbev-r50-mvp", "dualdistill-r50-centerpoint", "bevdepth-r50")
    depth = [plan.run(row).spec.input.depth_points for row in rows]
    assert depth == ["virtual", "virtual", "lidar", "lidar"]


def test_megviis_students_have_the_distances_of_their_configuration_in_nms(folder: Path):
    """Its min_radius is in square metres."""
    plan = published(folder, "nuscenes")
    for row in ("bevdepth-r50", "bevdepth-r101", "labeldistill-r50-centerpoint"):
        squares = [metres**2 for metres in plan.run(row).spec.model.head.circle_nms_m]
        assert squares == pytest.approx([4, 12, 10, 1, 0.85, 0.175], rel=1e-5)
    for row in ("dualdistill-r50-mvp", "distillbev-r50-centerpoint", "tigbev-r101-centerpoint"):
        assert plan.run(row).spec.model.head == HeadSpec()


def test_tig_bev_does_not_double_the_resize_range_with_the_image(folder: Path):
    matched, other = planned(folder, profile="nuscenes"), published(folder, "nuscenes")
    wide, narrow = (plan.run("tigbev-r101-centerpoint").spec.input for plan in (matched, other))
    assert (narrow.image_height, narrow.image_width) == (wide.image_height, wide.image_width) == (512, 1408)
    assert (wide.resize_jitter, wide.resize_test) == ((-0.12, 0.22), 0.08)
    assert (narrow.resize_jitter, narrow.resize_test) == ((-0.06, 0.11), 0.04)


@pytest.mark.parametrize("profile", ["smoke", "world"])
def test_no_student_of_a_short_run_has_averaged_weights(folder: Path, profile: str):
    """At a decay of 0.999, 93 % of the average would be the initial weights after the world's 68 steps."""
    runs = published(folder, profile).runs.values()
    assert not [run.id for run in runs if run.spec.kind == "student" and run.spec.schedule.ema]


def test_rows_that_two_recipes_resolve_equally_share_a_run(folder: Path):
    matched, other = planned(folder, profile="nuscenes"), published(folder, "nuscenes")
    for row in ("x3kd-r50-centerpoint", "centerpoint", "mvp"):
        assert matched.run(row).id == other.run(row).id


def test_methods_train_in_the_precision_of_their_files(folder: Path):
    plan = published(folder, "nuscenes")
    expected = {
        "bevdepth-r50": "16-mixed",
        "dualdistill-r50-mvp": "16-mixed",
        "labeldistill-r101-centerpoint": "16-mixed",
        "tigbev-r101-centerpoint": "32-true",
        "distillbev-r50-mvp": "bf16-mixed",
    }
    assert {row: plan.run(row).spec.schedule.precision for row in expected} == expected


def test_the_innermost_block_wins_and_a_row_wins_over_all(folder: Path):
    block = "schedule.epochs: {}, schedule.batch: {}"
    add(folder, "mine: {from: bevdepth-r50, schedule.epochs: 9}")

    def numbers(row: str) -> tuple[int, int]:
        schedule = planned(folder, recipe="mine").run(row).spec.schedule
        return schedule.epochs, schedule.batch

    write_recipe(folder, f"bevdepth: {{{block.format(11, 21)}, world: {{schedule.epochs: 12}}}}")
    assert numbers("bevdepth-r50") == numbers("bevdepth-r101") == (12, 21)
    inner = "r50: {schedule.epochs: 13, world: {schedule.epochs: 14}, nuscenes: {schedule.batch: 24}}"
    write_recipe(folder, f"bevdepth: {{{inner}, world: {{{block.format(12, 22)}}}, {block.format(11, 21)}}}")
    assert numbers("bevdepth-r50") == (14, 22)
    assert numbers("bevdepth-r101") == (12, 22)
    assert numbers("mine") == (9, 22)


def test_a_teachers_block_applies_to_the_students_of_that_network_alone(folder: Path):
    add(
        folder,
        "mvp-1: {from: mvp, model.virtual.per_mask: 1}\nmine: {from: dualdistill-r50-mvp, teacher: mvp-1}",
    )
    inner = "mvp: {schedule.epochs: 12, schedule.batch: 22, world: {schedule.epochs: 13}}"
    write_recipe(folder, f"dualdistill: {{schedule.epochs: 11, {inner}, r101: {{schedule.batch: 24}}}}")
    plan = planned(folder, recipe="mine")
    rows = ("mine", "dualdistill-r50-mvp", "dualdistill-r101-mvp", "dualdistill-r50-centerpoint")
    schedules = [plan.run(row).spec.schedule for row in rows]
    assert [(each.epochs, each.batch) for each in schedules] == [(13, 22), (13, 22), (13, 24), (11, 4)]


FAULTS: dict[str, tuple[str, str]] = {
    "unknown method": ("tigbv: {}", "unknown key 'tigbv' (did you mean 'tigbev'?)"),
    "unknown number": (
        "tigbev: {schedule.epoch: 3}",
        "unknown key 'schedule.epoch' in 'tigbev' (did you mean 'schedule.epochs'?)",
    ),
    "unknown backbone": (
        "tigbev: {r5: {schedule.epochs: 3}}",
        "unknown key 'r5' in 'tigbev' (did you mean 'r50'?)",
    ),
    "unknown data set": (
        "tigbev: {r50: {nuscene: {}}}",
        "unknown key 'nuscene' in 'tigbev.r50' (did you mean 'nuscenes'?)",
    ),
    "a teacher of a model without a method": (
        "bevdepth: {mvp: {schedule.epochs: 3}}",
        "unknown key 'mvp' in 'bevdepth'",
    ),
    "a backbone of a teacher": ("mvp: {r50: {}}", "unknown key 'r50' in 'mvp'"),
    "a student's number for a teacher": ("mvp: {model.start: random}", "unknown key 'model.start' in 'mvp'"),
    "out of range": (
        "tigbev: {world: {schedule.epochs: -1}}",
        "'schedule.epochs' in 'tigbev.world' must be at least 0, not -1",
    ),
    "a label encoder of another method": (
        "tigbev: {label_encoder.painting: released}",
        "unknown key 'label_encoder.painting' in 'tigbev'",
    ),
    "a method's option": ("tigbev: {keypoints: 4}", "unknown key 'keypoints' in 'tigbev'"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_a_recipe_gives_one_sentence_with_its_line(folder: Path, fault: str):
    text, sentence = FAULTS[fault]
    write_recipe(folder, text)
    with pytest.raises(UserError) as caught:
        planned(folder, recipe="mine")
    assert str(caught.value).startswith(f"{folder / 'recipes' / 'mine.yaml'}:2: {sentence}")


def test_a_recipe_without_a_title_is_refused(folder: Path):
    (folder / "recipes" / "mine.yaml").write_text("tigbev: {}\n")
    with pytest.raises(UserError, match="missing key 'title'"):
        planned(folder, recipe="mine")


def test_an_unknown_recipe_on_the_command_line_gets_a_suggestion(folder: Path):
    with pytest.raises(UserError) as caught:
        planned(folder, recipe="as_publishd")
    assert str(caught.value) == "command line: unknown recipe 'as_publishd' (did you mean 'as_published'?)"


def test_a_table_names_its_recipe_and_another_recipe_makes_it_again(folder: Path, tmp_path: Path):
    plans = [planning.load(folder / "config.yaml", {"recipe": name}, tmp_path) for name in ("matched", OTHER)]
    matched, other = (gather(each, "table_main", allow_missing=True) for each in plans)
    assert "Recipe: matched (one student, one teacher and one schedule for all; only" in matched.preface[1]
    assert "Recipe: as_published (every method with its own settings, as published;" in other.preface[1]
    assert "recipe=as_published" in other.about["command"]
    assert other.about["recipe"] == OTHER
    shas = {Jobs(each).table_sha(SimpleNamespace(table="table_main")) for each in plans}
    assert len(shas) == 2


def test_published_and_released_rows_decode_exactly_whatever_the_profile_says(folder: Path):
    with (folder / "profiles" / "nuscenes.yaml").open("a") as stream:
        stream.write("\ninput: {decode: fast}\n")
    matched, other = planned(folder, profile="nuscenes"), published(folder, "nuscenes")
    for plan, trained in ((matched, "fast"), (other, "exact")):
        for run in plan.runs.values():
            fast = run.spec.kind == "student" and run.spec.imported is None
            assert run.spec.input.decode == (trained if fast else "exact"), run.rows
