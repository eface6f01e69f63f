"""Features inside a network: layers named by module path, recorded, projected to another width and standardised."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from stillwatch.errors import InputError


@dataclass(frozen=True)
class Hint:
    """A layer of the teacher that a layer of the student shall match.

    Attributes
    ----------
    teacher, student
        module paths, as in `named_modules`: "encoder.2"; "" is the whole network, its output.
    distance
        "squared" (FitNets) between standardised features, or "cosine".
    weight
        share in the loss.
    channels
        dimension along which the features of a position lie: 1 in (n, channels, height, width), -1 in (n, time, channels).
        Widths may differ along it; a linear map of the student's features is then learnt with the student.
    """

    teacher: str
    student: str
    distance: Literal["squared", "cosine"] = "squared"
    weight: float = 1.0
    channels: int = 1

    def __post_init__(self) -> None:
        if self.distance not in ("squared", "cosine"):
            raise InputError(f"distance={self.distance!r}: expected 'squared' or 'cosine'.")
        if not self.weight > 0:
            raise InputError(f"weight={self.weight} of hint {self.teacher!r}: expected more than 0.")


@contextmanager
def recorded(model: nn.Module, paths: Sequence[str], who: str) -> Iterator[dict[str, Any]]:
    """Yield a dict that holds, after each call of the network, what the named layers gave.

    Raises
    ------
    InputError
        a layer does not exist; the message names the nearest.
    """
    given: dict[str, Any] = {}
    handles: list[RemovableHandle] = []
    try:
        for path in dict.fromkeys(paths):
            layer = _layer(model, path, who)
            handles.append(layer.register_forward_hook(_keeper(given, path)))
        yield given
    finally:
        for handle in handles:
            handle.remove()


def _keeper(given: dict[str, Any], path: str) -> Any:
    def keep(module: nn.Module, inputs: Any, output: Any) -> None:
        given[path] = output

    return keep


def _layer(model: nn.Module, path: str, who: str) -> nn.Module:
    known: dict[str, nn.Module] = dict(model.named_modules())
    if path in known:
        return known[path]
    near = difflib.get_close_matches(path, known, n=3, cutoff=0.3) or list(known)[1:6]
    raise InputError(
        f"{who} has no layer {path!r}. Nearest of its {len(known)} layers: {', '.join(map(repr, near))}. "
        f"dict({who}.named_modules()) lists them all."
    )


def feature(given: dict[str, Any], path: str, who: str) -> Tensor:
    """What a layer gave; of several, as recurrent and attention layers give, the first.

    Raises
    ------
    InputError
        it was not called, or gave no tensor.
    """
    value = given.get(path)
    if isinstance(value, tuple) and value:
        value = value[0]
    if not isinstance(value, Tensor):
        found = "was not called" if value is None else f"gives a {type(value).__name__}"
        raise InputError(
            f"layer {path!r} of the {who} {found}; expected a tensor of features. Name another layer."
        )
    return value


class Matcher(nn.Module):
    """One hint at work: projects the student's features, standardises the teacher's.

    Parameters
    ----------
    hint
        what shall match what.
    student, teacher
        features of one batch, for their widths.

    Raises
    ------
    InputError
        the features differ in more than the width.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, hint: Hint, student: Tensor, teacher: Tensor) -> None:
        super().__init__()
        rank = teacher.ndim
        if student.ndim != rank or not -rank <= hint.channels < rank or hint.channels % rank == 0:
            raise InputError(_unlike(hint, student, teacher))
        self.hint, self.channels = hint, hint.channels % rank
        ours, theirs = list(student.shape), list(teacher.shape)
        a, b = ours.pop(self.channels), theirs.pop(self.channels)
        if ours != theirs:
            raise InputError(_unlike(hint, student, teacher))
        self.projection = nn.Linear(a, b) if a != b else nn.Identity()
        shape = [1] * rank
        shape[self.channels] = b
        self.register_buffer("shift", torch.zeros(shape))
        self.register_buffer("scale", torch.ones(shape))

    def standardise_by(self, mean: Tensor, deviation: Tensor) -> None:
        """Take (channels,) statistics of the teacher's features; a cosine is left as it is."""
        if self.hint.distance == "squared":
            self.shift = mean.reshape(self.shift.shape).to(self.shift)
            self.scale = deviation.clamp(min=1e-6).reshape(self.scale.shape).to(self.scale)

    def forward(self, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
        """Features of both in one width and scale."""
        student, teacher = student.float(), teacher.float()
        if not isinstance(self.projection, nn.Identity):
            # Swapped to the end and back; the other dimensions do not mind.
            last = student.ndim - 1
            student = self.projection(student.transpose(self.channels, last)).transpose(self.channels, last)
        return student, (teacher - self.shift) / self.scale


def _unlike(hint: Hint, student: Tensor, teacher: Tensor) -> str:
    return (
        f"hint {hint.teacher!r} -> {hint.student!r}: teacher gives {tuple(teacher.shape)}, student {tuple(student.shape)}. "
        f"Only the width (dimension {hint.channels}) may differ: name layers of equal positions, or set channels."
    )
