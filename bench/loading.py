"""Time of loading training samples at full size on one real key frame, by stage and by number of loaders.

    python bench/loading.py --frame FOLDER --work FOLDER

The stages are read off a profile of the suite's own data set: the cumulative time of their functions. The
frame's six images stand for both camera frames and its cloud for all ten sweeps; masks are ellipses in the
2D boxes of its objects. All files are in memory after the first sample, so no disk is measured.
"""

from __future__ import annotations

import argparse
import cProfile
import logging
import os
import pstats
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from frame_root import IMAGE_SIZE, SPLIT, VERSION, read_info, write_root
from lightning_fabric import Fabric
from numpy.typing import NDArray

from dualdistill.config.nuscenes import CAMERAS, CLASSES
from dualdistill.config.run_spec import DataSpec, RunSpec, StudentSpec
from dualdistill.data import index_build, loader_processes
from dualdistill.data.index import Index
from dualdistill.data.loader import TrainingBatches, frame_batches
from dualdistill.data.masks import Instance
from dualdistill.data.masks.stored import write_masks
from dualdistill.data.pasted_objects import build as objects_build
from dualdistill.plan import plan as planning
from dualdistill.plan.plan import DataPaths

ROWS = ("bevdepth-r50", "bevdepth-r101", "centerpoint", "x3kd-r50-centerpoint", "x3kd-r101-centerpoint")
WHOLE, DEVICE = "a loader, in all", "to a CPU as device"
SWEEPS = 10  # before the key frame, of which training takes nine
# stage -> functions by file and name, whose times are added
STAGES = {
    "decode": (("sensor_files.py", "image"),),
    "images": (("dataset.py", "_images"),),
    "normalise": (("dataset.py", "normalised"),),  # until the device did it
    "depth targets": (("dataset.py", "_depth"),),
    "sweeps": (("dataset.py", "_points"),),
    "paste": (("paste.py", "paste"),),
    "masks": (("dataset.py", "_instances"),),
    "collate": (("dataset.py", "collate"),),
}


