"""Making a world: the same bytes however it is made, resumable, and clear about mistakes."""

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
    """A hash per file; the manifest without its wall time."""
    found = {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != "world.json"
    }
    manifest = json.loads((root / "world.json").read_text())
    assert manifest.pop("seconds") >= 0
    return found | {"world.json": json.dumps(manifest)}


def boxes_of(root: Path) -> list[list[float]]:
    fragment = json.loads(fragment_path(root, "world_train", 0).read_text())
    return [
        row["translation"] + row["size"] + row["rotation"] for row in fragment["tables"]["sample_annotation"]
    ]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    build_world(SPEC, folder, workers=1)
    return folder


def test_two_workers_write_the_same_bytes_as_one(made: Path, tmp_path: Path) -> None:
    build_world(SPEC, tmp_path, workers=2)
    assert content(tmp_path) == content(made)


def test_a_lost_scene_is_made_again_and_only_that_one(made: Path) -> None:
    before = content(made)
    fragment = fragment_path(made, "world_train", 1)
    lost = next((made / "samples" / "CAM_BACK").glob("world-train-0001*"))
    kept = next((made / "samples" / "CAM_BACK").glob("world-train-0000*"))
    fragment.unlink()
    lost.unlink()
    untouched = kept.stat().st_mtime_ns
    build_world(SPEC, made, workers=1)
    assert content(made) == before
    assert kept.stat().st_mtime_ns == untouched


def test_another_seed_is_another_world_and_a_split_s_size_is_not(made: Path, tmp_path: Path) -> None:
    smaller = replace(SPEC, train_scenes=1, dev_scenes=0, val_scenes=0)
    build_world(smaller, tmp_path / "same", workers=1)
    build_world(replace(smaller, seed=2), tmp_path / "other", workers=1)
    scene = "scenes/world_train-0000.json"
    assert (tmp_path / "same" / scene).read_bytes() == (made / scene).read_bytes()
    assert (tmp_path / "other" / scene).read_bytes() != (made / scene).read_bytes()


def test_noise_moves_no_houses_and_no_cars(made: Path, tmp_path: Path) -> None:
    build_world(
        replace(SPEC, train_scenes=1, dev_scenes=0, val_scenes=0, lidar_noise_m=0.1), tmp_path, workers=1
    )
    places = [
        [
            row["translation"]
            for row in json.loads((root / "scenes/world_train-0000.json").read_text())["tables"][
                "sample_annotation"
            ]
        ]
        for root in (made, tmp_path)
    ]
    assert places[0] == places[1]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"frames_per_scene": 0}, "frames_per_scene"),
        ({"radius_m": 1.0}, "radius_m"),
        ({"image_height": 80}, "16 by 9"),
        ({"density": -1.0}, "density"),
        ({"occlusion": -1.0}, "occlusion"),
        ({"weather": 1.5}, "weather"),
        ({"lidar_dropout": -0.1}, "lidar_dropout"),
    ],
)
def test_impossible_worlds_are_refused_in_a_sentence(tmp_path: Path, change: dict, word: str) -> None:
    with pytest.raises(UserError, match=word):
        build_world(replace(SPEC, **change), tmp_path, workers=1)


def test_an_unknown_scene_is_named_with_those_there_are(made: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="world-val-0000"):
        show(made, tmp_path / "sheet.png", "world-val-9999", 0)
    with pytest.raises(UserError, match="no key frame 7"):
        show(made, tmp_path / "sheet.png", "world-val-0000", 7)
