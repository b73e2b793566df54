"""Boxes of the LIDAR_TOP frame as nuScenes results."""

import json
import math

import numpy as np
import pytest
import torch
from hand_tables import MOUNT, Tables, pose
from pyquaternion import Quaternion

from dualdistill.config.nuscenes import ATTRIBUTE_BY_MOTION, ATTRIBUTES, CLASSES
from dualdistill.data.batch import Detections
from dualdistill.evaluation.evaluate import evaluate
from dualdistill.evaluation.predict import to_nuscenes
from dualdistill.evaluation.results_format import check


def detections(boxes, labels, scores=None):
    scores = torch.ones(len(boxes)) if scores is None else torch.as_tensor(scores)
    rows = torch.as_tensor(np.array(boxes, dtype=np.float32).reshape(-1, 9))
    return Detections(rows, scores, torch.as_tensor(labels, dtype=torch.long))


def lidar_to_global(sample: int) -> np.ndarray:
    where, turn = pose(sample)
    ego, mount = turn.transformation_matrix, MOUNT[1].transformation_matrix
    ego[:3, 3], mount[:3, 3] = where, MOUNT[0]
    return ego @ mount


def in_lidar(box: dict, sample: int) -> list[float]:
    """A results entry in the LiDAR frame, transformed step by step with quaternions."""
    where, turn = pose(sample)
    centre = np.array(box["translation"])
    heading = Quaternion(box["rotation"])
    velocity = np.array([*box["velocity"], 0.0])
    for offset, rotation in ((where, turn), MOUNT):
        back = rotation.inverse
        centre = back.rotate(centre - np.array(offset))
        heading, velocity = back * heading, back.rotate(velocity)
    ahead = heading.rotate(np.array([1.0, 0.0, 0.0]))
    width, length, height = box["size"]
    return [*centre, length, width, height, math.atan2(ahead[1], ahead[0]), *velocity[:2]]


def through_to_nuscenes(tables: Tables) -> dict:
    document = tables.document()
    for sample, token in enumerate(tables.tokens):
        entries = document["results"][token]
        boxes = [in_lidar(box, sample) for box in entries]
        labels = [CLASSES.index(box["detection_name"]) for box in entries]
        detected = detections(boxes, labels, [box["detection_score"] for box in entries])
        document["results"][token] = to_nuscenes(detected, lidar_to_global(sample), token)
    return document


def test_an_asymmetric_box_is_converted_with_every_convention():
    # the LiDAR looks along global -y and stands at (100, 200, 2): its x is global -x, its y is global -y
    half_turn = np.array([[-1, 0, 0, 100], [0, -1, 0, 200], [0, 0, 1, 2], [0, 0, 0, 1.0]])
    box = [3.0, 10.0, -1.0, 4.5, 1.9, 1.6, math.radians(30), 4 * math.cos(0.5), 4 * math.sin(0.5)]
    (entry,) = to_nuscenes(detections([box], [0], [0.75]), half_turn, "a")
    assert entry["translation"] == pytest.approx([97, 190, 1], abs=1e-5)
    assert entry["size"] == pytest.approx([1.9, 4.5, 1.6])
    ahead = Quaternion(entry["rotation"]).rotate(np.array([1.0, 0.0, 0.0]))
    assert math.degrees(math.atan2(ahead[1], ahead[0])) == pytest.approx(30 - 180, abs=1e-4)
    assert entry["velocity"] == pytest.approx([-4 * math.cos(0.5), -4 * math.sin(0.5)], abs=1e-5)
    assert (entry["sample_token"], entry["detection_name"], entry["detection_score"]) == ("a", "car", 0.75)
    assert entry["attribute_name"] == "vehicle.moving"


def test_every_number_is_a_plain_float():
    (entry,) = to_nuscenes(detections([[1, 2, 3, 4, 5, 6, 0.5, 0, 0]], [8]), np.eye(4), "a")
    numbers = [
        *entry["translation"],
        *entry["size"],
        *entry["rotation"],
        *entry["velocity"],
        entry["detection_score"],
    ]
    assert {type(number) for number in numbers} == {float}
    assert check({"meta": dict.fromkeys(META, True), "results": {"a": [entry]}}, ["a"], "here") == 1


META = ("use_camera", "use_lidar", "use_radar", "use_map", "use_external")


def test_ground_truth_in_the_frame_of_a_tilted_lidar_scores_one(tables, tmp_path):
    document = through_to_nuscenes(tables)
    results = tmp_path / "results_nusc.json"
    results.write_text(json.dumps(document))
    metrics = evaluate(results, tables.root, tables.version, tables.split, tmp_path)
    assert metrics["mean_ap"] == pytest.approx(1.0, abs=1e-9)
    # a box has no lean and no climb: on a slope, a little of heading and speed is lost
    assert metrics["nd_score"] == pytest.approx(1.0, abs=2e-3)
    assert metrics["tp_errors"]["attr_err"] == 0


@pytest.mark.parametrize("name", CLASSES)
def test_the_attribute_follows_the_speed_and_fits_the_class(name):
    def attribute(speed):
        box = [5, 5, 0, 4, 2, 2, 0, 0, speed]
        return to_nuscenes(detections([box], [CLASSES.index(name)]), np.eye(4), "a")[0]["attribute_name"]

    fast, slow = ATTRIBUTE_BY_MOTION[name]
    assert (attribute(0.21), attribute(0.19), attribute(-0.21)) == (fast, slow, fast)
    assert {fast, slow} <= {*ATTRIBUTES[name], ""}
    assert (fast == "") == (name in ("barrier", "traffic_cone"))


def test_the_best_500_boxes_of_a_sample_are_kept_in_order():
    scores = torch.linspace(0, 1, 600)[torch.randperm(600, generator=torch.Generator().manual_seed(0))]
    entries = to_nuscenes(detections(np.ones((600, 9)), [0] * 600, scores), np.eye(4), "a")
    kept = [entry["detection_score"] for entry in entries]
    assert len(kept) == 500
    assert kept == sorted(kept, reverse=True)
    assert kept[-1] == pytest.approx(100 / 599, abs=1e-6)


def test_a_sample_without_detections_has_an_empty_list():
    assert to_nuscenes(detections([], []), np.eye(4), "a") == []
