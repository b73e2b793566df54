"""Requirements on every distillation method; a new file in dualdistill/distill/ is found and tested."""

from __future__ import annotations

import importlib
import inspect
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import pytest
import torch
from distill import toy
from torch import Tensor

import dualdistill.distill
from dualdistill.config import method_options
from dualdistill.distill.base import Distiller
from dualdistill.distill.inputs import FeaturePair

METHODS = sorted(method_options.methods())
CASES = {
    "three boxes": ((2, 0, 1), (0, 8, 3)),
    "no boxes": ((0, 0, 0), ()),
    "one box": ((1, 0, 0), (9,)),
    "all of one class": ((2, 0, 1), (4, 4, 4)),
    "one sample": ((2,), (0, 5)),
}
each_method = pytest.mark.parametrize("name", METHODS)


def choices(name: str) -> list[tuple[str, dict[str, Any]]]:
    """The defaults of a method, and every other value of each of its options that is a choice."""
    defaults = method_options.fill(name, {})
    others: list[dict[str, Any]] = [{}]
    for option, kind in method_options.options(name).items():
        others += [{option: value} for value in values_of(kind) if value != defaults[option]]
    return [(name, given) for given in others]


def values_of(kind: Any) -> tuple[Any, ...]:
    """The values of a switch or a choice, and of a list of choices those with one entry; no numbers."""
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if kind is bool:
        return (True, False)
    if get_origin(kind) is tuple:
        return tuple((value,) for value in values_of(get_args(kind)[0]))
    return get_args(kind) if get_origin(kind) is Literal else ()


def _called(case: tuple[str, dict[str, Any]]) -> str:
    return "-".join(map(str, (case[0], *(word for item in case[1].items() for word in item))))


CHOICES = [case for name in METHODS for case in choices(name)]
each_choice = pytest.mark.parametrize(("name", "options"), CHOICES, ids=map(_called, CHOICES))


def make(name: str, options: dict[str, Any] | None = None, *, seed: int = 1) -> Distiller:
    torch.manual_seed(seed)
    return toy.bound(method_options.load(name)(**method_options.fill(name, options or {})))


def total(losses: dict[str, Tensor]) -> Tensor:
    return torch.stack(list(losses.values())).sum()


def weights_of(name: str) -> list[str]:
    return [option for option in method_options.options(name) if option.endswith("_weight")]


def change_samples(pair: FeaturePair, change: Callable[[Tensor], Tensor], order: list[int]) -> FeaturePair:
    """The pair with `change` applied to every batched tensor and its samples' boxes in `order`."""

    def changed(predictions: list[dict[str, Tensor]]) -> list[dict[str, Tensor]]:
        return [{output: change(tensor) for output, tensor in task.items()} for task in predictions]

    return replace(
        pair,
        student_BCHW={tap: change(feature) for tap, feature in pair.student_BCHW.items()},
        teacher_BCHW={tap: change(feature) for tap, feature in pair.teacher_BCHW.items()},
        label_BCHW={tap: change(feature) for tap, feature in pair.label_BCHW.items()},
        student_predictions=changed(pair.student_predictions),
        teacher_predictions=changed(pair.teacher_predictions),
        image_BNChw=change(pair.image_BNChw),
        instances=tuple(pair.instances[sample] for sample in order),
        occupied_BYX=pair.occupied_BYX[order],
        boxes_K9=tuple(pair.boxes_K9[sample] for sample in order),
        labels_K=tuple(pair.labels_K[sample] for sample in order),
        depth=replace(
            pair.depth,
            logits_BNDhw=change(pair.depth.logits_BNDhw),
            target_BNhw=pair.depth.target_BNhw[order],
            owner_BNhw=pair.depth.owner_BNhw[order],
        ),
    )


def test_every_distiller_in_the_folder_is_registered() -> None:
    names = []
    for path in Path(dualdistill.distill.__path__[0]).glob("*.py"):
        module = importlib.import_module(f"dualdistill.distill.{path.stem}")
        defined = [
            value for value in vars(module).values() if getattr(value, "__module__", "") == module.__name__
        ]
        names += [path.stem for value in defined if inspect.isclass(value) and issubclass(value, Distiller)]
    names.remove("base")
    assert sorted(names) == METHODS


@each_method
def test_the_constructor_defines_the_options(name: str) -> None:
    parameters = inspect.signature(method_options.load(name).__init__).parameters
    keywords = [parameter for parameter in parameters.values() if parameter.name != "self"]
    assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in keywords)
    defaults = {parameter.name: parameter.default for parameter in keywords}
    assert method_options.fill(name, {}) == defaults


