"""What came of a distillation: size and latency of both networks, quality and fidelity, with and without the teacher."""

from __future__ import annotations

from itertools import zip_longest
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from stillwatch.evaluation.fidelity import Fidelity, fidelity
from stillwatch.evaluation.quality import Change, Quality, quality, quality_change, why_unmeasured
from stillwatch.evaluation.speed import Speed, measure_speed
from stillwatch.networks.batches import Batch, Inputs, call
from stillwatch.networks.frozen import frozen

MOST_TIMED = 1_000


class Epoch(msgspec.Struct, frozen=True):
    """The validation rows after an epoch.

    Attributes
    ----------
    value
        the figure that decides which weights are kept; higher is better.
    fidelity
        Spearman correlation with the teacher's scores; None where features alone teach.
    average_precision
        against the labels; None where they hold one class or none.
    """

    epoch: int
    value: float
    fidelity: float | None = None
    average_precision: float | None = None


class NetworkFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A network: what it weighs, what it costs, how good it is.

    `bytes` are those of weights and buffers. `speed` is PyTorch's on the CPU, with the threads that it has.
    """

    name: str
    parameters: int
    bytes: int
    speed: Speed | None = None
    quality: Quality | None = None


class NetworkReport(msgspec.Struct, frozen=True, kw_only=True):
    """Figures on the validation rows.

    Attributes
    ----------
    change
        student minus teacher, in pairs.
    labels_alone, labels_alone_epochs
        quality of the same student trained on true labels alone; `labels_alone_note` says why there is none.
    gain
        student minus the same student on labels alone, in pairs: below zero, the teacher did harm.
    """

    teacher: NetworkFacts
    student: NetworkFacts
    fidelity: Fidelity | None = None
    change: Change | None = None
    epochs: tuple[Epoch, ...] = ()
    labels_alone: Quality | None = None
    labels_alone_epochs: tuple[Epoch, ...] = ()
    labels_alone_note: str = ""
    gain: Change | None = None
    warnings: tuple[str, ...] = ()

    @property
    def smaller(self) -> float:
        """How many times fewer parameters the student has."""
        return self.teacher.parameters / max(1, self.student.parameters)

    def json(self) -> bytes:
        """Every figure, as JSON."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1)

    def __str__(self) -> str:
        lines = [
            f"{'':24s}{'parameters':>12s}{'bytes':>12s}{'one row':>12s}{'rows/s':>12s}{'AP':>9s}{'AUROC':>9s}"
        ]
        lines += [
            _line(facts, role) for role, facts in (("teacher", self.teacher), ("student", self.student))
        ]
        lines.append(f"{self.smaller:.1f} times fewer parameters")
        if self.fidelity is not None:
            lines.append(
                f"fidelity: Spearman {self.fidelity.spearman:.4f}, top 1 % {self.fidelity.top_1_percent:.3f}"
            )
        lines.append(_verdict(self))
        lines += [f"{'epoch':>6s}{'fidelity':>12s}{'AP':>12s}{'AP, labels alone':>20s}"]
        for ours, alone in zip_longest(self.epochs, self.labels_alone_epochs):
            number = (ours or alone).epoch
            cells = (
                None if ours is None else ours.fidelity,
                None if ours is None else ours.average_precision,
                None if alone is None else alone.average_precision,
            )
            lines.append(
                f"{number:6d}"
                + "".join(f"{_cell(c):>{w}s}" for c, w in zip(cells, (12, 12, 20), strict=True))
            )
        return "\n".join([*lines, *self.warnings])


def make_report(
    teacher: nn.Module,
    student: nn.Module,
    sample: Batch,
    *,
    teacher_scores: NDArray[np.float64],
    student_scores: NDArray[np.float64],
    alone_scores: NDArray[np.float64] | None,
    labels: NDArray[np.float64] | None,
    epochs: tuple[Epoch, ...],
    alone_epochs: tuple[Epoch, ...],
    alone_note: str,
    warnings: tuple[str, ...],
    timed: bool,
) -> NetworkReport:
    """Measure both networks; see `NetworkReport`."""
    scored = len(student_scores) > 1
    known = labels if scored and why_unmeasured(labels) is None else None

    def facts(model: nn.Module, scores: NDArray[np.float64], *, time: bool) -> NetworkFacts:
        return NetworkFacts(
            name=type(model).__name__,
            parameters=parameters(model),
            bytes=sum(t.numel() * t.element_size() for t in (*model.parameters(), *model.buffers())),
            speed=network_speed(model, sample) if time else None,
            quality=None if known is None else quality(scores, known),
        )

    alone = known is not None and alone_scores is not None
    return NetworkReport(
        teacher=facts(teacher, teacher_scores, time=True),
        student=facts(student, student_scores, time=timed),
        fidelity=fidelity(student_scores, teacher_scores) if scored else None,
        change=None if known is None else quality_change(student_scores, teacher_scores, known),
        epochs=epochs,
        labels_alone=quality(alone_scores, known) if alone else None,  # type: ignore[arg-type]
        labels_alone_epochs=alone_epochs,
        labels_alone_note=alone_note,
        gain=quality_change(student_scores, alone_scores, known) if alone else None,  # type: ignore[arg-type]
        warnings=warnings,
    )


def parameters(model: nn.Module) -> int:
    """Number of weights."""
    return sum(parameter.numel() for parameter in model.parameters())


def network_speed(model: nn.Module, sample: Batch) -> Speed:
    """One row and a batch, by PyTorch on the CPU."""
    cpu = torch.device("cpu")
    inputs = sample.to(cpu).inputs
    rows = min(len(sample), MOST_TIMED)
    with frozen(model, cpu), torch.inference_mode():
        return measure_speed(
            lambda i: call(model, _rows(inputs, slice(i, i + 1))),
            lambda: call(model, _rows(inputs, slice(0, rows))),
            rows=rows,
        )


def _rows(inputs: Inputs, chosen: slice) -> Any:
    if isinstance(inputs, dict):
        return {name: tensor[chosen] for name, tensor in inputs.items()}
    return tuple(tensor[chosen] for tensor in inputs) if isinstance(inputs, tuple) else inputs[chosen]


def _line(facts: NetworkFacts, role: str) -> str:
    speed, figures = facts.speed, facts.quality
    one = "" if speed is None or speed.one_p50_us is None else f"{speed.one_p50_us:,.0f} µs"
    rate = "" if speed is None or speed.rows_per_second is None else f"{speed.rows_per_second:,.0f}"
    precision, auroc = (
        (None, None) if figures is None else (figures.average_precision.value, figures.auroc.value)
    )
    return (
        f"{role + ' ' + facts.name:24.24s}{facts.parameters:12,d}{facts.bytes:12,d}{one:>12s}{rate:>12s}"
        f"{_cell(precision):>9s}{_cell(auroc):>9s}"
    )


def _verdict(report: NetworkReport) -> str:
    if report.gain is None:
        return report.labels_alone_note
    gain = report.gain.average_precision
    alone = report.labels_alone
    found = (
        "The teacher helped"
        if gain.low > 0
        else "The teacher did harm"
        if gain.high < 0
        else "No gain can be seen"
    )
    figure = "" if alone is None else f" (AP {alone.average_precision.value:.4f})"
    return (
        f"{found}: against the same student on labels alone{figure} average precision changes by {gain.value:+.4f} "
        f"[{gain.low:+.4f}, {gain.high:+.4f}]."
    )


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
