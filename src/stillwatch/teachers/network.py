"""Teachers that are neural networks: an autoencoder and Deep SVDD, trained by the one loop of `training`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from stillwatch.teachers.protocol import Matrix, Scores
from stillwatch.teachers.recipe import write_recipe
from stillwatch.teachers.sample import uniform_sample

if TYPE_CHECKING:
    from torch import Tensor, nn

    Distance = Callable[[nn.Module, Tensor], Tensor]

_BATCH = 256
_BLOCK = 8192
_HELD_OUT = 0.1
_PACKAGES = ("torch", "numpy")


@dataclass
class Autoencoder:
    """Mean squared error of a row's reconstruction through a narrow middle (Hawkins et al. 2002).

    The middle cannot carry what is unlike the training rows. Columns are standardised.

    Parameters
    ----------
    hidden
        widths from the row to the middle, mirrored on the way back; None: by the number of rows.
    middle
        None: a quarter of the columns, 2 to 32.
    steps
        most training steps; None: by the number of rows.
    sample
        most rows that train.
    """

    hidden: tuple[int, ...] | None = None
    middle: int | None = None
    steps: int | None = None
    sample: int = 50_000
    name: str = field(default="autoencoder", init=False)
    pointwise: bool = field(default=True, init=False)

    def fit(self, x: Matrix, *, seed: int) -> Self:
        """Train until held-out rows are reconstructed no better."""
        self._seed, self._rows = seed, len(x)
        rows = _Rows(x, self.sample, seed)
        width = x.shape[1]
        middle = self.middle or int(np.clip(width // 4, 2, 32))
        way = (width, *(self.hidden or default_hidden(len(x))), middle)
        self._network = rows.network((*way, *way[-2::-1]), bias=True)
        rows.train(self._network, _reconstruction, self.steps or default_steps(len(x)))
        self._standardise = rows.standardise
        return self

    def score(self, x: Matrix) -> Scores:
        """Mean squared error over the standardised columns."""
        return _distances(self._network, self._standardise(x), _reconstruction)

    def training_scores(self) -> None:
        """Return None: the rows took part in training."""

    def recipe(self) -> dict[str, Any]:
        """Widths, steps, sample, seed, rows, versions."""
        parameters = {name: getattr(self, name) for name in ("hidden", "middle", "steps", "sample")}
        return write_recipe(self.name, parameters, seed=self._seed, rows=self._rows, packages=_PACKAGES)


@dataclass
class DeepSVDD:
    """Squared distance to a centre, under a network that draws normal rows to it (Ruff et al. 2018, one class).

    The network has no biases and the centre no zeros, as in the paper: either would let it map every row to the
    centre. The centre is the mean of the untrained network's answers. Columns are standardised.

    Parameters
    ----------
    hidden
        widths of the hidden layers; None: by the number of rows.
    out
        dimensions in which distances are taken.
    steps, sample
        as for `Autoencoder`.
    """

    hidden: tuple[int, ...] | None = None
    out: int = 32
    steps: int | None = None
    sample: int = 50_000
    name: str = field(default="deep_svdd", init=False)
    pointwise: bool = field(default=True, init=False)

    def fit(self, x: Matrix, *, seed: int) -> Self:
        """Train until held-out rows come no nearer to the centre."""
        self._seed, self._rows = seed, len(x)
        rows = _Rows(x, self.sample, seed)
        widths = (x.shape[1], *(self.hidden or default_hidden(len(x))), self.out)
        self._network = rows.network(widths, bias=False)
        self._distance = _to_centre(rows.centre(self._network))
        rows.train(self._network, self._distance, self.steps or default_steps(len(x)))
        self._standardise = rows.standardise
        return self

    def score(self, x: Matrix) -> Scores:
        """Squared distance to the centre."""
        return _distances(self._network, self._standardise(x), self._distance)

    def training_scores(self) -> None:
        """Return None: the rows took part in training."""

    def recipe(self) -> dict[str, Any]:
        """Widths, steps, sample, seed, rows, versions."""
        parameters = {name: getattr(self, name) for name in ("hidden", "out", "steps", "sample")}
        return write_recipe(self.name, parameters, seed=self._seed, rows=self._rows, packages=_PACKAGES)


def default_hidden(rows: int) -> tuple[int, ...]:
    """Two layers, narrow for a small table."""
    return (64, 64) if rows < 5_000 else (256, 256)


def default_steps(rows: int) -> int:
    """Steps that a number of rows deserves."""
    return int(np.clip(rows // 4, 300, 3_000))


class _Rows:
    """Standardised training rows: some to learn from, some to stop by."""

    def __init__(self, x: Matrix, most: int, seed: int) -> None:
        chosen = x[np.random.default_rng(seed).permutation(uniform_sample(len(x), most, seed))]
        self._seed = seed
        self._shift, self._spread = chosen.mean(axis=0), chosen.std(axis=0)
        self._spread[self._spread < 1e-6] = 1
        held = max(1, round(_HELD_OUT * len(chosen)))
        self._held, self._learn = self.standardise(chosen[:held]), self.standardise(chosen[held:])

    def standardise(self, x: Matrix) -> Tensor:
        """Rows as the network sees them."""
        import torch

        return torch.from_numpy((x - self._shift) / self._spread)

    def network(self, widths: tuple[int, ...], *, bias: bool) -> nn.Module:
        """Fully connected layers, drawn by the seed."""
        import torch
        from torch import nn

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed)
            layers = [nn.Linear(a, b, bias=bias) for a, b in pairwise(widths)]
        return nn.Sequential(*[part for layer in layers for part in (layer, nn.LeakyReLU(0.1))][:-1])

    def centre(self, network: nn.Module) -> Tensor:
        """Mean answer, kept 0.1 away from zero in every dimension."""
        import torch

        with torch.no_grad():
            mean = network(self._learn).mean(dim=0)
        return torch.where(mean.abs() < 0.1, torch.where(mean < 0, -0.1, 0.1), mean)

    def train(self, network: nn.Module, distance: Distance, steps: int) -> None:
        """Make distances small on average; the median held-out row decides when to stop, whatever anomalies hide."""
        from stillwatch.training.loop import one_thread, train

        with one_thread():
            train(
                network,
                self._batches(),
                lambda net, batch: distance(net, batch).mean(),
                lambda net: -float(distance(net, self._held).median()),
                steps=steps,
                learning_rate=1e-3,
            )

    def _batches(self) -> Iterator[Tensor]:
        import torch

        generator = torch.Generator().manual_seed(self._seed)
        while True:
            order = torch.randperm(len(self._learn), generator=generator)
            for start in range(0, max(len(order) - _BATCH, 0) + 1, _BATCH):
                yield self._learn[order[start : start + _BATCH]]


def _reconstruction(network: nn.Module, rows: Tensor) -> Tensor:
    apart: Tensor = network(rows) - rows
    return apart.square().mean(dim=1)


def _to_centre(centre: Tensor) -> Distance:
    def distance(network: nn.Module, rows: Tensor) -> Tensor:
        apart: Tensor = network(rows) - centre
        return apart.square().sum(dim=1)

    return distance


def _distances(network: nn.Module, rows: Tensor, distance: Distance) -> Scores:
    import torch

    with torch.inference_mode():
        parts = [distance(network, rows[i : i + _BLOCK]) for i in range(0, max(len(rows), 1), _BLOCK)]
        return torch.cat(parts).double().numpy()
