"""Real trainings of the smoke profile through the command line: killed, resumed, refused, paired."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from subprocess import CompletedProcess

import forked
import numpy as np
import pytest
import torch

from dualdistill.distill.alignment.orthogonal import OrthogonalProjection
from dualdistill.store.files import read_json, sha256_file
from dualdistill.store.progress import read as read_progress
from dualdistill.training.checkpoint import load_plain, load_state, save_state

Command = Callable[..., CompletedProcess[str]]
STUDENT = "dualdistill-r50-centerpoint"
PRETRAINING = "pretrain-r50"
LABELS = "labels-centerpoint"
LABEL_STUDENT = "labeldistill-r50-centerpoint"


@pytest.mark.slow
def test_a_training_writes_its_pace_for_status(trained: dict[str, Path]):
    for folder in trained.values():
        progress = read_progress(folder / "state")
        assert progress.done == progress.total > 0
        assert progress.seconds_each > 0
        assert progress.epoch > 0
        assert progress.losses


def events(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "state" / "events.jsonl").read_text().splitlines()]


def start(checkout: Path, run: str, results: Path) -> BaseProcess:
    where = ("--profile", "smoke", "--results", str(results))
    return forked.start("dualdistill", "train", run, *where, folder=checkout)


def wait_for_checkpoint(process: BaseProcess, folder: Path) -> int:
    """Block until a checkpoint is saved; return its step."""
    head = folder / "state" / "head.json"
    while process.is_alive():
        if head.exists():
            return int(json.loads(head.read_text())["checkpoints"][0]["step"])
        time.sleep(0.01)
    raise AssertionError("the training ended before it wrote a checkpoint")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variant", "number"),
    [
        (STUDENT, signal.SIGKILL),
        (STUDENT, signal.SIGTERM),
        (PRETRAINING, signal.SIGKILL),
        (LABELS, signal.SIGKILL),
    ],
)
def test_a_killed_run_ends_in_the_same_bytes(
    variant: str,
    number: signal.Signals,
    checkout: Path,
    trained: dict[str, Path],
    command: Command,
    copy_of_results: Path,
) -> None:
    whole = trained[variant]
    broken = copy_of_results / "runs" / whole.name
    shutil.rmtree(broken, ignore_errors=True)
    process = start(checkout, whole.name, copy_of_results)
    step = wait_for_checkpoint(process, broken)
    os.killpg(process.pid, number)
    process.join()
    assert process.exitcode == (-signal.SIGKILL if number == signal.SIGKILL else 128 + signal.SIGTERM)
    assert not (broken / "model.safetensors").exists()
    total = json.loads((broken / "state" / "head.json").read_text())["total"]
    assert 0 < step < total
    command("train", whole.name, folder=copy_of_results)
    assert events(broken)[0]["step"] == 0
    assert events(broken)[1]["step"] >= step  # type: ignore[operator]
    for name in ("model.safetensors", "history.jsonl"):
        assert sha256_file(broken / name) == sha256_file(whole / name)


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["bevdepth-r50", LABELS])
def test_a_finished_run_writes_its_outputs_again_without_training(
    variant: str, trained: dict[str, Path], command: Command
) -> None:
    """A run of whole epochs, and one that ends within an epoch; peak memory was that of another process."""
    folder = trained[variant]
    before = sha256_file(folder / "model.safetensors")
    sha = read_json(folder / "run.json")["spec_sha"]
    saved = load_state(folder / "state", sha) or {}
    save_state(folder / "state", saved["step"], saved["step"], sha, saved | {"memory_mb": 1e6})
    for name in ("model.safetensors", "history.jsonl", "run.json"):
        (folder / name).unlink()
    command("train", folder.name)
    assert sha256_file(folder / "model.safetensors") == before
    assert events(folder)[-1]["step"] == events(folder)[-1]["total"]
    assert read_json(folder / "run.json")["peak_memory_mb"] == 1e6


@pytest.mark.slow
def test_a_teacher_without_epochs_keeps_its_initial_weights(
    trained: dict[str, Path], command: Command, runs: dict[str, str], results: Path
) -> None:
    command("train", runs["every-ring-4"])
    folder, earlier = results / "runs" / runs["every-ring-4"], trained["centerpoint"]
    assert sha256_file(folder / "model.safetensors") == sha256_file(earlier / "model.safetensors")
    assert (folder / "history.jsonl").read_text() == ""
    record = json.loads((folder / "run.json").read_text())
    weights = f"{earlier.name}/model.safetensors"
    assert record["start"] == {
        "from": "weights",
        "file": weights,
        "sha256": record["outputs"]["model.safetensors"],
    }


@pytest.mark.slow
def test_a_run_records_how_long_it_waited_for_data(trained: dict[str, Path]) -> None:
    for folder in trained.values():
        assert 0 <= read_json(folder / "run.json")["waited_for_data"] < 1


def test_losses_are_recorded_by_name(trained: dict[str, Path]) -> None:
    rows = [json.loads(line) for line in (trained[STUDENT] / "history.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, len(rows) + 1))
    assert {"crd", "mfd_fg_s2", "mfd_tn_s3", "mfd_fp_head", "depth"} <= rows[0].keys()


@pytest.mark.slow
def test_rows_of_the_same_seed_start_from_the_same_loss(trained: dict[str, Path]) -> None:
    """Initial student, first batch and augmentation are the same, so the first depth losses are too."""
    first = [
        json.loads((trained[v] / "history.jsonl").read_text().splitlines()[0])
        for v in ("bevdepth-r50", STUDENT)
    ]
    assert first[0]["depth"] == first[1]["depth"]


@pytest.mark.slow
def test_orthogonality_survives_training_and_resume(trained: dict[str, Path]) -> None:
    """W W^T = I follows from the saved parameters, so a restored method has it too."""
    state = trained[STUDENT] / "state"
    saved = load_plain(state / json.loads((state / "head.json").read_text())["checkpoints"][0]["name"])[
        "objective"
    ]
    prefix = "method.adapters.s2.project."
    weights = {name.removeprefix(prefix): value for name, value in saved.items() if name.startswith(prefix)}
    outputs, inputs = weights["linear.parametrizations.weight.original"].shape
    projection = OrthogonalProjection(inputs, outputs)
    projection.load_state_dict(weights)
    weight_TC = projection.linear.weight
    gram = weight_TC @ weight_TC.T if outputs <= inputs else weight_TC.T @ weight_TC
    assert torch.allclose(gram, torch.eye(len(gram)), atol=1e-5)


@pytest.mark.slow
def test_a_second_trainer_of_one_run_is_refused(
    checkout: Path, trained: dict[str, Path], command: Command, copy_of_results: Path
) -> None:
    name = trained[STUDENT].name
    process = start(checkout, name, copy_of_results)
    wait_for_checkpoint(process, copy_of_results / "runs" / name)
    os.killpg(process.pid, signal.SIGSTOP)  # it must not finish while the second one starts
    second = command("train", name, folder=copy_of_results, check=False)
    os.killpg(process.pid, signal.SIGKILL)
    process.join()
    assert second.returncode == 6
    assert f"pid {process.pid}" in second.stderr
    assert "Traceback" not in second.stderr


@pytest.mark.slow
def test_a_changed_teacher_is_refused(
    trained: dict[str, Path], command: Command, copy_of_results: Path
) -> None:
    teacher = copy_of_results / "runs" / trained["centerpoint"].name / "model.safetensors"
    content = bytearray(teacher.read_bytes())
    content[-1] ^= 1
    teacher.write_bytes(content)
    done = command("train", trained[STUDENT].name, folder=copy_of_results, check=False)
    assert done.returncode == 4
    assert "differ from what run.json recorded" in done.stderr


@pytest.mark.slow
def test_a_loss_that_is_not_finite_stops_the_run_before_the_step(
    trained: dict[str, Path], command: Command, copy_of_results: Path
) -> None:
    """One NaN in the cached LiDAR of every frame reaches the teacher's loss."""
    run = trained["centerpoint"].name
    (points,) = copy_of_results.glob("data/*/cache/points.npy")
    array = np.load(points, mmap_mode="r+")
    array[:, 3] = np.nan  # intensity: the geometry stays valid
    array.flush()
    folder = copy_of_results / "runs" / run
    for path in folder.rglob("*"):
        if path.is_file():
            path.unlink()
    done = command("train", run, folder=copy_of_results, check=False)
    assert done.returncode in (3, 5), done.stderr
    assert "not finite" in done.stderr
    assert events(folder)[-1]["why"] in done.stderr
    assert not (folder / "model.safetensors").exists()


