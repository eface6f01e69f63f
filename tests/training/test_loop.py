from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import nn

from stillwatch.errors import StudentError
from stillwatch.training.loop import Check, State, one_thread, train


def test_it_learns_keeps_the_best_weights_and_reports_every_check() -> None:
    torch.manual_seed(0)
    x = torch.randn(256, 3)
    y = x @ torch.tensor([1.0, -2.0, 0.5])
    model = nn.Linear(3, 1)
    told: list[tuple[int, int, float]] = []

    def error(net: nn.Module) -> float:
        return -float(((net(x).squeeze(1) - y) ** 2).mean().detach())

    checks = train(
        model,
        itertools.repeat((x, y)),
        lambda net, batch: ((net(batch[0]).squeeze(1) - batch[1]) ** 2).mean(),
        error,
        steps=200,
        learning_rate=0.1,
        progress=lambda *args: told.append(args),
    )
    assert checks[-1].value > -1e-3
    assert error(model) == max(check.value for check in checks)
    assert [step for step, _, _ in told] == [check.step for check in checks]


def test_it_stops_early_without_progress() -> None:
    model = nn.Linear(1, 1)
    values = iter([0.5, *[0.1] * 100])
    checks = train(
        model,
        itertools.repeat((torch.zeros(1, 1),)),
        lambda net, batch: net(batch[0]).sum(),
        lambda _: next(values),
        steps=1_000,
        learning_rate=0.01,
        checks=100,
        patience=4,
    )
    assert len(checks) == 5


def test_one_thread_is_handed_back() -> None:
    before = torch.get_num_threads()
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


def _training(
    keep: Callable[[State], None] | None = None, start: State | None = None, stop: int = 10**9
) -> tuple[nn.Module, tuple[Check, ...]]:
    """A small training whose batches depend on the step alone."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Linear(8, 1))
    x = torch.randn(64, 3)
    first = 0 if start is None else start.history[-1].step

    def batches() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for step in itertools.count(first):
            if step >= stop:
                raise KeyboardInterrupt
            rows = torch.randn(16, 3, generator=torch.Generator().manual_seed(step))
            yield rows, rows.sum(dim=1, keepdim=True)

    checks = train(
        model,
        batches(),
        lambda net, batch: (net(batch[0]) - batch[1]).square().mean(),
        lambda net: -float((net(x) - x.sum(dim=1, keepdim=True)).square().mean()),
        steps=40,
        learning_rate=0.01,
        checks=8,
        start=start,
        keep=keep,
    )
    return model, checks


def test_it_goes_on_where_it_was_stopped() -> None:
    whole, checks = _training()
    kept: list[State] = []
    with pytest.raises(KeyboardInterrupt):
        _training(keep=lambda state: kept.append(copy.deepcopy(state)), stop=23)
    assert kept[-1].history[-1].step == 20
    resumed, more = _training(start=kept[-1])
    assert more == checks
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_a_loss_that_is_not_finite_says_so() -> None:
    with pytest.raises(StudentError, match="training diverged"):
        train(
            nn.Linear(1, 1),
            itertools.repeat((torch.full((1, 1), torch.inf),)),
            lambda net, batch: net(batch[0]).sum(),
            lambda _: 0.0,
            steps=3,
            learning_rate=0.01,
        )


def test_of_equal_checks_the_later_one_is_kept() -> None:
    """A coarse figure stands at its best long before training is done."""
    model = nn.Linear(1, 1)
    seen: list[float] = []

    def validate(net: nn.Module) -> float:
        seen.append(net.weight.item())  # type: ignore[operator]
        return 1.0

    checks = train(
        model,
        itertools.repeat((torch.ones(1, 1),)),
        lambda net, batch: net(batch[0]).sum(),
        validate,
        steps=20,
        learning_rate=0.1,
        checks=10,
        patience=3,
    )
    assert len(checks) == 10
    assert model.weight.item() == seen[-1] != seen[0]
