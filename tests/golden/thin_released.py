"""Thin what the released modules computed to files in released/.

    DUALDISTILL_SHARED=FOLDER python tests/golden/thin_released.py

reads FOLDER/goldens, whose arrays were made as released/README.md says. Weights and inputs stay whole; of an
output of more than 4000 values every seventh stays, in the order of the flattened array. No number of
channels, rows or columns is a multiple of seven, so what stays is from every one of them.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

HERE = Path(__file__).parent / "released"
EVERY, MANY = 7, 4000
BEST = 83  # candidates of a task that are kept: as many as may remain after NMS
# of a student's state: used in training only, or constant
UNUSED = ("channel_wise_adaptations.", "spatial_wise_adaptations.", "img_view_transformer.")
USED = tuple(
    f"img_view_transformer.{part}." for part in ("depthnet", "extra_depthnet", "featnet", "dcn", "se")
)
FRUSTUM = "img_view_transformer.frustum"
INPUTS = (
    "imgs",
    "rots",
    "trans",
    "intrins",
    "post_rots",
    "post_trans",
    "raw.sensor2lidar",
    "raw.bda",
    "raw.lidaradj2lidarcurr",
)
Arrays = dict[str, np.ndarray]


def thinned(outputs: Mapping[str, np.ndarray], folder: str) -> Arrays:
    return {
        f"{folder}/{name}": values.ravel()[::EVERY] if values.size > MANY else values
        for name, values in outputs.items()
    }


def weights(state: Mapping[str, np.ndarray]) -> Arrays:
    """Those that the forward pass reads."""
    return {
        f"weights/{name}": values
        for name, values in state.items()
        if (name.startswith(USED) or not name.startswith(UNUSED)) and not name.endswith("num_batches_tracked")
    }


def student(source: Path) -> Arrays:
    """Variant a, and of c, which has the same weights and inputs, what differs from it."""
    a, c = (
        {part: dict(np.load(source / f"student_forward_{letter}.{part}.npz")) for part in PARTS}
        for letter in "ac"
    )
    changed = {
        name: values
        for name, values in c["outputs"].items()
        if not np.array_equal(values, a["outputs"][name])
    }
    return (
        weights(a["weights"])
        | {f"inputs/{name}": a["inputs"][name] for name in INPUTS}
        | thinned(a["outputs"] | {"frustum": a["weights"][FRUSTUM]}, "a")
        | thinned(changed | {"frustum": c["weights"][FRUSTUM]}, "c")
    )


PARTS = ("inputs", "outputs", "weights")


def teacher(source: Path, kind: str) -> Arrays:
    arrays = dict(np.load(source / f"teacher_forward_a.{kind}.npz"))
    parts = {part: dict(_below(arrays, f"{part}/")) for part in PARTS}
    coordinates = {name: parts["outputs"].pop(name) for name in ("point_coors", "pillar_coors")}
    return (
        weights(parts["weights"])
        | {f"inputs/{name}": values for name, values in parts["inputs"].items()}
        | {f"outputs/{name}": values.astype(np.int16) for name, values in coordinates.items()}
        | thinned(parts["outputs"], "outputs")
    )


def decode(source: Path) -> Arrays:
    """Both configurations have the same candidates."""
    arrays = dict(np.load(source / "decode_a.npz"))
    best = {f"candidates/{name}": values[:BEST] for name, values in _below(arrays, "student.candidates.")}
    kept = {
        f"{head}.final/{name.replace('boxes_1x_gravity', 'boxes')}": values
        for head in ("student", "teacher")
        for name, values in _below(arrays, f"{head}.final.")
        if not name.endswith("boxes_released")
    }
    return {f"raw/{name}": values for name, values in _below(arrays, "raw.")} | best | kept


def results(source: Path) -> dict[str, Any]:
    """The boxes of both heads as submitted for the two samples, with the poses and ages that lead there."""
    config = json.loads((source / "decode_a.config.json").read_text())
    files = {head: source / f"decode_a.{head}.nuscenes_results.json" for head in ("student", "teacher")}
    return {
        "samples": [
            {
                "token": info["token"],
                "lidar_to_global": (_pose(info, "ego2global") @ _pose(info, "lidar2ego")).tolist(),
                "history_s": (info["timestamp"] - info["prev"]["timestamp"]) / 1e6,
            }
            for info in config["infos"]
        ],
        **{head: json.loads(path.read_text())["results"] for head, path in files.items()},
    }


def _pose(info: dict[str, Any], name: str) -> np.ndarray:
    pose_44 = np.eye(4)
    pose_44[:3, :3] = Rotation.from_quat(info[f"{name}_rotation"], scalar_first=True).as_matrix()
    pose_44[:3, 3] = info[f"{name}_translation"]
    return pose_44


def _below(arrays: Arrays, prefix: str) -> Iterator[tuple[str, np.ndarray]]:
    for name, values in arrays.items():
        if name.startswith(prefix):
            yield name.removeprefix(prefix), values


def main() -> None:
    source = Path(os.environ["DUALDISTILL_SHARED"]) / "goldens"
    files = {
        "student": student(source),
        "teacher_points5": teacher(source, "points5"),
        "teacher_mvp17": teacher(source, "mvp17"),
        "decode": decode(source),
    }
    for name, arrays in files.items():
        np.savez_compressed(HERE / f"{name}.npz", **arrays)
        print(f"{name}: {len(arrays)} arrays, {(HERE / f'{name}.npz').stat().st_size / 1e6:.1f} MB")
    # without a time, the same content is the same file
    (HERE / "results.json.gz").write_bytes(gzip.compress(json.dumps(results(source)).encode(), mtime=0))


if __name__ == "__main__":
    main()
