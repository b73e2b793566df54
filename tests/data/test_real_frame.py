"""One real nuScenes key frame against its mmdet3d info."""

from __future__ import annotations

import numpy as np
import torch

from dualdistill.config.run_spec import GridSpec, InputSpec
from dualdistill.data.augment import Draws, image_affine
from dualdistill.data.depth_targets import depth_targets, owners, projection
from dualdistill.data.geometry import corners, inverse, move_points, points_in_box, project
from dualdistill.models.label_painting import paint


def test_points_in_boxes_equal_the_annotated_counts(real_frame) -> None:
    points = real_frame.points_P5[:, :3].astype(np.float64)
    counts = np.array([points_in_box(box, points).sum() for box in real_frame.boxes_K9])
    annotated = real_frame.lidar_points_K
    assert len(counts) == 69
    assert (counts == annotated).sum() == 61
    assert np.corrcoef(counts, annotated)[0, 1] > 0.999
    assert np.abs(counts - annotated).max() <= 16


def test_swapped_length_and_width_or_negated_yaw_change_the_counts(real_frame) -> None:
    points = real_frame.points_P5[:, :3].astype(np.float64)
    for wrong in (
        real_frame.boxes_K9[:, [0, 1, 2, 4, 3, 5, 6, 7, 8]],
        real_frame.boxes_K9 * (1, 1, 1, 1, 1, 1, -1, 1, 1),
    ):
        counts = np.array([points_in_box(box, points).sum() for box in wrong])
        assert (counts == real_frame.lidar_points_K).sum() < 61
        assert np.abs(counts - real_frame.lidar_points_K).sum() > 2 * 29  # 29 when read rightly


def test_boxes_project_onto_their_annotated_image_boxes(real_frame) -> None:
    # annotated boxes stand upright in the world; the LiDAR leans by 1.4 degrees, worth up to 5 pixels here
    boxes_K9, to_global_44 = real_frame.boxes_K9, real_frame.lidar_to_global_44
    heading_2K = to_global_44[:2, :2] @ [np.cos(boxes_K9[:, 6]), np.sin(boxes_K9[:, 6])]
    global_K9 = boxes_K9.copy()
    global_K9[:, :3] = move_points(to_global_44, boxes_K9[:, :3])
    global_K9[:, 6] = np.arctan2(heading_2K[1], heading_2K[0])
    upright = corners(global_K9)
    compared = 0
    for camera, rows in enumerate(real_frame.projected):
        transform, intrinsics = real_frame.lidar_to_camera_N44[camera], real_frame.intrinsics_N33[camera]
        centres = move_points(transform, real_frame.boxes_K9[:, :3])
        for row in rows:
            gap = np.linalg.norm(centres - project_back(intrinsics, row), axis=1)
            match = int(gap.argmin())
            assert gap[match] < 1e-3
            eight = move_points(transform @ inverse(real_frame.lidar_to_global_44), upright[match])
            pixels = project(intrinsics, eight)[:, :2]
            low, high = pixels.min(axis=0), pixels.max(axis=0)
            if eight[:, 2].min() < 0.5 or (low < 0).any() or (high > (1600, 900)).any():
                continue  # the info file cuts hulls at the border, not rectangles
            assert np.abs(np.concatenate([low, high]) - row["bbox"]).max() < 0.5
            compared += 1
    assert compared >= 60


def project_back(intrinsics: np.ndarray, row: dict) -> np.ndarray:
    """The camera-frame centre that a 2D annotation's centre pixel and depth stand for."""
    return np.linalg.inv(intrinsics) @ (*row["center_2d"], 1) * row["depth"]


def test_the_number_of_points_in_each_image_is_as_expected(real_frame) -> None:
    counts = []
    for transform, intrinsics in zip(real_frame.lidar_to_camera_N44, real_frame.intrinsics_N33, strict=True):
        pixels = project(intrinsics, move_points(transform, real_frame.points_P5[:, :3].astype(np.float64)))
        ahead, inside = pixels[:, 2] > 1, ((pixels[:, :2] > 0) & (pixels[:, :2] < (1600, 900))).all(axis=1)
        counts.append(int((ahead & inside).sum()))
    assert min(counts) >= 3000
    assert max(counts) <= 4900


def test_depth_targets_of_the_real_frame_equal_a_loop_and_lie_in_their_boxes(real_frame) -> None:
    draws = Draws.take(np.random.default_rng(0))
    affines = [image_affine(draws, camera, InputSpec(), (900, 1600)) for camera in range(6)]
    sensors = list(zip(real_frame.intrinsics_N33, real_frame.lidar_to_camera_N44, strict=True))
    projections = np.stack([projection(affines[n], *sensors[n]) for n in range(6)])
    ours, nearest = depth_targets(real_frame.points_P5[:, :3], projections, (256, 704), 16)
    assert ours.shape == (6, 16, 44)
    for camera in (1, 4):
        intrinsics, transform = sensors[camera]
        expected = np.zeros((16, 44))
        for point in real_frame.points_P5[:, :3].astype(np.float64):
            x, y, depth, _ = transform @ (*point, 1)
            if depth < 1:
                continue
            u, v, _ = affines[camera] @ intrinsics @ (x / depth, y / depth, 1)
            row, column = round(v / 16), round(u / 16)
            if 0 <= row < 16 and 0 <= column < 44 and not 0 < expected[row, column] < depth:
                expected[row, column] = depth
        assert (expected > 0).mean() > 0.5
        assert np.abs(ours[camera] - expected).max() < 1e-4
    owner = owners(nearest, real_frame.points_P5[:, :3], real_frame.boxes_K9)
    visible = np.unique(owner[owner > 0])
    assert len(visible) > 20
    for number in visible:
        held = real_frame.points_P5[nearest[owner == number], :3]
        assert points_in_box(real_frame.boxes_K9[number - 1], held).all()


def test_released_painting_covers_almost_three_times_the_cells_of_ours(real_frame) -> None:
    """The boxes of the ten classes on the grid, painted one by one: 194 cells against 72."""
    on_grid_K = (np.abs(real_frame.boxes_K9[:, :2]) < 51.2).all(axis=1) & (real_frame.labels_K >= 0)
    boxes = torch.from_numpy(real_frame.boxes_K9[on_grid_K]).float().split(1)
    labels = torch.from_numpy(real_frame.labels_K[on_grid_K]).split(1)
    pairs = list(zip(boxes, labels, strict=True))
    released, exact = (
        sum(int(paint((one_K9,), (label_K,), GridSpec(), painting)[1].sum()) for one_K9, label_K in pairs)
        for painting in ("released", "exact")
    )
    assert (len(pairs), released, exact) == (51, 194, 72)
