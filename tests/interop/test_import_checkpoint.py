"""A released file becomes a run of its row at full size, or is refused in one sentence and leaves nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import released_keys as released
import torch
from torch import Tensor

from dualdistill import models
from dualdistill.cli import main
from dualdistill.errors import CheckpointError, UserError
from dualdistill.interop.import_checkpoint import import_checkpoint
from dualdistill.plan import plan as planning
from dualdistill.plan.plan import Plan
from dualdistill.store.files import sha256_file
from dualdistill.store.records import read_run
from dualdistill.training import initial_weights
from dualdistill.training.checkpoint import load_weights

OLD = {"mmdet3d_version": "0.17.2", "epoch": 20}
ROWS = {
    "student_r50_distillbev": ("released-distillbev-r50-centerpoint", OLD),
    "tigbev_r50": ("released-tigbev-r50", {}),
    "teacher_pillar": ("released-centerpoint", OLD),
    "teacher_mvp": ("released-mvp", {}),
    "teacher_zoo": ("released-mmdet3d", {"mmengine_version": "0.10.7"}),
}


@pytest.fixture
def plan(whole_folder: Path) -> Plan:
    overrides = {"profile": "nuscenes"}
    return planning.load(whole_folder / "config.yaml", overrides, whole_folder.parent / "results")


def saved(path: Path, network: str, meta: dict[str, object], prefix: str = "") -> Path:
    weights = {prefix + name: tensor for name, tensor in released.state_dict(network).items()}
    torch.save({"meta": meta, "state_dict": weights, "optimizer": {"state": {}}}, path)
    return path


def loaded(plan: Plan, row: str) -> dict[str, Tensor]:
    """The weights of a row's run, loaded as predictions load them."""
    run = plan.run(row)
    network, record = models.build(run.spec), read_run(plan.folder(run))
    assert record["spec_sha"] == run.spec.sha
    load_weights(plan.folder(run) / "model.safetensors", network, record["outputs"]["model.safetensors"])
    return network.state_dict()


@pytest.mark.parametrize("network", ROWS)
def test_a_released_file_becomes_a_run_at_full_size(plan: Plan, tmp_path: Path, network: str):
    row, meta = ROWS[network]
    file = saved(tmp_path / "epoch_20.pth", network, meta)
    lines = import_checkpoint(plan, row, file)
    ours, theirs = loaded(plan, row), released.state_dict(network)
    bias = "task_heads.2.dim.1.bias"
    turned = "mmengine_version" not in meta
    expected = theirs[f"pts_bbox_head.{bias}"][[1, 0, 2] if turned else [0, 1, 2]]
    assert torch.equal(ours[f"head.layers.{bias}"], expected)
    record = read_run(plan.folder(plan.run(row)))
    assert record["imported"]["source"] == "epoch_20.pth"
    assert record["imported"]["sha256"] == sha256_file(file)
    assert record["imported"]["note"] == "imported, not trained here"
    assert record["imported"]["beside"] == "meta, optimizer"
    written = (plan.folder(plan.run(row)) / "import_report.txt").read_text()
    assert written.splitlines() == lines[:-1]
    assert all(name in written for name in theirs)


@pytest.mark.parametrize("prefix", ["module.", "model."])
def test_wrappers_change_nothing(plan: Plan, tmp_path: Path, prefix: str):
    import_checkpoint(plan, "released-centerpoint", saved(tmp_path / "plain.pth", "teacher_pillar", OLD))
    plain = loaded(plan, "released-centerpoint")
    wrapped = saved(tmp_path / "wrapped.pth", "teacher_pillar", OLD, prefix)
    import_checkpoint(plan, "released-centerpoint", wrapped)
    after = loaded(plan, "released-centerpoint")
    assert all(torch.equal(plain[name], after[name]) for name in plain)


def test_mmdet3d_s_file_without_a_version_asks_for_one(plan: Plan, tmp_path: Path):
    file = saved(tmp_path / "zoo.pth", "teacher_zoo", {})
    with pytest.raises(CheckpointError, match=r"which way boxes turn \(add --mmdet3d with the version"):
        import_checkpoint(plan, "released-mmdet3d", file)
    with pytest.raises(UserError, match=r"--mmdet3d: 'new' is no version \(e\.g\. 0\.17\.2 or 1\.0\.0\)"):
        import_checkpoint(plan, "released-mmdet3d", file, "new")
    import_checkpoint(plan, "released-mmdet3d", file, "1.0.0")
    new = loaded(plan, "released-mmdet3d")["head.layers.task_heads.0.rot.1.bias"]
    import_checkpoint(plan, "released-mmdet3d", file, "0.17.2")
    old = loaded(plan, "released-mmdet3d")["head.layers.task_heads.0.rot.1.bias"]
    assert torch.equal(old, -new[[1, 0]])


def test_a_later_file_replaces_an_earlier_one(plan: Plan, tmp_path: Path):
    weights = released.state_dict("teacher_pillar", seed=1)
    for name, content in (("first.pth", released.state_dict("teacher_pillar")), ("second.pth", weights)):
        torch.save({"meta": OLD, "state_dict": content}, tmp_path / name)
        import_checkpoint(plan, "released-centerpoint", tmp_path / name)
    ours = loaded(plan, "released-centerpoint")
    assert torch.equal(ours["pillars.norm.bias"], weights["pts_voxel_encoder.pfn_layers.0.1.bias"])


def _renamed(weights: dict[str, Tensor]) -> None:
    for name in [name for name in weights if name.startswith("pts_neck.")]:
        weights[name.replace("pts_neck.", "neck3d.")] = weights.pop(name)
    weights["pts_neck.deblocks.0.0.weight"] = torch.zeros(128, 64, 2, 2)


