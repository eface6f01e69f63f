"""What a loader may yield, and shuffled batches of tensors for those who have no loader."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import torch
from torch import Tensor

from stillwatch.errors import InputError

Inputs = Tensor | tuple[Tensor, ...] | dict[str, Tensor]

_FORMS = "Expected inputs, (inputs,) or (inputs, labels); inputs are a tensor, a tuple of tensors or a dict of them."


@dataclass(frozen=True)
class Batch:
    """Rows on their way into both networks.

    Attributes
    ----------
    inputs
        what the networks are called with: a tensor, several by place, or several by name; rows come first.
    labels
        (n,) the class of each row, -1 = unknown; None: the loader gives none.
    """

    inputs: Inputs
    labels: Tensor | None

    def __len__(self) -> int:
        return len(self.first)

    @property
    def first(self) -> Tensor:
        """The first tensor of the inputs."""
        if isinstance(self.inputs, Tensor):
            return self.inputs
        return next(iter(self.inputs.values() if isinstance(self.inputs, dict) else self.inputs))

    def to(self, device: torch.device) -> Batch:
        """Move every tensor to a device."""

        def move(tensor: Tensor) -> Tensor:
            return tensor.to(device, non_blocking=True)

        inputs: Inputs
        if isinstance(self.inputs, Tensor):
            inputs = move(self.inputs)
        elif isinstance(self.inputs, dict):
            inputs = {name: move(tensor) for name, tensor in self.inputs.items()}
        else:
            inputs = tuple(map(move, self.inputs))
        return Batch(inputs, None if self.labels is None else move(self.labels))


def call(model: Callable[..., Any], inputs: Inputs) -> Any:
    """Run a network on the inputs of a batch."""
    if isinstance(inputs, dict):
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, tuple) else model(inputs)


def read_batch(item: Any) -> Batch:
    """Turn what a loader yielded into a batch.

    Raises
    ------
    InputError
        it is none of the forms that are known, or labels and rows differ in number.
    """
    labels = None
    if isinstance(item, tuple | list) and len(item) in (1, 2):
        item, labels = (*item, None)[:2]
    inputs = tuple(item) if isinstance(item, list) else item
    tensors = [inputs] if isinstance(inputs, Tensor) else list(_parts(inputs))
    if not tensors or not all(isinstance(tensor, Tensor) and tensor.ndim for tensor in tensors):
        raise InputError(f"the loader yielded a {type(item).__name__} that holds no batch of rows. {_FORMS}")
    if labels is None:
        return Batch(inputs, None)
    if not isinstance(labels, Tensor) or labels.ndim not in (1, 2) or labels.numel() != len(tensors[0]):
        found = tuple(labels.shape) if isinstance(labels, Tensor) else type(labels).__name__
        raise InputError(
            f"the loader yielded labels {found} for {len(tensors[0])} rows; expected a tensor ({len(tensors[0])},), "
            "one class a row."
        )
    return Batch(inputs, _classes(labels.reshape(-1)))


def read(loader: Iterable[Any]) -> Iterator[Batch]:
    """Batches of a loader; those without rows are passed over."""
    return (batch for batch in map(read_batch, loader) if len(batch))


def rounds(loader: Iterable[Any], seed: int, first: int) -> Iterator[Batch]:
    """Batches without end; each round is seeded by its number, so that a resumed training draws what an undisturbed one does.

    Raises
    ------
    InputError
        a round has no batches.
    """
    for number in count(first):
        torch.manual_seed((seed + 1) * 1_000_003 + number)
        empty = True
        for batch in read(loader):
            empty = False
            yield batch
        if empty:
            raise InputError(
                "the loader yields nothing the second time. Hand over an iterable that can be gone through again and again, "
                "such as a DataLoader or a list, not an iterator."
            )


def _parts(inputs: Any) -> Iterator[Any]:
    if isinstance(inputs, dict):
        yield from inputs.values()
    elif isinstance(inputs, tuple):
        yield from inputs


def _classes(labels: Tensor) -> Tensor:
    """(n,) int64 classes; NaN and negative numbers are unknown, -1."""
    if labels.is_floating_point():
        labels = torch.nan_to_num(labels, nan=-1.0)
    whole = labels.long()
    wrong = whole != labels
    if bool(wrong.any()):
        raise InputError(
            f"a label is {float(labels[wrong][0]):g}; expected whole numbers, the classes from 0 on."
        )
    return whole.clamp(min=-1)


class TensorBatches:
    """Batches of tensors, shuffled anew each time they are gone through.

    A `torch.utils.data.DataLoader` fetches row by row; this takes whole batches, which is many times faster for tables.

    Parameters
    ----------
    x
        (n, ...) inputs.
    labels
        (n,) classes, -1 or NaN = unknown; None: none.
    size
        rows in a batch, about: all rows are dealt out evenly, so that none is left over.
    shuffle
        in an order drawn from torch's global generator, which `distill_network` seeds.
    """

    def __init__(
        self, x: Tensor, labels: Tensor | None = None, *, size: int = 256, shuffle: bool = True
    ) -> None:
        if labels is not None and len(labels) != len(x):
            raise InputError(f"{len(labels):,} labels came for {len(x):,} rows; expected one a row.")
        self.x, self.labels, self.size, self.shuffle = x, labels, size, shuffle

    def __len__(self) -> int:
        return max(1, round(len(self.x) / self.size)) if len(self.x) else 0

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        order = torch.randperm(len(self.x)) if self.shuffle else torch.arange(len(self.x))
        for chosen in order.tensor_split(len(self)) if len(self) else ():
            rows = self.x[chosen]
            yield (rows,) if self.labels is None else (rows, self.labels[chosen])
