"""From what a network gives to one anomaly score a row; higher = more abnormal."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from stillwatch.errors import InputError


class AnomalyScore(nn.Module):
    """A network whose output is one score a row.

    One value a row is the score itself. Of k classes, it is the log-odds of not being normal: log(sum of exp of the other
    logits) - logit of the normal class, unbounded at both ends, where probabilities round to 1.

    Parameters
    ----------
    network
        gives (n,), (n, 1) or (n, k).
    normal_class
        which of the k classes is the normal one.
    """

    def __init__(self, network: nn.Module, *, normal_class: int = 0) -> None:
        super().__init__()
        self.network, self.normal_class = network, normal_class

    def forward(self, *inputs: Any, **named: Any) -> Tensor:
        """(n,) scores."""
        return anomaly_score(self.network(*inputs, **named), normal_class=self.normal_class)


def anomaly_score(output: Tensor, *, normal_class: int = 0) -> Tensor:
    """(n,) scores of a network's output; see `AnomalyScore`.

    Raises
    ------
    InputError
        the output is no (n,), (n, 1) or (n, k), or has no such class.
    """
    check_output(output)
    if output.ndim == 1:
        return output
    classes = int(output.shape[1])  # a plain number, also while a tracer watches
    if classes == 1:
        return output[:, 0]
    if not 0 <= normal_class < classes:
        raise InputError(f"normal_class={normal_class} of {classes} classes: expected 0 to {classes - 1}.")
    others = output[:, [i for i in range(classes) if i != normal_class]]
    rest = others[:, 0] if classes == 2 else torch.logsumexp(others, dim=1)
    return rest - output[:, normal_class]


def check_output(output: Any, who: str = "network", *, rows: int | None = None) -> None:
    """Refuse what is no (n,), (n, 1) or (n, k) tensor, or not of so many rows.

    Raises
    ------
    InputError
        the message says what to do.
    """
    if not isinstance(output, Tensor) or output.ndim not in (1, 2) or not output.is_floating_point():
        found = (
            f"{output.dtype} {tuple(output.shape)}" if isinstance(output, Tensor) else type(output).__name__
        )
        raise InputError(
            f"the {who} gives {found}; expected one value or k logits a row, (n,), (n, 1) or (n, k). Wrap it in a module that "
            "returns those alone (ReconstructionError, for an autoencoder)."
        )
    if rows is not None and len(output) != rows:
        raise InputError(
            f"the {who} gives {tuple(output.shape)} for a batch of {rows} rows; expected an output a row. Rows come first in "
            "every tensor (batch_first=True, for a recurrent layer)."
        )


class Logits(nn.Module):
    """A network that gives probabilities, as logits: log-odds of one, logarithms of k.

    Parameters
    ----------
    network
        gives (n,) or (n, 1) probabilities of an anomaly, or (n, k) of k classes.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Any, **named: Any) -> Tensor:
        """Logits, in the shape of the probabilities; the outermost ones that float32 tells from 0 and 1 are about 16."""
        p: Tensor = self.network(*inputs, **named).float().clamp(1e-7, 1 - 1e-7)
        return p.log() - (1 - p).log() if p.ndim == 1 or int(p.shape[1]) == 1 else p.log()


class ReconstructionError(nn.Module):
    """An autoencoder as a scorer: mean squared difference of a row and its reconstruction.

    Parameters
    ----------
    autoencoder
        gives what it is given, in the same shape; of a tuple, as a variational one gives, the first is read.
    """

    def __init__(self, autoencoder: nn.Module) -> None:
        super().__init__()
        self.autoencoder = autoencoder

    def forward(self, x: Tensor) -> Tensor:
        """(n,) errors."""
        given = self.autoencoder(x)
        back = given[0] if isinstance(given, tuple | list) else given
        rows, made = (tuple(map(int, side.shape)) for side in (x, back))
        if rows != made:
            raise InputError(f"the autoencoder gives {made} for rows {rows}; expected the same shape.")
        difference: Tensor = x - back
        return (difference * difference).flatten(1).mean(dim=1)
