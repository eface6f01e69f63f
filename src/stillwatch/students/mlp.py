"""A multilayer perceptron: the default student."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from stillwatch.errors import StudentError
from stillwatch.evaluation.fidelity import spearman
from stillwatch.graph import Graph
from stillwatch.knowledge.knowledge import Knowledge
from stillwatch.students.protocol import Progress

if TYPE_CHECKING:
    from torch import Tensor

_BATCH = 256
_BLOCK = 8192


class MLP:
    """Ordinary least squares on soft scores, by layers of ReLU.

    Parameters
    ----------
    hidden
        width of each hidden layer; None: by the number of rows.
    steps
        most training steps; None: by the number of rows.
    """

    name = "mlp"

    def __init__(self, hidden: Sequence[int] | None = None, steps: int | None = None) -> None:
        if hidden is not None and (not hidden or min(hidden) < 1):
            raise StudentError(f"hidden={tuple(hidden)}: expected at least one layer of at least one unit.")
        self.hidden = None if hidden is None else tuple(hidden)
        self.steps = steps
        self.layers: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []
        self.history: tuple[tuple[int, float], ...] = ()

    def fit(self, knowledge: Knowledge, *, seed: int, progress: Progress | None = None) -> Self:
        """Train on the rows that are not held out; see `Student.fit`."""
        import torch
        from torch import nn

        from stillwatch.training.loop import one_thread, train

        learn = ~knowledge.held_out
        x, target = knowledge.x[learn], knowledge.target[learn]
        shift, spread = x.mean(axis=0), x.std(axis=0)
        spread[spread < 1e-6] = 1
        middle, height = float(target.mean()), max(float(target.std()), 1e-6)

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            widths = (x.shape[1], *(self.hidden or default_hidden(len(x))), 1)
            linear = [nn.Linear(a, b) for a, b in pairwise(widths)]
        for layer in linear:
            nn.init.zeros_(layer.bias)
        model = nn.Sequential(*[part for layer in linear for part in (layer, nn.ReLU())][:-1])

        inputs = torch.from_numpy((x - shift) / spread)
        targets = torch.from_numpy((target - middle) / height)
        unseen = torch.from_numpy((knowledge.x[~learn] - shift) / spread)
        asked = knowledge.target[~learn]

        def loss(net: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
            rows, wanted = batch
            return nn.functional.smooth_l1_loss(net(rows).squeeze(1), wanted)

        def validate(net: nn.Module) -> float:
            return spearman(net(unseen).squeeze(1).numpy(), asked)

        steps = self.steps or default_steps(len(x))
        with one_thread():
            checks = train(
                model,
                _batches(inputs, targets, seed),
                loss,
                validate,
                steps=steps,
                learning_rate=_learning_rate(steps),
                progress=progress,
            )
        self.history = tuple((check.step, check.value) for check in checks)
        layers = [(layer.weight.detach().numpy().T, layer.bias.detach().numpy()) for layer in linear]
        self.layers = _unstandardised(layers, shift, spread, middle, height)
        return self

    def score(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """NumPy form of the network; see `Student.score`."""
        self._check_fitted()
        return np.concatenate([self._forward(x[i : i + _BLOCK]) for i in range(0, max(len(x), 1), _BLOCK)])

    def write(self, graph: Graph, matrix: str) -> str:
        """One Gemm and one Relu a layer; see `Student.write`."""
        self._check_fitted()
        for weight, bias in self.layers[:-1]:
            hidden = graph.add("Gemm", matrix, graph.constant(weight), graph.constant(bias))
            matrix = graph.add("Relu", hidden)
        weight, bias = self.layers[-1]
        return graph.add("Gemm", matrix, graph.constant(weight), graph.constant(bias))

    def describe(self) -> dict[str, Any]:
        """Name, shape and number of parameters."""
        parameters = sum(weight.size + bias.size for weight, bias in self.layers)
        hidden = [len(bias) for _, bias in self.layers[:-1]]
        return {"name": self.name, "hidden": hidden, "parameters": parameters}

    def _forward(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        for weight, bias in self.layers[:-1]:
            x = np.maximum(x @ weight + bias, 0)
        weight, bias = self.layers[-1]
        return np.asarray((x @ weight + bias)[:, 0])

    def _check_fitted(self) -> None:
        if not self.layers:
            raise StudentError("This student is not fitted. Call fit(knowledge) first.")


def default_steps(rows: int) -> int:
    """Steps that a number of training rows deserves: seconds for a small table, not minutes for a large one."""
    return int(np.clip(rows // 8, 200, 4000))


def _learning_rate(steps: int) -> float:
    # Long training generalises better at a low rate, short training does not get there at one.
    return float(min(6e-3, 2e-3 * np.sqrt(4000 / steps)))


def default_hidden(rows: int) -> tuple[int, ...]:
    """Three layers, narrow for a tiny table."""
    return (64, 64, 64) if rows < 5_000 else (128, 128, 128)


def _batches(x: Tensor, y: Tensor, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Shuffled batches without end."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    while True:
        order = torch.randperm(len(x), generator=generator)
        for start in range(0, max(len(x) - _BATCH, 0) + 1, _BATCH):
            chosen = order[start : start + _BATCH]
            yield x[chosen], y[chosen]


def _unstandardised(
    layers: list[tuple[NDArray[np.float32], NDArray[np.float32]]],
    shift: NDArray[np.float32],
    spread: NDArray[np.float32],
    middle: float,
    height: float,
) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Fold the standardising of inputs and target into the first and the last layer."""
    weight, bias = (part.astype(np.float64) for part in layers[0])
    weight = weight / spread[:, None]
    bias = bias - shift @ weight
    folded = [(weight, bias), *((w.astype(np.float64), b.astype(np.float64)) for w, b in layers[1:])]
    weight, bias = folded[-1]
    folded[-1] = (weight * height, bias * height + middle)
    return [(np.ascontiguousarray(w, np.float32), b.astype(np.float32)) for w, b in folded]
