"""X3KD's terms with weights, normalisers and switches, against loops and hand-made cases."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from distill import naive_x3kd as naive
from distill import toy
from torch import Tensor, nn

from dualdistill.config import method_options
from dualdistill.data.batch import Instances, tight_boxes
from dualdistill.distill.terms.x3kd import rois
from dualdistill.distill.terms.x3kd.adversarial import discriminator, domain_loss
from dualdistill.distill.terms.x3kd.features import feature_loss
from dualdistill.distill.terms.x3kd.outputs import output_losses
from dualdistill.distill.x3kd import X3KD

PARTS = {"xis": "segmenter", "xfd": None, "xat": "discriminator", "xod": None}  # and their modules


def made(**options: object) -> X3KD:
    torch.manual_seed(1)
    return toy.bound(X3KD(**options))


def one_cell(name: str, values: list[float], row: int = 3, column: int = 12) -> Tensor:
    map_BCHW = torch.zeros(1, len(values), 16, 16)
    map_BCHW[0, :, row, column] = torch.tensor(values)
    return map_BCHW


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_every_term_equals_its_loop_with_its_weight(norm: str) -> None:
    pair = toy.in_float64(toy.make_pair((1, 0)))
    method = made(xfd_norm=norm).double()
    # far from the start, where all anchors would score alike
    for layer in (method.segmenter.anchor_score, method.segmenter.anchor_box):
        nn.init.normal_(layer.weight, std=0.3)
    losses = method.losses(pair)
    aligned_BCHW, teacher_BCHW = method.adapter(pair.student_BCHW["head"]), pair.teacher_BCHW["neck"]
    score, box = naive.output_losses(
        pair.student_predictions, pair.teacher_predictions, pair.history_s_B.tolist(), 0.6
    )
    seen = naive.instance_losses(method.segmenter, pair.image_BNChw, pair.instances, 0.2)
    expected = {
        "xfd": 10.0 * naive.feature_loss(aligned_BCHW, teacher_BCHW, pair.occupied_BYX, norm),
        "xat": 10.0 * naive.domain_loss(method.discriminator, aligned_BCHW, teacher_BCHW),
        "xod_score": 1.0 * score,
        "xod_box": 1.0 * box,
        **{f"xis_{term}": 1.0 * value for term, value in seen.items()},
    }
    for name, value in expected.items():
        assert value > 0, name
        assert losses.pop(name).item() == pytest.approx(value, rel=1e-6), name
    assert not losses


def test_defaults_are_the_reconstruction() -> None:
    assert method_options.fill("x3kd", {}) == {
        "xis": True,
        "xis_weight": 1.0,
        "xis_score_threshold": 0.2,
        "xfd": True,
        "xfd_weight": 10.0,
        "xfd_norm": "l1",
        "xfd_nonempty": True,
        "xat": True,
        "xat_weight": 10.0,
        "xat_lambda": 1.0,
        "xat_spectral_norm": False,
        "xod": True,
        "xod_weight": 1.0,
        "xod_threshold": 0.6,
    }


@pytest.mark.parametrize("part", PARTS)
def test_a_switch_removes_its_terms_only(part: str) -> None:
    pair, method = toy.make_pair(), made(**{part: False})
    every, left = made()(pair), method(replace(pair, instances=()) if part == "xis" else pair)
    assert set(left) == {term for term in every if not term.startswith(part)} != set(every)
    assert PARTS[part] is None or not hasattr(method, PARTS[part])


def test_an_unused_adapter_is_not_created() -> None:
    assert not list(made(xis=False, xfd=False, xat=False).parameters())


def test_the_student_learns_against_the_discriminator() -> None:
    torch.manual_seed(0)
    judge = discriminator(12, normalised=False)
    student, teacher = torch.randn(2, 12, 16, 16, requires_grad=True), torch.randn(2, 12, 16, 16)

    def gradients(factor: float) -> tuple[Tensor, Tensor]:
        judge.zero_grad()
        student.grad = None
        domain_loss(judge, student, teacher, factor).backward()
        return student.grad.clone(), judge[0].weight.grad.clone()

    plain, unchanged = gradients(-1.0)
    assert plain.any()
    for factor in (0.5, 1.0):
        turned, discriminator_gradient = gradients(factor)
        torch.testing.assert_close(turned, -factor * plain)
        torch.testing.assert_close(discriminator_gradient, unchanged)
    # one loss trains the discriminator, and the student against it
    before = domain_loss(judge, student, teacher, 1.0)
    turned, discriminator_gradient = gradients(1.0)
    with torch.no_grad():
        fooled = domain_loss(judge, student - turned, teacher, 1.0)
        judge[0].weight -= 0.1 * discriminator_gradient
        assert domain_loss(judge, student, teacher, 1.0) < before < fooled


def test_an_undecided_discriminator_has_a_loss_of_log_two() -> None:
    judge = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
    nn.init.zeros_(judge[-1].weight)
    nn.init.zeros_(judge[-1].bias)
    assert domain_loss(judge, torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4), 1.0).item() == pytest.approx(
        0.6931472
    )


def test_spectral_norm_bounds_every_layer() -> None:
    judge = discriminator(12, normalised=True)
    for _ in range(30):
        judge(torch.randn(2, 12, 16, 16))
    weights = [module.weight for module in judge if hasattr(module, "weight")]
    assert [torch.linalg.matrix_norm(w.flatten(1), 2).item() for w in weights] == pytest.approx(
        [1.0] * 4, rel=0.05
    )


def test_cells_without_points_do_not_count() -> None:
    student, teacher = torch.zeros(1, 2, 2, 2), torch.zeros(1, 2, 2, 2)
    student[0, :, 0, 1] = torch.tensor([3.0, 1.0])
    student[0, :, 1, 0] = 100.0
    where = torch.tensor([[[False, True], [False, True]]])
    assert feature_loss(student, teacher, where, "l1").item() == pytest.approx((2 + 0) / 2)
    assert feature_loss(student, teacher, where, "l2").item() == pytest.approx((5 + 0) / 2)
    assert feature_loss(student, teacher, torch.zeros_like(where), "l1") == 0
    pair = toy.make_pair()
    silent = replace(pair, occupied_BYX=torch.zeros_like(pair.occupied_BYX))
    assert made()(silent)["xfd"] == 0
    assert made(xfd_nonempty=False)(silent)["xfd"] > 0


def test_outputs_count_where_the_teacher_scores_high_and_in_the_students_units() -> None:
    names = {"reg": 2, "height": 1, "dim": 3, "rot": 2}
    zeros = {name: torch.zeros(1, size, 16, 16) for name, size in names.items()}
    teacher = [zeros | {"heatmap": one_cell("heatmap", [2.0]), "vel": one_cell("vel", [4.0, -2.0])}]
    agreed = [zeros | {"heatmap": one_cell("heatmap", [2.0]), "vel": one_cell("vel", [6.0, -3.0])}]
    age = torch.tensor([1.5])
    assert [loss.item() for loss in output_losses(agreed, teacher, age, 0.6)] == pytest.approx([0, 0])
    # sigmoid(2) is 0.88
    assert [loss.item() for loss in output_losses(agreed, teacher, age, 0.9)] == [0, 0]
    faster = [agreed[0] | {"vel": one_cell("vel", [7.0, -3.0])}]
    assert output_losses(faster, teacher, age, 0.6)[1].item() == pytest.approx(0.880797)
    # both frames are the same: no displacement
    assert output_losses(faster, teacher, torch.tensor([0.0]), 0.6)[1] == 0
    mirrored = [{name: value.mT for name, value in agreed[0].items()}]
    assert output_losses(mirrored, teacher, age, 0.6)[0] > 0.1


def test_an_instance_below_the_threshold_is_not_a_target() -> None:
    pair = toy.make_pair()
    without = tuple(
        tuple(
            Instances.of(image.masks(kept_S), image.labels_S[kept_S], image.scores_S[kept_S])
            for image in sample
            for kept_S in ((image.scores_S > 0.2).nonzero()[:, 0],)
        )
        for sample in pair.instances
    )
    assert any(len(a.labels_S) != len(b.labels_S) for a, b in zip(pair.instances[0], without[0], strict=True))
    whole, cut = made()(pair), made()(replace(pair, instances=without))
    assert all(torch.equal(whole[term], cut[term]) for term in whole)
    every = made(xis_score_threshold=0.05)(pair)
    assert every["xis_region_class"] != whole["xis_region_class"]


def test_a_box_off_the_diagonal_surrounds_its_mask() -> None:
    mask_1HW = torch.zeros(1, 24, 40, dtype=torch.bool)
    mask_1HW[0, 3:7, 20:39] = True
    mask_1HW[0, 7:15, 20:24] = True
    assert tight_boxes(mask_1HW).tolist() == [[20, 3, 39, 15]]
    crop = rois.crops(mask_1HW[None].double(), torch.tensor([[[20.0, 3, 40, 15]]]).double(), 4)[0, 0, 0]
    # rows of three pixels, columns of five: the shape of the L, and nothing mirrored
    expected = torch.tensor([[1, 1, 1, 0.9], [0.75, 0.35, 0.35, 0.3], [0.8, 0, 0, 0], [0.8, 0, 0, 0]])
    torch.testing.assert_close(crop > 0.5, expected > 0.5)


def test_crops_of_a_linear_map_are_exact() -> None:
    """On a plane the mean of bilinear samples is exact, and x and y differ."""
    row, column = torch.meshgrid(torch.arange(6.0), torch.arange(10.0), indexing="ij")
    plane_1CHW = torch.stack([column + 0.5, row + 0.5])[None].double()
    box = torch.tensor([[[2.0, 1.0, 8.0, 5.0]]]).double()
    x_ss, y_ss = rois.crops(plane_1CHW, box, 4)[0, 0]
    torch.testing.assert_close(x_ss[0], torch.tensor([2.75, 4.25, 5.75, 7.25]).double())
    torch.testing.assert_close(y_ss[:, 0], torch.tensor([1.5, 2.5, 3.5, 4.5]).double())


def test_samples_are_spread_evenly_with_a_limited_share_of_positives() -> None:
    owner_P = torch.tensor([1] * 50 + [0] * 100 + [-1] * 5)
    positive, negative = rois.sampled(owner_P, 20, 0.25)
    assert positive.tolist() == [0, 10, 20, 30, 40]
    assert len(negative) == 15
    assert ((negative >= 50) & (negative < 150)).all()
    few = rois.sampled(owner_P, 1000, 0.5)
    assert (len(few[0]), len(few[1])) == (50, 100)
