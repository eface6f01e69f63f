"""What every step of a training needs: the teacher at work, the rows, and where the networks run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from stillwatch.networks.answer import answer, ask
from stillwatch.networks.batches import Batch
from stillwatch.networks.device import mixed
from stillwatch.networks.jitter import Jitter
from stillwatch.networks.layers import feature
from stillwatch.networks.objective import Goal, Learner

Figure = Literal["loss", "average_precision", "fidelity"]


@dataclass(frozen=True)
class Lesson:
    """A teacher, and how a student learns from it.

    Attributes
    ----------
    theirs, ours
        what `layers.recorded` keeps of the teacher and the student.
    jitter
        moves rows of the training batches; None: they stay.
    figure
        what validation goes by; see `report.Epoch`.
    """

    teacher: nn.Module
    loader: Iterable[Any]
    validation: Iterable[Any]
    device: torch.device
    precision: torch.dtype
    goal: Goal
    theirs: dict[str, Any]
    ours: dict[str, Any]
    jitter: Jitter | None = None
    figure: Figure = "loss"

    def run(self, learner: Learner, batch: Batch, *, asking: bool = True) -> tuple[Any, Any]:
        """Outputs of student and teacher (None where it is not asked) for a batch that lies on the device."""
        said = ask(self.teacher, batch, self.precision) if asking else None
        inputs = batch.inputs
        if self.goal.student_reads is not None:
            inputs = feature(self.theirs, self.goal.student_reads, "teacher").detach()
        with mixed(self.device, self.precision):
            return answer(learner.student, inputs, "student"), said
