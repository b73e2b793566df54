"""The training of any run, in the order in which it happens.

A student and its teachers see the same augmented frame. The student gives the detection and depth losses, the
distillation method its own; their plain sum is minimised. The teachers are not part of the optimised module.
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.optim.swa_utils import AveragedModel

from dualdistill import faults
from dualdistill.config.run_spec import RunSpec, contents
from dualdistill.data.dataset import FrameDataset, collate
from dualdistill.data.loader import TrainingBatches, crop_batches, frame_batches, training_frames
from dualdistill.distributed import gathered, largest, means, rank, ranks, wait_for_all
from dualdistill.errors import CheckpointError, NumericsError
from dualdistill.models import Classifier, LabelEncoder
from dualdistill.models.layers import place
from dualdistill.plan.plan import DataPaths
from dualdistill.seeding import pin, random_state, restore_random_state
from dualdistill.store.files import sha256_file, write_json
from dualdistill.store.lock import run_lock
from dualdistill.store.progress import track
from dualdistill.store.provenance import collect
from dualdistill.store.records import NOT_LOSSES, RUN_SCHEMA, WEIGHTS
from dualdistill.training import memory, optim, precision
from dualdistill.training.batchnorm import synchronise
from dualdistill.training.checkpoint import load_state, save_state, save_weights
from dualdistill.training.devices import launch
from dualdistill.training.history import FILE as HISTORY
from dualdistill.training.history import History, reaches
from dualdistill.training.objective import Networks, Objective, Upstream, build_networks
from dualdistill.training.peers import explained, watched
from dualdistill.training.progress import Clock, StopSignal, log_event, log_failure, peak_memory_mb
from dualdistill.training.teachers import Teachers
from dualdistill.training.tensorboard import EventFiles

log = logging.getLogger(__name__)
OUTPUTS = (WEIGHTS, HISTORY)
KEPT = 1 / 8  # largest share of the memory for the outputs of the teachers


@dataclass
class State:
    """Everything that changes while a run trains; restoring it resumes the run exactly."""

    objective: Objective
    optimizer: torch.optim.Optimizer
    average: AveragedModel | None  # of the learner
    scaler: GradScaler | None = None  # of the loss in 16-mixed
    step: int = 0
    skipped: int = 0  # steps whose gradient overflowed in 16-mixed
    earlier_peak_mb: float = 0.0  # memory, of the processes that trained this run before
    # how many devices trained from which step on; changes only when a run is resumed on another number
    devices: list[dict[str, Any]] = field(
        default_factory=lambda: [{"first_step": 1, "devices": ranks(), "random_state_kept": True}]
    )

    @property
    def peak_memory_mb(self) -> float:
        return max(self.earlier_peak_mb, peak_memory_mb())

    def save(self, setup: Setup, seconds: float, history: History | None) -> None:
        """Leave a checkpoint; each rank calls this, and the first one, which has the history, writes."""
        drawn = gathered(random_state())
        faults.reach("save")
        if history is None:
            return
        plain = {
            "step": self.step,
            "objective": self.objective.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.state_dict() if self.average else {},
            "scaler": self.scaler.state_dict() if self.scaler else {},
            "skipped": self.skipped,
            "random": drawn,
            "devices": self.devices,
            "history": history.end(),
            "seconds": seconds,
            "memory_mb": self.peak_memory_mb,
        }
        save_state(setup.folder, self.step, setup.feed.total, setup.spec.sha, plain)

    def restore(self, plain: dict[str, Any]) -> None:
        self.objective.load_state_dict(plain["objective"])
        self.optimizer.load_state_dict(plain["optimizer"])
        if self.average:
            self.average.load_state_dict(plain["average"])
        if self.scaler:
            self.scaler.load_state_dict(plain["scaler"])
        self.step, self.skipped, self.devices = plain["step"], plain["skipped"], plain["devices"]
        drawn = plain["random"]
        restore_random_state(drawn[rank() % len(drawn)])
        if len(drawn) != ranks():
            log.warning(
                "%d devices go on with what %d began, without their random states", ranks(), len(drawn)
            )
            change = {"first_step": self.step + 1, "devices": ranks(), "random_state_kept": False}
            self.devices = [*self.devices, change]
        self.earlier_peak_mb = plain["memory_mb"]

    def weights(self) -> dict[str, Tensor]:
        """The learner's weights, averaged over the steps if the schedule asks for it."""
        learner = self.average.module if self.average else self.objective.learner
        return learner.state_dict()


