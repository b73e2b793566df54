"""Every layout of the released key lists: every name is accounted for, and the network loads."""

from __future__ import annotations

import functools
from collections import OrderedDict

import pytest
import released_keys as released
import torch

from dualdistill.config.run_spec import BEVDepthSpec, GridSpec, MVPSpec, TeacherSpec
from dualdistill.interop.convert import convert, is_clockwise
from dualdistill.interop.layouts import LAYOUTS, find
from dualdistill.models.bevdepth.student import BEVDepth
from dualdistill.models.centerpoint.teacher import Teacher

NETWORKS = {
    "student_r50": ("DualDistill", BEVDepthSpec()),
    "student_r101": ("DualDistill", BEVDepthSpec(depth=101)),
    "student_r50_distillbev": ("DistillBEV", BEVDepthSpec()),
    "student_r101_distillbev": ("DistillBEV", BEVDepthSpec(depth=101)),
    "tigbev_r50": ("TiG-BEV", BEVDepthSpec(extra_norm=False)),
    "tigbev_r101": ("TiG-BEV", BEVDepthSpec(depth=101, extra_norm=False)),
    "teacher_pillar": ("CenterPoint on dynamic pillars", TeacherSpec()),
    "teacher_mvp": ("CenterPoint on dynamic pillars", MVPSpec()),
    "teacher_zoo": ("mmdet3d's CenterPoint on pillars", TeacherSpec(pillar_points=20)),
}
REFUSED = {"labeldistill_r50": "LabelDistill", "megvii_bevdepth_r50": "Megvii's BEVDepth"}


@functools.cache
def _network(spec):
    return (Teacher if isinstance(spec, TeacherSpec) else BEVDepth)(spec, GridSpec())


@pytest.mark.parametrize("network", NETWORKS)
def test_every_key_of_a_released_network_is_accounted_for_and_loads(network: str):
    name, spec = NETWORKS[network]
    weights = released.state_dict(network)
    layout = find(weights)
    assert layout is not None
    assert layout.name == name
    ours = _network(spec)
    converted, report = convert(weights, layout, ours.state_dict(), clockwise=True)
    assert report.fits, report.lines()[-5:]
    assert report.taken.keys() | report.aside.keys() == weights.keys()
    assert not report.taken.keys() & report.aside.keys()
    assert set(report.taken.values()) | report.filled.keys() >= set(ours.state_dict())
    ours.load_state_dict(converted)
    text = "\n".join(report.lines())
    assert all(f" {key}" in text for key in weights)
    for theirs, renamed in report.taken.items():
        kept = renamed not in report.changed
        assert torch.equal(ours.state_dict()[renamed], weights[theirs]) == kept, renamed


def test_the_lists_of_keys_are_all_tested():
    files = {path.name.removesuffix(".txt.gz") for path in released.KEYS.glob("*.gz")}
    assert files == {*NETWORKS, *REFUSED}


@pytest.mark.parametrize("network", REFUSED)
@pytest.mark.parametrize("prefix", ["model.", ""])
def test_another_student_is_recognised_and_refused(network: str, prefix: str):
    names = [prefix + name.removeprefix("model.") for name in released.shapes(network)]
    layout = find([name.removeprefix("model.") for name in names])
    assert layout is not None
    assert layout.name == REFUSED[network]
    assert "ego frame" in layout.refused


def test_layouts_have_different_names_and_those_that_are_refused_say_why():
    assert len({layout.name for layout in LAYOUTS}) == len(LAYOUTS)
    assert all(bool(layout.refused) != bool(layout.names) for layout in LAYOUTS)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["pts_middle_encoder.x", "pts_backbone.x", "pts_neck.x", "pts_bbox_head.task_heads.0"], "on voxels"),
        (["pts_bbox_head.task_heads.0.feature_adapt_cls.x"], "deformable heads"),
        (["img_view_transformer.depth_net.x", "img_bev_encoder_backbone.x"], "later BEVDet"),
        (["reader.pfn_layers.0.linear.weight", "bbox_head.tasks.0"], "tianweiy's"),
        (["backbone.conv1.weight", "backbone.layer4.0.conv1.weight", "neck.x"], "ResNet of mmdet"),
        (["conv1.weight", "bn1.weight", "layer4.0.conv1.weight", "fc.weight"], "ResNet of torchvision"),
    ],
)
def test_other_files_are_recognised(names: list[str], expected: str):
    layout = find(names)
    assert layout is not None
    assert expected in layout.name


def test_an_unknown_file_has_no_layout():
    assert find(["encoder.weight", "decoder.weight"]) is None


def test_renamed_lost_and_misshapen_keys_are_each_reported():
    weights = OrderedDict(released.state_dict("teacher_pillar"))
    ours = _network(TeacherSpec()).state_dict()
    moved = weights.pop("pts_neck.deblocks.0.0.weight")
    weights["pts_necks.deblocks.0.0.weight"] = moved
    weights["pts_backbone.blocks.0.0.weight"] = torch.zeros(3)
    weights["pts_backbone.blocks.0.99.weight"] = torch.zeros(3)
    layout = find(weights)
    assert layout is not None
    _, report = convert(weights, layout, ours, clockwise=True)
    assert not report.fits
    assert report.missing == ["neck.deblocks.0.0.weight"]
    assert report.unknown == ["pts_necks.deblocks.0.0.weight", "pts_backbone.blocks.0.99.weight"]
    shapes = {"pts_backbone.blocks.0.0.weight": "(3,) in the file, (64, 64, 3, 3) here"}
    assert report.misshapen == shapes
    assert report.lines()[-1] == "missing  neck.deblocks.0.0.weight"


def test_counters_that_an_old_file_lacks_are_filled():
    weights = {k: v for k, v in released.state_dict("teacher_pillar").items() if "num_batches" not in k}
    layout = find(weights)
    assert layout is not None
    _, report = convert(weights, layout, _network(TeacherSpec()).state_dict(), clockwise=True)
    assert report.fits
    assert set(report.filled.values()) == {"a counter that is never read"}


@pytest.mark.parametrize(
    ("meta", "names", "clockwise"),
    [
        ({"mmdet3d_version": "0.17.2"}, "teacher_zoo", True),
        ({"mmdet3d_version": "1.0.0rc4"}, "teacher_zoo", False),
        ({"mmengine_version": "0.10.7", "cfg": ""}, "teacher_zoo", False),
        ({}, "teacher_zoo", None),
        ({}, "teacher_pillar", True),
        ({"mmdet3d_version": "1.0.0rc4"}, "student_r50", False),
        ({"mmdet3d_version": "of somebody"}, "student_r50", True),
    ],
)
def test_the_library_s_version_tells_how_boxes_turn_before_the_names_do(meta, names, clockwise):
    layout = find(released.shapes(names))
    assert layout is not None
    assert is_clockwise(layout, meta) is clockwise
