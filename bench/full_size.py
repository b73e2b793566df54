"""Time, memory and arithmetic of one training step of every row at the published size.

    python bench/full_size.py --work FOLDER --rows bevdepth-r50 dualdistill-r50-centerpoint

Each row takes whole steps of the suite's own loop (train_step, through Fabric) in every precision, in a
process of its own. The batch repeats one sample of the published shapes: six images of 1600 x 900 in two
frames, ten sweeps, boxes and masks, from a stand-in for nuScenes rendered once into --work. Weights are
random.

The rate of the device is that of its own matrix product in the same precision, measured first; the share is
the step's multiply-adds, counted while it runs and with recomputed activations, over that rate.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import logging
import multiprocessing
import os
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from dualdistill import cli, models
from dualdistill.config.run_spec import LabelEncoderSpec, RunSpec, StudentSpec
from dualdistill.data import stand_in
from dualdistill.plan import plan as planning
from dualdistill.plan.plan import Plan
from dualdistill.seeding import seed_everything
from dualdistill.store.files import sha256_file, write_json
from dualdistill.store.provenance import package_versions
from dualdistill.store.records import RUN, RUN_SCHEMA, WEIGHTS
from dualdistill.training import devices, train
from dualdistill.training.checkpoint import save_weights
from dualdistill.training.objective import Upstream, build_networks
from dualdistill.training.progress import peak_memory_mb

PRECISIONS = {"fp32": "32-true", "tf32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}
DTYPES = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
SAMPLE = {"train_scenes": "1", "val_scenes": "1", "frames_per_scene": "3"}
FRAME = 2  # of the sample: the first key frame of a scene has no earlier sweeps and images
SIDE = {"cpu": 2048, "cuda": 8192}  # of the matrices that measure the device
PACKAGES = ("torch", "lightning-fabric", "mmcv", "mmdet", "mmdet3d", "numpy")


@dataclass(frozen=True)
class Measured:
    """A line of the table."""

    row: str
    precision: str
    batch: int
    step_s: float
    images_per_s: float  # camera images, both frames
    peak_gb: float  # of the device; on a CPU, of the whole process
    kept_gb: float  # for the backward pass
    tflop: float  # per step
    device_tflops: float  # of a matrix product
    share: float  # of the device's rate


def main(words: Sequence[str] | None = None) -> Path:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="for the sample; kept between calls")
    parser.add_argument("--rows", nargs="+", help="rows of variants.yaml; by default those of table_main")
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=list(PRECISIONS))
    parser.add_argument("--steps", type=int, default=5, help="timed, after one that is not")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--recipe", default="matched")
    parser.add_argument("--width", type=int, default=1600, help="of the stored images")
    parser.add_argument("--config", type=Path, default=Path("config/config.yaml"))
    parser.add_argument("--out", type=Path, help="without ending; by default full_size in --work")
    given = parser.parse_args(words)
    prepare(given.work / "root", given.width)
    rows = given.rows or [line.row for line in open_plan(given).tables["table_main"].rows]
    out = given.out or given.work / "full_size"
    lines = []
    for row, precision in itertools.product(rows, given.precisions):
        print(row, precision, flush=True)
        lines.append(measure_apart(given, row, precision))
        write(out, lines, given)
    print(out.with_suffix(".md").read_text())
    return out


def prepare(root: Path, width: int) -> None:
    """Render the sample, unless an earlier call has."""
    if not (root / "world.json").exists():
        size = {"image_width": str(width), "image_height": str(width * 9 // 16)}
        stand_in.build(root, SAMPLE | size, workers=1)


def open_plan(given: argparse.Namespace) -> Plan:
    root = given.work / "root"
    where = {"data_root": str(root), "masks": str(root / stand_in.MASKS)}
    return planning.load(given.config, {"profile": "nuscenes", "recipe": given.recipe} | where, given.work)


def measure_apart(given: argparse.Namespace, row: str, precision: str) -> dict[str, Any]:
    """Measure in a new process, whose peak of memory is that of this row; a failure is a line, too."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as alone:
        try:
            return asdict(alone.submit(measure, given, row, precision).result())
        except Exception as error:  # the table shows it, and the other rows are measured
            what = str(error).splitlines()[0] if str(error) else type(error).__name__
            return {"row": row, "precision": precision, "batch": given.batch, "failed": what}


def measure(given: argparse.Namespace, row: str, precision: str) -> Measured:
    """Steps of one row in one precision."""
    logging.disable(logging.INFO)
    if precision == "tf32" and not torch.cuda.is_available():
        raise RuntimeError("tf32 needs a GPU")
    tf32 = precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    take_step, objective, forward, device = prepare_steps(given, row, precision)
    rate = matmul_rate(device, DTYPES[precision])
    take_step()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    seconds = timed(lambda: [take_step() for _ in range(given.steps)], device) / given.steps
    peak_gb = peak_memory_mb() / 2**10
    with FlopCounterMode(display=False) as counter:
        take_step()
    tflop = counter.get_total_flops() / 1e12
    kept = Kept(objective)
    with kept.hooks:  # without the backward pass, which recomputes activations and keeps them briefly
        forward()
    images = given.batch * (12 if row_has_images(given, row) else 0)
    return Measured(
        row,
        precision,
        given.batch,
        step_s=round(seconds, 3),
        images_per_s=round(images / seconds, 2),
        peak_gb=round(peak_gb, 2),
        kept_gb=round(kept.bytes / 2**30, 2),
        tflop=round(tflop, 3),
        device_tflops=round(rate / 1e12, 3),
        share=round(tflop * 1e12 / seconds / rate, 3),
    )


