"""One pass of the teacher over the rows, before anything is trained: what is wrong shows here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stillwatch.errors import InputError, TeacherError
from stillwatch.networks.answer import ask, finite
from stillwatch.networks.batches import Batch, read
from stillwatch.networks.layers import feature
from stillwatch.networks.score import anomaly_score, check_output


@dataclass(frozen=True)
class Survey:
    """What one pass over a loader found.

    Attributes
    ----------
    batches, rows
        how many it yields.
    scores
        (rows,) float64 anomaly scores of the teacher; empty where outputs were not asked for.
    labels
        (rows,) int64 classes, -1 = unknown; None: the loader gives none.
    classes
        columns of the teacher's output: 1 for one value a row.
    statistics
        layer -> mean and standard deviation of its features by channel.
    deviations
        (...) standard deviation of each element of a row, where rows are one tensor of floating point numbers.
    first
        the first batch.
    """

    batches: int
    rows: int
    scores: NDArray[np.float64]
    labels: NDArray[np.int64] | None
    classes: int
    statistics: dict[str, tuple[Tensor, Tensor]]
    deviations: Tensor | None
    first: Batch


class _Moments:
    """Mean and variance by channel, summed up in float64."""

    def __init__(self) -> None:
        self.count, self.total, self.squares = 0, torch.zeros(()), torch.zeros(())

    def add(self, values: Tensor, channels: int) -> None:
        rows = values.detach().cpu().double().movedim(channels, -1).flatten(0, -2)
        self.count += len(rows)
        self.total = self.total + rows.sum(dim=0)
        self.squares = self.squares + rows.square().sum(dim=0)

    def result(self) -> tuple[Tensor, Tensor]:
        mean = self.total / self.count
        variance = (self.squares / self.count - mean.square()).clamp(min=0)
        return mean.float(), variance.sqrt().float()


def survey(
    teacher: nn.Module,
    loader: Iterable[Any],
    *,
    device: torch.device,
    precision: torch.dtype,
    outputs: bool,
    normal_class: int,
    given: dict[str, Any],
    layers: dict[str, int],
    name: str = "loader",
    tell: Callable[[int], None] | None = None,
) -> Survey:
    """Ask the teacher about every row of a loader once.

    Parameters
    ----------
    teacher
        frozen, on `device`.
    outputs
        whether its output counts; False where features alone teach.
    given, layers
        what `layers.recorded` yielded, and layer -> channel dimension.
    name
        which loader this is, for messages.
    tell
        called with the number of batches gone through.

    Raises
    ------
    InputError
        the loader yields nothing, or what cannot be read.
    TeacherError
        an output or a feature is not finite, or all rows have one score.
    """
    scores: list[NDArray[np.float64]] = []
    labels: list[NDArray[np.int64]] = []
    moments = {path: _Moments() for path in layers}
    elements = _Moments()
    first: Batch | None = None
    batches = rows = 0
    classes = 1
    for batch in read(loader):
        first = first or batch
        output = ask(teacher, batch.to(device), precision)
        batches, at, rows = batches + 1, rows + 1, rows + len(batch)
        if isinstance(batch.inputs, Tensor) and batch.inputs.is_floating_point():
            elements.add(batch.inputs.flatten(1) if batch.inputs.ndim > 1 else batch.inputs[:, None], 1)
        for path, channels in layers.items():
            values = finite(feature(given, path, "teacher"), f"layer {path!r} of the teacher", at)
            _refuse_channels(values, path, channels)
            moments[path].add(values, channels)
        if outputs:
            check_output(output, "teacher", rows=len(batch))
            finite(output, "the teacher", at)
            classes = 1 if output.ndim == 1 else output.shape[1]
            score = anomaly_score(output.float(), normal_class=normal_class)
            scores.append(score.cpu().double().numpy())
        if batch.labels is not None:
            labels.append(batch.labels.cpu().numpy())
        if tell is not None:
            tell(batches)
    if first is None:
        raise InputError(
            f"the {name} yields nothing. Hand over an iterable of batches, such as a DataLoader or a list."
        )
    if labels and sum(map(len, labels)) != rows:
        raise InputError(
            f"the {name} yields labels in some batches only; expected them in all (-1 = unknown) or none."
        )
    found = Survey(
        batches=batches,
        rows=rows,
        scores=np.concatenate(scores) if scores else np.zeros(0),
        labels=np.concatenate(labels) if labels else None,
        classes=classes,
        statistics={path: moment.result() for path, moment in moments.items()},
        deviations=elements.result()[1].reshape(first.first.shape[1:]) if elements.count else None,
        first=first,
    )
    _refuse_constant(found, name)
    return found


def _refuse_channels(values: Tensor, path: str, channels: int) -> None:
    if not -values.ndim <= channels < values.ndim or channels % values.ndim == 0:
        raise InputError(
            f"layer {path!r} of the teacher gives {tuple(values.shape)}, whose features cannot lie along dimension {channels}. "
            "Set channels of its Hint: 1 in (n, channels, ...), -1 in (n, ..., channels)."
        )


def _refuse_constant(found: Survey, name: str) -> None:
    if len(found.scores) > 1 and np.ptp(found.scores) == 0:
        raise TeacherError(
            f"The teacher gives all {found.rows:,} rows of the {name} the same score ({found.scores[0]:.6g}): it has nothing "
            "to teach. Check that its weights are loaded."
        )
