"""The one visible training loop: batches, loss, step, validation, early stop.

Students and networks train here. The loop knows nothing of teachers or tables; what a batch is, what the loss is and what
validation means are functions handed in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Batch = tuple[Tensor, ...]


@dataclass(frozen=True)
class Check:
    """One validation: the step after which it was made, and its value (higher is better)."""

    step: int
    value: float


@contextmanager
def one_thread() -> Iterator[None]:
    """Train small models on one thread.

    Their matrix products are too small to share, waiting for a busy second core costs more than it gives, and the result does
    not depend on the number of cores.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def train(
    model: nn.Module,
    batches: Iterator[Batch],
    loss: Callable[[nn.Module, Batch], Tensor],
    validate: Callable[[nn.Module], float],
    *,
    steps: int,
    learning_rate: float,
    checks: int = 12,
    patience: int = 4,
    progress: Callable[[int, int, float], None] | None = None,
) -> tuple[Check, ...]:
    """Train `model` in place and leave it with the weights of its best validation.

    Parameters
    ----------
    batches
        yields at least `steps` batches.
    loss
        (model, batch) to a scalar.
    validate
        model to a figure, higher is better; called `checks` times, evenly spread.
    steps
        most steps; the learning rate rises for a twentieth of them and falls to zero along a cosine.
    patience
        stop after so many checks in a row without a new best.
    progress
        called with (step, steps, best value) after every check.

    Returns
    -------
    The checks that were made, in order.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=1e-4, fused=True)
    every = max(1, steps // checks)
    history: list[Check] = []
    best = Check(0, -float("inf"))
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    for step in range(1, steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * _share(step, steps)
        optimizer.zero_grad(set_to_none=True)
        value = loss(model, next(batches))
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if step % every == 0 or step == steps:
            with torch.no_grad():
                check = Check(step, validate(model))
            history.append(check)
            if check.value > best.value:
                best = check
                weights = {name: value.clone() for name, value in model.state_dict().items()}
            if progress is not None:
                progress(step, steps, best.value)
            if sum(c.step > best.step for c in history) >= patience:
                break
    model.load_state_dict(weights)
    return tuple(history)


def _share(step: int, steps: int) -> float:
    """Part of the learning rate that a step uses: up over a twentieth of the steps, down to zero along a cosine."""
    return min(1.0, 20 * step / steps) * (1 + math.cos(math.pi * step / steps)) / 2
