"""Instance masks of a sample: augmented with the image, and loaded only on request."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from dualdistill.config.nuscenes import CAMERAS
from dualdistill.config.run_spec import InputSpec, RunSpec
from dualdistill.data.augment import Draws, image_affine, warp
from dualdistill.data.batch import Instances
from dualdistill.data.dataset import FrameDataset, collate
from dualdistill.data.masks import Instance
from dualdistill.data.masks.provider import warp_instances

HEIGHT, WIDTH = 225, 400  # of the hand-made drive's images
L_SHAPE = np.zeros((HEIGHT, WIDTH), dtype=bool)
L_SHAPE[120:160, 230:260] = True  # no mirror image or turn of it is the same, and it lies off the diagonal
L_SHAPE[160:190, 230:330] = True


class Lettered:
    """The same L in every image."""

    def __init__(self, index) -> None:
        self.index = index

    def masks(self, record: int) -> list[Instance]:
        return [Instance(3, 0.8, L_SHAPE), Instance(8, 0.4, np.eye(1, WIDTH, dtype=bool).repeat(HEIGHT, 0))]


@pytest.fixture
def lettered(own_toy, student_spec: RunSpec):
    """A drive whose every image shows a white L on black."""
    for record, channel in enumerate(own_toy.index.record_channel):
        if channel != 0:
            picture = np.where(L_SHAPE, np.uint8(255), np.uint8(0))[..., None].repeat(3, axis=2)
            Image.fromarray(picture).save(own_toy.root / own_toy.index.path(record), "PNG")

    def make(masks: Lettered | None, *, train: bool = True, **changes: object) -> FrameDataset:
        spec = replace(student_spec, input=replace(student_spec.input, **changes))
        where = (own_toy.index, own_toy.root, None, "train", spec)
        return FrameDataset(*where, train=train, images=True, points=False, masks=masks)

    return make, Lettered(own_toy.index)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"image_rotate_deg": 45.0, "resize_jitter": (-0.2, 0.3)},
        {"image_width": 96, "image_height": 48},  # below half size an image is averaged down first
    ],
)
def test_masks_are_augmented_with_their_image(lettered, changes) -> None:
    make, letters = lettered
    data, mirrored = make(letters, **changes), set()
    for draw in range(6):
        batch = collate([data[(0, draw)]])
        for camera, instances in enumerate(batch.instances[0]):
            image_HW = batch.images_BFNCHW[0, 0, camera].float().mean(dim=0)
            white_HW = image_HW > (image_HW.max() + image_HW.min()) / 2
            assert torch.equal(instances.masks(torch.tensor([0]))[0], white_HW)
            # and as its matrix maps them, pixel by pixel
            affine = batch.image_affine_BFN33[0, 0, camera].double().numpy()
            mirrored.add(bool(np.linalg.det(affine[:2, :2]) < 0))
            row, column = np.mgrid[: white_HW.shape[0], : white_HW.shape[1]]
            pixels = np.stack([column + 0.5, row + 0.5, np.ones(row.shape)], axis=-1)
            stored = np.floor(pixels @ np.linalg.inv(affine).T)[..., :2].astype(int)
            inside = ((stored >= 0) & (stored < (WIDTH, HEIGHT))).all(axis=-1)
            expected = np.zeros(row.shape, dtype=bool)
            expected[inside] = L_SHAPE[stored[inside][:, 1], stored[inside][:, 0]]
            # they may differ along the outline
            assert (expected ^ white_HW.numpy()).sum() < 0.12 * expected.sum()
    assert mirrored == {True, False}


def test_labels_and_scores_stay_with_their_masks(lettered) -> None:
    make, letters = lettered
    batch = collate([make(letters, train=False)[0]] * 2)
    assert [len(cameras) for cameras in batch.instances] == [len(CAMERAS)] * 2
    first = batch.instances[1][4]
    # a line of one pixel is gone at half the size
    assert first.labels_S.tolist() == [3]
    assert first.scores_S.tolist() == pytest.approx([0.8])
    assert first.masks(torch.tensor([0])).dtype == torch.bool


def test_masks_are_loaded_only_on_request(lettered) -> None:
    make, letters = lettered
    with_masks, without = collate([make(letters)[(0, 1)]]), collate([make(None)[(0, 1)]])
    assert without.instances == ()
    assert torch.equal(with_masks.images_BFNCHW, without.images_BFNCHW)


def test_instances_outside_the_image_are_dropped(student_spec: RunSpec) -> None:
    spec = student_spec.input
    affine = image_affine(None, 0, spec, (HEIGHT, WIDTH))
    top = np.zeros((HEIGHT, WIDTH), dtype=bool)
    top[:20, 30:90] = True  # the crop keeps the bottom
    instances = warp_instances([Instance(0, 1.0, top)], affine, (spec.image_height, spec.image_width))
    assert instances.masks(torch.arange(0)).shape == (0, spec.image_height, spec.image_width)
    assert len(instances.labels_S) == len(instances.scores_S) == 0


@pytest.mark.parametrize("size", [(64, 176), (48, 96), (160, 384), (32, 48)])
def test_masks_are_those_of_whole_images(size: tuple[int, int]) -> None:
    generator = np.random.default_rng(4)
    spec = InputSpec(image_height=size[0], image_width=size[1], image_rotate_deg=20.0)
    shapes = []
    for _ in range(30):
        top, left, height, width = (generator.uniform(1, most) for most in (200, 370, 60, 90))
        row, column = np.mgrid[:HEIGHT, :WIDTH]
        shape = np.hypot((row - top) / height, (column - left) / width) < 0.5
        shape[int(min(top, HEIGHT - 1)), int(min(left, WIDTH - 1))] = True
        shapes.append(Instance(2, 0.5, shape))
    seen = 0
    for _ in range(5):
        affine = image_affine(Draws.take(generator), 0, spec, (HEIGHT, WIDTH))
        whole = [
            warp(np.where(shape.mask_HW, np.uint8(255), np.uint8(0)), affine, size) > 127 for shape in shapes
        ]
        expected = torch.from_numpy(np.array([mask for mask in whole if mask.any()]))
        instances = warp_instances(shapes, affine, size)
        assert torch.equal(instances.masks(torch.arange(len(instances.labels_S))), expected)
        of_whole = Instances.of(expected, instances.labels_S, instances.scores_S)
        assert torch.equal(of_whole.boxes_S4, instances.boxes_S4)
        assert torch.equal(of_whole.inside_P, instances.inside_P)
        seen += len(expected)
    assert seen > 60