@each_method
def test_class_attributes_are_read_without_importing_the_class(name: str) -> None:
    for trait in ("reconstruction", "masks_option", "label_encoder"):
        assert method_options.trait(name, trait, getattr(Distiller, trait)) == getattr(
            method_options.load(name), trait
        )
    switch = method_options.load(name).masks_option
    assert switch is None or method_options.fill(name, {})[switch] in (True, False)


@each_method
@pytest.mark.parametrize("case", CASES)
def test_losses_are_finite_float32_scalars_with_finite_gradients(name: str, case: str) -> None:
    check_losses(make(name), toy.make_pair(*CASES[case]))


@each_choice
def test_every_choice_has_finite_losses_without_boxes(name: str, options: dict[str, Any]) -> None:
    check_losses(make(name, options), toy.make_pair(*CASES["no boxes"]))


def check_losses(method: Distiller, pair: FeaturePair) -> None:
    """All losses are finite scalars in float32, and so are all gradients finite."""
    predictions = [tensor for task in pair.student_predictions for tensor in task.values()]
    for tensor in predictions:
        tensor.retain_grad()
    losses = method(pair)
    assert losses
    for loss in losses.values():
        assert loss.shape == ()
        assert loss.dtype == torch.float32
        assert loss.isfinite()
    total(losses).backward()
    inputs = [*pair.student_BCHW.values(), pair.depth.logits_BNDhw, *predictions]
    gradients = [tensor.grad for tensor in inputs if tensor.grad is not None]
    gradients += [parameter.grad for parameter in method.parameters() if parameter.grad is not None]
    assert all(gradient.isfinite().all() for gradient in gradients)


@each_choice
def test_student_and_adapters_learn_and_the_teacher_does_not(name: str, options: dict[str, Any]) -> None:
    pair, method = toy.make_pair(), make(name, options)
    frozen = [
        *pair.teacher_BCHW.values(),
        *pair.label_BCHW.values(),
        *(tensor for task in pair.teacher_predictions for tensor in task.values()),
    ]
    for tensor in frozen:
        tensor.requires_grad_()
    pair.teacher_head.train()
    total(method(pair)).backward()
    assert any(feature.grad is not None and feature.grad.any() for feature in pair.student_BCHW.values())
    assert all(parameter.grad is not None for parameter in method.parameters())
    assert all(tensor.grad is None for tensor in frozen)
    assert all(parameter.grad is None for parameter in pair.teacher_head.parameters())


@each_method
def test_all_weights_zero_make_every_loss_exactly_zero(name: str) -> None:
    losses = make(name, dict.fromkeys(weights_of(name), 0.0))(toy.make_pair())
    assert all(loss == 0 for loss in losses.values())


@each_method
def test_each_weight_switches_off_only_its_terms(name: str) -> None:
    pair = toy.make_pair()
    losses = make(name)(pair)
    for option in weights_of(name):
        without = make(name, {option: 0.0})(pair)
        assert any(without[term] == 0 for term in losses if losses[term] != 0), option
        assert all(without[term] in (0, losses[term]) for term in losses), option


@each_choice
def test_order_of_the_samples_does_not_matter(name: str, options: dict[str, Any]) -> None:
    pair, order = toy.make_pair(), [2, 0, 1]
    losses = make(name, options)(pair)
    permuted = make(name, options)(change_samples(pair, lambda tensor: tensor[order], order))
    for term, loss in losses.items():
        torch.testing.assert_close(permuted[term], loss, rtol=1e-5, atol=1e-7)


@each_choice
def test_same_input_gives_the_same_bits(name: str, options: dict[str, Any]) -> None:
    def run() -> list[Tensor]:
        pair, method = toy.make_pair(), make(name, options)
        losses = method(pair)
        total(losses).backward()
        return [*losses.values(), *(parameter.grad for parameter in method.parameters())]

    assert all(torch.equal(first, second) for first, second in zip(run(), run(), strict=True))


@each_choice
def test_stored_weights_give_the_same_losses(name: str, options: dict[str, Any]) -> None:
    pair, stored, restored = toy.make_pair(), make(name, options), make(name, options, seed=2)
    file = io.BytesIO()
    torch.save(stored.state_dict(), file)
    file.seek(0)
    restored.load_state_dict(torch.load(file, weights_only=True))
    losses, again = stored(pair), restored(pair)
    assert all(torch.equal(again[term], loss) for term, loss in losses.items())


@each_choice
def test_losses_stay_in_float32_under_autocast(name: str, options: dict[str, Any]) -> None:
    pair = toy.make_pair()
    losses = make(name, options).losses(pair.sealed())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = make(name, options)(pair)
        half = make(name, options)(change_samples(pair, Tensor.bfloat16, [0, 1, 2]))
    for term, loss in losses.items():
        assert torch.equal(inside[term], loss)
        assert half[term].dtype == torch.float32
        torch.testing.assert_close(half[term], loss, rtol=0.1, atol=1e-2)
