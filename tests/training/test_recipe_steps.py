"""Every row of the main table takes a step under the published recipe and builds at the published size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from lightning_fabric import Fabric
from torch import nn

from dualdistill import models
from dualdistill.config import method_options
from dualdistill.config.run_spec import ClassifierSpec, LabelEncoderSpec, RunSpec
from dualdistill.data.loader import frame_batches
from dualdistill.plan import plan as planning
from dualdistill.plan.plan import Plan
from dualdistill.seeding import seed_everything
from dualdistill.store.files import sha256_file, write_json
from dualdistill.training.checkpoint import save_weights
from dualdistill.training.objective import Upstream, build_networks, student_shapes

CONFIG = Path(__file__).parents[2] / "config" / "config.yaml"
TABLES = yaml.safe_load((CONFIG.parent / "tables.yaml").read_text())["tables"]
ROWS = [line["row"] for line in TABLES["table_main"]["rows"]]


def published(profile: str, results: Path) -> Plan:
    return planning.load(CONFIG, {"profile": profile, "recipe": "as_published"}, results)


def write_outputs(spec: RunSpec | None, folder: Path) -> Path | None:
    """The outputs of a run that others build on, with random weights."""
    if spec is None:
        return None
    folder.mkdir()
    seed_everything(7)
    weights = network(spec).state_dict()
    file = folder / "model.safetensors"
    save_weights(file, weights)
    write_json(
        folder / "run.json", {"schema": 1, "spec_sha": spec.sha, "outputs": {file.name: sha256_file(file)}}
    )
    return folder


def network(spec: RunSpec) -> nn.Module:
    if isinstance(spec.model, ClassifierSpec):
        return models.Classifier(spec.model)
    if isinstance(spec.model, LabelEncoderSpec) and spec.teacher:
        return models.LabelEncoder(spec.model, spec.grid, models.build(spec.teacher).tap_shapes())
    return models.build(spec)


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS)
def test_every_row_takes_a_step(
    row: str, command: Callable[..., object], results: Path, tmp_path: Path
) -> None:
    plan = published("smoke", results)
    spec = plan.run(row).spec
    if spec.virtual and not (plan.paths.virtual(spec) / "virtual.json").exists():
        command("virtual", row)
    teacher = write_outputs(spec.teacher, tmp_path / "teacher")
    start = write_outputs(spec.pretraining, tmp_path / "start")
    encoder = write_outputs(spec.label_encoder, tmp_path / "labels")
    networks = build_networks(
        spec, Upstream(teacher, start / "model.safetensors" if start else None, encoder)
    )
    objective, learner = networks.objective, networks.objective.learner
    points = learner.needs_points or networks.teachers is not None
    feed = frame_batches(spec, plan.paths, images=learner.needs_images, points=points)
    batch = next(feed.batches(0, Fabric(accelerator="cpu", devices=1))).to(torch.device("cpu"))
    before = {name: weight.clone() for name, weight in objective.named_parameters()}
    optimizer = torch.optim.AdamW(objective.parameters(), lr=spec.schedule.lr)
    objective.train()
    losses = objective(batch, networks.teachers, progress=0.0)
    assert all(loss.isfinite() for loss in losses.values())
    torch.stack(list(losses.values())).sum().backward()
    optimizer.step()
    after = dict(objective.named_parameters())
    assert all(weight.grad is not None and weight.isfinite().all() for weight in after.values())
    moved = {name.partition(".")[0] for name in before if not torch.equal(after[name], before[name])}
    assert moved == ({"learner", "method"} if spec.distill else {"learner"})


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS)
def test_every_row_builds_at_the_published_size(row: str, tmp_path: Path) -> None:
    spec = published("nuscenes", tmp_path).run(row).spec
    detector = models.build(spec)
    if spec.distill and spec.teacher:
        method = method_options.load(spec.distill.method)(**spec.distill.options)
        method.bind(student_shapes(spec, detector), models.build(spec.teacher).tap_shapes())
        assert list(method.parameters())
    assert all(weight.isfinite().all() for weight in detector.parameters())
