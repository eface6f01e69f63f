from __future__ import annotations

import itertools

import torch
from torch import nn

from stillwatch.training.loop import one_thread, train


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
