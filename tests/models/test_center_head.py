"""The head against mmdet3d's targets, loss and decoding, and its conventions for boxes."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from batches import perfect_predictions, random_boxes
from mmdet3d.models.dense_heads import CenterHead
from mmdet3d.models.layers import box3d_nms
from mmdet3d.structures import LiDARInstance3DBoxes
from mmengine.structures import InstanceData
from torch import Tensor

from dualdistill.config.nuscenes import CLASSES, TASKS
from dualdistill.config.run_spec import GridSpec, HeadSpec, TeacherHeadSpec
from dualdistill.models.center_head import FIRST_LABEL, REGRESSION, TASK_SIZES, Head
from dualdistill.models.center_targets import centre_targets
from dualdistill.models.nms import rotated_nms

GRID = GridSpec(51.2, 0.8)
SMALL = GridSpec(25.6, 1.6)


def library_head(spec: HeadSpec, grid: GridSpec) -> CenterHead:
    """mmdet3d's head as CenterPoint configures it."""
    reach = grid.half_extent_m
    shape = {
        "point_cloud_range": [-reach, -reach, -5.0, reach, reach, 3.0],
        "voxel_size": [grid.cell_m, grid.cell_m, 8.0],
        "out_size_factor": 1,
    }
    train = {"max_objs": 500, "dense_reg": 1, "gaussian_overlap": 0.1, "min_radius": 2}
    weights = [1.0] * 8 + [spec.velocity_weight] * 2
    return CenterHead(
        in_channels=16,
        tasks=[{"num_class": len(names), "class_names": list(names)} for names in TASKS],
        common_heads={name: (channels, 2) for name, channels in REGRESSION.items()},
        bbox_coder={
            "type": "CenterPointBBoxCoder",
            "pc_range": [-reach, -reach],
            "post_center_range": [-reach - 10, -reach - 10, -10, reach + 10, reach + 10, 10],
            "max_num": 500,
            "score_threshold": spec.score_threshold,
            "out_size_factor": 1,
            "voxel_size": [grid.cell_m, grid.cell_m],
            "code_size": 9,
        },
        separate_head={"type": "SeparateHead", "init_bias": -2.19, "final_kernel": 3},
        loss_cls={"type": "mmdet.GaussianFocalLoss", "reduction": "mean"},
        loss_bbox={"type": "mmdet.L1Loss", "reduction": "mean", "loss_weight": 0.25},
        train_cfg={**shape, **train, "grid_size": [grid.cells, grid.cells, 1], "code_weights": weights},
        test_cfg={
            "post_center_limit_range": [-reach - 10, -reach - 10, -10, reach + 10, reach + 10, 10],
            "score_threshold": spec.score_threshold,
            "nms_type": "rotate",
            "nms_thr": 0.2,
            "pre_max_size": 1000,
            "post_max_size": spec.max_per_task,
        },
    )


def instances(boxes_K9: Tensor, labels_K: Tensor) -> InstanceData:
    boxes = InstanceData()
    boxes.bboxes_3d = LiDARInstance3DBoxes(boxes_K9, box_dim=9, origin=(0.5, 0.5, 0.5))
    boxes.labels_3d = labels_K
    return boxes


def three_samples(grid: GridSpec) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """All classes; no box at all; no box of most tasks, two boxes in one cell and some far outside."""
    draw = torch.Generator().manual_seed(3)
    first, first_labels = random_boxes(60, 0.98 * grid.half_extent_m, draw)
    last, last_labels = random_boxes(20, 2 * grid.half_extent_m, draw)
    last[1, :2] = last[0, :2] = torch.tensor([11.1, -7.3])
    outside = last[:, :2].abs().amax(1) > grid.half_extent_m
    assert outside.any()
    return (first, torch.zeros(0, 9), last), (first_labels, torch.zeros(0, dtype=torch.long), last_labels % 3)


def random_predictions(batch: int, grid: GridSpec, seed: int = 0) -> list[dict[str, Tensor]]:
    draw = torch.Generator().manual_seed(seed)
    channels = [{**REGRESSION, "heatmap": size} for size in TASK_SIZES]
    cells = (grid.cells, grid.cells)
    return [
        {name: torch.randn(batch, count, *cells, generator=draw) for name, count in task.items()}
        for task in channels
    ]


