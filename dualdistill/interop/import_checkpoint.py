"""Make a run of a row from a released checkpoint: weights, run.json and a report of every name.

Nothing is trained: the record says where the weights come from, and tables mark the row.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dualdistill import models
from dualdistill.config.run_spec import BEVDepthSpec, RunSpec, StudentSpec, TeacherSpec, contents
from dualdistill.errors import CheckpointError, UserError
from dualdistill.interop.convert import Report, convert, is_clockwise
from dualdistill.interop.layouts import Layout, find
from dualdistill.interop.read import Checkpoint, read
from dualdistill.plan.plan import Plan, Run
from dualdistill.seeding import seed_everything
from dualdistill.store.files import atomic_write, sha256_file, write_json
from dualdistill.store.lock import run_lock
from dualdistill.store.provenance import collect
from dualdistill.store.records import IMPORT_REPORT, RUN, RUN_SCHEMA, WEIGHTS
from dualdistill.training.checkpoint import save_weights

log = logging.getLogger(__name__)
GUIDE = "docs/released.md lists what can be imported"
# bins x rows x columns x 3, of the images that a student was made for
FRUSTUM = "img_view_transformer.frustum"


@dataclass(frozen=True)
class Source:
    """A file that is to be imported, and what was found in it."""

    file: Path
    row: str
    checkpoint: Checkpoint
    layout: Layout
    clockwise: bool = False

    def refuse(self, what: str, hint: str = "") -> CheckpointError:
        return CheckpointError(what, where=str(self.file), hint=hint)

    def facts(self) -> dict[str, str]:
        """Where the weights come from, for run.json and the report."""
        turn = "clockwise in the file, rewritten" if self.clockwise else "counter-clockwise in the file"
        found = {
            "source": self.file.name,
            "sha256": sha256_file(self.file),
            "note": "imported, not trained here",
            "layout": self.layout.name,
            "boxes": "" if self.layout.kind == "backbone" else turn,
            "prefix": self.checkpoint.prefix,
            "beside": ", ".join(self.checkpoint.beside),
            "not_loaded": ", ".join(self.checkpoint.inert),
        }
        return {name: text for name, text in found.items() if text}


def import_checkpoint(plan: Plan, row: str, file: Path, mmdet3d: str | None = None) -> list[str]:
    """Import a file as a row; return the lines of the report, which also lies in the run's folder."""
    run = plan.run(row)
    source = _open(file, row, mmdet3d)
    if source.layout.kind == "backbone":
        return _import_backbone(plan, run, source)
    if run.spec.imported is None:
        hint = "a row with weights: file takes a released checkpoint"
        raise UserError(f"row '{row}' is trained here", where="config/variants.yaml", hint=hint)
    if source.layout.kind != run.spec.kind:
        what = f"the file holds a {source.layout.kind} ({source.layout.name})"
        raise source.refuse(f"{what}, and row '{row}' is a {run.spec.kind}")
    _check_row(source, run.spec)
    network = _network(run.spec)
    weights, report = _converted(source, network)
    folder = plan.folder(run)
    lines = _lines(source, report)
    with run_lock(folder / "state"):
        save_weights(folder / WEIGHTS, weights)
        atomic_write(folder / IMPORT_REPORT, "\n".join(lines) + "\n")
        write_json(folder / RUN, _record(run, source, network, folder))
    return [*lines, f"wrote {folder / RUN}"]


def _open(file: Path, row: str, mmdet3d: str | None) -> Source:
    """Read the file and tell its layout, or refuse it with the reason."""
    checkpoint = read(file)
    layout = find(checkpoint.weights)
    if layout is None:
        first = ", ".join(list(checkpoint.weights)[:3])
        raise CheckpointError(f"the names are of no network known here: {first}", where=str(file), hint=GUIDE)
    source = Source(file, row, checkpoint, layout)
    if layout.refused:
        raise source.refuse(f"{layout.name} is recognised and not imported: {layout.refused}", GUIDE)
    if layout.kind == "backbone":
        return source
    given = {"mmdet3d_version": mmdet3d} if mmdet3d else {}
    clockwise = is_clockwise(layout, given | dict(checkpoint.meta))
    if clockwise is None:
        what = f"{layout.name}: neither names nor meta tell which way boxes turn"
        raise source.refuse(what, "add --mmdet3d with the version that wrote it, e.g. 0.17.2 or 1.0.0")
    return replace(source, clockwise=clockwise)


