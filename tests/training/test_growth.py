"""A detector that grows from a shallower one begins as that one, and can go on from there."""

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
from dualdistill.training import objective
from dualdistill.training.checkpoint import save_weights


@pytest.fixture(scope="module")
def spec(checkout: Path) -> RunSpec:
    """The detector on ResNet-50; what it starts from is no matter here."""
    found = plan.load(checkout / "config" / "config.yaml", {"profile": "smoke"}).run("bevdepth-r50").spec
    return replace(found, kind="detector", pretraining=None, model=replace(found.model, start="random"))


@pytest.fixture(scope="module")
def trained(spec: RunSpec) -> BEVDepth:
    """Not the fresh weights, whose norms are all alike."""
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


def grown(spec: RunSpec, file: Path, width: int = 0) -> BEVDepth:
    model = replace(spec.model, start="detector", depth=101, width=width or spec.model.width)
    return objective.prepare(replace(spec, model=model), None, file).lesson.learner


def test_it_begins_as_the_shallower_one_did_end(spec: RunSpec, trained: BEVDepth, file: Path) -> None:
    images_MCHW = torch.randn(2, 3, 64, 96)
    deep = grown(spec, file)
    assert len(deep.image_encoder.backbone.layer3) == 23 > len(trained.image_encoder.backbone.layer3)
    told = [network.eval().image_encoder(images_MCHW) for network in (trained, deep)]
    torch.testing.assert_close(told[1], told[0])
    rest = {name: w for name, w in trained.state_dict().items() if not name.startswith("image_encoder.")}
    for name, value in rest.items():
        assert torch.equal(deep.state_dict()[name], value), name


def test_its_further_blocks_repeat_the_last_of_their_stage_and_can_learn(spec: RunSpec, file: Path) -> None:
    backbone = grown(spec, file).image_encoder.backbone
    last, first_new, deepest = (backbone.layer3[position] for position in (5, 6, 22))
    for block in (first_new, deepest):
        assert torch.equal(block.conv2.weight, last.conv2.weight)
        assert not block.bn3.weight.any()
    backbone.train()
    backbone(torch.randn(2, 3, 64, 96))[-1].square().sum().backward()
    assert deepest.bn3.weight.grad.abs().sum() > 0


def test_weights_of_another_width_do_not_grow(spec: RunSpec, file: Path) -> None:
    with pytest.raises(CheckpointError, match=r"detector-r500/model.safetensors: the weights are of another"):
        grown(spec, file, width=16)
