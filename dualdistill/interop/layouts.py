"""The code bases whose files can be told by the names of their weights."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal

from dualdistill.interop import key_maps

Kind = Literal["student", "teacher", "backbone"]


@dataclass(frozen=True)
class Layout:
    """The names of one code base's network."""

    name: str
    marks: tuple[str, ...]  # a file is of this layout if each of these begins one of its names
    kind: Kind = "student"
    names: Mapping[str, str] = field(default_factory=dict)
    aside: Mapping[str, str] = field(default_factory=dict)
    clockwise: bool | None = True  # mmdet3d below 1.0.0rc; None: the names do not tell
    padded: bool = False  # pillars of a fixed number of points
    refused: str = ""  # the reason, for a network that is not here


OTHER_STUDENT = (
    "another network (ego frame, other neck, depth network and trunk), and such a student is not here yet"
)
BEVDET = ("img_backbone.", "img_view_transformer.depthnet.", "pre_process_net.", "pts_bbox_head.task_heads.")
PILLARS = ("pts_backbone.", "pts_neck.", "pts_bbox_head.task_heads.")


def _student(name: str, *marks: str) -> Layout:
    return Layout(name, (*marks, *BEVDET), names=key_maps.STUDENT, aside=key_maps.STUDENT_ASIDE)


# a layout stands before those whose marks it has too
LAYOUTS = (
    Layout(
        "LabelDistill",
        ("backbone.img_backbone.", "centerpoint.", "label_encoder."),
        refused=OTHER_STUDENT,
    ),
    Layout("LabelDistill's label encoder", ("label_encoder.", "centerpoint."), refused="not a detector"),
    Layout("Megvii's BEVDepth", ("backbone.img_backbone.", "head.trunk."), refused=OTHER_STUDENT),
    Layout(
        "a detector with deformable heads",
        ("pts_bbox_head.task_heads.0.feature_adapt",),
        refused="its heads adapt their features with deformable convolutions, which are not here",
    ),
    Layout(
        "a later BEVDet",
        ("img_view_transformer.depth_net.", "img_bev_encoder_backbone."),
        refused="its depth network is another one",
    ),
    _student("DualDistill", "channel_wise_adaptations.0.0.pos_embed"),
    _student("DistillBEV", "channel_wise_adaptations."),
    _student("TiG-BEV", "embed.", "pts_middle_encoder."),
    _student("BEVDepth4D of the BEVDet code base"),
    Layout(
        "CenterPoint on voxels",
        ("pts_middle_encoder.", *PILLARS),
        refused="sparse convolutions on voxels; the teachers here are pillars of 0.2 m",
    ),
    Layout(
        "CenterPoint on dynamic pillars",
        ("pts_voxel_encoder.pfn_layers.0.0.", *PILLARS),
        kind="teacher",
        names=key_maps.TEACHER,
    ),
    Layout(
        "mmdet3d's CenterPoint on pillars",
        ("pts_voxel_encoder.pfn_layers.0.linear.", *PILLARS),
        kind="teacher",
        names=key_maps.TEACHER,
        clockwise=None,
        padded=True,
    ),
    Layout(
        "tianweiy's CenterPoint",
        ("reader.", "bbox_head."),
        refused="written for another library, whose heads have other outputs",
    ),
    Layout(
        "a ResNet of mmdet",
        ("backbone.conv1.", "backbone.layer4."),
        kind="backbone",
        names={"backbone.": ""},
        aside={"": "not part of the image backbone"},
    ),
    Layout(
        "a ResNet of torchvision",
        ("conv1.", "bn1.", "layer4."),
        kind="backbone",
        names={name: name for name in ("conv1.", "bn1.", "layer1.", "layer2.", "layer3.", "layer4.")},
        aside={"fc.": "the classifier of ImageNet"},
    ),
)


def find(names: Collection[str]) -> Layout | None:
    """The layout of a file's names; None if it is unknown."""
    return next((layout for layout in LAYOUTS if all(_begins(mark, names) for mark in layout.marks)), None)


def _begins(mark: str, names: Collection[str]) -> bool:
    return any(name.startswith(mark) for name in names)