@dataclass(frozen=True)
class Setup:
    """Everything that a training step works with and a checkpoint does not hold."""

    spec: RunSpec
    folder: Path  # of the checkpoints and the event log
    fabric: Fabric
    feed: TrainingBatches
    module: Any  # the objective as Fabric runs it
    stepper: Any  # the optimizer as Fabric steps it
    teachers: Teachers | None


def train(
    spec: RunSpec,
    run_dir: Path,
    data: DataPaths,
    upstream: Upstream,
    log_every: int = 20,
    tensorboard: bool = False,
) -> None:
    """Train one run, or resume an interrupted one; run.json is written last, when all else is complete."""
    state_dir = run_dir / "state"
    # of several processes that train one run together, the first takes the lock
    lock = run_lock(state_dir) if os.environ.get("RANK", "0") == "0" else nullcontext()
    with lock, log_failure(state_dir), explained():
        pin(spec.threads)
        fabric = launch(spec.schedule)
        with watched(state_dir):
            networks = build_networks(spec, upstream)
            kept = _frames_to_keep(spec, data, networks, fabric.device)
            feed = _feed(spec, data, networks.objective, points=kept is None)
            state, setup = set_up(spec, state_dir, fabric, feed, networks)
            saved = resume(state, setup)
            seconds = saved["seconds"] if saved else 0.0
            if state.step < feed.total:
                seconds += _keep_outputs(kept, setup, networks) if kept else 0.0
                estimate = memory.Estimate(fabric, networks.objective, networks.teachers, feed)
                stages = getattr(spec.model, "activation_checkpoint", None)
                memory.check_fits(estimate, spec.schedule.per_device, stages)
            clock = Clock(state.step, feed.total, seconds)
            history = events = None
            if fabric.global_rank == 0:
                log_event(state_dir, event="start", step=state.step, total=feed.total)
                history = History(state_dir, saved["history"] if saved else None)
                events = EventFiles(run_dir, state.step) if tensorboard else None
            train_steps(state, setup, clock, history, log_every, events)
        if history:
            record = {"start": networks.start, "seconds": round(clock.seconds, 1)}
            # the share of the time that it waited for data is since the last start
            record |= {"training_devices": fabric.world_size, "waited_for_data": clock.waiting}
            record |= _write_outputs(run_dir, spec, state, history)
            write_json(run_dir / "run.json", record | _diagnose(spec, data, state, networks.teachers))
            log.info("wrote %s", run_dir / "run.json")


def resume(state: State, setup: Setup) -> dict[str, Any] | None:
    """Restore the state of the last usable checkpoint, if there is one, and return its content."""
    if setup.fabric.global_rank == 0:
        for half_written in setup.folder.parent.rglob(".*.tmp"):  # when an earlier process was killed
            half_written.unlink()
    saved = load_state(setup.folder, setup.spec.sha, partial(reaches, setup.folder))
    if saved:
        state.restore(saved)
        log.info("resumed at step %d of %d", state.step, setup.feed.total)
    last, first = largest(state.step, -state.step)
    if last != -first:
        what = f"the processes of this training read checkpoints of steps {-first} to {last}"
        raise CheckpointError(what, where=str(setup.folder), hint="all need the same folder")
    return saved