@pytest.mark.slow
def test_a_pretraining_records_its_accuracy_and_a_student_its_start(trained: dict[str, Path]) -> None:
    before, student = (
        json.loads((trained[name] / "run.json").read_text()) for name in (PRETRAINING, "bevdepth-r50")
    )
    assert before["held_out"]["crops"] > 0
    assert 0 <= before["held_out"]["accuracy"] <= 1
    assert "background" in before["held_out"]["by_class"]
    assert student["start"]["sha256"] == before["outputs"]["model.safetensors"]
    assert student["start"]["file"] == f"{trained[PRETRAINING].name}/model.safetensors"
    assert "held_out" not in student
    assert before["start"] == {"from": "random"}


@pytest.mark.slow
def test_predict_refuses_a_pretraining_run(trained: dict[str, Path], command: Command) -> None:
    done = command("predict", trained[PRETRAINING].name, check=False)
    assert done.returncode == 2
    assert done.stderr == f"run '{trained[PRETRAINING].name}' is a pre-training: it predicts no boxes\n"


@pytest.mark.slow
def test_a_student_without_its_pretraining_is_refused_in_one_sentence(
    trained: dict[str, Path], command: Command, copy_of_results: Path
) -> None:
    shutil.rmtree(copy_of_results / "runs" / trained[PRETRAINING].name)
    done = command("train", trained["bevdepth-r50"].name, folder=copy_of_results, check=False)
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    assert "run.json: the file does not exist (run the rule that makes it)" in done.stderr


