"""DualDistill as a whole: its switches, its weights, head inheritance."""

from __future__ import annotations

import pytest
import torch
from distill import toy
from torch import nn

from dualdistill.config.run_spec import HeadSpec
from dualdistill.distill.alignment import AOA, OneByOne, OrthogonalOnly, UpsampleConv
from dualdistill.distill.base import inherit_task_heads
from dualdistill.distill.dualdistill import DualDistill
from dualdistill.errors import UserError
from dualdistill.models.center_head import Head

MFD_TERMS = {f"mfd_{term}_{tap}" for term in ("fg", "tn", "spatial") for tap in ("s2", "s3", "head")} | {
    "mfd_fp_head"
}


@pytest.mark.parametrize(
    ("mfd", "crd", "terms", "adapters"),
    [
        (True, True, MFD_TERMS | {"crd"}, ["s2", "s3", "head"]),
        (True, False, MFD_TERMS, ["s2", "s3", "head"]),
        (False, True, {"crd"}, ["head"]),
        (False, False, set(), []),
    ],
)
def test_switches_decide_terms_and_adapters(
    mfd: bool, crd: bool, terms: set[str], adapters: list[str]
) -> None:
    method = toy.bound(DualDistill(mfd=mfd, crd=crd))
    assert set(method(toy.make_pair())) == terms
    assert list(method.adapters) == adapters


@pytest.mark.parametrize(
    ("levels", "crd", "adapters"),
    [
        (["head"], True, ["head"]),
        (["head", "s2"], True, ["s2", "head"]),
        (["s3"], True, ["s3", "head"]),
        (["s3"], False, ["s3"]),
    ],
)
def test_mfd_acts_at_its_levels_alone(levels: list[str], crd: bool, adapters: list[str]) -> None:
    method = toy.bound(DualDistill(mfd_levels=levels, crd=crd))
    terms = {term for term in MFD_TERMS if term.rpartition("_")[2] in levels}
    assert set(method(toy.make_pair())) == terms | ({"crd"} if crd else set())
    assert list(method.adapters) == adapters


def test_a_level_has_the_same_terms_whichever_others_there_are() -> None:
    pair, whole = toy.make_pair(), toy.bound(DualDistill())
    head = toy.bound(DualDistill(mfd_levels=["head"]))
    head.load_state_dict({name: whole.state_dict()[name] for name in head.state_dict()})
    losses = whole(pair)
    assert all(torch.equal(loss, losses[name]) for name, loss in head(pair).items())


KINDS = {
    "aoa": AOA,
    "aoa_released": AOA,
    "attention": AOA,
    "orthogonal": OrthogonalOnly,
    "upsample_conv3": UpsampleConv,
}


@pytest.mark.parametrize(("name", "kind"), KINDS.items())
def test_alignment_key_reaches_both_backbone_levels(name: str, kind: type[nn.Module]) -> None:
    adapters = toy.bound(DualDistill(alignment=name)).adapters
    assert [type(adapter) for adapter in adapters.values()] == [kind, kind, OneByOne]


def test_mfd_and_crd_train_one_conv_at_the_head_level() -> None:
    pair, method = toy.make_pair(), toy.bound(DualDistill())
    losses = method(pair)
    conv = method.adapters["head"].weight
    for name in ("crd", "mfd_fg_head"):
        assert torch.autograd.grad(losses[name], conv, retain_graph=True)[0].abs().sum() > 0


def test_mfd_weight_multiplies_every_mfd_term_and_nothing_else() -> None:
    pair = toy.make_pair()
    plain, tripled = toy.bound(DualDistill()), toy.bound(DualDistill(mfd_weight=3.0))
    tripled.load_state_dict(plain.state_dict())
    losses, larger = plain(pair), tripled(pair)
    for name, loss in losses.items():
        torch.testing.assert_close(larger[name], 3 * loss if name in MFD_TERMS else loss)


def test_a_false_positive_threshold_of_one_makes_the_region_background() -> None:
    pair = toy.make_pair()
    method, size_HW = toy.bound(DualDistill(fp_threshold=1.0)), (16, 16)
    with_region = toy.bound(DualDistill()).mfd.regions("head", pair, size_HW)
    without = method.mfd.regions("head", pair, size_HW)
    assert with_region.fp_BHW.any()
    assert not without.fp_BHW.any()
    assert torch.equal(without.tn_BHW > 0, (with_region.tn_BHW > 0) | (with_region.fp_BHW > 0))
    assert method(pair)["mfd_fp_head"] == 0


@pytest.mark.parametrize("alignment", KINDS)
def test_every_adapter_gets_a_gradient(alignment: str) -> None:
    pair, method = toy.make_pair(), toy.bound(DualDistill(alignment=alignment))
    torch.stack(list(method(pair).values())).sum().backward()
    silent = [name for name, parameter in method.named_parameters() if parameter.grad is None]
    assert not silent


def test_inherited_task_heads_equal_the_teachers_and_are_then_trained() -> None:
    torch.manual_seed(0)
    student, teacher = toy.make_head(inputs=8, velocity_weight=1.0), toy.make_head()
    shared = {name: tensor.clone() for name, tensor in student.layers.shared_conv.state_dict().items()}
    DualDistill().prepare(student, teacher)
    inherited = teacher.layers.task_heads.state_dict()
    for name, tensor in student.layers.task_heads.state_dict().items():
        assert torch.equal(tensor, inherited[name])
    for name, tensor in student.layers.shared_conv.state_dict().items():
        assert torch.equal(tensor, shared[name])

    before = {name: tensor.clone() for name, tensor in inherited.items()}
    pair = toy.make_pair()
    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-3)
    sum(student.loss(student(pair.student_BCHW["head"]), pair.boxes_K9, pair.labels_K).values()).backward()
    optimizer.step()
    weights = student.layers.task_heads.named_parameters()
    assert all(not torch.equal(tensor, inherited[name]) for name, tensor in weights if tensor.grad.any())
    for name, tensor in teacher.layers.task_heads.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_head_inheritance_can_be_switched_off() -> None:
    torch.manual_seed(0)
    student, teacher = toy.make_head(inputs=8), toy.make_head()
    before = {name: tensor.clone() for name, tensor in student.state_dict().items()}
    DualDistill(inherit_head=False).prepare(student, teacher)
    for name, tensor in student.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_heads_of_different_width_cannot_be_inherited() -> None:
    wide = Head(12, HeadSpec(share_channels=16), toy.GRID)
    with pytest.raises(UserError, match="share_channels"):
        inherit_task_heads(toy.make_head(), wide)