def _check_row(source: Source, spec: RunSpec) -> None:
    """Refuse what names and shapes of weights do not show: the size of the images, the points of a pillar."""
    frustum = source.checkpoint.weights.get(FRUSTUM)
    model, size = spec.model, spec.input
    if frustum is not None and isinstance(model, StudentSpec):
        stride = model.feature_stride
        made_for = frustum.shape[1] * stride, frustum.shape[2] * stride
        if made_for != (size.image_height, size.image_width):
            what = f"made for images of {made_for[0]} x {made_for[1]} pixels"
            here = f"{size.image_height} x {size.image_width}"
            raise source.refuse(
                f"{what}, and row '{source.row}' has {here}", "input.image_height, image_width"
            )
    if isinstance(model, TeacherSpec) and bool(model.pillar_points) != source.layout.padded:
        wanted = "20" if source.layout.padded else "0"
        what = f"{source.layout.name} does not pool points as row '{source.row}' does"
        raise source.refuse(what, f"model.pillar_points: {wanted} in that row")


def _network(spec: RunSpec) -> nn.Module:
    seed_everything(0)
    return models.build(spec)


def _converted(source: Source, network: nn.Module) -> tuple[dict[str, Tensor], Report]:
    """The weights of a network here; refused unless every name fits, with the report on the screen."""
    released, ours = source.checkpoint.weights, network.state_dict()
    weights, report = convert(released, source.layout, ours, source.clockwise)
    if not report.fits:
        print("\n".join(_lines(source, report)))
        counts = {
            "missing": report.missing,
            "unknown": report.unknown,
            "of another shape": list(report.misshapen),
        }
        first = next(names[0] for names in counts.values() if names)
        listed = ", ".join(f"{len(names)} {word}" for word, names in counts.items())
        what = f"{source.layout.name}: not the network of row '{source.row}': {listed}, first {first!r}"
        raise source.refuse(what, "the report above lists every name")
    broken = [name for name, tensor in weights.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise source.refuse(f"{len(broken)} weights are not finite, first {broken[0]!r}")
    return {name: tensor.to(ours[name].dtype) for name, tensor in weights.items()}, report


def _lines(source: Source, report: Report) -> list[str]:
    """The report of an import: the file, every name, the counts."""
    facts = [f"{name:<11}{text}" for name, text in source.facts().items()]
    return [*facts, "", *report.lines(), "", *report.summary()]


def _record(run: Run, source: Source, network: nn.Module, folder: Path) -> Mapping[str, Any]:
    return {
        "schema": RUN_SCHEMA,
        "run": run.id,
        "spec": contents(run.spec),
        "spec_sha": run.spec.sha,
        "imported": source.facts(),
        "outputs": {name: sha256_file(folder / name) for name in (WEIGHTS, IMPORT_REPORT)},
        "parameters": {
            "learner": sum(parameter.numel() for parameter in network.parameters()),
            "method": 0,
        },
        "provenance": collect(),
    }


def _import_backbone(plan: Plan, run: Run, source: Source) -> list[str]:
    """A file of ImageNet weights for the students of a depth, from a ResNet."""
    model = run.spec.model
    if not isinstance(model, BEVDepthSpec) or model.start != "imagenet":
        what = f"the file holds an image backbone ({source.layout.name}), which starts a student"
        raise source.refuse(what, f"row '{source.row}' is no student with model.start: imagenet")
    network = _network(run.spec)
    assert isinstance(network, models.Student)
    weights, report = _converted(source, network.backbone)
    name = f"resnet{model.depth}"
    file = plan.results / "imagenet" / f"{name}.safetensors"
    lines = _lines(source, report)
    save_weights(file, weights)
    atomic_write(file.with_suffix(".txt"), "\n".join(lines) + "\n")
    return [*lines, f"wrote {file}; imagenet.r{model.depth} in config/config.yaml takes it"]