@pytest.mark.parametrize("grid", [GRID, SMALL], ids=["128", "32"])
def test_targets_equal_those_of_the_library(grid: GridSpec):
    boxes, labels = three_samples(grid)
    library = library_head(HeadSpec(), grid)
    heatmaps, values, cells, masks = library.get_targets(
        [instances(*sample) for sample in zip(boxes, labels, strict=True)]
    )
    ours = centre_targets(boxes, labels, grid)
    assert torch.allclose(ours.heatmap_BGYX, torch.cat(heatmaps, dim=1), atol=1e-6)
    for sample in range(3):
        for task, first in enumerate(FIRST_LABEL):
            in_task = (
                (ours.sample_K == sample)
                & (ours.label_K >= first)
                & (ours.label_K < first + TASK_SIZES[task])
            )
            order = ours.label_K[in_task].argsort(stable=True)  # the library goes class by class
            used = masks[task][sample].bool()
            flat = (ours.row_K * grid.cells + ours.column_K)[in_task][order]
            assert flat.tolist() == cells[task][sample][used].tolist()
            assert torch.allclose(ours.values_K10[in_task][order], values[task][sample][used], atol=1e-4)


@pytest.mark.parametrize("velocity_weight", [1.0, 0.2])
def test_losses_equal_those_of_the_library(velocity_weight: float):
    spec = HeadSpec(velocity_weight=velocity_weight)
    boxes, labels = three_samples(GRID)
    predictions = random_predictions(3, GRID)
    ours = Head(16, spec, GRID).loss(predictions, boxes, labels)
    ground_truth = [instances(*sample) for sample in zip(boxes, labels, strict=True)]
    theirs = library_head(spec, GRID).loss_by_feat(
        [[task] for task in copy.deepcopy(predictions)], ground_truth
    )
    heatmap = sum(value for name, value in theirs.items() if name.endswith("heatmap"))
    box = sum(value for name, value in theirs.items() if name.endswith("bbox"))
    assert ours["heatmap"].item() == pytest.approx(heatmap.item(), rel=1e-5)
    assert ours["box"].item() == pytest.approx(box.item(), rel=1e-5)


def test_gradients_of_the_losses_equal_those_of_the_library():
    boxes, labels = three_samples(GRID)
    ours, theirs = random_predictions(3, GRID), random_predictions(3, GRID)
    for value in (value for task in (*ours, *theirs) for value in task.values()):
        value.requires_grad_()
    sum(Head(16, HeadSpec(), GRID).loss(ours, boxes, labels).values()).backward()
    ground_truth = [instances(*sample) for sample in zip(boxes, labels, strict=True)]
    leaves = [[{name: value.clone() for name, value in task.items()}] for task in theirs]
    sum(library_head(HeadSpec(), GRID).loss_by_feat(leaves, ground_truth).values()).backward()
    for task, library_task in zip(ours, theirs, strict=True):
        for name in task:
            assert torch.allclose(task[name].grad, library_task[name].grad, atol=1e-6), name


def test_decoding_equals_that_of_the_library(monkeypatch: pytest.MonkeyPatch):
    """Except for NMS, which has to be compiled there; test_nms.py compares it."""
    monkeypatch.setattr(box3d_nms, "nms_rotated", lambda *own: (own[0], *rotated_nms([own])))
    spec = TeacherHeadSpec()
    predictions = random_predictions(2, GRID)
    for task in predictions:
        task["heatmap"] = task["heatmap"] * 2 - 8  # few candidates above the threshold
        task["dim"] = task["dim"] * 0.3 + 1
    ours = Head(16, spec, GRID).decode(predictions)
    metas = [{"box_type_3d": LiDARInstance3DBoxes}] * 2
    theirs = library_head(spec, GRID).predict_by_feat([[task] for task in copy.deepcopy(predictions)], metas)
    for sample, library_sample in zip(ours, theirs, strict=True):
        library_boxes = library_sample.bboxes_3d
        boxes = torch.cat([library_boxes.gravity_center, library_boxes.tensor[:, 3:]], dim=1)
        assert len(boxes) > 100
        assert sample.labels_K.tolist() == library_sample.labels_3d.tolist()
        assert torch.allclose(sample.scores_K, library_sample.scores_3d)
        assert torch.allclose(sample.boxes_K9, boxes, atol=1e-5)


def test_an_asymmetric_box_peaks_in_the_row_of_its_y_and_the_column_of_its_x():
    box = torch.tensor([[30.0, 5.0, -0.8, 4.6, 1.9, 1.7, 0.6, 3.0, -1.0]])
    heatmap = Head(16, HeadSpec(), GRID).heatmaps((box,), (torch.tensor([2]),))
    assert heatmap.shape == (1, 10, 128, 128)
    assert heatmap.eq(1).nonzero().tolist() == [[0, 2, int((5 + 51.2) / 0.8), int((30 + 51.2) / 0.8)]]


