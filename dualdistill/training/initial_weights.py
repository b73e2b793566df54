"""Initial weights that a run takes from a file; all others are drawn from its seed.

A row with `weights: ROW` takes all weights of that row, a teacher or a student of the same network. Any other
student takes, by `model.start`:
* pretrained: the backbone of a classifier trained by this suite;
* imagenet: a file of ImageNet weights under torchvision's names, which are also those of mmdet's ResNet.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from dualdistill.config.run_spec import StudentSpec
from dualdistill.errors import CheckpointError
from dualdistill.models import Student
from dualdistill.store.files import sha256_file
from dualdistill.store.records import read_run
from dualdistill.training.checkpoint import load_exactly, load_plain, load_weights, read_weights

BACKBONE = "backbone."
CLASSIFIER = ("fc.weight", "fc.bias")  # of torchvision; a student has no such layer
COUNTER = "num_batches_tracked"  # missing in torchvision's older files, and never read


def fill_student(network: Student, spec: StudentSpec, file: Path | None) -> dict[str, Any]:
    """Load the weights that `spec.start` names, or all from another run; return their origin for run.json."""
    backbone = network.backbone
    if file is None:
        if spec.start != "random":
            what = f"a student that starts from {spec.start} weights needs their file"
            raise CheckpointError(what, hint="model.start: random needs none")
        return {"from": spec.start}
    if spec.start == "random":
        return fill_all(network, file)
    if spec.start == "pretrained":
        load_exactly(backbone, _read_part(file, BACKBONE), file)
    else:
        hint = f"imagenet.r{spec.depth} takes torchvision's resnet{spec.depth}-*.pth, width 64"
        load_exactly(backbone, _read_imagenet(file, backbone, hint), file, hint)
    return _origin(spec.start, file)


def fill_all(network: nn.Module, file: Path) -> dict[str, Any]:
    """Load all weights of another run of the same network; return their origin for run.json."""
    load_weights(file, network, read_run(file.parent)["outputs"][file.name])
    return _origin("weights", file)


def _origin(kind: str, file: Path) -> dict[str, Any]:
    return {"from": kind, "file": f"{file.parent.name}/{file.name}", "sha256": sha256_file(file)}


def _read_part(file: Path, prefix: str) -> dict[str, Tensor]:
    weights = read_weights(file, read_run(file.parent)["outputs"][file.name])
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}


def _read_imagenet(file: Path, backbone: nn.Module, hint: str) -> dict[str, Tensor]:
    if not file.is_file():
        raise CheckpointError("the ImageNet weights do not exist", where=str(file), hint=hint)
    loaded = read_weights(file) if file.suffix == ".safetensors" else load_plain(file)
    if not isinstance(loaded, dict) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise CheckpointError("the file is not a plain table of named tensors", where=str(file), hint=hint)
    counters = {name: value for name, value in backbone.state_dict().items() if name.endswith(COUNTER)}
    return counters | {name: value for name, value in loaded.items() if name not in CLASSIFIER}
