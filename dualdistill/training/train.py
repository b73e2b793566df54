"""The training of any run, in the order in which it happens.

A student's step: it and its teachers see the same augmented frame; the detection and depth losses come from
the student, every further named loss from the distillation method; their plain sum is what is minimised. The
teachers stay outside of the optimised module.
"""

from __future__ import annotations

import json
import logging
import os
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from dualdistill.config.run_spec import RunSpec, contents
from dualdistill.data.loader import Feed, of_crops, of_frames
from dualdistill.errors import NumericsError, UserError
from dualdistill.models import Classifier, LabelEncoder
from dualdistill.models.layers import place
from dualdistill.plan.plan import DataPaths
from dualdistill.seeding import pin, random_state, restore_random_state
from dualdistill.store.files import replacing, sha256_file, write_json
from dualdistill.store.lock import run_lock
from dualdistill.store.provenance import collect
from dualdistill.store.records import RUN_SCHEMA
from dualdistill.training import objective as lessons
from dualdistill.training import optim
from dualdistill.training.checkpoint import load_state, save_state, save_weights
from dualdistill.training.diagnostics import held_out
from dualdistill.training.objective import Lesson, Setting, Teachers
from dualdistill.training.optim import MovingAverage
from dualdistill.training.progress import Clock, StopSignal, note, noting_failure, peak_memory_mb

log = logging.getLogger(__name__)
OUTPUTS = ("model.safetensors", "history.jsonl")


@dataclass
class State:
    """All that changes while a run trains; a resumed run is this, restored."""

    lesson: Lesson
    optimizer: torch.optim.Optimizer
    average: MovingAverage | None
    step: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    memory_mb: float = 0.0  # the peak of the attempts before this one

    @property
    def peak_memory_mb(self) -> float:
        return max(self.memory_mb, peak_memory_mb())

    def save(self, folder: Path, total: int, spec_sha: str, seconds: float) -> None:
        plain = {
            "step": self.step,
            "lesson": self.lesson.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.weights if self.average else {},
            "random": random_state(),
            "history": self.history,
            "seconds": seconds,
            "memory_mb": self.peak_memory_mb,
        }
        save_state(folder, self.step, total, spec_sha, plain)

    def restore(self, plain: dict[str, Any]) -> None:
        self.lesson.load_state_dict(plain["lesson"])
        self.optimizer.load_state_dict(plain["optimizer"])
        if self.average:
            self.average.load(plain["average"])
        restore_random_state(plain["random"])
        self.step, self.history = plain["step"], plain["history"]
        self.memory_mb = plain["memory_mb"]

    def weights(self) -> dict[str, Tensor]:
        return self.average.weights if self.average else self.lesson.learner.state_dict()


def train(
    spec: RunSpec,
    run_dir: Path,
    data: DataPaths,
    teacher_dir: Path | None = None,
    start_file: Path | None = None,
    label_dir: Path | None = None,
    log_every: int = 20,
) -> None:
    """Train one run, or go on where an interrupted one stopped; the declared outputs are written last."""
    schedule, state_dir = spec.schedule, run_dir / "state"
    # of several processes that train one run together, the first holds it
    holding = run_lock(state_dir) if os.environ.get("RANK", "0") == "0" else nullcontext()
    with holding, noting_failure(state_dir):
        pin(spec.threads)
        fabric = _fabric(spec)
        setting = lessons.prepare(spec, teacher_dir, start_file, label_dir)
        lesson, teachers = setting.lesson, setting.teachers
        feed = _feed(spec, data, lesson)
        place(lesson, fabric.device)
        if teachers is not None:
            place(teachers, fabric.device)
        average = MovingAverage(lesson.learner, schedule.ema) if schedule.ema else None
        state = State(lesson, optim.optimizer(lesson, schedule), average)
        module, stepper = fabric.setup(lesson, state.optimizer)
        seconds_before = 0.0
        if saved := load_state(state_dir, spec.sha):
            state.restore(saved)
            seconds_before = saved["seconds"]
            log.info("resumed at step %d of %d", state.step, feed.total)
        note(state_dir, event="start", step=state.step, total=feed.total)
        clock = Clock(state.step, feed.total, seconds_before)
        _steps(spec, state, state_dir, feed, fabric, module, stepper, teachers, clock, log_every)
        if fabric.global_rank == 0:
            _finish(spec, run_dir, data, state, setting, clock.seconds)


def _feed(spec: RunSpec, data: DataPaths, lesson: Lesson) -> Feed:
    """What the learner, and the teacher of a method, have to see."""
    learner = lesson.learner
    if isinstance(learner, Classifier):
        return of_crops(spec, data, learner.spec.crops)
    points = learner.needs_points or lesson.method is not None
    return of_frames(spec, data, images=learner.needs_images, points=points)


