"""The val split of the default profile has enough boxes of every class for the evaluation."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from nuscenes.eval.common.config import config_factory
from nuscenes.eval.common.loaders import add_center_dist, filter_eval_boxes, load_gt_of_sample_tokens
from nuscenes.eval.detection.data_classes import DetectionBox
from nuscenes.nuscenes import NuScenes

from dualdistill.config.nuscenes import CLASSES
from dualdistill.plan import plan
from dualdistill.world.nuscenes.build import build_world

MIN_BOXES = 20


@pytest.mark.slow
def test_every_class_has_enough_evaluated_boxes(checkout: Path, tmp_path: Path) -> None:
    """Counted with the devkit's filters, and equal to the counts in world.json."""
    spec = plan.load(checkout / "config" / "config.yaml", {"profile": "world"}).data.world
    assert spec is not None
    build_world(replace(spec, train_scenes=0, dev_scenes=0, pretrain_scenes=0), tmp_path, workers=2)
    nusc = NuScenes("v1.0-world", str(tmp_path), verbose=False)
    config = config_factory("detection_cvpr_2019")
    tokens = [row["token"] for row in nusc.sample]
    boxes = add_center_dist(nusc, load_gt_of_sample_tokens(nusc, tokens, DetectionBox))
    evaluated = Counter(box.detection_name for box in filter_eval_boxes(nusc, boxes, config.class_range).all)
    assert min(evaluated[name] for name in CLASSES) >= MIN_BOXES, evaluated
    counts = json.loads((tmp_path / "world.json").read_text())["boxes"]["world_val"]
    assert evaluated == {name: counts[name]["hit"] for name in CLASSES}