@pytest.mark.slow
def test_a_label_encoder_records_the_precision_of_its_decoded_boxes(trained: dict[str, Path]) -> None:
    encoder, student = (json.loads((trained[name] / "run.json").read_text()) for name in (LABELS, STUDENT))
    quality = encoder["redecoded"]
    assert quality["frames"] == 4
    assert quality["boxes"] > 0
    assert 0 <= quality["mean_ap"] <= 1
    assert quality["mean_ap"] == pytest.approx(sum(quality["by_class"].values()) / len(quality["by_class"]))
    assert "redecoded" not in student


@pytest.mark.slow
def test_a_student_predicts_without_its_teachers(
    trained: dict[str, Path], command: Command, copy_of_results: Path
) -> None:
    for name in (LABELS, "centerpoint"):
        shutil.rmtree(copy_of_results / "runs" / trained[name].name)
    command("predict", trained[LABEL_STUDENT].name, folder=copy_of_results)
    predicted = json.loads(
        (copy_of_results / "runs" / trained[LABEL_STUDENT].name / "results_nusc.json").read_text()
    )
    assert predicted["meta"]["use_camera"]
    assert not predicted["meta"]["use_lidar"]
    assert any(predicted["results"].values())


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "code"), [("changed", 4), ("absent", 3)])
def test_a_changed_or_missing_label_encoder_is_refused(
    fault: str, code: int, trained: dict[str, Path], command: Command, copy_of_results: Path
) -> None:
    folder = copy_of_results / "runs" / trained[LABELS].name
    if fault == "absent":
        shutil.rmtree(folder)
    else:
        content = bytearray((folder / "model.safetensors").read_bytes())
        content[-1] ^= 1
        (folder / "model.safetensors").write_bytes(content)
    shutil.rmtree(copy_of_results / "runs" / trained[LABEL_STUDENT].name)
    done = command("train", trained[LABEL_STUDENT].name, folder=copy_of_results, check=False)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert str(folder) in done.stderr
