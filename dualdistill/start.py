"""The weights that a student's backbone starts from; the rest of the student comes from its seed alone.

They are those of a pre-training of this suite, or a file of ImageNet weights under torchvision's names, which
are the names of mmdet's ResNet too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from dualdistill.checkpoint import fit, load_plain, read_weights
from dualdistill.errors import CheckpointError
from dualdistill.records import read_run
from dualdistill.spec import StudentSpec
from dualdistill.storage import sha256_file

BACKBONE = "backbone."
CLASSIFIER = ("fc.weight", "fc.bias")  # of torchvision; nothing of a student corresponds to it
COUNTER = "num_batches_tracked"  # the older ones of torchvision's files lack it, and nothing reads it


def load(student: StudentSpec, file: Path | None, backbone: nn.Module) -> dict[str, Any]:
    """Fill the backbone, and say for run.json with what; without a file it stays random."""
    if file is None:
        if student.start != "random":
            what = f"a student that starts from {student.start} weights needs their file"
            raise CheckpointError(what, hint="model.start: random needs none")
        return {"from": student.start}
    if student.start == "pretrained":
        fit(backbone, _pretrained(file), file)
    else:
        hint = f"imagenet.r{student.depth} takes torchvision's resnet{student.depth}-*.pth, width 64"
        fit(backbone, _imagenet(file, backbone, hint), file, hint)
    return {"from": student.start, "file": f"{file.parent.name}/{file.name}", "sha256": sha256_file(file)}


def _pretrained(file: Path) -> dict[str, Tensor]:
    weights = read_weights(file, read_run(file.parent)["outputs"][file.name])
    return {
        name.removeprefix(BACKBONE): value for name, value in weights.items() if name.startswith(BACKBONE)
    }


def _imagenet(file: Path, backbone: nn.Module, hint: str) -> dict[str, Tensor]:
    if not file.is_file():
        raise CheckpointError("the ImageNet weights do not exist", where=str(file), hint=hint)
    loaded = read_weights(file) if file.suffix == ".safetensors" else load_plain(file)
    if not isinstance(loaded, dict) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise CheckpointError("the file is not a plain table of named tensors", where=str(file), hint=hint)
    counters = {name: value for name, value in backbone.state_dict().items() if name.endswith(COUNTER)}
    return counters | {name: value for name, value in loaded.items() if name not in CLASSIFIER}
