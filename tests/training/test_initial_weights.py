"""A student takes exactly the weights that `model.start` names, or is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dualdistill import models
from dualdistill.config.run_spec import RunSpec
from dualdistill.errors import CheckpointError
from dualdistill.models.bevdepth.image_encoder import resnet
from dualdistill.plan import plan
from dualdistill.seeding import seed_everything
from dualdistill.store.files import sha256_file, write_json
from dualdistill.training.checkpoint import save_weights
from dualdistill.training.objective import Networks, Upstream, build_networks

CONFIG = Path(__file__).parents[2] / "config" / "config.yaml"
BACKBONE = "image_encoder.backbone."


@pytest.fixture(scope="module")
def spec(checkout: Path) -> RunSpec:
    """A student of the smoke profile that starts from a pre-trained backbone."""
    return plan.load(checkout / "config" / "config.yaml", {"profile": "smoke"}).run("bevdepth-r50").spec


@pytest.fixture(scope="module")
def pretrained(spec: RunSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The outputs of a pre-training run, with random weights."""
    folder = tmp_path_factory.mktemp("pretrain-r50")
    seed_everything(7)
    file = folder / "model.safetensors"
    save_weights(file, models.Classifier(spec.pretraining.model).state_dict())
    record = {"schema": 1, "spec_sha": spec.pretraining.sha, "outputs": {file.name: sha256_file(file)}}
    write_json(folder / "run.json", record)
    return file


def starting(spec: RunSpec, start: str) -> RunSpec:
    return replace(spec, model=replace(spec.model, start=start), pretraining=None)


def build(spec: RunSpec, file: Path | None) -> Networks:
    return build_networks(spec, Upstream(start_file=file))


def student(spec: RunSpec, file: Path | None) -> dict[str, Tensor]:
    return build(spec, file).objective.learner.state_dict()


def imagenet(spec: RunSpec) -> dict[str, Tensor]:
    """ImageNet weights under torchvision's names, with its classifier."""
    weights = resnet(spec.model.depth, spec.model.width).state_dict()
    return {**weights, "fc.weight": torch.zeros(1000, 256), "fc.bias": torch.zeros(1000)}


def test_the_backbone_comes_from_the_file_and_the_rest_from_the_seed(spec: RunSpec, pretrained: Path) -> None:
    seed_everything(7)
    expected = models.Classifier(spec.pretraining.model).backbone.state_dict()
    started, random = student(spec, pretrained), student(starting(spec, "random"), None)
    assert started.keys() == random.keys()
    for name, value in started.items():
        if name.startswith(BACKBONE):
            assert torch.equal(value, expected[name.removeprefix(BACKBONE)]), name
        else:
            assert torch.equal(value, random[name]), name
    first = f"{BACKBONE}conv1.weight"
    assert not torch.equal(started[first], random[first])


def left_by(spec: RunSpec, network: torch.nn.Module, folder: Path) -> Path:
    """The outputs of a run of this network."""
    file = folder / "model.safetensors"
    save_weights(file, network.state_dict())
    write_json(
        folder / "run.json", {"schema": 1, "spec_sha": spec.sha, "outputs": {file.name: sha256_file(file)}}
    )
    return file


def test_a_student_with_the_weights_of_another_row_keeps_its_head(
    spec: RunSpec, checkout: Path, tmp_path: Path
) -> None:
    path = checkout / "config" / "config.yaml"
    taught = plan.load(path, {"profile": "smoke"}).run("dualdistill-r50-centerpoint").spec
    assert taught.distill.options["inherit_head"]
    seed_everything(7)
    (tmp_path / "teacher").mkdir()
    teacher = models.build(taught.teacher)
    left_by(taught.teacher, teacher, tmp_path / "teacher")
    trained = models.build(taught)
    upstream = Upstream(tmp_path / "teacher", left_by(taught, trained, tmp_path))
    networks = build_networks(starting(taught, "random"), upstream)
    assert networks.start["from"] == "weights"
    for name, value in networks.objective.learner.state_dict().items():
        assert torch.equal(value, trained.state_dict()[name]), name


