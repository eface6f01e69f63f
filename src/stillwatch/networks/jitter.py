"""Rows beyond the training rows: who never asks a teacher there cannot know what it says of anomalies."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from stillwatch.errors import InputError
from stillwatch.networks.batches import Batch
from stillwatch.networks.objective import Goal

LARGEST = 10.0
SMALLEST = 0.01
MOVED = 0.5


@dataclass(frozen=True)
class Jitter:
    """Moves half of the rows of a batch, some by a little and some far, in few or in all of their columns.

    Attributes
    ----------
    largest
        noise in standard deviations; a row's own lies between `SMALLEST` and this, evenly on a log scale.
    deviations
        (...) standard deviation of each element of a row.
    """

    largest: float
    deviations: Tensor

    def __call__(self, batch: Batch) -> Batch:
        """The batch with its moved rows, whose labels are unknown; drawn from torch's global generator."""
        x = batch.first
        rows = (len(x), *[1] * (x.ndim - 1))
        moved = torch.rand(rows) < MOVED
        size = torch.exp(
            torch.empty(rows).uniform_(math.log(min(SMALLEST, self.largest)), math.log(self.largest))
        )
        columns = torch.rand(x.shape) < torch.rand(rows)
        noise = (torch.randn(x.shape) * size * (moved & columns)).to(x) * self.deviations.to(x)
        labels = batch.labels
        if labels is not None:
            labels = torch.where(moved.flatten().to(labels.device), -1, labels)
        return replace(batch, inputs=x + noise, labels=labels)


def largest_jitter(wanted: float | Literal["auto"], goal: Goal, first: Batch) -> float:
    """Deviations by which rows may move; 0: they stay.

    Raises
    ------
    InputError
        the inputs cannot be moved, or the number is none.
    """
    possible = isinstance(first.inputs, Tensor) and first.first.is_floating_point()
    if wanted == "auto":
        return LARGEST if possible and goal.loss in ("regression", "ranking") else 0.0
    if not isinstance(wanted, int | float) or not 0 <= wanted < math.inf:
        raise InputError(
            f"jitter={wanted!r}: expected 'auto', 0 for none, or standard deviations, such as 10."
        )
    if wanted and not possible:
        raise InputError(
            f"jitter={wanted:g} needs inputs that are one tensor of floating point numbers. Set jitter=0, or let the loader "
            "yield rows beyond its own."
        )
    return float(wanted)