def _steps(
    spec: RunSpec,
    state: State,
    state_dir: Path,
    feed: Feed,
    fabric: Fabric,
    module: Any,
    stepper: Any,
    teachers: Teachers | None,
    clock: Clock,
    log_every: int,
) -> None:
    schedule, stop = spec.schedule, StopSignal()
    batches = feed.batches(state.step, fabric)
    while state.step < feed.total:
        rate = optim.learning_rate(schedule, state.step, feed.steps_per_epoch)
        optim.set_rate(state.optimizer, rate)
        module.train()
        sums: dict[str, float] = {}
        for part in range(schedule.accumulate):
            batch = next(batches).to(fabric.device)
            with fabric.no_backward_sync(module, enabled=part + 1 < schedule.accumulate):
                losses = module(batch, teachers)
                _refuse_nonfinite(losses, state.step, batch)
                fabric.backward(torch.stack(list(losses.values())).sum() / schedule.accumulate)
            for name, value in losses.items():
                sums[name] = sums.get(name, 0.0) + value.item() / schedule.accumulate
        norm = _clip(fabric, module, stepper, schedule.clip_norm, state.step, batch)
        stepper.step()
        stepper.zero_grad(set_to_none=True)
        if state.average:
            state.average.update(state.lesson.learner)
        state.step += 1
        state.history.append({"step": state.step, "lr": rate, "grad_norm": norm, **sums})
        ended = state.step == feed.total
        if state.step % log_every == 0 or ended:
            if fabric.global_rank == 0:
                clock.leave(state_dir, state.step, state.step / feed.steps_per_epoch, sums)
            log.info("%s", clock.line(state.step, state.step / feed.steps_per_epoch, sums))
        due = state.step % feed.steps_per_epoch == 0 or clock.save_is_due()
        if (due or ended or stop.received) and fabric.global_rank == 0:
            state.save(state_dir, feed.total, spec.sha, clock.seconds)
        if stop.received:
            log.warning(
                "stopped by signal %d at step %d; the same command goes on from here",
                stop.received,
                state.step,
            )
            raise SystemExit(128 + stop.received)


def _finish(
    spec: RunSpec, run_dir: Path, data: DataPaths, state: State, setting: Setting, seconds: float
) -> None:
    """Write the declared outputs, run.json last: its presence means that the others are whole."""
    save_weights(run_dir / "model.safetensors", state.weights())
    with replacing(run_dir / "history.jsonl") as temporary:
        temporary.write_text("".join(json.dumps(row, sort_keys=True) + "\n" for row in state.history))
    lesson = state.lesson
    record = {
        "schema": RUN_SCHEMA,
        "run": run_dir.name,
        "spec": contents(spec),
        "spec_sha": spec.sha,
        "start": setting.start,
        "outputs": {name: sha256_file(run_dir / name) for name in OUTPUTS},
        "seconds": round(seconds, 1),
        "peak_memory_mb": state.peak_memory_mb,
        "parameters": {
            "learner": sum(parameter.numel() for parameter in lesson.learner.parameters()),
            "method": sum(parameter.numel() for parameter in lesson.method.parameters())
            if lesson.method
            else 0,
        },
        "provenance": collect(),
    }
    write_json(run_dir / "run.json", record | _quality(spec, data, state, setting.teachers))
    log.info("wrote %s", run_dir / "run.json")


def _quality(spec: RunSpec, data: DataPaths, state: State, teachers: Teachers | None) -> dict[str, Any]:
    """How good a network is that no evaluation will score."""
    learner = state.lesson.learner
    learner.load_state_dict(state.weights())
    if isinstance(learner, Classifier):
        return {"held_out": held_out(spec, data, learner)}
    if isinstance(learner, LabelEncoder) and teachers:
        from dualdistill.training.diagnostics import (
            redecoded,  # loads the devkit, a second that no other training needs
        )

        return {"redecoded": redecoded(spec, data, learner, teachers.detector)}
    return {}


def _fabric(spec: RunSpec) -> Fabric:
    """One process unless torchrun started several."""
    local, world = int(os.environ.get("LOCAL_WORLD_SIZE", "1")), int(os.environ.get("WORLD_SIZE", "1"))
    if spec.schedule.batch % (spec.schedule.accumulate * world):
        raise UserError(
            f"a batch of {spec.schedule.batch} does not divide into "
            f"{world} processes x {spec.schedule.accumulate} parts",
            hint="change schedule.batch or schedule.accumulate",
        )
    precision: Any = spec.schedule.precision
    fabric = Fabric(accelerator="auto", devices=local, num_nodes=world // local, precision=precision)
    fabric.launch()
    return fabric


def _refuse_nonfinite(losses: dict[str, Tensor], step: int, batch: Any) -> None:
    broken = [name for name, value in losses.items() if not torch.isfinite(value)]
    if broken:
        raise NumericsError(
            f"loss {', '.join(broken)} is not finite at step {step}",
            where=f"samples {', '.join(batch.tokens)}",
            hint="the weights on disk are from before this step; lower schedule.lr or look at these samples",
        )


def _clip(fabric: Fabric, module: Any, stepper: Any, limit: float, step: int, batch: Any) -> float:
    norm = fabric.clip_gradients(module, stepper, max_norm=limit, error_if_nonfinite=False)
    if norm is None or not torch.isfinite(norm):
        raise NumericsError(
            f"the gradient is not finite at step {step}",
            where=f"samples {', '.join(batch.tokens)}",
            hint="the weights on disk are from before this step",
        )
    return float(norm)
