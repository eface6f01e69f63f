"""The one visible training loop: batches, loss, step, validation, early stop.

Students and networks train here. The loop knows nothing of teachers or tables; what a batch is, what the loss is and what
validation means are functions handed in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from stillwatch.errors import StudentError

Batch = TypeVar("Batch")
Weights = dict[str, Tensor]
CHECKS, PATIENCE = 12, 4


@dataclass(frozen=True)
class Check:
    """One validation: the step after which it was made, and its value (higher is better)."""

    step: int
    value: float


@dataclass(frozen=True)
class State:
    """Where training stands after a check: tensors, numbers and text alone, so that it can be saved without objects.

    Attributes
    ----------
    history
        checks so far; the last one tells the step.
    weights, best
        of the model, now and at its best check.
    optimizer
        `state_dict` of the optimizer.
    """

    history: tuple[Check, ...]
    weights: Weights
    best: Weights
    optimizer: dict[str, Any]


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
    checks: int = CHECKS,
    patience: int = PATIENCE,
    trained: bool = False,
    progress: Callable[[int, int, float], None] | None = None,
    start: State | None = None,
    keep: Callable[[State], None] | None = None,
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
        stop after so many checks in a row below the best.
    trained
        the model has been trained before: as it comes it is checked, too, and it may be the best.
    progress
        called with (step, steps, best value) after every check.
    start
        where an earlier run stood, with the same model and settings; `batches` then goes on from there.
    keep
        called with the state after every check; what it is given is the loop's own, so it is written away or copied at once.

    Returns
    -------
    The checks that were made, in order, those of an earlier run included.

    Raises
    ------
    StudentError
        the loss of a step before a check was not finite.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=1e-4, fused=True)
    every = max(1, steps // checks)
    history: list[Check] = []
    weights = _copy(model)
    if start is not None:
        history, weights = list(start.history), start.best
        model.load_state_dict(start.weights)
        optimizer.load_state_dict(start.optimizer)
    elif trained:
        with torch.no_grad():
            history.append(Check(0, validate(model)))
    best = max(reversed(history), key=lambda check: check.value, default=Check(0, -math.inf))
    for step in range(history[-1].step + 1 if history else 1, steps + 1):
        if sum(check.step > best.step for check in history) >= patience:
            break
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * _share(step, steps)
        optimizer.zero_grad(set_to_none=True)
        value = loss(model, next(batches))
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if step % every == 0 or step == steps:
            if not math.isfinite(float(value.detach())):
                raise StudentError(
                    f"The loss of step {step:,} is {float(value.detach())}: training diverged. "
                    f"Lower learning_rate={learning_rate:g}, or look for huge values in the rows."
                )
            with torch.no_grad():
                check = Check(step, validate(model))
            history.append(check)
            # Of equals the later: average precision over few anomalies reaches 1 long before training is done.
            if check.value >= best.value:
                best, weights = check, _copy(model)
            if progress is not None:
                progress(step, steps, best.value)
            if keep is not None:
                keep(State(tuple(history), model.state_dict(), weights, optimizer.state_dict()))
    model.load_state_dict(weights)
    return tuple(history)


def _copy(model: nn.Module) -> Weights:
    return {name: value.clone() for name, value in model.state_dict().items()}


def _share(step: int, steps: int) -> float:
    """Part of the learning rate that a step uses: up over a twentieth of the steps, down to zero along a cosine."""
    return min(1.0, 20 * step / steps) * (1 + math.cos(math.pi * step / steps)) / 2
