"""Jobs that snakemake would run, by a dry run."""

import base64
import os
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from checkouts import Checkout

from dualdistill.plan import identity

FULL = dict.fromkeys(("world", "index_data", "cache", "table", "claims"), 1) | {
    "train_teacher": 1,
    "pretrain": 2,
    "train": 4,
    "predict": 5,
    "evaluate": 5,
}
ROW = "x: {from: dualdistill-r50-centerpoint, temperature: 0.5}"
LINE = "      - {row: x, baseline: bevdepth-r50, shown: {method: x}}"


def processor_seconds(folder: Path) -> float:
    """Processor time of a dry run, because wall-clock time includes other work on this machine."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    line = [sys.executable, "-m", "snakemake", "--cores", "2", "-n"]
    subprocess.run(line, cwd=folder, capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.slow
def test_the_full_plan_takes_little_longer_than_snakemake_itself(checkout: Checkout, tmp_path: Path):
    # 2.3 s and 1.8 s where neither waits; a ratio holds on a slower or busier machine as well
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "Snakefile").write_text('rule all:\n    output: "x"\n    shell: "touch x"\n')
    assert checkout.jobs() == FULL
    planned = min(processor_seconds(checkout.root) for _ in range(3))
    assert planned < 1.6 * min(processor_seconds(empty) for _ in range(3))


def test_every_profile_can_be_planned(checkout: Checkout):
    assert checkout.jobs("--config", "profile=smoke") == FULL
    (checkout.root / "nuscenes" / "v1.0-trainval").mkdir(parents=True)
    (checkout.root / "resnet.pth").touch()
    files = "imagenet={r50: resnet.pth, r101: resnet.pth}"
    jobs = checkout.jobs("--config", "profile=nuscenes", "data_root=nuscenes", files)
    full_size = {rule: count for rule, count in FULL.items() if rule not in ("world", "cache", "pretrain")}
    assert jobs == full_size | {"objects": 1}


def test_more_seeds_add_runs_of_the_same_world(checkout: Checkout):
    jobs = checkout.jobs("--config", "seeds=[0,1,2]")
    rules = ("world", "pretrain", "train_teacher", "train", "table")
    assert [jobs[rule] for rule in rules] == [1, 2, 3, 12, 1]


def test_a_single_run_can_be_a_target(checkout: Checkout):
    text = checkout.snakemake("-n").stdout
    run = re.search(r"bevdepth-r50-s0-\w+", text)[0]
    jobs = checkout.jobs(f"results/runs/{run}/metrics.json")
    assert (jobs["pretrain"], jobs["train"], jobs["predict"], jobs["evaluate"]) == (1, 1, 1, 1)
    assert "train_teacher" not in jobs


def test_the_teacher_of_a_target_is_trained(checkout: Checkout):
    line = [sys.executable, "-m", "dualdistill", "resolve"]
    listed = subprocess.run(line, cwd=checkout.root, capture_output=True, text=True, check=True).stdout
    run = re.search(r"^(\S+)  dualdistill-r50-mvp$", listed, re.MULTILINE)[1]
    jobs = checkout.jobs(f"results/runs/{run}/metrics.json")
    data = {"world": 1, "index_data": 1, "cache": 1, "virtual": 1}
    training = {"train_teacher": 1, "pretrain": 1, "train": 1}
    assert jobs == {**data, **training, "predict": 1, "evaluate": 1}


def test_a_student_that_starts_at_random_waits_for_no_pre_training(checkout: Checkout):
    checkout.add("config/variants.yaml", "x: {from: bevdepth-r50, model.start: random}")
    line = [sys.executable, "-m", "dualdistill", "resolve"]
    listed = subprocess.run(line, cwd=checkout.root, capture_output=True, text=True, check=True).stdout
    run = re.search(r"^(\S+)  x$", listed, re.MULTILINE)[1]
    jobs = checkout.jobs(f"results/runs/{run}/metrics.json")
    assert jobs == {"world": 1, "index_data": 1, "cache": 1, "train": 1, "predict": 1, "evaluate": 1}


def test_a_run_that_reads_resized_images_waits_for_them(checkout: Checkout):
    checkout.add("config/variants.yaml", "x: {from: bevdepth-r50, model.start: random, input.decode: 176}")
    line = [sys.executable, "-m", "dualdistill", "resolve"]
    listed = subprocess.run(line, cwd=checkout.root, capture_output=True, text=True, check=True).stdout
    run = re.search(r"^(\S+)  x$", listed, re.MULTILINE)[1]
    jobs = checkout.jobs(f"results/runs/{run}/metrics.json")
    data = {"world": 1, "index_data": 1, "cache": 1, "images": 1}
    assert jobs == {**data, "train": 1, "predict": 1, "evaluate": 1}


def test_comments_order_and_layout_start_no_job(finished: Checkout):
    assert finished.jobs() == {}
    path = finished.root / "config" / "variants.yaml"
    rows = re.findall(r"^[a-z].*\n(?:  .*\n)*", path.read_text(), re.MULTILINE)
    path.write_text("".join(reversed(rows)))
    for name in ("config.yaml", "profiles/world.yaml", "tables.yaml"):
        path = finished.root / "config" / name
        path.write_text("# a comment\n" + path.read_text())
    finished.edit("workflow/rules/train.smk", "> {{log}}", ">  {{log}}")
    assert finished.jobs() == {}


def test_deleted_data_are_made_again_only_for_new_runs(finished: Checkout):
    shutil.rmtree(finished.root / "results" / "data")
    assert finished.jobs() == {}
    finished.add("config/variants.yaml", ROW)
    finished.add("config/tables.yaml", LINE)
    run = {"train": 1, "predict": 1, "evaluate": 1, "table": 1}
    assert finished.jobs() == {"world": 1, "index_data": 1, "cache": 1, **run}


def test_everything_is_planned_after_an_interrupted_world(checkout: Checkout):
    done = checkout.snakemake("-n")
    target = re.search(r"results/data/[\w-]+/root/world\.json", done.stdout)[0]
    # the state after a kill: a file, and snakemake's mark that it may be incomplete
    (checkout.root / target).parent.mkdir(parents=True)
    (checkout.root / target).write_text("half")
    marks = checkout.root / ".snakemake" / "incomplete"
    marks.mkdir(parents=True, exist_ok=True)
    (marks / base64.b64encode(target.encode()).decode()).touch()
    assert checkout.jobs() == FULL


def test_a_table_of_students_needs_the_score_of_their_teacher(checkout: Checkout):
    path = checkout.root / "config" / "tables.yaml"
    kept = [
        line for line in path.read_text().splitlines() if "{row:" not in line or "r50-centerpoint" in line
    ]
    path.write_text("\n".join(kept).replace("baseline: bevdepth-r50, ", "") + "\n")
    checkout.edit("config/figures.yaml", "[BEVDepth, DualDistill]", "[DualDistill]")
    jobs = checkout.jobs("results/table_main.csv")
    assert (jobs["train_teacher"], jobs["train"], jobs["predict"], jobs["evaluate"]) == (1, 1, 2, 2)


def test_a_new_row_starts_only_its_own_jobs(finished: Checkout):
    finished.add("config/variants.yaml", ROW)
    assert finished.jobs() == {}
    finished.add("config/tables.yaml", LINE)
    assert finished.jobs() == {"train": 1, "predict": 1, "evaluate": 1, "table": 1}


def test_a_changed_row_starts_one_training_and_a_removed_row_none(finished: Checkout):
    changed = "{from: dualdistill-r50-centerpoint, backbone: r101, temperature: 0.5}"
    finished.edit("config/variants.yaml", "{from: dualdistill-r50-centerpoint, backbone: r101}", changed)
    assert finished.jobs() == {"train": 1, "predict": 1, "evaluate": 1, "table": 1, "claims": 1}
    finished.edit("config/variants.yaml", f"dualdistill-r101-centerpoint: {changed}\n", "")
    released = "released-dualdistill-r101-centerpoint: {from: dualdistill-r101-centerpoint, weights: file}\n"
    finished.edit("config/variants.yaml", released, "")
    line = "      - {row: dualdistill-r101-centerpoint, baseline: bevdepth-r101, reported: r101_ours_cp}\n"
    finished.edit("config/tables.yaml", line, "")
    pair = "      - {row: dualdistill-r101-centerpoint, beats: bevdepth-r101}\n"
    finished.edit("config/claims.yaml", pair, "")
    assert finished.jobs() == {"table": 1, "claims": 1}


def test_an_equal_row_with_another_name_starts_no_training(finished: Checkout):
    finished.add("config/variants.yaml", "x: {from: dualdistill-r50-centerpoint, temperature: 0.1}")
    finished.add("config/tables.yaml", LINE)
    assert finished.jobs() == {"table": 1}


def test_a_renamed_or_duplicate_row_starts_no_training(finished: Checkout):
    for file in ("variants", "tables", "claims", "figures"):
        path = finished.root / "config" / f"{file}.yaml"
        path.write_text(re.sub(r"\bdualdistill-r50-centerpoint\b", "ours", path.read_text()))
    finished.add("config/variants.yaml", "again: {from: ours}")
    named = finished.snakemake("-n", "--forcerun", "train").stdout
    assert re.search(r"^Job \d+: Train again = ours \(\w{10}\)$", named, re.MULTILINE)
    assert not {"train", "predict", "evaluate"} & finished.jobs().keys()


def test_event_files_on_request_start_no_job(finished: Checkout):
    assert finished.jobs("--config", "tensorboard=true") == {}


def test_messages_name_rows_and_seeds(checkout: Checkout):
    text = checkout.snakemake("-n", "--config", "seeds=[0,1]").stdout
    for sentence in (
        r"Train bevdepth-r50, seed 1 \(\w{10}\)",
        r"Train the teacher centerpoint, seed 0 \(\w{10}\)",
        r"Pre-train pretrain-r50 \(\w{10}\)",
        r"Predict boxes with bevdepth-r50, seed 0 \(\w{10}\)",
        r"Score bevdepth-r50, seed 0 \(\w{10}\) with the official evaluation",
    ):
        assert re.search(rf"^Job \d+: {sentence}$", text, re.MULTILINE), sentence


def test_a_job_does_not_require_masks_that_only_other_runs_read(checkout: Checkout):
    """Only the main snakemake process checks targets, not the processes of its jobs."""
    (checkout.root / "nuscenes" / "v1.0-trainval").mkdir(parents=True)
    (checkout.root / "resnet.pth").touch()
    checkout.add("config/tables.yaml", "      - {row: x3kd-r50-centerpoint, baseline: bevdepth-r50}")
    real = (
        "--config",
        "profile=nuscenes",
        "data_root=nuscenes",
        "imagenet={r50: resnet.pth, r101: resnet.pth}",
    )
    assert faulty(checkout, *real)[1].startswith("profile nuscenes: masks is not set")
    line = [sys.executable, "-m", "dualdistill", "resolve", "--profile", "nuscenes"]
    listed = subprocess.run(line, cwd=checkout.root, capture_output=True, text=True, check=True).stdout
    run = re.search(r"^(\S+)  centerpoint$", listed, re.MULTILINE)[1]
    shutil.copy2(Path(__file__).parent / "stand_in.py", checkout.root / "dualdistill" / "__main__.py")
    planned = checkout.snakemake("-n", *real, "--", f"results/runs/{run}/run.json")
    index, data = re.search(r"(results/data/([^/]+)/index\.npz)", planned.stdout).groups()
    job = checkout.snakemake("--mode", "subprocess", *real, "--target-jobs", f"index_data:data={data}")
    assert (job.returncode, (checkout.root / index).exists()) == (0, True), job.stderr


@pytest.mark.parametrize(
    ("stage", "jobs"),
    [
        ("EVALUATE", {"evaluate": 5, "table": 1, "claims": 1}),
        ("PREDICT", {"predict": 5, "evaluate": 5, "table": 1, "claims": 1}),
        (
            "TRAIN",
            {rule: count for rule, count in FULL.items() if rule not in ("world", "index_data", "cache")},
        ),
        ("WORLD", FULL),
    ],
)
def test_a_raised_version_starts_the_jobs_that_depend_on_it(
    finished: Checkout, stage: str, jobs: dict[str, int]
):
    version = getattr(identity, stage)
    finished.edit("dualdistill/plan/identity.py", f"{stage} = {version}", f"{stage} = {version + 1}")
    assert finished.jobs() == jobs


def test_retraining_a_teacher_retrains_its_students(finished: Checkout):
    record = next((finished.root / "results" / "runs").glob("centerpoint-*")) / "run.json"
    record.write_text("another training\n")
    assert finished.jobs() == {"train": 2, "predict": 3, "evaluate": 3, "table": 1, "claims": 1}


def test_retraining_a_backbone_retrains_its_students(finished: Checkout):
    record = next((finished.root / "results" / "runs").glob("pretrain-r50-*")) / "run.json"
    record.write_text("another training\n")
    assert finished.jobs() == {"train": 2, "predict": 2, "evaluate": 2, "table": 1, "claims": 1}


def test_a_new_score_of_a_teacher_retrains_no_student(finished: Checkout):
    score = next((finished.root / "results" / "runs").glob("centerpoint-*")) / "metrics.json"
    score.write_text("another score\n")
    assert finished.jobs() == {"table": 1, "claims": 1}


def test_deleting_the_records_of_snakemake_starts_no_training(finished: Checkout):
    shutil.rmtree(finished.root / ".snakemake")
    assert finished.jobs() == {}


def test_scrambled_times_start_no_training(finished: Checkout):
    for number, path in enumerate(sorted((finished.root / "results").rglob("*.*"), reverse=True)):
        os.utime(path, (1_600_000_000 + number, 1_600_000_000 + number))
    assert not {"train", "train_teacher", "pretrain"} & finished.announced().keys()


@pytest.mark.slow
def test_another_profile_makes_the_table_again(finished: Checkout):
    assert finished.jobs("--config", "profile=smoke") == FULL
    assert finished.snakemake("--config", "profile=smoke").returncode == 0
    assert finished.jobs("--config", "profile=smoke") == {}
    assert finished.jobs() == {"table": 1, "claims": 1}


def faulty(checkout: Checkout, *words: str) -> tuple[int, str]:
    done = checkout.snakemake(*words)
    lines = [
        line for line in done.stderr.splitlines() if not line.startswith("Using workflow specific profile")
    ]
    assert done.stdout == ""
    assert not (checkout.root / "results").exists()
    return done.returncode, "\n".join(lines)


def test_a_fault_in_the_configuration_gives_one_sentence_and_starts_no_job(checkout: Checkout):
    checkout.add("config/variants.yaml", "temp-0.5: {from: dualdistill-r50-centerpoint, temprature: 0.5}")
    line = len((checkout.root / "config" / "variants.yaml").read_text().splitlines())
    sentence = "unknown key 'temprature' in row 'temp-0.5' (did you mean 'temperature'?)"
    assert faulty(checkout) == (2, f"config/variants.yaml:{line}: {sentence}")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--config", "profile=wrld"), "command line: unknown profile 'wrld' (did you mean 'world'?)"),
        (("--config", "sees=1"), "command line: unknown key 'sees' (did you mean 'seeds'?)"),
        (
            ("results/table_mian.csv",),
            "results/table_mian.csv: profile 'world' has no table 'table_mian' (did you mean 'table_main'?)",
        ),
        (
            ("--software-deployment-method", "conda"),
            "--software-deployment-method: every job runs in snakemake's own environment (leave it out)",
        ),
    ],
)
def test_a_fault_on_the_command_line_gives_one_sentence(
    checkout: Checkout, words: tuple[str, ...], sentence: str
):
    assert faulty(checkout, *words) == (2, sentence)


def test_an_unknown_run_gets_a_suggestion(checkout: Checkout):
    code, sentence = faulty(checkout, "results/runs/bevdepth-r50-s0-0123456789/metrics.json")
    assert code == 2
    suggestion = r"\(did you mean 'bevdepth-r50-s0-\w{10}'\?\)"
    assert re.search(rf"has no run 'bevdepth-r50-s0-0123456789' {suggestion}$", sentence)


def test_missing_real_data_gives_one_sentence(checkout: Checkout):
    code, sentence = faulty(checkout, "--config", "profile=nuscenes")
    assert (code, sentence) == (
        2,
        "profile nuscenes: data_root is not set (the folder that holds v1.0-trainval/)",
    )


def test_commands_run_in_the_interpreter_that_plans(checkout: Checkout):
    assert f"Shell command: {sys.executable} -m dualdistill world" in checkout.snakemake("-n").stdout
