"""The weights that a run starts from; what they leave out comes from its seed alone.

A teacher's are all those of a teacher like it. A student's backbone has those of a classifier trained by this
suite, or a file of ImageNet weights under torchvision's names, which are the names of mmdet's ResNet too. All
of a student but its head has those of a detector that this suite trained on the same frames, untaught. And
a deeper one of these has all those of a shallower one, as if it were that one (Net2Net, arXiv 1511.05641).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from dualdistill.config.run_spec import StudentSpec
from dualdistill.errors import CheckpointError
from dualdistill.models import Student
from dualdistill.store.files import sha256_file
from dualdistill.store.records import read_run
from dualdistill.training.checkpoint import fit, load_plain, load_weights, read_weights

BACKBONE = "backbone."
HEAD = "head"  # with it the methods would not start alike: some of them bring their teacher's
CLASSIFIER = ("fc.weight", "fc.bias")  # of torchvision; nothing of a student corresponds to it
BLOCK = re.compile(r"(.*backbone\.layer\d\.)(\d+)(\..*)")  # stage, position in it, what of the block
ADDED = (".bn3.weight", ".bn3.bias")  # at zero a block adds nothing to its input
COUNTER = "num_batches_tracked"  # the older ones of torchvision's files lack it, and nothing reads it


def load(student: StudentSpec, file: Path | None, network: Student, *, grows: bool = False) -> dict[str, Any]:
    """Fill the network, and say for run.json with what; without a file it stays random."""
    backbone = network.backbone
    if file is None:
        if student.start != "random":
            what = f"a student that starts from {student.start} weights needs their file"
            raise CheckpointError(what, hint="model.start: random needs none")
        return {"from": student.start}
    if grows:
        fit(network, _deeper(_part(file, ""), network), file)
        return _origin("shallower", file)
    if student.start == "pretrained":
        fit(backbone, _part(file, BACKBONE), file)
    elif student.start == "detector":
        for name, part in network.named_children():
            if name != HEAD:
                fit(part, _part(file, f"{name}."), file)
    else:
        hint = f"imagenet.r{student.depth} takes torchvision's resnet{student.depth}-*.pth, width 64"
        fit(backbone, _imagenet(file, backbone, hint), file, hint)
    return _origin(student.start, file)


def copy(file: Path, network: nn.Module) -> dict[str, Any]:
    """Fill a teacher's network with all that one like it has learned."""
    load_weights(file, network, read_run(file.parent)["outputs"][file.name])
    return _origin("weights", file)


def _origin(kind: str, file: Path) -> dict[str, Any]:
    return {"from": kind, "file": f"{file.parent.name}/{file.name}", "sha256": sha256_file(file)}


def _part(file: Path, prefix: str) -> dict[str, Tensor]:
    weights = read_weights(file, read_run(file.parent)["outputs"][file.name])
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}


def _deeper(weights: dict[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """With the blocks that the network has more: each repeats the last of its stage, and adds nothing yet."""
    blocks = [found for name in weights if (found := BLOCK.fullmatch(name))]
    last = {found[1]: found[2] for found in sorted(blocks, key=lambda found: int(found[2]))}
    grown = dict(weights)
    for name in network.state_dict().keys() - weights.keys():
        found = BLOCK.fullmatch(name)
        if found and (repeated := f"{found[1]}{last.get(found[1])}{found[3]}") in weights:
            grown[name] = weights[repeated] * (found[3] not in ADDED)
    return grown


def _imagenet(file: Path, backbone: nn.Module, hint: str) -> dict[str, Tensor]:
    if not file.is_file():
        raise CheckpointError("the ImageNet weights do not exist", where=str(file), hint=hint)
    loaded = read_weights(file) if file.suffix == ".safetensors" else load_plain(file)
    if not isinstance(loaded, dict) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise CheckpointError("the file is not a plain table of named tensors", where=str(file), hint=hint)
    counters = {name: value for name, value in backbone.state_dict().items() if name.endswith(COUNTER)}
    return counters | {name: value for name, value in loaded.items() if name not in CLASSIFIER}
