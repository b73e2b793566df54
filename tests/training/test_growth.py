"""A detector that starts from a shallower one computes the same at first and can then learn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dualdistill import models
from dualdistill.config.run_spec import RunSpec
from dualdistill.errors import CheckpointError
from dualdistill.models.bevdepth.student import BEVDepth
from dualdistill.plan import plan
from dualdistill.seeding import seed_everything
from dualdistill.store.files import sha256_file, write_json
from dualdistill.training.checkpoint import save_weights
from dualdistill.training.objective import Upstream, build_networks


@pytest.fixture(scope="module")
def spec(checkout: Path) -> RunSpec:
    """The detector on ResNet-50, with a random start."""
    spec = plan.load(checkout / "config" / "config.yaml", {"profile": "smoke"}).run("bevdepth-r50").spec
    return replace(spec, kind="detector", pretraining=None, model=replace(spec.model, start="random"))


@pytest.fixture(scope="module")
def trained(spec: RunSpec) -> BEVDepth:
    """With perturbed weights, since all norms are equal at the start."""
    seed_everything(7)
    network = models.build(spec)
    with torch.no_grad():
        for weight in network.parameters():
            weight += 0.02 * torch.randn_like(weight)
    return network


@pytest.fixture(scope="module")
def file(spec: RunSpec, trained: BEVDepth, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("detector-r50") / "model.safetensors"
    save_weights(file, trained.state_dict())
    record = {"schema": 1, "spec_sha": spec.sha, "outputs": {file.name: sha256_file(file)}}
    write_json(file.parent / "run.json", record)
    return file


def deeper(spec: RunSpec, file: Path, width: int = 0) -> BEVDepth:
    model = replace(spec.model, start="detector", depth=101, width=width or spec.model.width)
    return build_networks(replace(spec, model=model), Upstream(start_file=file)).objective.learner


def test_the_deeper_network_starts_with_the_outputs_of_the_shallower_one(
    spec: RunSpec, trained: BEVDepth, file: Path
) -> None:
    images_MCHW = torch.randn(2, 3, 64, 96)
    deep = deeper(spec, file)
    assert len(deep.image_encoder.backbone.layer3) == 23 > len(trained.image_encoder.backbone.layer3)
    outputs = [network.eval().image_encoder(images_MCHW) for network in (trained, deep)]
    torch.testing.assert_close(outputs[1], outputs[0])
    rest = {name: w for name, w in trained.state_dict().items() if not name.startswith("image_encoder.")}
    for name, value in rest.items():
        assert torch.equal(deep.state_dict()[name], value), name


def test_added_blocks_copy_the_last_block_of_their_stage_and_can_learn(spec: RunSpec, file: Path) -> None:
    backbone = deeper(spec, file).image_encoder.backbone
    last, first_new, deepest = (backbone.layer3[position] for position in (5, 6, 22))
    for block in (first_new, deepest):
        assert torch.equal(block.conv2.weight, last.conv2.weight)
        assert not block.bn3.weight.any()
    backbone.train()
    backbone(torch.randn(2, 3, 64, 96))[-1].square().sum().backward()
    assert deepest.bn3.weight.grad.abs().sum() > 0


def test_weights_of_another_width_are_refused(spec: RunSpec, file: Path) -> None:
    with pytest.raises(CheckpointError, match=r"detector-r500/model.safetensors: the weights are of another"):
        deeper(spec, file, width=16)