def test_decoding_perfect_predictions_returns_every_box():
    boxes, labels = random_boxes(40, 45.0, torch.Generator().manual_seed(0))
    decoded = Head(16, HeadSpec(), GRID).decode(
        perfect_predictions((boxes,), (labels,), GRID), score_threshold=0.99
    )[0]
    expected, got = labels.argsort(stable=True), decoded.labels_K.argsort(stable=True)
    assert decoded.labels_K[got].tolist() == labels[expected].tolist()
    for label in range(len(CLASSES)):
        of_class, decoded_K9 = boxes[labels == label], decoded.boxes_K9[decoded.labels_K == label]
        of_class, decoded_K9 = (part[part[:, 0].argsort()] for part in (of_class, decoded_K9))
        assert torch.allclose(of_class, decoded_K9, atol=1e-4)


def test_an_unknown_velocity_is_not_supervised():
    head = Head(16, HeadSpec(), SMALL)
    boxes, labels = random_boxes(10, 20.0, torch.Generator().manual_seed(0))
    boxes[:, 7:] = torch.nan
    predictions = random_predictions(1, SMALL)
    for task in predictions:
        for value in task.values():
            value.requires_grad_()
    losses = head.loss(predictions, (boxes,), (labels,))
    sum(losses.values()).backward()
    assert all(loss.isfinite() for loss in losses.values())
    assert not any(task["vel"].grad.any() for task in predictions)
    assert all(task["rot"].grad.any() for task in predictions)


def test_a_batch_without_boxes_has_a_finite_loss_and_nothing_to_regress():
    losses = Head(16, HeadSpec(), SMALL).loss(
        random_predictions(2, SMALL), (torch.zeros(0, 9),) * 2, (torch.zeros(0, dtype=torch.long),) * 2
    )
    assert losses["heatmap"] > 0
    assert losses["box"] == 0


def test_a_box_just_left_of_the_grid_is_not_drawn():
    box = torch.tensor([[-51.5, 5.0, 0, 4.0, 2.0, 1.5, 0, 0, 0]])
    assert not Head(16, HeadSpec(), GRID).heatmaps((box,), (torch.tensor([0]),)).any()


def test_a_huge_box_is_cut_off_at_the_map():
    wild_K9 = torch.tensor([[1.0, -2.0, 0.0, 1e5, 1e5, 1.0, 0.3, 0.0, 0.0]])
    heatmap_BGYX = centre_targets((wild_K9,), (torch.tensor([0]),), SMALL).heatmap_BGYX
    assert (heatmap_BGYX[0, 0] > 0.99).all()
    assert (heatmap_BGYX[0, 1:] == 0).all()


def test_predictions_are_not_modified():
    head = Head(16, HeadSpec(), SMALL)
    boxes, labels = random_boxes(10, 20.0, torch.Generator().manual_seed(0))
    predictions = calm_predictions()
    before = copy.deepcopy(predictions)
    head.loss(predictions, (boxes,), (labels,))
    head.decode(predictions, temperature=0.1)
    head.decode(predictions, rank_by="logit")
    for task, unchanged in zip(predictions, before, strict=True):
        assert all(torch.equal(task[name], unchanged[name]) for name in unchanged)


def calm_predictions() -> list[dict[str, Tensor]]:
    """Scores below 0.7, where a temperature of 0.1 does not saturate float32."""
    predictions = random_predictions(1, SMALL, seed=5)
    for task in predictions:
        task["heatmap"] = task["heatmap"] * 0.5 - 1
        task["dim"] = task["dim"] * 0.3 + 1
    return predictions


@pytest.mark.parametrize("rank_by", ["sharpened", "logit"])
def test_a_temperature_of_a_tenth_is_a_threshold_of_0_445(rank_by: str):
    head = Head(16, HeadSpec(), SMALL)
    sharp = head.decode(calm_predictions(), temperature=0.1, rank_by=rank_by)[0]
    plain = head.decode(calm_predictions(), score_threshold=0.44530)[0]
    assert len(sharp.boxes_K9) > 50
    assert torch.equal(sharp.boxes_K9, plain.boxes_K9)
    assert not torch.allclose(sharp.scores_K, plain.scores_K)