def row_has_images(given: argparse.Namespace, row: str) -> bool:
    return isinstance(open_plan(given).run(row).spec.model, StudentSpec)


def prepare_steps(
    given: argparse.Namespace, row: str, precision: str
) -> tuple[Callable[[], object], torch.nn.Module, Callable[[], object], torch.device]:
    """A function that takes the next step, the objective and its forward pass alone, and their device."""
    plan = open_plan(given)
    run = plan.run(row)
    spec = benchmarked(run.spec, given.batch, PRECISIONS[precision])
    if not plan.paths.index.exists():
        cli.build_index(plan)
    if spec.virtual and not (plan.paths.virtual(spec) / "virtual.json").exists():
        cli.make_virtual(plan, run.id)
    if spec.pastes and not (plan.paths.objects(spec) / "objects.json").exists():
        cli.make_objects(plan, run.id)
    torch.set_num_threads(max(1, len(os.sched_getaffinity(0))))
    with tempfile.TemporaryDirectory() as folder:
        earlier = (random_run(spec.teacher, Path(folder)), random_run(spec.label_encoder, Path(folder)))
        fabric = devices.launch(spec.schedule)
        networks = build_networks(spec, Upstream(earlier[0], None, earlier[1]))
        learner = networks.objective.learner
        points = learner.needs_points or networks.teachers is not None
        feed = train.frame_batches(spec, plan.paths, images=learner.needs_images, points=points)
        state, setup = train.set_up(spec, Path(folder), fabric, feed, networks)
        batches = itertools.repeat(feed.collate([feed.samples[(FRAME, 0)]] * given.batch))
    batch = next(batches).to(fabric.device)
    return (
        lambda: train.train_step(state, setup, batches),
        networks.objective,
        lambda: setup.module(batch, setup.teachers, 0.0),
        fabric.device,
    )


def benchmarked(spec: RunSpec, batch: int, precision: str) -> RunSpec:
    """The row's spec with random initial weights and one part per step on each process that shares it."""
    model = replace(spec.model, start="random") if isinstance(spec.model, StudentSpec) else spec.model
    schedule = replace(
        spec.schedule,
        batch=batch * int(os.environ.get("WORLD_SIZE", "1")),
        batch_per_device=batch,
        sync_batchnorm=False,
        precision=precision,
        cbgs=False,
    )
    return replace(spec, model=model, schedule=schedule)


def random_run(spec: RunSpec | None, folder: Path) -> Path | None:
    """The outputs of a teacher or label encoder with random weights."""
    if spec is None:
        return None
    seed_everything(0)
    if isinstance(spec.model, LabelEncoderSpec):
        assert spec.teacher is not None
        shapes = models.build(spec.teacher).tap_shapes()
        network: torch.nn.Module = models.LabelEncoder(spec.model, spec.grid, shapes)
    else:
        network = models.build(spec)
    file = folder / spec.kind / WEIGHTS
    file.parent.mkdir()
    save_weights(file, network.state_dict())
    record = {"schema": RUN_SCHEMA, "spec_sha": spec.sha, "outputs": {WEIGHTS: sha256_file(file)}}
    write_json(file.parent / RUN, record)
    return file.parent


class Kept:
    """Bytes that the forward pass keeps for the backward pass, each storage once, without the weights."""

    def __init__(self, module: torch.nn.Module) -> None:
        # autograd hands out weights as plain tensors: they are known by their memory
        self.bytes, self.seen = 0, {weight.untyped_storage().data_ptr() for weight in module.parameters()}
        self.hooks = saved_tensors_hooks(self._pack, lambda tensor: tensor)

    def _pack(self, tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self.seen:
            self.seen.add(storage.data_ptr())
            self.bytes += storage.nbytes()
        return tensor


def matmul_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Multiply-adds, counted as two, per second of a large matrix product."""
    side = SIDE[device.type]
    left, right = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    best = min(timed(lambda: left @ right, device) for _ in range(4))  # the first one warms up
    return 2 * side**3 / best


def timed(work: Callable[[], object], device: torch.device) -> float:
    """Seconds until the device has finished the work."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    started = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def write(out: Path, lines: list[dict[str, Any]], given: argparse.Namespace) -> None:
    """Write the lines measured so far as CSV and Markdown, with the machine and versions."""
    out.parent.mkdir(parents=True, exist_ok=True)
    columns = [*Measured.__dataclass_fields__, "failed"]
    with out.with_suffix(".csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, columns)
        writer.writeheader()
        writer.writerows(lines)
    versions = ", ".join(f"{name} {number}" for name, number in package_versions(PACKAGES).items())
    text = [f"{machine()}; Python {platform.python_version()}, {versions}.", ""]
    text += [f"Recipe {given.recipe}; {given.steps} timed steps after one that is not.", ""]
    text += [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    text += [f"| {' | '.join(str(line.get(column, '')) for column in columns)} |" for line in lines]
    out.with_suffix(".md").write_text("\n".join(text) + "\n")


def machine() -> str:
    if torch.cuda.is_available():
        return f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}"
    names = [
        line.partition(": ")[2]
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if "model name" in line
    ]
    return f"{len(names)} virtual cores of {names[0] if names else platform.machine()}"


if __name__ == "__main__":
    main()
