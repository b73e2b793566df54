"""A stand-in reads like nuScenes in the devkit and in this suite, and is called synthetic everywhere."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from nuscenes.nuscenes import NuScenes
from nuscenes.utils import splits

from dualdistill.config.nuscenes import CAMERAS, LIDAR
from dualdistill.config.world import WorldSpec
from dualdistill.data import index_build, stand_in
from dualdistill.data.index import LIDAR_COLUMN, Index
from dualdistill.data.masks.rendered import RenderedMasks
from dualdistill.data.masks.stored import StoredMasks
from dualdistill.errors import DataError, UserError
from dualdistill.plan import plan as planning
from dualdistill.plan.plan import Plan
from dualdistill.report import collect
from dualdistill.world.nuscenes.build import build_world

VERSION = "v1.0-trainval"
SPLITS = {"train": "train", "dev": "val", "val": "val"}


@pytest.fixture(scope="module")
def nusc(official_root: Path) -> NuScenes:
    return NuScenes(VERSION, str(official_root), verbose=False)


@pytest.fixture(scope="module")
def index(official_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Index:
    file = tmp_path_factory.mktemp("index") / "index.npz"
    index_build.build(official_root, VERSION, SPLITS, file)
    return Index.load(file)


def planned(checkout: Path, root: Path) -> Plan:
    images = {"r50": "r50.pth", "r101": "r101.pth"}
    overrides = {"profile": "nuscenes", "data_root": str(root), "imagenet": images, "masks": "masks"}
    return planning.load(checkout / "config" / "config.yaml", overrides)


def test_its_scenes_are_in_the_devkit_s_own_lists(nusc: NuScenes, index: Index) -> None:
    names = [row["name"] for row in nusc.scene]
    assert [name in splits.train for name in names] == [True, True, False, False]
    assert [name in splits.val for name in names] == [False, False, True, True]
    assert [len(index.samples(split)) for split in ("train", "dev", "val")] == [6, 6, 6]


@pytest.mark.parametrize(("channel", "hertz"), [(LIDAR, 20), *((camera, 12) for camera in CAMERAS)])
def test_sensors_have_nuscenes_rates_from_the_first_key_frame_to_the_last(
    nusc: NuScenes, channel: str, hertz: int
) -> None:
    for scene in nusc.scene:
        sample = nusc.get("sample", scene["first_sample_token"])
        rows = [nusc.get("sample_data", sample["data"][channel])]
        assert rows[0]["prev"] == ""
        while rows[-1]["next"]:
            rows.append(nusc.get("sample_data", rows[-1]["next"]))
        gaps_us = np.diff([row["timestamp"] for row in rows])
        assert np.abs(gaps_us - 1e6 / hertz).max() <= 1
        assert [row["is_key_frame"] for row in rows] == [
            place % (hertz // 2) == 0 for place in range(len(rows))
        ]
        assert sum(row["is_key_frame"] for row in rows) == scene["nbr_samples"]


def test_names_and_rates_change_nothing_in_the_key_frames(tmp_path: Path) -> None:
    small = WorldSpec(
        train_scenes=1, dev_scenes=0, val_scenes=0, frames_per_scene=2, image_height=45, image_width=80
    )
    build_world(small, tmp_path / "world", workers=1)
    rates = {"images_per_frame": 2, "sweeps_per_frame": 4, "lead_in": False}
    build_world(replace(small, official_names=True, **rates), tmp_path / "official", workers=1)
    for channel in (LIDAR, *CAMERAS):
        before, after = (
            [path.read_bytes() for path in sorted((tmp_path / name / "samples" / channel).iterdir())]
            for name in ("world", "official")
        )
        assert len(before) == 2
        assert before == after


def test_every_scene_and_log_says_that_it_is_synthetic(nusc: NuScenes) -> None:
    assert all(row["description"].startswith("synthetic, not nuScenes") for row in nusc.scene)
    assert all(row["logfile"].startswith("synthetic-") for row in nusc.log)


def test_its_data_and_runs_are_not_those_of_nuscenes_and_tables_name_it(
    checkout: Path, official_root: Path, tmp_path: Path
) -> None:
    (tmp_path / VERSION).mkdir()
    real, small = planned(checkout, tmp_path), planned(checkout, official_root)
    assert (real.data.printed_name, small.data.printed_name) == ("nuscenes", "nuscenes-stand-in")
    assert small.data_id.startswith("nuscenes-stand-in-")
    assert not set(real.runs) & set(small.runs)
    assert collect.about(small, small.shown / "table_main.csv")["data"] == "nuscenes-stand-in"
    assert "not comparable" in collect.provenance(small)[0]
    assert "not comparable" not in collect.provenance(real)[0]


def test_part_of_a_split_is_read_only_where_the_root_lists_it(official_root: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(official_root / VERSION, root / VERSION)
    for folder in ("maps", "samples", "sweeps"):
        (root / folder).symlink_to(official_root / folder)
    listed = root / VERSION / "splits.json"
    listed.write_text(json.dumps(json.loads(listed.read_text()) | {"val": ["scene-0003", "scene-0013"]}))
    with pytest.raises(DataError, match="split val has 2 scenes and the tables lack 1 of them"):
        index_build.build(root, VERSION, SPLITS, tmp_path / "index.npz")
    listed.unlink()
    with pytest.raises(DataError, match="split train has 700 scenes and the tables lack 698 of them"):
        index_build.build(root, VERSION, SPLITS, tmp_path / "index.npz")


def test_its_files_of_masks_hold_the_rendered_masks(official_root: Path, index: Index) -> None:
    stored, rendered = StoredMasks(index, official_root / stand_in.MASKS), RenderedMasks(index, official_root)
    seen = 0
    for record in np.flatnonzero(index.record_channel != LIDAR_COLUMN)[::17].tolist():
        pairs = list(zip(stored.masks(record), rendered.masks(record), strict=True))
        seen += len(pairs)
        for ours, theirs in pairs:
            assert (ours.label, ours.score) == (theirs.label, theirs.score)
            assert np.array_equal(ours.mask_HW, theirs.mask_HW)
    assert seen > 20


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"train_scens": "2"}, "unknown key 'train_scens'"),
        ({"dev_scenes": "1"}, "'world_dev' has 1 scenes, and under official names it has at most 0"),
        ({"val_scenes": "151"}, "'world_val' has 151 scenes, and under official names it has at most 150"),
    ],
)
def test_wrong_keys_are_refused(keys: dict[str, str], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=sentence):
        stand_in.build(tmp_path / "root", keys, workers=1)