def test_random_numbers_of_the_training_do_not_depend_on_the_start(spec: RunSpec, pretrained: Path) -> None:
    numbers = []
    for started, file in ((spec, pretrained), (starting(spec, "random"), None)):
        build(started, file)
        numbers.append(torch.rand(3))
    assert torch.equal(*numbers)


def test_the_record_names_the_origin_of_the_weights(spec: RunSpec, pretrained: Path) -> None:
    assert build(spec, pretrained).start == {
        "from": "pretrained",
        "file": f"{pretrained.parent.name}/model.safetensors",
        "sha256": sha256_file(pretrained),
    }
    assert build(starting(spec, "random"), None).start == {"from": "random"}


def test_changed_pretrained_weights_are_refused(spec: RunSpec, pretrained: Path, tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(pretrained.read_bytes()[:-1] + b"\x01")
    (tmp_path / "run.json").write_bytes((pretrained.parent / "run.json").read_bytes())
    with pytest.raises(CheckpointError, match=r"differ from what run\.json recorded \(train the run again\)"):
        student(spec, file)


def test_a_student_without_its_weights_is_refused(spec: RunSpec) -> None:
    with pytest.raises(CheckpointError, match="that starts from pretrained weights needs their file"):
        student(spec, None)


@pytest.mark.parametrize("lacks", ["nothing", "counters"])
def test_imagenet_weights_come_from_a_file(spec: RunSpec, tmp_path: Path, lacks: str) -> None:
    weights = imagenet(spec)
    if lacks == "counters":
        # as in torchvision's older files
        weights = {name: value for name, value in weights.items() if "num_batches" not in name}
    torch.save(weights, tmp_path / "resnet50.pth")
    started = student(starting(spec, "imagenet"), tmp_path / "resnet50.pth")
    for name, value in weights.items():
        if not name.startswith("fc."):
            assert torch.equal(started[BACKBONE + name], value), name


def spoiled(weights: dict[str, Tensor], fault: str) -> object:
    if fault == "a key is missing":
        return {name: value for name, value in weights.items() if name != "layer4.2.bn3.weight"}
    if fault == "a key is unknown":
        return weights | {"layer5.weight": torch.zeros(1)}
    if fault == "another shape":
        return weights | {"conv1.weight": torch.zeros(64, 3, 7, 7)}
    return {"state_dict": weights}


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("a key is missing", "1 keys missing, 0 unknown, 0 of another shape, first 'layer4.2.bn3.weight'"),
        ("a key is unknown", "0 keys missing, 1 unknown, 0 of another shape, first 'layer5.weight'"),
        ("another shape", "0 keys missing, 0 unknown, 1 of another shape, first 'conv1.weight'"),
        ("wrapped", "the file is not a plain table of named tensors"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_in_one_sentence(
    spec: RunSpec, tmp_path: Path, fault: str, sentence: str
) -> None:
    file = tmp_path / "resnet50.pth"
    torch.save(spoiled(imagenet(spec), fault), file)
    with pytest.raises(CheckpointError) as caught:
        student(starting(spec, "imagenet"), file)
    message = str(caught.value)
    assert message.startswith(f"{file}: ")
    assert sentence in message
    assert message.endswith("(imagenet.r50 takes torchvision's resnet50-*.pth, width 64)")
    assert "\n" not in message


def test_a_file_without_weights_is_refused_in_one_sentence(spec: RunSpec, tmp_path: Path) -> None:
    file = tmp_path / "resnet50.pth"
    file.write_text("<html>404</html>")
    with pytest.raises(CheckpointError, match=r"resnet50\.pth: not a readable checkpoint of plain tensors"):
        student(starting(spec, "imagenet"), file)
    with pytest.raises(CheckpointError, match=r"gone\.pth: the ImageNet weights do not exist"):
        student(starting(spec, "imagenet"), tmp_path / "gone.pth")
