"""What `distill_network` returns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from torch import nn

from stillwatch.knowledge.soften import Softener
from stillwatch.networks.batches import Batch
from stillwatch.networks.objective import Goal
from stillwatch.networks.report import Epoch, NetworkReport, make_report


@dataclass(frozen=True)
class Judged:
    """Teacher and student on the validation rows.

    Attributes
    ----------
    teacher, student
        (n,) float64 anomaly scores; higher = more abnormal. The scales may differ. Empty where features alone teach.
    labels
        (n,) 1 = anomaly, 0 = normal, NaN = unknown; None: the rows have none.
    loss
        what the teacher's outputs and features give to the loss, mean over the rows; None: nothing does.
    """

    teacher: NDArray[np.float64]
    student: NDArray[np.float64]
    labels: NDArray[np.float64] | None
    loss: float | None = None


@dataclass(frozen=True)
class Trained:
    """One training: its epochs, and the network with its best weights, judged on the validation rows."""

    network: nn.Module
    epochs: tuple[Epoch, ...]
    judged: Judged


@dataclass(frozen=True)
class NetworkDistillation:
    """A finished distillation of a network.

    Attributes
    ----------
    teacher, student
        the modules that were handed in: the teacher as it was found, the student trained and in eval mode.
    matchers
        what matched the features of each hint, in their order; part of a discrepancy detector, not of the student.
    softener
        how raw teacher scores became the targets of loss="regression": the student's scores are on that scale. None otherwise.
    trained
        the student's training.
    labels_alone
        the same student trained on the true labels alone; None: `report.labels_alone_note` says why.
    warnings
        plain sentences on what the user should look at.
    rows
        in an epoch.
    jitter
        standard deviations by which rows were moved; 0: they stayed.
    sample
        some of them, to time the networks with.
    """

    teacher: nn.Module
    student: nn.Module
    matchers: nn.ModuleList
    goal: Goal
    softener: Softener | None
    trained: Trained
    labels_alone: Trained | None
    labels_alone_note: str
    warnings: tuple[str, ...]
    rows: int
    jitter: float
    sample: Batch

    @cached_property
    def report(self) -> NetworkReport:
        """Size, latency, quality and fidelity; latency is measured when this is first asked for."""
        judged, alone = self.trained.judged, self.labels_alone
        return make_report(
            self.teacher,
            self.student,
            self.sample,
            teacher_scores=judged.teacher,
            student_scores=judged.student,
            alone_scores=None if alone is None else alone.judged.student,
            labels=judged.labels,
            epochs=self.trained.epochs,
            alone_epochs=() if alone is None else alone.epochs,
            alone_note=self.labels_alone_note,
            warnings=self.warnings,
            timed=self.goal.student_reads is None,
        )
