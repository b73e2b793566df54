"""Masks: rendered, damaged, read from files, scored as COCO does, and the stage that lifts them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dualdistill.config.nuscenes import CLASSES
from dualdistill.config.run_spec import DamageSpec, VirtualSpec
from dualdistill.data.geometry import points_in_box
from dualdistill.data.index import LIDAR_COLUMN, Index
from dualdistill.data.masks import Instance, open_masks
from dualdistill.data.masks.mask_ap import MaskAP
from dualdistill.data.masks.noisy import ALIKE, Noisy
from dualdistill.data.masks.rendered import Oracle
from dualdistill.data.virtual_points.build import clouds, make
from dualdistill.data.virtual_points.reader import VirtualClouds, cloud_path
from dualdistill.errors import DataError
from dualdistill.store.files import read_json

CAR, BUS = CLASSES.index("car"), CLASSES.index("bus")
NONE = DamageSpec(
    missed=0, small_px=1e-3, merged=0, confused=0, outline=0, shift=0, false_masks=0, score_noise=0
)


def square(left: int, side: int = 10) -> np.ndarray:
    mask_HW = np.zeros((30, 100), dtype=bool)
    mask_HW[5 : 5 + side, left : left + side] = True
    return mask_HW


def measured(*images: tuple[list[Instance], list[Instance]]) -> dict:
    score = MaskAP()
    for truth, found in images:
        score.add(truth, found)
    return score.result()


def test_mask_ap_by_hand() -> None:
    truth = [Instance(CAR, 1, square(10)), Instance(CAR, 1, square(40))]
    assert measured((truth, truth))["mask_ap"] == 100
    assert measured((truth, []))["mask_ap"] == 0
    # half of the recall at full precision: 51 of 101 recalls
    assert measured((truth, truth[:1]))["mask_ap"] == pytest.approx(100 * 51 / 101, abs=0.01)
    # 8 of 12 columns in common: an overlap of 2/3, right at 0.5, 0.55, 0.6 and 0.65
    shifted = [Instance(CAR, 1, square(12)), Instance(CAR, 1, square(42))]
    assert measured((truth, shifted))["mask_ap"] == 40
    # a second mask of one car is wrong; before it in score it halves the precision behind it
    twice = [Instance(CAR, 0.9, square(70)), Instance(CAR, 0.8, square(10)), Instance(CAR, 0.7, square(40))]
    assert measured((truth, twice))["mask_ap"] == pytest.approx(100 * 2 / 3, abs=0.01)
    both = measured((truth, [*truth, Instance(BUS, 1, square(70))]))
    assert (both["mask_ap"], set(both["by_class"])) == (100, {"car"})
    assert measured(([Instance(BUS, 1, square(10))], truth))["mask_ap"] == 0


class Given:
    """A provider of the same instances for every image."""

    def __init__(self, index: Index, instances: list[Instance]) -> None:
        self.index, self.instances = index, instances

    def masks(self, record: int) -> list[Instance]:
        return self.instances


@pytest.fixture
def given(make_index: Callable[..., Index]) -> Given:
    """Cars and buses of the hand-made drive's image size, two of the buses side by side."""
    index = make_index()
    instances = []
    for label, top, left, side in (
        (CAR, 20, 30, 40),
        (CAR, 120, 200, 60),
        (BUS, 90, 300, 30),
        (BUS, 90, 331, 44),
    ):
        mask_HW = np.zeros((225, 400), dtype=bool)
        mask_HW[top : top + side, left : left + side] = True
        instances.append(Instance(label, 1.0, mask_HW))
    return Given(index, instances)


def images(index: Index) -> list[int]:
    return np.flatnonzero(index.record_channel != LIDAR_COLUMN).tolist()


def quality(given: Given, damage: DamageSpec) -> float:
    noisy = Noisy(given, damage)
    return measured(*[(given.masks(n), noisy.masks(n)) for n in images(given.index)])["mask_ap"]


def test_no_damage_is_the_oracle(given: Given) -> None:
    assert quality(given, NONE) == 100


KNOBS = {"missed": 0.5, "small_px": 3000.0, "merged": 1.0, "confused": 0.5, "outline": 0.1, "shift": 0.1}


@pytest.mark.parametrize("knob", [*KNOBS, "false_masks"])
def test_every_knob_lowers_the_quality_and_leaves_the_rest_alone(given: Given, knob: str) -> None:
    value = KNOBS.get(knob, 5.0)
    noisy = Noisy(given, replace(NONE, **{knob: value}))
    # a mask of nothing costs only where it outscores a real one
    assert knob == "false_masks" or quality(given, noisy.damage) < 97
    counts = {len(noisy.masks(record)) for record in images(given.index)}
    if knob in ("confused", "outline", "shift"):
        assert counts == {4}
    else:
        assert counts != {4}
    if knob == "merged":
        assert counts == {3}
        assert {one.label for one in noisy.masks(images(given.index)[0])} == {CAR, BUS}


def test_damage_is_a_function_of_the_image_and_the_seed(given: Given) -> None:
    def told(damage: DamageSpec, record: int) -> list[tuple[int, float, bytes]]:
        found = Noisy(given, damage).masks(record)
        return [(one.label, one.score, one.mask_HW.tobytes()) for one in found]

    first, second = images(given.index)[:2]
    assert told(DamageSpec(), first) == told(DamageSpec(), first)
    assert told(DamageSpec(), first) != told(DamageSpec(), second)
    assert told(DamageSpec(), first) != told(DamageSpec(seed=1), first)