def train_steps(
    state: State,
    setup: Setup,
    clock: Clock,
    history: History | None,
    log_every: int,
    events: EventFiles | None = None,
) -> None:
    """Train the remaining steps: log, save checkpoints, and stop on SIGTERM or SIGINT.

    The first process has a history, and writes all files.
    """
    feed = setup.feed
    stop = StopSignal()
    batches = clock.watched(feed.batches(state.step, setup.fabric))
    while state.step < feed.total:
        row = train_step(state, setup, batches)
        losses = {name: value for name, value in row.items() if name not in NOT_LOSSES}
        ended, epoch = state.step == feed.total, state.step / feed.steps_per_epoch
        if history:
            history.append(row)
            if clock.progress_is_due() or ended:
                clock.write_progress(setup.folder, state.step, epoch, losses, state.skipped)
        if events:
            events.write(row)
        if state.step % log_every == 0 or ended:
            log.info("%s", clock.line(state.step, epoch, losses, state.skipped))
        due = ended or state.step % feed.steps_per_epoch == 0 or (bool(history) and clock.save_is_due())
        save, number = largest(due, stop.received)  # a signal to one rank stops all, after the same step
        if save or number:
            if events:
                events.flush()  # a process that resumes here does not write these steps again
            state.save(setup, clock.seconds, history)
        if number:
            wait_for_all()  # the checkpoint is written
            log.warning(
                "stopped by signal %d at step %d; the same command continues from here", number, state.step
            )
            raise SystemExit(128 + number)


def train_step(state: State, setup: Setup, batches: Iterator[Any]) -> dict[str, float]:
    """One optimizer step on the next batch, part by part: forward, backward, clip, step, average.

    Return its line of the history.
    """
    fabric, module, schedule = setup.fabric, setup.module, setup.spec.schedule
    rate = optim.learning_rate(schedule, state.step, setup.feed.steps_per_epoch)
    beta1 = optim.momentum(schedule, state.step, setup.feed.steps_per_epoch)
    optim.set_rate(state.optimizer, rate, beta1)
    module.train()
    losses: dict[str, float] = {}
    parts = schedule.parts(fabric.world_size)
    for part in range(parts):
        batch = next(batches).to(fabric.device)
        with fabric.no_backward_sync(module, enabled=part + 1 < parts):
            terms = module(batch, setup.teachers, state.step / setup.feed.total)
            _check_finite(terms, state.step, batch)
            faults.reach("backward")
            fabric.backward(torch.stack(list(terms.values())).sum() / parts)
        for name, value in terms.items():
            losses[name] = losses.get(name, 0.0) + value.item() / parts
    losses = dict(zip(losses, means(list(losses.values())), strict=True))  # over the ranks
    row = {"step": state.step + 1, "lr": rate, **_update(state, setup, batch), **losses}
    state.step += 1
    return row


def _update(state: State, setup: Setup, batch: Any) -> dict[str, float]:
    """Clip, step and average; a step whose gradient overflows in 16-mixed is skipped and counted."""
    scale = {"loss_scale": state.scaler.get_scale()} if state.scaler else {}
    norm = _clip_gradients(setup, state.scaler, state.step, batch)
    setup.stepper.step()  # the scaler leaves it out after an overflow
    setup.stepper.zero_grad(set_to_none=True)
    if not math.isfinite(norm):
        state.skipped += 1
        return scale
    if state.average:
        state.average.update_parameters(state.objective.learner)
    return scale | {"grad_norm": norm}


def _check_finite(losses: dict[str, Tensor], step: int, batch: Any) -> None:
    broken = [name for name, value in losses.items() if not torch.isfinite(value)]
    if broken:
        raise NumericsError(
            f"loss {', '.join(broken)} is not finite at step {step}",
            where=f"samples {', '.join(batch.tokens)}",
            hint="the weights on disk are from before this step; lower schedule.lr or look at these samples",
        )


def _clip_gradients(setup: Setup, scaler: GradScaler | None, step: int, batch: Any) -> float:
    """Clip the norm of all gradients together; return the norm before, not finite after an overflow."""
    limit = setup.spec.schedule.clip_norm
    norm = setup.fabric.clip_gradients(setup.module, setup.stepper, max_norm=limit, error_if_nonfinite=False)
    assert norm is not None
    overflow = scaler is not None and scaler.get_scale() >= precision.SMALLEST_SCALE
    if not torch.isfinite(norm) and not overflow:
        raise NumericsError(
            f"the gradient is not finite at step {step}",
            where=f"samples {', '.join(batch.tokens)}",
            hint="the weights on disk are from before this step",
        )
    return float(norm)


