"""CRD: the labels that temperature and source select, and the layers that receive gradients."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from distill import naive, toy
from torch import Tensor

from dualdistill.config.run_spec import TeacherHeadSpec
from dualdistill.distill.dualdistill import DualDistill
from dualdistill.distill.inputs import FeaturePair
from dualdistill.distill.terms.crd import (
    Labels,
    crd_loss,
    ground_truth_labels,
    soft_crd_loss,
    soft_task_loss,
    teacher_labels,
)
from dualdistill.models.center_head import Head

VARIANTS = Path(__file__).parents[3] / "config" / "variants.yaml"
EFFECTIVE = {T: 1 / (1 + 9**T) for T in (1.0, 0.5, 0.1)}  # sigmoid(T ln(1/9)): the equivalent cut at T = 1


def with_logits(pair: FeaturePair, highest: float) -> FeaturePair:
    """Heatmaps of distinct, shuffled logits up to `highest`, so that no two candidates share a rank."""
    torch.manual_seed(4)
    tasks = []
    for task in pair.teacher_predictions:
        count = task["heatmap"].numel()
        logits = torch.linspace(-4, highest, count)[torch.randperm(count)]
        tasks.append({**task, "heatmap": logits.view_as(task["heatmap"])})
    return replace(pair, teacher_predictions=tasks)


def assert_same(labels: Labels, expected: Labels) -> None:
    assert sum(map(len, expected[1])) > 10
    for boxes_K9, labels_K, expected_K9, expected_K in zip(*labels, *expected, strict=True):
        assert torch.equal(boxes_K9, expected_K9)
        assert torch.equal(labels_K, expected_K)


@pytest.mark.parametrize("temperature", [1.0, 0.5, 0.1])
def test_temperature_is_a_score_threshold(temperature: float) -> None:
    pair = with_logits(toy.make_pair(), highest=0.8)  # below a score of 0.85 nothing ties
    sharpened = teacher_labels(pair, temperature=temperature, threshold=0.1, rank_by="sharpened")
    cut = teacher_labels(pair, temperature=1.0, threshold=EFFECTIVE[temperature], rank_by="sharpened")
    assert_same(sharpened, cut)


def test_ranking_by_logit_equals_the_threshold_where_sharpened_scores_tie() -> None:
    pair = with_logits(toy.make_pair(), highest=4.0)
    assert (torch.tensor([3.9, 4.0]) / 0.1).sigmoid().eq(1).all()
    by_logit = teacher_labels(pair, temperature=0.1, threshold=0.1, rank_by="logit")
    assert_same(
        by_logit, teacher_labels(pair, temperature=1.0, threshold=EFFECTIVE[0.1], rank_by="sharpened")
    )


def test_the_threshold_rows_are_equivalent_to_the_temperature_rows() -> None:
    rows = yaml.safe_load(VARIANTS.read_text())
    expected = torch.tensor([EFFECTIVE[0.5], EFFECTIVE[0.1]])
    assert torch.equal(torch.tensor(rows["threshold"]["crd_threshold"]), expected)  # in float32, like scores
    assert rows["ranked-by-logit"] == {"from": rows["threshold"]["from"], "rank_by": "logit"}


def test_lower_temperature_keeps_fewer_labels() -> None:
    pair = toy.make_pair()
    counts = [
        sum(map(len, teacher_labels(pair, temperature=T, threshold=0.1, rank_by="logit")[1]))
        for T in EFFECTIVE
    ]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[-1] > 0


def test_the_iou_of_nms_decides_how_many_overlapping_boxes_are_labels() -> None:
    head = Head(12, TeacherHeadSpec(), toy.GRID)  # its own rule is 0.2 for every task
    pair = replace(with_logits(toy.make_pair(), highest=0.8), teacher_head=head)
    for task in pair.teacher_predictions:
        task["dim"] = torch.full_like(task["dim"], 1.0)  # boxes of 2.7 m on cells of 0.8 m
    counts = [
        len(labels_K)
        for method in (DualDistill(crd_nms_iou=iou) for iou in (0.05, 0.2, 0.9, 1.0))
        for labels_K in method.crd_labels(pair)[1][:1]
    ]
    assert counts == sorted(counts)
    assert 0 < counts[0] < counts[1] < counts[2]
    assert_same(DualDistill(crd_nms_iou=0.2).crd_labels(pair), DualDistill().crd_labels(pair))


def test_ground_truth_without_velocity_ignores_the_velocity_output() -> None:
    pair = toy.make_pair()
    predictions = pair.teacher_head(pair.teacher_BCHW["neck"])
    moved = [{**task, "vel": task["vel"] + 5} for task in predictions]

    def box_loss(outputs: list[dict[str, Tensor]], *, velocity: bool) -> Tensor:
        return pair.teacher_head.loss(outputs, *ground_truth_labels(pair, velocity=velocity))["box"]

    assert torch.equal(box_loss(predictions, velocity=False), box_loss(moved, velocity=False))
    assert not torch.equal(box_loss(predictions, velocity=True), box_loss(moved, velocity=True))


def test_ground_truth_labels_leave_the_annotations_untouched() -> None:
    pair = toy.make_pair()
    ground_truth_labels(pair, velocity=False)
    assert not any(boxes.isnan().any() for boxes in pair.boxes_K9)


def test_crd_loss_is_the_heads_detection_loss_on_the_students_feature() -> None:
    pair = toy.make_pair()
    feature_BCHW = torch.randn_like(pair.teacher_BCHW["neck"])
    labels = teacher_labels(pair, temperature=0.5, threshold=0.1, rank_by="sharpened")
    expected = sum(pair.teacher_head.loss(pair.teacher_head(feature_BCHW), *labels).values())
    torch.testing.assert_close(crd_loss(pair.teacher_head, pair.teacher_head(feature_BCHW), labels), expected)


@pytest.mark.parametrize("temperature", [1.0, 0.1])
def test_soft_targets_equal_the_loops(temperature: float) -> None:
    pair = toy.make_pair()
    with torch.no_grad():
        predictions = pair.teacher_head(torch.randn_like(pair.teacher_BCHW["neck"]))
    for student, teacher in zip(predictions, pair.teacher_predictions, strict=True):
        expected = naive.soft_loss(student, teacher, temperature, velocity_weight=0.2)
        loss = soft_task_loss(student, teacher, temperature, velocity_weight=0.2)
        assert loss.item() == pytest.approx(expected, rel=1e-4)


def test_the_teacher_meets_its_soft_targets_only_without_sharpening() -> None:
    pair = toy.make_pair()
    predictions = pair.teacher_head(pair.teacher_BCHW["neck"])
    plain, sharpened = (
        soft_crd_loss(pair.teacher_head, predictions, predictions, temperature) for temperature in (1.0, 0.1)
    )
    assert plain.item() == pytest.approx(0, abs=1e-6)
    assert sharpened > 0.01


def test_soft_targets_weight_velocity_like_the_teachers_head() -> None:
    pair = toy.make_pair()
    feature_BCHW = torch.randn_like(pair.teacher_BCHW["neck"])
    by_velocity = []
    for shift in (0.0, 1.0):
        predictions = pair.teacher_head(feature_BCHW)
        moved = [{**task, "vel": task["vel"] + shift} for task in predictions]
        by_velocity.append(soft_crd_loss(pair.teacher_head, predictions, moved, 1.0).item())
    with torch.no_grad():
        scores = [task["heatmap"].sigmoid().amax(dim=1).sum() for task in pair.teacher_head(feature_BCHW)]
    # two columns, each off by one, at the head's weight 0.2 and the boxes' 0.25
    expected = sum(0.25 * 0.2 * 2 * min(1.0, float(total)) for total in scores)
    assert by_velocity[1] - by_velocity[0] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("labels", ["teacher", "gt", "soft"])
@pytest.mark.parametrize("mfd", [True, False])
def test_frozen_head_gets_no_gradient_while_conv_and_student_do(labels: str, mfd: bool) -> None:
    pair = toy.make_pair()
    method = toy.bound(DualDistill(mfd=mfd, labels=labels))
    pair.teacher_head.train()
    method(pair)["crd"].backward()
    assert all(parameter.grad is None for parameter in pair.teacher_head.parameters())
    assert not any(module.training for module in pair.teacher_head.modules())
    assert method.adapters["head"].weight.grad.abs().sum() > 0
    assert pair.student_BCHW["head"].grad.abs().sum() > 0


def test_with_the_students_head_its_own_predictions_get_the_teachers_boxes_as_displacements() -> None:
    pair = replace(toy.make_pair(), history_s_B=torch.tensor([1.5, -0.5, 0.8]))
    method = toy.bound(DualDistill(mfd=False, crd_head="student"))
    boxes_K9, labels_K = teacher_labels(pair, temperature=0.1, threshold=0.1, rank_by="sharpened")
    for sample_K9, seconds in zip(boxes_K9, (1.5, -0.5, 0.8), strict=True):
        sample_K9[:, 7:] *= seconds
    expected = sum(pair.teacher_head.loss(pair.student_predictions, boxes_K9, labels_K).values())
    loss = method(pair)["crd"]
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert pair.student_BCHW["head"].grad.any()
    assert not method.adapters


def test_a_students_head_that_predicts_like_the_teachers_meets_its_soft_targets() -> None:
    pair = toy.make_pair()
    same = [task | {"vel": 1.5 * task["vel"]} for task in pair.teacher_predictions]
    method = DualDistill(mfd=False, crd_head="student", labels="soft", temperature=1.0)
    assert toy.bound(method)(replace(pair, student_predictions=same))["crd"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("labels", ["teacher", "gt", "soft"])
def test_a_students_head_learns_no_velocity_from_two_equal_frames(labels: str) -> None:
    pair = replace(toy.make_pair(), history_s_B=torch.zeros(3))
    for task in pair.student_predictions:
        task["vel"].retain_grad()
        task["height"].retain_grad()
    toy.bound(DualDistill(mfd=False, crd_head="student", labels=labels))(pair)["crd"].backward()
    assert not any(task["vel"].grad.any() for task in pair.student_predictions)
    assert any(task["height"].grad.any() for task in pair.student_predictions)
    assert all(task["vel"].grad.isfinite().all() for task in pair.student_predictions)


def test_crd_does_not_change_the_statistics_of_the_frozen_head() -> None:
    pair = toy.make_pair()
    before = {name: tensor.clone() for name, tensor in pair.teacher_head.state_dict().items()}
    toy.bound(DualDistill())(pair)
    for name, tensor in pair.teacher_head.state_dict().items():
        assert torch.equal(tensor, before[name])
