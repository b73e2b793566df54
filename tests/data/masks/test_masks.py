"""Instance masks: rendered, damaged, read from files, scored as in COCO; and the build of virtual points."""

from __future__ import annotations

import shutil
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
from dualdistill.data.masks.noisy import ALIKE, NoisyMasks
from dualdistill.data.masks.provider import overlap
from dualdistill.data.masks.rendered import RenderedMasks
from dualdistill.data.masks.stored import write_masks
from dualdistill.data.virtual_points.build import clouds, make
from dualdistill.data.virtual_points.reader import MANIFEST, VirtualClouds, cloud_path
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
    for ground_truth, predicted in images:
        score.add(ground_truth, predicted)
    return score.result()


def test_mask_ap_by_hand() -> None:
    cars = [Instance(CAR, 1, square(10)), Instance(CAR, 1, square(40))]
    assert measured((cars, cars))["mask_ap"] == 100
    assert measured((cars, []))["mask_ap"] == 0
    # half of the recall at full precision: 51 of 101 recalls
    assert measured((cars, cars[:1]))["mask_ap"] == pytest.approx(100 * 51 / 101, abs=0.01)
    # 8 of 12 columns in common: an overlap of 2/3, right at 0.5, 0.55, 0.6 and 0.65
    shifted = [Instance(CAR, 1, square(12)), Instance(CAR, 1, square(42))]
    assert measured((cars, shifted))["mask_ap"] == 40
    # a second mask of one car is wrong; before it in score it halves the precision behind it
    twice = [Instance(CAR, 0.9, square(70)), Instance(CAR, 0.8, square(10)), Instance(CAR, 0.7, square(40))]
    assert measured((cars, twice))["mask_ap"] == pytest.approx(100 * 2 / 3, abs=0.01)
    both = measured((cars, [*cars, Instance(BUS, 1, square(70))]))
    assert (both["mask_ap"], set(both["by_class"])) == (100, {"car"})
    assert measured(([Instance(BUS, 1, square(10))], cars))["mask_ap"] == 0


class FixedMasks:
    """A provider of the same instances for every image."""

    def __init__(self, index: Index, instances: list[Instance]) -> None:
        self.index, self.instances = index, instances

    def masks(self, record: int) -> list[Instance]:
        return self.instances


@pytest.fixture
def clean(make_index: Callable[..., Index]) -> FixedMasks:
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
    return FixedMasks(index, instances)


def images(index: Index) -> list[int]:
    return np.flatnonzero(index.record_channel != LIDAR_COLUMN).tolist()


def quality(clean: FixedMasks, damage: DamageSpec) -> float:
    noisy = NoisyMasks(clean, damage)
    return measured(*[(clean.masks(n), noisy.masks(n)) for n in images(clean.index)])["mask_ap"]


def test_without_damage_the_masks_are_perfect(clean: FixedMasks) -> None:
    assert quality(clean, NONE) == 100


KNOBS = {"missed": 0.5, "small_px": 3000.0, "merged": 1.0, "confused": 0.5, "outline": 0.1, "shift": 0.1}


@pytest.mark.parametrize("knob", [*KNOBS, "false_masks"])
def test_every_setting_lowers_the_quality_and_nothing_else(clean: FixedMasks, knob: str) -> None:
    value = KNOBS.get(knob, 5.0)
    noisy = NoisyMasks(clean, replace(NONE, **{knob: value}))
    # a false mask costs only where it outscores a real one
    assert knob == "false_masks" or quality(clean, noisy.damage) < 97
    counts = {len(noisy.masks(record)) for record in images(clean.index)}
    if knob in ("confused", "outline", "shift"):
        assert counts == {4}
    else:
        assert counts != {4}
    if knob == "merged":
        assert counts == {3}
        assert {instance.label for instance in noisy.masks(images(clean.index)[0])} == {CAR, BUS}


def test_damage_depends_on_image_and_seed_alone(clean: FixedMasks) -> None:
    def damaged(damage: DamageSpec, record: int) -> list[tuple[int, float, bytes]]:
        instances = NoisyMasks(clean, damage).masks(record)
        return [(instance.label, instance.score, instance.mask_HW.tobytes()) for instance in instances]

    first, second = images(clean.index)[:2]
    assert damaged(DamageSpec(), first) == damaged(DamageSpec(), first)
    assert damaged(DamageSpec(), first) != damaged(DamageSpec(), second)
    assert damaged(DamageSpec(), first) != damaged(DamageSpec(seed=1), first)


def test_scores_correlate_with_the_quality_of_masks(clean: FixedMasks) -> None:
    damage = DamageSpec(outline=0.15, merged=0.0)
    pairs = []
    for record in images(clean.index):
        for instance in NoisyMasks(clean, damage).masks(record):
            overlaps = [
                overlap(instance.mask_HW, original.mask_HW)
                for original in clean.instances
                if original.label == instance.label
            ]
            pairs.append((max(overlaps, default=0.0), instance.score))
    assert np.corrcoef(np.array(pairs).T)[0, 1] > 0.5
    assert all(0 < score <= 1 for _, score in pairs)


def test_confused_classes_are_detection_classes() -> None:
    assert set(ALIKE) == set(CLASSES)
    assert all(set(alike) < set(CLASSES) - {name} for name, alike in ALIKE.items())


