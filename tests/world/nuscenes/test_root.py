"""The world is a valid nuScenes root: complete tables, consistent chains, existing files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from nuscenes.eval.detection.utils import category_to_detection_name, detection_name_to_rel_attributes
from nuscenes.nuscenes import NuScenes
from nuscenes.utils.geometry_utils import BoxVisibility
from PIL import Image

from dualdistill.config.nuscenes import CAMERAS, CLASSES
from dualdistill.config.world import WorldSpec
from dualdistill.world.nuscenes.names import mask_name
from dualdistill.world.preview import show
from dualdistill.world.scene import placement


def test_in_every_split_the_lidar_hits_every_class_but_large_vehicles(root: Path) -> None:
    """A large vehicle may only be hit at an end while its centre lies beyond the annotated area."""
    boxes = json.loads((root / "world.json").read_text())["boxes"]
    for split, classes in boxes.items():
        missing = [name for name in set(CLASSES) - set(placement.LARGE) if classes[name]["hit"] == 0]
        assert not missing, f"no {missing} in {split}"
    assert all(sum(classes[name]["hit"] for classes in boxes.values()) for name in CLASSES)


def test_two_successive_scenes_have_all_classes_and_two_kinds_of_large_vehicles_each() -> None:
    assert {*placement.classes_of_scene(0), *placement.classes_of_scene(1)} == set(CLASSES)
    for number in range(8):
        assert sum(name in placement.LARGE for name in placement.classes_of_scene(number)) == 2
        assert set(CLASSES) - set(placement.LARGE) < set(placement.classes_of_scene(number))


def test_scenes_belong_to_their_splits(root: Path, spec: WorldSpec, nusc: NuScenes) -> None:
    splits = json.loads((root / "v1.0-world" / "splits.json").read_text())
    assert {name: len(scenes) for name, scenes in splits.items()} == {
        "world_train": spec.train_scenes,
        "world_dev": spec.dev_scenes,
        "world_val": spec.val_scenes,
        "world_pretrain": spec.pretrain_scenes,
    }
    assert sorted(name for scenes in splits.values() for name in scenes) == sorted(
        scene["name"] for scene in nusc.scene
    )


def test_every_file_named_in_the_tables_exists(root: Path, nusc: NuScenes) -> None:
    names = [row["filename"] for table in (nusc.sample_data, nusc.map) for row in table]
    masks = [mask_name(row["filename"]) for row in nusc.sample_data if row["fileformat"] == "jpg"]
    missing = [name for name in names + masks if not (root / name).is_file()]
    assert not missing


def test_tokens_are_unique_and_references_resolve(nusc: NuScenes) -> None:
    for name in nusc.table_names:
        tokens = [row["token"] for row in getattr(nusc, name)]
        assert len(tokens) == len(set(tokens)), name
    for row in nusc.sample_annotation:
        assert nusc.get("visibility", row["visibility_token"])
        assert nusc.get("instance", row["instance_token"])


@pytest.mark.parametrize("channel", ["LIDAR_TOP", *CAMERAS])
def test_sensor_data_is_chained_through_each_scene_in_time_order(
    nusc: NuScenes, spec: WorldSpec, channel: str
) -> None:
    rows = [row for row in nusc.sample_data if row["channel"] == channel]
    starts = [row for row in rows if not row["prev"]]
    assert len(starts) == len(nusc.scene)
    for start in starts:
        chain = [start]
        while chain[-1]["next"]:
            chain.append(nusc.get("sample_data", chain[-1]["next"]))
        gaps = np.diff([row["timestamp"] for row in chain])
        sweeps = spec.sweeps_per_frame if channel == "LIDAR_TOP" else 1
        assert len(chain) == 1 + spec.frames_per_scene * sweeps
        assert np.all(gaps == 500_000 // sweeps)
        assert not chain[0]["is_key_frame"], "each scene begins with history for its first key frame"
        assert sum(row["is_key_frame"] for row in chain) == spec.frames_per_scene
        assert chain[0]["sample_token"] == chain[sweeps]["sample_token"]


def test_sample_and_annotation_chains_match_their_scenes_and_instances(
    nusc: NuScenes, spec: WorldSpec
) -> None:
    for scene in nusc.scene:
        token, count = scene["first_sample_token"], 0
        while token:
            sample = nusc.get("sample", token)
            count, last, token = count + 1, token, sample["next"]
        assert (count, last) == (spec.frames_per_scene, scene["last_sample_token"])
    for instance in nusc.instance:
        token, times = instance["first_annotation_token"], []
        while token:
            row = nusc.get("sample_annotation", token)
            assert row["instance_token"] == instance["token"]
            times.append(nusc.get("sample", row["sample_token"])["timestamp"])
            last, token = token, row["next"]
        assert len(times) == instance["nbr_annotations"]
        assert last == instance["last_annotation_token"]
        assert times == sorted(times)


def test_a_key_frame_has_the_lidar_s_timestamp_and_cameras_come_up_to_50_ms_earlier(nusc: NuScenes) -> None:
    for sample in nusc.sample:
        lidar = nusc.get("sample_data", sample["data"]["LIDAR_TOP"])
        assert lidar["timestamp"] == sample["timestamp"]
        for channel in CAMERAS:
            lead = sample["timestamp"] - nusc.get("sample_data", sample["data"][channel])["timestamp"]
            assert 0 < lead < 50_000


def test_each_sensor_has_an_ego_pose_at_its_timestamp(nusc: NuScenes) -> None:
    frames_with_motion = 0
    for sample in nusc.sample:
        poses = [nusc.get("sample_data", token)["ego_pose_token"] for token in sample["data"].values()]
        assert len(set(poses)) == len(poses)
        places = np.array([nusc.get("ego_pose", token)["translation"] for token in poses])
        times = [nusc.get("ego_pose", token)["timestamp"] for token in poses]
        assert times == [nusc.get("sample_data", token)["timestamp"] for token in sample["data"].values()]
        frames_with_motion += bool(np.ptp(places, axis=0).max() > 0.05)
    assert frames_with_motion > 0, "the ego never moves between the instants of its sensors"


def test_attributes_are_valid_for_their_classes(nusc: NuScenes) -> None:
    seen = set()
    for row in nusc.sample_annotation:
        name = category_to_detection_name(row["category_name"])
        names = [nusc.get("attribute", token)["name"] for token in row["attribute_tokens"]]
        allowed = detection_name_to_rel_attributes(name)
        assert len(names) == (1 if allowed else 0)
        assert set(names) <= set(allowed)
        seen |= set(names)
    assert {"vehicle.moving", "vehicle.parked", "pedestrian.moving", "cycle.without_rider"} <= seen


def test_every_box_projects_into_an_image(nusc: NuScenes) -> None:
    """The six cameras see all around."""
    for sample in nusc.sample:
        _, around, _ = nusc.get_sample_data(sample["data"]["LIDAR_TOP"])
        # a bus alongside may fill an image, yet the devkit sees none of its corners
        visible = {box.token for box in around if np.hypot(*box.center[:2]) < max(box.wlh) / 2}
        for channel in CAMERAS:
            token = sample["data"][channel]
            _, boxes, intrinsics = nusc.get_sample_data(token, box_vis_level=BoxVisibility.ANY)
            assert intrinsics.shape == (3, 3)
            visible |= {box.token for box in boxes}
        assert visible >= set(sample["anns"])


def test_the_ego_is_on_the_map_s_drivable_area(nusc: NuScenes) -> None:
    for scene in nusc.scene:
        sample = nusc.get("sample", scene["first_sample_token"])
        lidar = nusc.get("sample_data", sample["data"]["LIDAR_TOP"])
        x, y, _ = nusc.get("ego_pose", lidar["ego_pose_token"])["translation"]
        log = nusc.get("log", scene["log_token"])
        mask = nusc.get("map", log["map_token"])["mask"]
        assert mask.is_on_mask(x, y).all()
        assert not mask.is_on_mask(2.0, 2.0).any()


def test_preview_draws_an_image(root: Path, tmp_path: Path) -> None:
    show(root, tmp_path / "preview.png", "world-val-0000", 1)
    with Image.open(tmp_path / "preview.png") as image:
        assert image.width > 1000
