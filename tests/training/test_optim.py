"""Learning-rate policies and the moving average."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dualdistill.config.run_spec import ScheduleSpec
from dualdistill.training.optim import learning_rate, momentum, moving_average, optimizer, set_rate


def test_the_published_student_schedule_warms_up_and_steps_at_16_and_22() -> None:
    schedule = ScheduleSpec()
    per_epoch = 1000
    assert learning_rate(schedule, 0, per_epoch) == pytest.approx(2e-7)
    assert learning_rate(schedule, 500, per_epoch) == pytest.approx(2e-4)
    assert learning_rate(schedule, 16 * per_epoch - 1, per_epoch) == pytest.approx(2e-4)
    assert learning_rate(schedule, 16 * per_epoch, per_epoch) == pytest.approx(2e-5)
    assert learning_rate(schedule, 22 * per_epoch, per_epoch) == pytest.approx(2e-6)


def test_cosine_falls_to_zero() -> None:
    schedule = ScheduleSpec(policy="cosine", epochs=10, warmup_iters=10)
    rates = [learning_rate(schedule, step, 10) for step in range(100)]
    assert max(rates) == pytest.approx(schedule.lr)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] < 1e-3 * schedule.lr


def test_cyclic_peaks_at_ten_times_the_base_rate_after_eight_of_twenty_epochs() -> None:
    schedule = ScheduleSpec(policy="cyclic", epochs=20, lr=1e-4)
    rates = [learning_rate(schedule, step, 100) for step in range(2000)]
    assert rates.index(max(rates)) == 800
    assert max(rates) == pytest.approx(1e-3)
    assert rates[0] == pytest.approx(1e-4)
    assert learning_rate(schedule, 2000, 100) == pytest.approx(1e-8)
    assert rates == sorted(rates[:801]) + sorted(rates[801:], reverse=True)


def test_the_momentum_falls_while_the_cyclic_rate_rises_and_returns() -> None:
    schedule = ScheduleSpec(policy="cyclic", cycle_momentum=True, epochs=20, lr=1e-4)
    betas = [momentum(schedule, step, 100) for step in range(2001)]
    assert betas[0] == pytest.approx(0.9)
    assert betas.index(min(betas)) == 800
    assert min(betas) == pytest.approx(0.9 * 0.85 / 0.95)
    assert betas[400] == pytest.approx((betas[0] + betas[800]) / 2)
    assert betas[2000] == pytest.approx(0.9)
    assert momentum(ScheduleSpec(), 800, 100) == 0.9


def test_the_optimizer_steps_with_the_momentum_it_is_given() -> None:
    """Two gradients of opposite sign: the less momentum, the further the second one turns the step around."""
    ends = []
    for beta1 in (0.9, 0.5):
        weight = nn.Parameter(torch.zeros(1))
        adam = optimizer(nn.ParameterList([weight]), ScheduleSpec(weight_decay=0.0))
        for gradient in (1.0, -1.0):
            set_rate(adam, 1e-3, beta1)
            weight.grad = torch.full_like(weight, gradient)
            adam.step()
        ends.append(weight.item())
    assert ends[0] < ends[1]


def test_a_warm_up_longer_than_a_short_run_is_cut_to_half_of_it() -> None:
    schedule = ScheduleSpec(policy="cosine", epochs=1, warmup_iters=500)
    assert learning_rate(schedule, 5, 10) == pytest.approx(schedule.lr)


class Learner(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(1, 1), nn.Linear(1, 1)


class Objective(nn.Module):
    """With the parameter names of a training objective."""

    def __init__(self, method: bool) -> None:
        super().__init__()
        self.learner = Learner()
        if method:
            self.method = nn.Linear(1, 1)


@pytest.mark.parametrize("method", [False, True])
def test_the_head_and_the_layers_of_a_method_have_a_learning_rate_of_their_own(method: bool) -> None:
    objective = Objective(method)
    adam = optimizer(objective, ScheduleSpec(head_rate=5.0, weight_decay=0.0))
    before = {name: value.detach().clone() for name, value in objective.named_parameters()}
    set_rate(adam, 1e-3)
    for value in objective.parameters():
        value.grad = torch.ones_like(value)
    adam.step()
    for name, value in objective.named_parameters():  # Adam's first step is as long as the rate
        moved = (before[name] - value.detach()).abs()
        expected = 1e-3 if "body" in name else 5e-3
        torch.testing.assert_close(moved, torch.full_like(moved, expected), rtol=1e-3, atol=0)


def test_every_floating_entry_is_averaged_from_its_initial_value_on_and_no_integer_is() -> None:
    """ModelEMA of Megvii's BEVDepth: weights and batch-norm statistics alike, step counters stay."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3))
    average = moving_average(module, 0.9)
    expected = {name: value.clone() for name, value in module.state_dict().items()}
    for _ in range(30):
        module(torch.randn(2, 2, 3, 3))  # changes the statistics and the counter
        with torch.no_grad():
            for weight in module.parameters():
                weight += torch.randn_like(weight)
        average.update_parameters(module)
        for name, value in module.state_dict().items():
            if value.is_floating_point():
                expected[name] = 0.9 * expected[name] + 0.1 * value
    averaged = average.module.state_dict()
    assert averaged.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(averaged[name], value)
    assert (averaged["1.num_batches_tracked"], module[1].num_batches_tracked) == (0, 30)


def test_a_factor_stretches_the_length_and_the_milestones_and_not_the_warm_up() -> None:
    per_epoch = 100
    short, long = ScheduleSpec(warmup_iters=50), ScheduleSpec(warmup_iters=50, scale=1.5)
    assert (short.steps_in_all(per_epoch), long.steps_in_all(per_epoch)) == (2400, 3600)
    assert [learning_rate(long, step, per_epoch) for step in range(51)] == [
        learning_rate(short, step, per_epoch) for step in range(51)
    ]
    drops = [2399, 2400, 3299, 3300]
    assert [learning_rate(long, step, per_epoch) for step in drops] == pytest.approx([2e-4, 2e-5, 2e-5, 2e-6])
    wave = ScheduleSpec(policy="cosine", epochs=10, warmup_iters=0, scale=1.3)
    assert learning_rate(wave, 65, 10) == pytest.approx(wave.lr / 2)


def test_steps_in_place_of_epochs_move_the_milestones_in_proportion() -> None:
    schedule = ScheduleSpec(warmup_iters=0, total_steps=240)  # a tenth of 24 epochs
    assert schedule.steps_in_all(100) == 240
    drops = [159, 160, 219, 220]
    assert [learning_rate(schedule, step, 100) for step in drops] == pytest.approx([2e-4, 2e-5, 2e-5, 2e-6])
    assert ScheduleSpec(total_steps=240, scale=1.5).steps_in_all(100) == 360