def test_rendered_masks_have_the_labels_of_the_annotations(world) -> None:
    rendered, index = RenderedMasks(world.index, world.root), world.index
    annotated = 0
    for sample in index.samples("val"):
        boxes_K9, rows = index.boxes(sample), index.annotations(sample)
        for record in index.sample_key_record[sample, 1:].tolist():
            for instance in rendered.masks(record):
                assert instance.mask_HW.shape == (36, 64)
                assert instance.label in index.annotation_label
                annotated += instance.label in index.annotation_label[rows]
        assert len(boxes_K9)
    assert annotated > 0
    assert {instance.score for instance in rendered.masks(record)} <= {1.0}


@pytest.fixture(scope="module")
def lifted(world, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("virtual")
    make(world.index, world.root, VirtualSpec("oracle", max_gap_s=0.1), None, folder)
    return folder


def test_every_cloud_gets_a_file_and_the_manifest_the_quality(world, lifted: Path) -> None:
    manifest = read_json(lifted / "virtual.json")
    assert manifest["quality"]["mask_ap"] == 100
    assert (
        manifest["clouds"] == len(clouds(world.index)) == (world.index.record_channel == LIDAR_COLUMN).sum()
    )
    keys = set(world.index.sample_key_record[:, LIDAR_COLUMN].tolist())
    rows = {record: np.load(cloud_path(lifted, world.index, record)) for record in clouds(world.index)}
    assert sum(len(rows[record]) > 0 for record in keys) > len(keys) / 2
    # the world has a sweep halfway between two images, a quarter of a second from both
    for record, points in rows.items():
        early = world.index.record_timestamp_us[record] % 500_000 != 0
        assert len(points) == 0 or not early or record in keys


def test_most_virtual_points_of_the_world_lie_in_boxes(world, lifted: Path) -> None:
    """Masks and poses are exact: only outline pixels with another depth miss."""
    index, hit, count = world.index, 0, 0
    for sample in range(len(index.sample_token)):
        points = np.load(cloud_path(lifted, index, int(index.sample_key_record[sample, LIDAR_COLUMN])))
        virtual = points[points[:, 3] == -1]
        boxes_K9 = index.boxes(sample)
        boxes_K9[:, 3:6] += 0.6
        inside = [points_in_box(box_9, virtual[:, :3].astype(np.float64)) for box_9 in boxes_K9]
        hit += int(np.any(inside, axis=0).sum()) if inside else 0
        count += len(virtual)
    assert count >= 200
    assert hit > 0.85 * count


def test_an_interrupted_build_keeps_complete_files_and_ends_in_the_same_bytes(
    world, lifted: Path, tmp_path: Path
) -> None:
    spec, records = VirtualSpec("oracle", max_gap_s=0.1), clouds(world.index)
    made = shutil.copytree(lifted, tmp_path / "made")
    (made / MANIFEST).unlink()
    kept, cut, gone = (cloud_path(made, world.index, record) for record in records[:3])
    before = kept.stat().st_mtime_ns
    cut.write_bytes(cut.read_bytes()[:-4])
    gone.unlink()
    make(world.index, world.root, spec, None, made, workers=2)
    assert kept.stat().st_mtime_ns == before
    for record in records:
        paths = [cloud_path(folder, world.index, record) for folder in (lifted, made)]
        assert paths[0].read_bytes() == paths[1].read_bytes()
    reader = VirtualClouds(made, world.index, lambda record: np.zeros((0, 4), np.float32))
    assert reader.cloud(records[0]).shape[1] == 16


def test_stored_masks_are_read_and_validated(own_toy, tmp_path: Path) -> None:
    index = own_toy.index
    record = int(index.sample_key_record[0, 1])
    path = tmp_path / f"{index.path(record)}.npz"
    path.parent.mkdir(parents=True)
    masks = np.zeros((3, 225, 400), dtype=np.uint8)
    masks[0, 10:20, 10:20] = masks[2, 50:90, 80:120] = 1
    content = {"labels": np.array([CAR, CAR, BUS]), "scores": np.array([0.5, 0.6, 0.25]), "masks": masks}
    np.savez_compressed(path, **content)
    stored = open_masks(VirtualSpec("file"), index, own_toy.root, tmp_path)
    instances = stored.masks(record)
    assert [(each.label, each.score, int(each.mask_HW.sum())) for each in instances] == [
        (CAR, 0.5, 100),
        (BUS, 0.25, 1600),
    ]
    whole = path.stat().st_size
    write_masks(tmp_path, index.path(record), instances, (225, 400))
    assert path.stat().st_size != whole
    for packed, each in zip(stored.masks(record), instances, strict=True):
        assert (packed.label, packed.score) == (each.label, each.score)
        assert np.array_equal(packed.mask_HW, each.mask_HW)
    with np.load(path) as file:
        runs = dict(file)
    write_masks(tmp_path, index.path(record), [], (225, 400))
    assert stored.masks(record) == []
    with pytest.raises(DataError, match="the image has no masks"):
        stored.masks(record + 1)
    faults = {
        "do not fit an image of 225 x 400 pixels": content | {"masks": masks[:, :100]},
        "labels go from 0 to 9": content | {"labels": np.array([0, 1, 10])},
        "the masks cannot be read": {"labels": content["labels"]},
    }
    faults["cannot be read|do not fit"] = runs | {"size": np.array([225, 399])}
    for sentence, broken in faults.items():
        np.savez_compressed(path, **broken)
        with pytest.raises(DataError, match=sentence):
            stored.masks(record)
