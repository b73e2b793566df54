"""Names of released weights and their names here.

A map goes from the beginning of a released name to the beginning of ours; what follows stays. Entries of a
released file that no network here has are left aside, each with its reason. The released names are those of
Gaeun-Kimm/DualDistill e16e167, qcraftai/distill-bev 3e8f6a4, ADLab3Ds/TiG-BEV 0b85461 and mmdet3d.
"""

from __future__ import annotations

from collections.abc import Mapping

HEAD = {"pts_bbox_head.": "head.layers."}

STUDENT = HEAD | {
    "img_backbone.": "image_encoder.backbone.",
    "img_neck.lateral_convs.0.conv.": "image_encoder.laterals.0.",
    "img_neck.lateral_convs.1.conv.": "image_encoder.laterals.1.",
    "img_neck.fpn_convs.0.conv.": "image_encoder.smooth.",
    "img_view_transformer.featnet.": "view_transform.depth_net.context.",
    "img_view_transformer.se.input_conv.": "view_transform.depth_net.reduce.",
    "img_view_transformer.se.fc.": "view_transform.depth_net.gate.",
    "img_view_transformer.extra_depthnet.layers.0.": "view_transform.depth_net.trunk.",
    "img_view_transformer.dcn.0.conv_offset.": "view_transform.depth_net.deformable.0.taps.",
    "img_view_transformer.dcn.": "view_transform.depth_net.deformable.",
    "img_view_transformer.depthnet.": "view_transform.depth_net.logits.",
    "pre_process_net.layers.0.": "refine.",
    "img_bev_encoder_backbone.layers.": "bev_encoder.stages.",
    "img_bev_encoder_neck.conv.0.": "bev_neck.merge.0.0.",
    "img_bev_encoder_neck.conv.1.": "bev_neck.merge.0.1.",
    "img_bev_encoder_neck.conv.3.": "bev_neck.merge.1.0.",
    "img_bev_encoder_neck.conv.4.": "bev_neck.merge.1.1.",
    "img_bev_encoder_neck.up2.1.": "bev_neck.up.1.0.",
    "img_bev_encoder_neck.up2.2.": "bev_neck.up.1.1.",
    "img_bev_encoder_neck.up2.4.": "bev_neck.up.2.",
    "img_bev_encoder_neck.up2.5.": "bev_neck.close.0.",  # with extra_norm only
}
CONSTANTS = "a constant of the released lift, computed here"
ADAPTER = "used in training only, to compare with the teacher"
STUDENT_ASIDE = {
    "img_view_transformer.frustum": CONSTANTS,
    "img_view_transformer.dx": CONSTANTS,
    "img_view_transformer.bx": CONSTANTS,
    "img_view_transformer.nx": CONSTANTS,
    "channel_wise_adaptations.": ADAPTER,
    "spatial_wise_adaptations.": ADAPTER,
    "embed.": ADAPTER,
    "pts_middle_encoder.": "the LiDAR teacher beside the student",
    "pts_backbone.": "the LiDAR teacher beside the student",
    "pts_neck.": "the LiDAR teacher beside the student",
}

TEACHER = HEAD | {
    "pts_voxel_encoder.pfn_layers.0.0.": "pillars.linear.",  # the authors' dynamic pillars
    "pts_voxel_encoder.pfn_layers.0.1.": "pillars.norm.",
    "pts_voxel_encoder.pfn_layers.0.linear.": "pillars.linear.",  # mmdet3d's
    "pts_voxel_encoder.pfn_layers.0.norm.": "pillars.norm.",
    "pts_backbone.": "backbone.",
    "pts_neck.": "neck.",
}


def beginning(name: str, prefixes: Mapping[str, str]) -> str | None:
    """The first of the prefixes that a name begins with."""
    return next((prefix for prefix in prefixes if name.startswith(prefix)), None)


def our_name(name: str, names: Mapping[str, str]) -> str | None:
    """A released name as it is here; None if it has no counterpart."""
    prefix = beginning(name, names)
    return None if prefix is None else names[prefix] + name.removeprefix(prefix)