def main(words: Sequence[str] | None = None) -> list[str]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--frame", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="for root, index and masks of the frame")
    parser.add_argument("--rows", nargs="+", default=list(ROWS))
    parser.add_argument("--samples", type=int, default=20, help="by stage, and again for each loader")
    parser.add_argument("--loaders", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--config", type=Path, default=Path("config/config.yaml"))
    given = parser.parse_args(words)
    logging.disable(logging.INFO)
    loader_processes.begin(0)  # the stages are measured in this process
    data = prepare(given.frame, given.work)
    plan = planning.load(given.config, {"profile": "nuscenes", "masks": str(data.masks)})
    lines = ["CPU milliseconds a sample"]
    speeds = ["samples/s by loader processes", _line(["row", *given.loaders])]
    speeds.append("|---" * (1 + len(given.loaders)) + "|")
    for row in given.rows:
        samples = batches_of(plan.run(row).spec, data, given.samples)
        times = by_stage(samples, given.samples)
        if len(lines) == 1:
            lines += [_line(["row", *times]), "|---" * (1 + len(times)) + "|"]
        lines.append(_line([row, *(f"{value:.1f}" for value in times.values())]))
        rates = (rate(samples, count, given.samples) for count in given.loaders)
        speeds.append(_line([row, *(f"{value:.2f}" for value in rates)]))
        print(lines[-1], speeds[-1], sep="\n", flush=True)
    print("\n".join(["", *lines, "", *speeds]))
    return [*lines, *speeds]


def prepare(frame: Path, work: Path) -> DataPaths:
    """Root, index and masks of the frame."""
    root, masks = write_root(frame, work / "root", SWEEPS), work / "masks"
    paths = DataPaths(root, work / "index.npz", cache=None, masks=masks)
    index_build.build(root, VERSION, {"train": SPLIT, "val": SPLIT}, paths.index)
    index = Index.load(paths.index)
    info, classes = read_info(frame)
    for column, camera in enumerate(CAMERAS, start=1):
        record = int(index.sample_key_record[0, column])
        objects = [box for box in info["cam_instances"][camera] if box["bbox_label"] in classes]
        instances = [
            Instance(CLASSES.index(classes[box["bbox_label"]]), 0.9, mask)
            for box in objects
            if (mask := ellipse(box["bbox"])).any()
        ]
        write_masks(masks, index.path(record), instances, IMAGE_SIZE)
    return paths


def ellipse(box: Sequence[float]) -> NDArray[np.bool_]:
    """The mask of an object that fills its 2D box."""
    left, top, right, bottom = map(round, box)
    picture = np.zeros(IMAGE_SIZE, dtype=np.uint8)
    centre, axes = ((left + right) // 2, (top + bottom) // 2), ((right - left) // 2, (bottom - top) // 2)
    cv2.ellipse(picture, centre, axes, 0, 0, 360, 1, thickness=-1)
    return picture.astype(bool)


def batches_of(spec: RunSpec, data: DataPaths, samples: int) -> TrainingBatches:
    """The row's training batches of one sample each, which repeat the frame."""
    student = isinstance(spec.model, StudentSpec)
    on_frame: dict[str, Any] = {"name": "frame", "version": VERSION}
    splits = dict.fromkeys(("train_split", "dev_split", "val_split"), SPLIT)
    schedule = replace(
        spec.schedule, epochs=float(samples), batch=1, batch_per_device=None, sync_batchnorm=False, cbgs=False
    )
    spec = replace(spec, data=DataSpec(**on_frame, **splits), schedule=schedule)
    if folder := data.objects(spec):
        objects_build.make(Index.load(data.index), data.root, spec, None, folder)
    return frame_batches(spec, data, images=student, points=not student or spec.teacher is not None)


def by_stage(batches: TrainingBatches, samples: int) -> dict[str, float]:
    """CPU milliseconds a sample of a loader in all and by stage, and of what is left to the device."""
    fabric = Fabric(accelerator="cpu", devices=1)
    os.environ["DUALDISTILL_LOADERS"] = "0"

    def read() -> list[Any]:
        return list(islice(batches.batches(0, fabric), samples))

    for batch in read():  # files into memory, libraries loaded
        batch.to(fabric.device)
    whole = timed(read)
    # time of this process: others on the machine do not count
    profile = cProfile.Profile(time.process_time)
    read_batches = profile.runcall(read)
    times: dict[str, float] = dict.fromkeys(STAGES, 0.0)
    for (file, _, function), (*_, seconds, _) in pstats.Stats(profile).stats.items():
        for stage, places in STAGES.items():
            if (Path(file).name, function) in places and "dualdistill" in file:
                times[stage] += seconds
    times = {"warp": times.pop("images") - times["decode"] - times["normalise"], **times}
    times["rest"] = max(0.0, whole - sum(times.values()))
    device = timed(lambda: [batch.to(fabric.device) for batch in read_batches])
    return {name: 1e3 * each / samples for name, each in ({WHOLE: whole, **times, DEVICE: device}).items()}


def rate(batches: TrainingBatches, loaders: int, samples: int) -> float:
    """Samples a second, the start of the loader processes not counted."""
    os.environ["DUALDISTILL_LOADERS"] = str(loaders)
    fabric = Fabric(accelerator="cpu", devices=1)
    first = max(1, 2 * loaders)  # those that the loaders read ahead
    feed = batches.batches(0, fabric)
    for _ in range(first):
        next(feed).to(fabric.device)
    rest = islice(feed, samples - first)
    return (samples - first) / timed(lambda: [batch.to(fabric.device) for batch in rest], time.perf_counter)


def timed(work: Callable[[], object], clock: Callable[[], float] = time.process_time) -> float:
    started = clock()
    work()
    return clock() - started


def _line(cells: Sequence[object]) -> str:
    return f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    main()