def test_ranking_by_logit_keeps_the_peak_where_a_sharpened_score_saturates():
    predictions = random_predictions(1, SMALL)
    for task in predictions:
        task["heatmap"].fill_(-20)
        task["dim"].fill_(1.5)
        task["reg"].zero_()
        task["rot"][:, 0], task["rot"][:, 1] = 0.0, 1.0
    predictions[0]["heatmap"][0, 0, 10, 10:13] = torch.tensor([6.0, 9.0, 7.0])
    decoded = Head(16, HeadSpec(), SMALL).decode(predictions, temperature=0.1, rank_by="logit")[0]
    assert decoded.boxes_K9[:, 0].tolist() == pytest.approx([11 * 1.6 - 25.6])
    assert decoded.scores_K.tolist() == [1.0]


def decoded(spec: HeadSpec, boxes: list[list[float]], label: int) -> list[list[float]]:
    """Centres that are kept of boxes of one class, all of which the head predicts."""
    boxes_K9 = torch.tensor(boxes)
    labels_K = torch.full((len(boxes),), label)
    predictions = perfect_predictions((boxes_K9,), (labels_K,), GRID)
    kept_K9 = Head(16, spec, GRID).decode(predictions, score_threshold=0.9)[0].boxes_K9
    return [[round(value, 3) for value in row] for row in kept_K9[:, :2].tolist()]


PLAIN = TeacherHeadSpec()  # an IoU of 0.2 for all tasks, no scale


def test_the_footprint_scale_decides_what_nms_merges():
    pedestrians = [[x, 5.0, 0, 0.6, 0.6, 1.8, 0, 0, 0] for x in (5.0, 6.7)]
    scaled = dataclasses.replace(PLAIN, nms_scale=(1.0,) * 8 + (4.5, 9.0))
    assert len(decoded(PLAIN, pedestrians, 8)) == 2
    assert len(decoded(scaled, pedestrians, 8)) == 1


def test_pedestrians_of_published_students_may_overlap_by_less_than_a_half():
    """Their footprints are scaled by 4.5, so 0.2 would merge pedestrians 1.3 m apart."""
    pedestrians = [[x, -7.0, 0, 0.6, 0.6, 1.8, 0, 0, 0] for x in (11.0, 12.3)]
    strict = dataclasses.replace(HeadSpec(), nms_iou=(0.2,) * 6)
    assert len(decoded(HeadSpec(), pedestrians, 8)) == 2
    assert len(decoded(strict, pedestrians, 8)) == 1


def test_barriers_of_published_students_are_told_apart_by_distance_alone():
    """Two rows that do not overlap, 0.9 m apart across and 1.7 m along x."""
    barriers = [[x, y, 0, 0.4, 0.8, 1.0, 0, 0, 0] for x, y in ((11.0, -7.0), (11.0, -7.9), (12.7, -7.0))]
    assert len(decoded(PLAIN, barriers, 5)) == 3
    kept = decoded(HeadSpec(), barriers, 5)
    assert len(kept) == 2
    assert [12.7, -7.0] in kept
    bicycles = [[*box[:3], 0.4, 0.8, *box[5:]] for box in barriers]
    assert len(decoded(HeadSpec(), bicycles, 7)) == 3


def test_a_fresh_head_predicts_scores_of_a_tenth():
    predictions = Head(16, HeadSpec(), SMALL)(torch.zeros(1, 16, 32, 32))
    assert [task["heatmap"].shape[1] for task in predictions] == list(TASK_SIZES)
    for task in predictions:
        assert set(task) == {*REGRESSION, "heatmap"}
        assert task["heatmap"].sigmoid().mean().item() == pytest.approx(0.1, abs=0.03)


@pytest.mark.parametrize("float32", [True, False])
def test_the_head_runs_in_float32_under_autocast_unless_its_key_says_otherwise(float32: bool):
    head = Head(16, HeadSpec(float32=float32), SMALL).eval()
    feature_BCYX = torch.randn(1, 16, 32, 32, generator=torch.Generator().manual_seed(0)).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        mixed = head(feature_BCYX)
    plain = head(feature_BCYX.float())
    same = [torch.equal(mixed[task][name], plain[task][name]) for task in range(6) for name in mixed[task]]
    assert all(same) if float32 else not any(same)


def test_losses_run_in_float32_under_autocast():
    head = Head(16, HeadSpec(), SMALL)
    boxes, labels = random_boxes(10, 20.0, torch.Generator().manual_seed(0))
    half = [{name: value.bfloat16() for name, value in task.items()} for task in random_predictions(1, SMALL)]
    plain = head.loss(
        [{name: value.float() for name, value in task.items()} for task in half], (boxes,), (labels,)
    )
    with torch.autocast("cpu", torch.bfloat16):
        mixed = head.loss(half, (boxes,), (labels,))
    assert all(mixed[name].dtype == torch.float32 and mixed[name] == plain[name] for name in plain)
