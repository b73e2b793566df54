"""Building a world is reproducible and resumable, and refuses impossible specs."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from dualdistill.config.world import WorldSpec
from dualdistill.errors import UserError
from dualdistill.world.nuscenes.build import build_world
from dualdistill.world.nuscenes.record_scene import fragment_path
from dualdistill.world.preview import show

SPEC = WorldSpec(
    seed=1,
    train_scenes=2,
    dev_scenes=1,
    val_scenes=1,
    frames_per_scene=2,
    image_height=45,
    image_width=80,
    lidar_azimuths=180,
)


def content(root: Path) -> dict[str, str]:
    """A hash of each file, and the manifest without its wall time."""
    hashes = {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != "world.json"
    }
    manifest = json.loads((root / "world.json").read_text())
    assert manifest.pop("seconds") >= 0
    return hashes | {"world.json": json.dumps(manifest)}


def boxes_of(root: Path) -> list[list[float]]:
    fragment = json.loads(fragment_path(root, "world_train", 0).read_text())
    return [
        row["translation"] + row["size"] + row["rotation"] for row in fragment["tables"]["sample_annotation"]
    ]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    build_world(SPEC, folder, workers=1)
    return folder


def test_two_workers_write_the_same_bytes_as_one_worker(built: Path, tmp_path: Path) -> None:
    build_world(SPEC, tmp_path, workers=2)
    assert content(tmp_path) == content(built)


def test_only_a_lost_scene_is_recorded_again(built: Path) -> None:
    before = content(built)
    fragment = fragment_path(built, "world_train", 1)
    lost = next((built / "samples" / "CAM_BACK").glob("world-train-0001*"))
    intact = next((built / "samples" / "CAM_BACK").glob("world-train-0000*"))
    fragment.unlink()
    lost.unlink()
    modified = intact.stat().st_mtime_ns
    build_world(SPEC, built, workers=1)
    assert content(built) == before
    assert intact.stat().st_mtime_ns == modified


def test_a_scene_depends_on_the_seed_and_not_on_the_size_of_its_split(built: Path, tmp_path: Path) -> None:
    smaller = replace(SPEC, train_scenes=1, dev_scenes=0, val_scenes=0)
    build_world(smaller, tmp_path / "same", workers=1)
    build_world(replace(smaller, seed=2), tmp_path / "other", workers=1)
    scene = "scenes/world_train-0000.json"
    assert (tmp_path / "same" / scene).read_bytes() == (built / scene).read_bytes()
    assert (tmp_path / "other" / scene).read_bytes() != (built / scene).read_bytes()


def test_a_smaller_world_is_the_first_scenes_of_a_larger_one(tmp_path: Path) -> None:
    counts = ("train_scenes", "dev_scenes", "val_scenes", "pretrain_scenes")
    for name, scenes in (("smaller", 1), ("larger", 2)):
        build_world(replace(SPEC, **dict.fromkeys(counts, scenes)), tmp_path / name, workers=1)
    smaller, larger = content(tmp_path / "smaller"), content(tmp_path / "larger")
    tables = {name for name in smaller if name.startswith("v1.0-world/")}
    # sensor files, masks, maps and records of every split, byte for byte
    first = smaller.keys() - tables - {"world.json"}
    assert {name: smaller[name] for name in first} == {name: larger[name] for name in first}
    others = larger.keys() - tables - {"world.json"} - first
    assert all("-0001" in name or name.startswith("maps/") for name in others)
    for split in ("train", "dev", "val", "pretrain"):
        assert any(f"world-{split}-0000" in name for name in first)
    for name in tables:
        few, many = (json.loads((tmp_path / root / name).read_text()) for root in ("smaller", "larger"))
        if name.endswith("splits.json"):
            assert few == {split: scenes[:1] for split, scenes in many.items()}
        else:
            assert all(row in many for row in few), name
    # a larger world keeps the scenes of a smaller one that was built in its folder before
    build_world(replace(SPEC, **dict.fromkeys(counts, 2)), tmp_path / "smaller", workers=1)
    assert content(tmp_path / "smaller") == larger


def test_range_noise_leaves_the_objects_in_place(built: Path, tmp_path: Path) -> None:
    build_world(
        replace(SPEC, train_scenes=1, dev_scenes=0, val_scenes=0, lidar_noise_m=0.1), tmp_path, workers=1
    )
    assert boxes_of(built) == boxes_of(tmp_path)


def test_images_higher_than_a_camera_s_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="16 by 9"):
        build_world(replace(SPEC, image_height=80), tmp_path, workers=1)


def test_preview_refuses_an_unknown_scene_and_lists_the_known_ones(built: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="world-val-0000"):
        show(built, tmp_path / "preview.png", "world-val-9999", 0)
    with pytest.raises(UserError, match="no key frame 7"):
        show(built, tmp_path / "preview.png", "world-val-0000", 7)
