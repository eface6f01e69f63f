"""Ask a network about a batch; what goes wrong inside it is said in words."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from stillwatch.errors import InputError, StillwatchError, TeacherError
from stillwatch.networks.batches import Batch, Inputs, call
from stillwatch.networks.device import mixed


@torch.no_grad()
def ask(teacher: nn.Module, batch: Batch, precision: torch.dtype) -> Any:
    """What a teacher says of a batch, without gradients."""
    with mixed(batch.first.device, precision):
        output = answer(teacher, batch.inputs, "teacher")
    return output.detach() if isinstance(output, Tensor) else output


def answer(network: nn.Module, inputs: Inputs, who: str) -> Any:
    """What a network gives for the inputs of a batch.

    Raises
    ------
    InputError
        its forward raises; the message holds what it said, and what is likely to help.
    """
    try:
        return call(network, inputs)
    except (StillwatchError, torch.OutOfMemoryError):
        raise
    except Exception as exc:  # a foreign forward raises anything
        said = str(exc).strip() or type(exc).__name__
        raise InputError(
            f"the {who} ({type(network).__name__}) cannot take {_described(inputs)}: {said.splitlines()[0].rstrip('.')}. "
            + _advice(network, inputs, said)
        ) from exc


def finite(values: Tensor, who: str, first_row: int) -> Tensor:
    """Hand values back if they are finite.

    Raises
    ------
    TeacherError
        they are not; the message names the first row.
    """
    bad = ~torch.isfinite(values.flatten(1) if values.ndim > 1 else values[:, None]).all(dim=1)
    if bool(bad.any()):
        row = first_row + int(bad.nonzero()[0])
        raise TeacherError(
            f"{who} gives NaN or infinity for {int(bad.sum()):,} of {len(bad):,} rows of a batch (first: row {row:,}). "
            "Look for missing or huge values in the inputs, or for a teacher whose training diverged."
        )
    return values


def _described(inputs: Inputs) -> str:
    if isinstance(inputs, dict):
        return "a batch of " + ", ".join(f"{name} {tuple(t.shape)}" for name, t in inputs.items())
    tensors = inputs if isinstance(inputs, tuple) else (inputs,)
    return "a batch of shape " + ", ".join(str(tuple(tensor.shape)) for tensor in tensors)


def _advice(network: nn.Module, inputs: Inputs, said: str) -> str:
    tensors = list(inputs.values()) if isinstance(inputs, dict) else inputs
    first = tensors if isinstance(tensors, Tensor) else tensors[0]
    weights = {p.dtype for p in network.parameters() if p.is_floating_point()}
    if "more than 1 value per channel" in said:
        return (
            "A BatchNorm cannot train on a batch of one row, as the last one of a loader may be: set drop_last=True, or use "
            "TensorBatches, which deals rows out evenly."
        )
    if first.is_floating_point() and weights and first.dtype not in weights:
        return f"Its weights are {weights.pop()}, the rows {first.dtype}: yield rows.float(), or convert the network."
    way = (
        "(*inputs)" if isinstance(inputs, tuple) else "(**inputs)" if isinstance(inputs, dict) else "(inputs)"
    )
    return f"It is called as network{way}, rows first in every tensor."