def _not_finite(weights: dict[str, Tensor]) -> None:
    weights["pts_neck.deblocks.0.0.weight"][0] = torch.nan


def _one_lost(weights: dict[str, Tensor]) -> None:
    del weights["pts_bbox_head.shared_conv.bn.weight"]


WRONG = {
    "another student": (
        "megvii_bevdepth_r50",
        None,
        "Megvii's BEVDepth is recognised and not imported: another network (ego frame",
    ),
    "a student with its teacher": ("labeldistill_r50", None, "LabelDistill is recognised and not imported"),
    "a deeper student": ("student_r101_distillbev", None, "made for images of 512 x 1408 pixels"),
    "a student for a teacher's row": ("student_r50", None, "the file holds a student (DualDistill), and row"),
    "a teacher for a student's row": ("teacher_pillar", None, "holds a teacher (CenterPoint on dynamic"),
    "more columns": ("teacher_mvp", None, "0 missing, 0 unknown, 1 of another shape, first 'pts_voxel_enc"),
    "padded pillars": ("teacher_zoo", None, "does not pool points as row 'released-centerpoint' does"),
    "keys renamed": ("teacher_pillar", _renamed, "14 missing, 18 unknown, 0 of another shape, first 'neck."),
    "a key lost": ("teacher_pillar", _one_lost, "1 missing, 0 unknown, 0 of another shape, first 'head.lay"),
    "a number that is none": ("teacher_pillar", _not_finite, "1 weights are not finite, first 'neck.deblo"),
}
FOR_STUDENTS = ("another student", "a student with its teacher", "a deeper student")


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_file_is_one_sentence_and_leaves_nothing(
    plan: Plan, tmp_path: Path, case: str, capsys: pytest.CaptureFixture[str]
):
    network, spoil, sentence = WRONG[case]
    weights = released.state_dict(network)
    if spoil:
        spoil(weights)
    torch.save({"meta": OLD, "state_dict": weights}, tmp_path / "file.pth")
    student = case in (*FOR_STUDENTS, "a teacher for a student's row")
    row = "released-distillbev-r50-centerpoint" if student else "released-centerpoint"
    with pytest.raises(CheckpointError) as caught:
        import_checkpoint(plan, row, tmp_path / "file.pth")
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not plan.folder(plan.run(row)).exists()
    if "missing" in sentence:
        assert ("missing  " in capsys.readouterr().out) == ("0 missing" not in sentence)


def test_a_row_that_is_trained_here_takes_no_file(plan: Plan, tmp_path: Path):
    file = saved(tmp_path / "epoch_20.pth", "teacher_pillar", OLD)
    with pytest.raises(UserError, match="row 'centerpoint' is trained here"):
        import_checkpoint(plan, "centerpoint", file)


@pytest.mark.parametrize("origin", ["torchvision", "mmdet"])
def test_a_resnet_becomes_the_start_of_students(plan: Plan, tmp_path: Path, origin: str):
    part = "img_backbone."
    names = {name: tensor for name, tensor in released.state_dict("student_r50").items() if part in name}
    bare = {name.removeprefix(part): tensor for name, tensor in names.items()}
    if origin == "torchvision":
        content = bare | {"fc.weight": torch.zeros(1000, 2048), "fc.bias": torch.zeros(1000)}
        del content["bn1.num_batches_tracked"]  # as in the oldest files
    else:
        content = {f"backbone.{name}": tensor for name, tensor in bare.items()}
        content |= {"neck.lateral_convs.0.conv.weight": torch.zeros(1)}
    torch.save({"state_dict": content, "meta": {}}, tmp_path / "resnet.pth")
    lines = import_checkpoint(plan, "bevdepth-r50", tmp_path / "resnet.pth")
    file = plan.results / "imagenet" / "resnet50.safetensors"
    assert lines[-1] == f"wrote {file}; imagenet.r50 in config/config.yaml takes it"
    spec = plan.run("bevdepth-r50").spec
    student = models.build(spec)
    initial_weights.fill_student(student, spec.model, file)
    assert torch.equal(student.backbone.conv1.weight, bare["conv1.weight"])
    with pytest.raises(CheckpointError, match="not the network of row 'bevdepth-r101'"):
        import_checkpoint(plan, "bevdepth-r101", tmp_path / "resnet.pth")
    with pytest.raises(CheckpointError, match="the file holds an image backbone"):
        import_checkpoint(plan, "released-centerpoint", tmp_path / "resnet.pth")


def test_the_command_prints_the_report_and_an_error_is_exit_code_4(
    whole_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    file = saved(tmp_path / "epoch_20.pth", "teacher_pillar", OLD)
    words = ["import-checkpoint", str(file), "--as", "released-centerpoint", "--profile", "nuscenes"]
    place = ["--config", str(whole_folder / "config.yaml"), "--results", str(tmp_path / "results")]
    assert main([*words, *place]) == 0
    printed = capsys.readouterr().out
    assert "taken    pts_backbone.blocks.0.0.weight -> backbone.blocks.0.0.weight" in printed
    assert "414 taken" in printed
    file.write_bytes(file.read_bytes()[:1000])
    assert main([*words, *place]) == 4
    error = capsys.readouterr().err
    assert error == f"{file}: not a whole checkpoint: the file is cut off or damaged\n"
    words[3] = "released-centrepoint"
    assert main([*words, *place]) == 2
    assert "did you mean 'released-centerpoint'?" in capsys.readouterr().err
    assert (
        main(["train", "released-centerpoint", "--profile", "nuscenes", "--set", "data_root=x", *place]) > 0
    )
