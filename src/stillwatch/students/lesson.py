"""Knowledge as a network takes it in: standardised tensors, shuffled batches, and how well it does on rows held out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stillwatch.evaluation.fidelity import spearman
from stillwatch.knowledge.knowledge import TRAIN, Knowledge
from stillwatch.students.dense import Layers, shapes
from stillwatch.students.held_out import above_middle
from stillwatch.students.protocol import Progress
from stillwatch.training.loop import CHECKS, PATIENCE, train

_BATCH = 512
_LEARNING_RATE = 5e-3
# What training takes when it goes on from an earlier student.
_WARM_SHARE = 0.15  # of the steps
_WARM_CHECKS, _WARM_PATIENCE = 6, 3


class Lesson:
    """What a network learns, and the scales that its weights are folded back into.

    Attributes
    ----------
    x
        (n, d) standardised features of the rows to learn from.
    train
        (n,) which of these are training rows.
    shift, spread
        (d,) features = x * spread + shift.
    middle, height
        score = what the network gives * height + middle.
    """

    def __init__(self, knowledge: Knowledge, *, seed: int) -> None:
        learn = ~knowledge.held_out
        x, target = knowledge.x[learn], knowledge.target[learn]
        self.shift, self.spread = x.mean(axis=0), x.std(axis=0)
        self.spread[self.spread < 1e-6] = 1
        self.middle, self.height = float(target.mean()), max(float(target.std()), 1e-6)
        self.train = torch.from_numpy(knowledge.kind[learn] == TRAIN)
        self.x = torch.from_numpy((x - self.shift) / self.spread)
        self._targets = torch.from_numpy((target - self.middle) / self.height)
        judge = _judges(knowledge)
        self._unseen = torch.from_numpy((knowledge.x[judge] - self.shift) / self.spread)
        self._asked = knowledge.target[judge]
        self._seed = seed

    def __len__(self) -> int:
        return len(self.x)

    def teach(
        self, network: nn.Module, *, steps: int | None, warm: bool, progress: Progress | None
    ) -> tuple[tuple[int, float], ...]:
        """Train a network of (n, d) to (n, 1); return (step, `agreement`) as it went.

        `steps` is the most, None: by the number of rows; one that goes on from an earlier student, `warm`, takes a part of them.
        """
        steps = steps or default_steps(len(self))
        checks = train(
            network,
            self._batches(),
            _loss,
            self.agreement,
            steps=round(_WARM_SHARE * steps) if warm else steps,
            learning_rate=_LEARNING_RATE,
            checks=_WARM_CHECKS if warm else CHECKS,
            patience=_WARM_PATIENCE if warm else PATIENCE,
            trained=warm,
            progress=progress,
        )
        return tuple((check.step, check.value) for check in checks)

    @torch.no_grad()
    def agreement(self, network: nn.Module) -> float:
        """Rank agreement with the teacher on rows held out that it puts above the middle of the training rows."""
        scores = torch.cat([network(rows) for rows in torch.split(self._unseen, 4096)])
        return spearman(scores.squeeze(1).numpy(), self._asked)

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Shuffled batches without end."""
        generator = torch.Generator().manual_seed(self._seed)
        while True:
            order = torch.randperm(len(self), generator=generator)
            for start in range(0, max(len(self) - _BATCH, 0) + 1, _BATCH):
                chosen = order[start : start + _BATCH]
                yield self.x[chosen], self._targets[chosen]


def _judges(knowledge: Knowledge) -> NDArray[np.bool_]:
    """(n,) rows held out that the teacher puts above the middle of the training rows; all that are held out where few are."""
    above = knowledge.held_out & above_middle(knowledge)
    return above if above.sum() > 2 else knowledge.held_out


def dense_layers(inputs: int, hidden: Sequence[int], *, seed: int) -> list[nn.Linear]:
    """Layers of these shapes, weights drawn by `seed` as PyTorch draws them and no bias; the global generator is left alone."""
    generator = torch.Generator().manual_seed(seed)
    layers: list[nn.Linear] = [
        nn.utils.skip_init(nn.Linear, a, b)  # type: ignore[no-untyped-call]
        for a, b in shapes(inputs, hidden)
    ]
    for layer in layers:
        reach = layer.in_features**-0.5
        nn.init.uniform_(layer.weight, -reach, reach, generator=generator)
        nn.init.zeros_(layer.bias)
    return layers


def stack(layers: list[nn.Linear]) -> nn.Sequential:
    """The trainable form of `dense.forward`."""
    first, *rest = layers
    return nn.Sequential(first, _ReadTwice(), *[part for layer in rest for part in (layer, nn.ReLU())][:-1])


class _ReadTwice(nn.Module):
    def forward(self, z: Tensor) -> Tensor:
        """(n, m) to (n, 2 m)."""
        return torch.cat([z, torch.log(1 + z.square())], dim=1)


def fold(
    layers: list[nn.Linear],
    shift: NDArray[np.floating],
    spread: NDArray[np.floating],
    middle: float,
    height: float,
) -> Layers:
    """Weights [in, out] and biases, with the standardising of inputs and of the score folded in."""
    folded = [
        (layer.weight.detach().numpy().T.astype(np.float64), layer.bias.detach().numpy().astype(np.float64))
        for layer in layers
    ]
    weight, bias = folded[0]
    weight = weight / spread[:, None]
    folded[0] = (weight, bias - shift @ weight)
    weight, bias = folded[-1]
    folded[-1] = (weight * height, bias * height + middle)
    return [(np.ascontiguousarray(w, np.float32), b.astype(np.float32)) for w, b in folded]


def default_steps(rows: int) -> int:
    """Steps that a number of training rows deserves: seconds for a small table, not minutes for a large one."""
    return int(np.clip(rows // 16, 200, 1600))


def _loss(network: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
    rows, wanted = batch
    return nn.functional.smooth_l1_loss(network(rows).squeeze(1), wanted)