def _feed(spec: RunSpec, data: DataPaths, objective: Objective, *, points: bool) -> TrainingBatches:
    """Batches with the images and points that the learner needs, and if `points` the teacher's, too."""
    learner, method = objective.learner, objective.method
    if isinstance(learner, Classifier):
        return crop_batches(spec, data, learner.spec.crops)
    points = learner.needs_points or (points and method is not None and method.reads_teacher)
    return frame_batches(spec, data, images=learner.needs_images, points=points)


def _frames_to_keep(
    spec: RunSpec, data: DataPaths, networks: Networks, device: torch.device
) -> FrameDataset | None:
    """The frames of the teachers, if a training sees them more than once and their outputs fit in memory."""
    method, teachers = networks.objective.method, networks.teachers
    if method is None or teachers is None or not (method.reads_teacher and teachers.frame_by_frame):
        return None
    frames = training_frames(spec, data, images=False, points=True)
    fit = len(frames) * teachers.bytes_of_frame() <= KEPT * memory.size_of(device)
    return frames if fit and spec.schedule.repeats(len(frames)) else None


def _keep_outputs(frames: FrameDataset, setup: Setup, networks: Networks) -> float:
    """Let the teachers keep what they return for these frames; return the seconds that it took."""
    method, teachers, started = networks.objective.method, setup.teachers, time.monotonic()
    assert method is not None
    assert teachers is not None
    samples = (collate([frames[position]]).to(setup.fabric.device) for position in range(len(frames)))
    with setup.fabric.autocast():
        teachers.keep(track(samples, len(frames), "teacher outputs"), method)
    return time.monotonic() - started


def set_up(
    spec: RunSpec, folder: Path, fabric: Fabric, feed: TrainingBatches, networks: Networks
) -> tuple[State, Setup]:
    """Networks on their device, the optimizer, and the moving average."""
    objective, schedule = networks.objective, spec.schedule
    place(objective, fabric.device)
    if networks.teachers is not None:
        place(networks.teachers, fabric.device)
    if schedule.sync_batchnorm:
        synchronise(objective, fabric.device)
    average = optim.moving_average(objective.learner, schedule.ema) if schedule.ema else None
    scaler = getattr(fabric.strategy.precision, "scaler", None)
    state = State(objective, optim.optimizer(objective, schedule), average, scaler)
    module, stepper = fabric.setup(objective, state.optimizer)
    return state, Setup(spec, folder, fabric, feed, module, stepper, networks.teachers)


def _write_outputs(run_dir: Path, spec: RunSpec, state: State, history: History) -> dict[str, Any]:
    """Write weights and history; return what run.json records of them."""
    save_weights(run_dir / WEIGHTS, state.weights())
    history.copy(run_dir / HISTORY)
    objective = state.objective
    return {
        "schema": RUN_SCHEMA,
        "run": run_dir.name,
        "spec": contents(spec),
        "spec_sha": spec.sha,
        "outputs": {name: sha256_file(run_dir / name) for name in OUTPUTS},
        "devices": state.devices,
        "skipped_steps": state.skipped,
        "peak_memory_mb": state.peak_memory_mb,
        "parameters": {
            "learner": _count_parameters(objective.learner),
            "method": _count_parameters(objective.method) if objective.method else 0,
        },
        "provenance": collect(),
    }


def _count_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _diagnose(spec: RunSpec, data: DataPaths, state: State, teachers: Teachers | None) -> dict[str, Any]:
    """Quality of a network that no evaluation scores, by its key in run.json."""
    learner = state.objective.learner
    if not isinstance(learner, Classifier | LabelEncoder):
        return {}
    from dualdistill.training import diagnostics  # loads the devkit, which takes a second

    learner.load_state_dict(state.weights())
    if isinstance(learner, Classifier):
        return {"held_out": diagnostics.classifier_accuracy(spec, data, learner)}
    assert teachers is not None
    return {"redecoded": diagnostics.label_encoder_precision(spec, data, learner, teachers.lidar)}
