"""The arrays of tests/golden/released/ and our networks with the weights in them.

Axes as in dualdistill/data/batch.py.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from dualdistill.config.run_spec import (
    BEVDepthSpec,
    GridSpec,
    HeadSpec,
    MVPSpec,
    TeacherHeadSpec,
    TeacherSpec,
)
from dualdistill.data.batch import Batch
from dualdistill.interop.convert import convert
from dualdistill.interop.layouts import find
from dualdistill.models.bevdepth.student import BEVDepth
from dualdistill.models.centerpoint.teacher import Teacher

FOLDER = Path(__file__).parent / "golden" / "released"
EVERY = 7  # of a thinned output, see golden/thin_released.py
STUDENT = BEVDepthSpec(
    width=8,
    neck_channels=64,
    depth_channels=32,
    context_channels=16,
    bev_channels=(24, 48, 64),
    bev_out_channels=48,
    geometry="released",
    head=HeadSpec(share_channels=16),
)
STUDENT_GRID = GridSpec(half_extent_m=51.2, cell_m=3.2)
TEACHER = {
    "pillar_m": 0.4,
    "pillar_channels": 16,
    "layers": (2, 2, 2),
    "channels": (16, 24, 32),
    "neck_channels": 16,
    "head": TeacherHeadSpec(share_channels=16),
}
TEACHERS = {"points5": TeacherSpec(**TEACHER), "mvp17": MVPSpec(**TEACHER)}
TEACHER_GRID = GridSpec(half_extent_m=25.6, cell_m=1.6)
DECODE_GRID = GridSpec(half_extent_m=25.6, cell_m=0.8)


@cache
def arrays(name: str, folder: str) -> dict[str, Tensor]:
    """The arrays of one folder of a file, by their names in it."""
    with np.load(FOLDER / f"{name}.npz") as file:
        inside = [key for key in file.files if key.startswith(f"{folder}/")]
        return {key.removeprefix(f"{folder}/"): torch.from_numpy(file[key]) for key in inside}


def loaded(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Give a network the released weights, as import-checkpoint does."""
    layout = find(weights)
    assert layout is not None
    ours, report = convert(weights, layout, network.state_dict(), clockwise=True)
    assert report.fits, report.lines()
    network.load_state_dict(ours)
    network.eval()


def student(geometry: str = "released", deformable: bool = True) -> BEVDepth:
    spec = dataclasses.replace(STUDENT, geometry=geometry, depth_deformable=deformable)
    network = BEVDepth(spec, STUDENT_GRID)
    weights = arrays("student", "weights")
    loaded(network, {name: value for name, value in weights.items() if deformable or ".dcn." not in name})
    return network


def teacher(kind: str) -> Teacher:
    network = Teacher(TEACHERS[kind], TEACHER_GRID)
    loaded(network, arrays(f"teacher_{kind}", "weights"))
    return network


def student_batch() -> Batch:
    """The released tuple as a batch.

    Images come camera by camera there, the frame within, and matrices frame by frame. Its poses of the
    previous frame lead to the current LIDAR_TOP, ours to that of their time.
    """
    released = arrays("student", "inputs")
    size, cameras = len(released["imgs"]), released["imgs"].shape[1] // 2
    frames = {
        name: released[name].unflatten(1, (2, cameras))
        for name in ("rots", "trans", "intrins", "post_rots", "post_trans")
    }
    affine_BFN33 = torch.eye(3).repeat(size, 2, cameras, 1, 1)
    affine_BFN33[..., :2, :2] = frames["post_rots"][..., :2, :2]
    affine_BFN33[..., :2, 2] = frames["post_trans"][..., :2]
    poses_BFN44 = torch.eye(4).repeat(size, 2, cameras, 1, 1)
    poses_BFN44[:, 0, :, :3, :3], poses_BFN44[:, 0, :, :3, 3] = frames["rots"][:, 0], frames["trans"][:, 0]
    bda_B44 = released["raw.bda"]
    poses_BFN44[:, 1] = bda_B44[:, None] @ released["raw.sensor2lidar"]
    motion_B44 = bda_B44 @ released["raw.lidaradj2lidarcurr"] @ torch.linalg.inv(bda_B44)
    return Batch(
        tokens=("a0", "a1"),
        boxes_K9=(),
        labels_K=(),
        bev_affine_B44=bda_B44.float(),
        images_BFNCHW=released["imgs"].float().unflatten(1, (cameras, 2)).transpose(1, 2),
        intrinsics_BFN33=frames["intrins"],
        image_affine_BFN33=affine_BFN33,
        camera_to_lidar_BFN44=poses_BFN44,
        previous_to_current_B44=motion_B44.float(),
        history_s_B=torch.ones(size),
    )


def teacher_batch(kind: str) -> Batch:
    points = arrays(f"teacher_{kind}", "inputs")
    clouds = (points["points.sample0"], points["points.sample1"])
    return Batch(
        tokens=("a0", "a1"),
        boxes_K9=(),
        labels_K=(),
        bev_affine_B44=torch.eye(4).repeat(2, 1, 1),
        points_PI=clouds,
    )


def their_convention(predictions: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Our head outputs under released names: sizes (w, l, h), yaw clockwise from -y."""
    turned = {"dim": lambda map_BCYX: map_BCYX[:, [1, 0, 2]], "rot": lambda map_BCYX: -map_BCYX[:, [1, 0]]}
    return {
        f"head.task{task}.{name}": turned.get(name, torch.Tensor.contiguous)(map_BCYX)
        for task, maps in enumerate(predictions)
        for name, map_BCYX in maps.items()
    }


def raw_predictions() -> list[dict[str, Tensor]]:
    """The head outputs of the decoding golden, in our convention."""
    raw = arrays("decode", "raw")
    tasks: list[dict[str, Tensor]] = [{} for _ in range(6)]
    for name, map_BCYX in raw.items():
        task, part = name.removeprefix("task").split(".")
        map_BCYX = map_BCYX[:, [1, 0, 2]] if part == "dim" else map_BCYX
        tasks[int(task)][part] = -map_BCYX[:, [1, 0]] if part == "rot" else map_BCYX
    return tasks


def counter_clockwise(boxes_K9: Tensor) -> Tensor:
    """Boxes of mmdet3d 0.x, (w, l, h) and yaw clockwise from -y, in our convention."""
    turned_K9 = boxes_K9[:, [0, 1, 2, 4, 3, 5, 6, 7, 8]]
    turned_K9[:, 6] = -boxes_K9[:, 6] - torch.pi / 2
    return turned_K9


def difference(ours: Tensor, released: Tensor) -> float:
    """The largest difference, relative to the largest value; the released output may be thinned."""
    if ours.shape != released.shape:
        ours = ours.reshape(-1)[::EVERY]
    assert ours.shape == released.shape
    return ((ours - released).abs().max() / released.abs().max()).item()
