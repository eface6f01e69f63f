"""The trainable form of the student of prototypes."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from stillwatch.knowledge.nearest import nearest
from stillwatch.students.lesson import stack

FEWEST_ROWS = 20  # rows that a point starts as the mean of
_NEAR = 0.9  # share of the points that start among training rows
_SETTLED = 80_000  # rows that points are the means of, at most
_PACE = 8.0
_SAMPLE = 2_000
_BLOCK = 64  # points, of which the distances to all rows are held at once


class Points(nn.Module):
    """Logarithms of the distances to the nearest points, and the columns, into dense layers.

    Parameters
    ----------
    places
        (k, r) where the points start, along the axes.
    axes
        (d, r) directions along which distances are measured. What each counts is learnt; where they are fewer than the
        columns, so are they.
    train
        (n, d) training rows, for the scale of distances.
    nearest
        how many points are looked at.
    layers
        of (n, nearest + d) to (n, 1).
    """

    def __init__(
        self, places: Tensor, axes: Tensor, train: Tensor, nearest: int, layers: list[nn.Linear]
    ) -> None:
        super().__init__()
        # Columns stay columns; main axes of very many turn to where distances tell most.
        self.axes = nn.Parameter(axes, requires_grad=axes.shape[0] != axes.shape[1])
        self.weight = nn.Parameter(torch.zeros(axes.shape[1]))
        self.moved = nn.Parameter(torch.zeros_like(places))
        self.layers, self.dense = layers, stack(layers)
        self._start: Tensor = places
        self._nearest = nearest
        # A point among many close ones moves in short steps, a lonely one in long ones.
        between = torch.cdist(places, places).fill_diagonal_(torch.inf).amin(dim=1)
        between = torch.where(between.isfinite(), between, 1.0).clamp_min(1e-6)
        self._stride: Tensor = _PACE * between[:, None] / places.shape[1] ** 0.5
        away = torch.cdist(train[:_SAMPLE] @ axes, places).topk(nearest, largest=False).values
        # Below this squared distance all is near: logarithms stay finite.
        self.blur = float((0.3 * away[:, 0].quantile(0.05).clamp_min(1e-4)) ** 2)
        seen = torch.log(away.square() + self.blur)
        self.centre, self.scale = seen.mean(dim=0), seen.std(dim=0, correction=0).clamp_min(0.1)

    def places(self) -> Tensor:
        """(k, r) where the points stand."""
        places: Tensor = self._start + self._stride * self.moved
        return places

    def forward(self, x: Tensor) -> Tensor:
        """(n, d) to (n, 1)."""
        weight, along, places = self.weight.exp(), x @ self.axes, self.places()
        with torch.no_grad():
            far = _apart(along * weight, places * weight)
            chosen = torch.from_numpy(nearest(far.numpy(), self._nearest))
        # Only the chosen points are measured, so only they learn.
        squares = ((along[:, None] - places[chosen]) * weight).square().sum(dim=2)
        distance = (torch.log(squares + self.blur) - self.centre) / self.scale
        score: Tensor = self.dense(torch.cat([distance, x], dim=1))
        return score


def main_axes(rows: Tensor, scale: Tensor, most: int) -> Tensor:
    """(d, r) directions to measure distances along: the columns, or the main ones of very many.

    Parameters
    ----------
    rows
        (n, d) standardised training rows.
    scale
        (d,) from there to the units of the features, in which a teacher measures distances.
    """
    if len(scale) <= most:
        return torch.diag(scale)
    centred = rows[:_SETTLED] * scale
    # In double precision: where rows are fewer than columns, single gave axes that were not finite.
    _, directions = torch.linalg.eigh(centred.T.cov().double())
    main: Tensor = scale[:, None] * directions[:, -most:].flip(1).to(rows.dtype)
    return main


def starting_places(
    x: Tensor, train: Tensor, count: int, rng: np.random.Generator, *, keep: bool = False
) -> Tensor:
    """Where at most `count` points start: two rounds of k-means over asked rows, each the mean of `FEWEST_ROWS` or more.

    Parameters
    ----------
    x
        (n, r) asked rows.
    train
        (n,) which of them are training rows; most points start among these.
    keep
        what becomes of a point of fewer rows: it takes in the nearest others, so that points stay as dense as they were for
        layers that learnt to read their distances; False: it is dropped.
    """
    near, far = (rng.permutation(np.flatnonzero(part)) for part in (train.numpy(), ~train.numpy()))
    near = near[: count if not len(far) else round(_NEAR * count)]
    places = x[np.concatenate([near, far[: count - len(near)]])]
    rows = x[rng.permutation(len(x))[:_SETTLED]]
    for _ in range(2):
        closest = [_apart(part, places).numpy().argmin(axis=1) for part in torch.split(rows, 4096)]
        cell = torch.from_numpy(np.concatenate(closest))
        size = torch.bincount(cell, minlength=len(places))
        total = torch.zeros_like(places).index_add_(0, cell, rows)
        kept = size >= (1 if keep else min(FEWEST_ROWS, int(size.max())))
        places, size = total[kept] / size[kept, None], size[kept]
    few = size < FEWEST_ROWS
    places[few] = _mean_of_nearest(places[few], rows)
    return places


def _mean_of_nearest(places: Tensor, rows: Tensor) -> Tensor:
    """(k, r) means of the rows that lie nearest to each place."""
    count = min(FEWEST_ROWS, len(rows))
    means = torch.empty_like(places)
    for at in range(0, len(places), _BLOCK):
        chosen = torch.from_numpy(nearest(_apart(places[at : at + _BLOCK], rows).numpy(), count))
        means[at : at + _BLOCK] = rows[chosen].mean(dim=1)
    return means


def _apart(rows: Tensor, places: Tensor) -> Tensor:
    """(n, k) squared distances of rows to places, less what all of a row share."""
    # In place: addmm would first copy the squares to every row.
    return (rows @ (-2 * places).T).add_(places.square().sum(dim=1))