def test_a_score_knows_how_good_its_mask_is(given: Given) -> None:
    damage = DamageSpec(outline=0.15, merged=0.0)
    pairs = []
    for record in images(given.index):
        for one in Noisy(given, damage).masks(record):
            overlaps = [
                (one.mask_HW & own.mask_HW).sum() / (one.mask_HW | own.mask_HW).sum()
                for own in given.instances
                if own.label == one.label
            ]
            pairs.append((max(overlaps, default=0.0), one.score))
    assert np.corrcoef(np.array(pairs).T)[0, 1] > 0.5
    assert all(0 < score <= 1 for _, score in pairs)


def test_a_class_is_taken_for_one_of_ours() -> None:
    assert set(ALIKE) == set(CLASSES)
    assert all(set(alike) < set(CLASSES) - {name} for name, alike in ALIKE.items())


def test_the_oracle_names_the_objects_of_the_world(world) -> None:
    oracle, index = Oracle(world.index, world.root), world.index
    found = 0
    for sample in index.samples("val"):
        boxes_K9, rows = index.boxes(sample), index.annotations(sample)
        for record in index.sample_key_record[sample, 1:].tolist():
            for one in oracle.masks(record):
                assert one.mask_HW.shape == (36, 64)
                assert one.label in index.annotation_label
                found += one.label in index.annotation_label[rows]
        assert len(boxes_K9)
    assert found > 0
    assert {one.score for one in oracle.masks(record)} <= {1.0}


@pytest.fixture(scope="module")
def lifted(world, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("virtual")
    make(world.index, world.root, VirtualSpec("oracle", max_gap_s=0.1), None, folder)
    return folder


def test_the_stage_writes_every_cloud_and_the_quality(world, lifted: Path) -> None:
    manifest = read_json(lifted / "virtual.json")
    assert manifest["quality"]["mask_ap"] == 100
    assert (
        manifest["clouds"] == len(clouds(world.index)) == (world.index.record_channel == LIDAR_COLUMN).sum()
    )
    keys = set(world.index.sample_key_record[:, LIDAR_COLUMN].tolist())
    rows = {record: np.load(cloud_path(lifted, world.index, record)) for record in clouds(world.index)}
    assert sum(len(rows[record]) > 0 for record in keys) > len(keys) / 2
    # the world has a sweep halfway between two images, a quarter of a second from both
    for record, own in rows.items():
        early = world.index.record_timestamp_us[record] % 500_000 != 0
        assert len(own) == 0 or not early or record in keys


def test_most_virtual_points_of_the_world_lie_in_boxes(world, lifted: Path) -> None:
    """Rendered masks and exact poses: what misses is an outline pixel with another depth."""
    index, hit, count = world.index, 0, 0
    for sample in range(len(index.sample_token)):
        own = np.load(cloud_path(lifted, index, int(index.sample_key_record[sample, LIDAR_COLUMN])))
        virtual = own[own[:, 3] == -1]
        boxes_K9 = index.boxes(sample)
        boxes_K9[:, 3:6] += 0.6
        inside = [points_in_box(box_9, virtual[:, :3].astype(np.float64)) for box_9 in boxes_K9]
        hit += int(np.any(inside, axis=0).sum()) if inside else 0
        count += len(virtual)
    assert count >= 200
    assert hit > 0.85 * count


def test_an_interrupted_stage_goes_on_to_the_same_bytes(world, lifted: Path, tmp_path: Path) -> None:
    spec, records = VirtualSpec("oracle", max_gap_s=0.1), clouds(world.index)
    first = cloud_path(tmp_path, world.index, records[0])
    first.parent.mkdir(parents=True)
    first.write_bytes(b"kept")
    make(world.index, world.root, spec, None, tmp_path)
    assert first.read_bytes() == b"kept"
    for record in records[1:]:
        paths = [cloud_path(folder, world.index, record) for folder in (lifted, tmp_path)]
        assert paths[0].read_bytes() == paths[1].read_bytes()
    reader = VirtualClouds(lifted, world.index, lambda record: np.zeros((0, 4), np.float32))
    assert reader.cloud(records[0]).shape[1] == 16


def test_masks_of_somebody_else(own_toy, tmp_path: Path) -> None:
    index = own_toy.index
    record = int(index.sample_key_record[0, 1])
    path = tmp_path / f"{index.path(record)}.npz"
    path.parent.mkdir(parents=True)
    masks = np.zeros((3, 225, 400), dtype=np.uint8)
    masks[0, 10:20, 10:20] = masks[2, 50:90, 80:120] = 1
    content = {"labels": np.array([CAR, CAR, BUS]), "scores": np.array([0.5, 0.6, 0.25]), "masks": masks}
    np.savez_compressed(path, **content)
    stored = open_masks(VirtualSpec("file"), index, own_toy.root, tmp_path)
    found = stored.masks(record)
    assert [(one.label, one.score, int(one.mask_HW.sum())) for one in found] == [
        (CAR, 0.5, 100),
        (BUS, 0.25, 1600),
    ]
    with pytest.raises(DataError, match="the image has no masks"):
        stored.masks(record + 1)
    faults = {
        "do not fit an image of 225 x 400 pixels": content | {"masks": masks[:, :100]},
        "labels go from 0 to 9": content | {"labels": np.array([0, 1, 10])},
        "the masks cannot be read": {"labels": content["labels"]},
    }
    for sentence, broken in faults.items():
        np.savez_compressed(path, **broken)
        with pytest.raises(DataError, match=sentence):
            stored.masks(record)
