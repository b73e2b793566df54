"""A student starts from the backbone it names: from all of it and from nothing else, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor

from dualdistill import models
from dualdistill.config.run_spec import DetectorSpec, RunSpec
from dualdistill.data.loader import frame_batches
from dualdistill.errors import CheckpointError
from dualdistill.models.bevdepth.image_encoder import resnet
from dualdistill.plan import plan
from dualdistill.seeding import seed_everything
from dualdistill.store.files import sha256_file, write_json
from dualdistill.training import objective
from dualdistill.training.checkpoint import save_weights

CONFIG = Path(__file__).parents[2] / "config" / "config.yaml"
INSIDE = "image_encoder.backbone."


@pytest.fixture(scope="module")
def spec(checkout: Path) -> RunSpec:
    """A student of the smoke profile that starts from a pre-training."""
    return plan.load(checkout / "config" / "config.yaml", {"profile": "smoke"}).run("bevdepth-r50").spec


@pytest.fixture(scope="module")
def pretrained(spec: RunSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a pre-training leaves behind, without the training."""
    folder = tmp_path_factory.mktemp("pretrain-r50")
    seed_everything(7)
    file = folder / "model.safetensors"
    save_weights(file, models.Classifier(spec.pretraining.model).state_dict())
    record = {"schema": 1, "spec_sha": spec.pretraining.sha, "outputs": {file.name: sha256_file(file)}}
    write_json(folder / "run.json", record)
    return file


def starting(spec: RunSpec, start: str) -> RunSpec:
    return replace(spec, model=replace(spec.model, start=start), pretraining=None)


def student(spec: RunSpec, file: Path | None) -> dict[str, Tensor]:
    return objective.prepare(spec, None, file).lesson.learner.state_dict()


def table(spec: RunSpec) -> dict[str, Tensor]:
    """A backbone under torchvision's names, with the classifier of its own that such a file has."""
    weights = resnet(spec.model.depth, spec.model.width).state_dict()
    return {**weights, "fc.weight": torch.zeros(1000, 256), "fc.bias": torch.zeros(1000)}


def test_the_backbone_is_the_file_s_and_the_rest_is_the_random_start(spec: RunSpec, pretrained: Path) -> None:
    seed_everything(7)
    promised = models.Classifier(spec.pretraining.model).backbone.state_dict()
    started, random = student(spec, pretrained), student(starting(spec, "random"), None)
    assert started.keys() == random.keys()
    for name, value in started.items():
        if name.startswith(INSIDE):
            assert torch.equal(value, promised[name.removeprefix(INSIDE)]), name
        else:
            assert torch.equal(value, random[name]), name
    first = f"{INSIDE}conv1.weight"
    assert not torch.equal(started[first], random[first])


def test_all_but_the_head_is_the_detector_s(spec: RunSpec, checkout: Path, tmp_path: Path) -> None:
    warm = starting(spec, "detector")
    seed_everything(7)
    trained, file = models.build(warm), tmp_path / "model.safetensors"
    save_weights(file, trained.state_dict())
    record = {"schema": 1, "spec_sha": warm.sha, "outputs": {file.name: sha256_file(file)}}
    write_json(tmp_path / "run.json", record)
    started, random = student(warm, file), student(starting(spec, "random"), None)
    for name, value in trained.state_dict().items():
        promised = random[name] if name.startswith("head.") else value
        assert torch.equal(started[name], promised), name
    assert objective.prepare(warm, None, file).start["from"] == "detector"


def named(spec: RunSpec, weight: float) -> RunSpec:
    """The run of a detector that students start from."""
    return replace(spec, kind="detector", model=DetectorSpec(**vars(spec.model), naming_weight=weight))


def test_a_detector_names_what_it_sees_and_keeps_no_trace_of_it(spec: RunSpec, pretrained: Path) -> None:
    naming = objective.prepare(named(spec, 2.0), None, pretrained).lesson.learner.state_dict()
    # the layer that names is drawn after the network
    plain = objective.prepare(replace(spec, kind="detector"), None, pretrained).lesson.learner.state_dict()
    assert naming.keys() == plain.keys() == models.build(spec).state_dict().keys()
    for name, value in plain.items():
        assert torch.equal(naming[name], value), name


@pytest.mark.slow
def test_naming_is_one_loss_more_and_reaches_the_images_alone(
    spec: RunSpec, pretrained: Path, command: Callable[..., object], results: Path
) -> None:
    paths = plan.load(CONFIG, {"profile": "smoke"}, results).paths
    feed = frame_batches(spec, paths, images=True, points=False)
    batch = next(feed.batches(0, Fabric(accelerator="cpu", devices=1)))
    losses = {}
    for weight in (0.0, 1.0, 5.0):
        made = objective.prepare(named(spec, weight), None, pretrained).lesson
        losses[weight] = made(batch, None)
    assert losses[0.0].keys() == {"heatmap", "box", "depth", "naming"}
    assert losses[0.0]["naming"] == 0
    assert losses[5.0]["naming"].item() == pytest.approx(5 * losses[1.0]["naming"].item(), rel=1e-6)
    losses[5.0]["naming"].backward()
    reached = {name.split(".")[1] for name, w in made.named_parameters() if w.grad is not None}
    assert reached == {"image_encoder", "names"}


def test_the_course_of_the_run_does_not_depend_on_its_start(spec: RunSpec, pretrained: Path) -> None:
    numbers = []
    for own, file in ((spec, pretrained), (starting(spec, "random"), None)):
        objective.prepare(own, None, file)
        numbers.append(torch.rand(3))
    assert torch.equal(*numbers)


def test_the_record_says_what_the_run_started_from(spec: RunSpec, pretrained: Path) -> None:
    assert objective.prepare(spec, None, pretrained).start == {
        "from": "pretrained",
        "file": f"{pretrained.parent.name}/model.safetensors",
        "sha256": sha256_file(pretrained),
    }
    assert objective.prepare(starting(spec, "random"), None, None).start == {"from": "random"}


def test_a_changed_pre_training_is_refused(spec: RunSpec, pretrained: Path, tmp_path: Path) -> None:
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
    weights = table(spec)
    if lacks == "counters":
        # as torchvision's older files do
        weights = {name: value for name, value in weights.items() if "num_batches" not in name}
    torch.save(weights, tmp_path / "resnet50.pth")
    started = student(starting(spec, "imagenet"), tmp_path / "resnet50.pth")
    for name, value in weights.items():
        if not name.startswith("fc."):
            assert torch.equal(started[INSIDE + name], value), name


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
def test_a_file_that_does_not_fit_is_one_sentence(
    spec: RunSpec, tmp_path: Path, fault: str, sentence: str
) -> None:
    file = tmp_path / "resnet50.pth"
    torch.save(spoiled(table(spec), fault), file)
    with pytest.raises(CheckpointError) as caught:
        student(starting(spec, "imagenet"), file)
    told = str(caught.value)
    assert told.startswith(f"{file}: ")
    assert sentence in told
    assert told.endswith("(imagenet.r50 takes torchvision's resnet50-*.pth, width 64)")
    assert "\n" not in told


def test_a_file_that_is_no_file_of_weights_is_one_sentence(spec: RunSpec, tmp_path: Path) -> None:
    file = tmp_path / "resnet50.pth"
    file.write_text("<html>404</html>")
    with pytest.raises(CheckpointError, match=r"resnet50\.pth: not a readable checkpoint of plain tensors"):
        student(starting(spec, "imagenet"), file)
    with pytest.raises(CheckpointError, match=r"gone\.pth: the ImageNet weights do not exist"):
        student(starting(spec, "imagenet"), tmp_path / "gone.pth")
