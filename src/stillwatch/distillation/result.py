"""What `distill` returns."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stillwatch.artifact.manifest import Manifest
from stillwatch.artifact.write import write_artifact
from stillwatch.distillation.fit import Fitted
from stillwatch.distillation.search import Search
from stillwatch.distillation.split import Split
from stillwatch.evaluation.report import Report
from stillwatch.knowledge.knowledge import Knowledge
from stillwatch.scorer import Scorer
from stillwatch.table.pack import Rows
from stillwatch.teachers.fit import FittedTeacher

if TYPE_CHECKING:
    from stillwatch.distillation.fallback import Fallback


@dataclass(frozen=True)
class Evaluated:
    """Teacher and student on rows that neither was fitted on; the calibration rows come first.

    Attributes
    ----------
    teacher, student
        (n,) float32 on the student's scale; higher = more abnormal.
    labels
        (n,) 1 = anomaly, 0 = normal, NaN = unknown; None where the table has no label.
    index
        (n,) their numbers among the rows that were read.
    calibrating
        how many of the rows, from the first, calibrate.
    approximate
        scores come from folds.
    rows
        the first of these rows, for timing and for checking the graph.
    """

    teacher: NDArray[np.float32]
    student: NDArray[np.float32]
    labels: NDArray[np.float64] | None
    index: NDArray[np.int64]
    calibrating: int
    approximate: bool
    rows: Rows

    def teacher_threshold(self, rate: float) -> float:
        """From which score on the teacher raises as many alarms among the calibration rows as `rate` says.

        Alike in cost, teacher and student then differ in what they find.
        """
        return float(np.quantile(self.teacher[: self.calibrating], 1 - rate, method="higher"))


@dataclass(frozen=True)
class Distillation:
    """A finished distillation.

    Attributes
    ----------
    scorer
        the model in use: raw rows in, scores out.
    manifest, model
        what `save` writes.
    warnings
        plain sentences on what the user should look at.
    seconds
        time by step.
    function, call, command
        what made it, and with which options; the command line, where one did.
    """

    source: str
    fitted: Fitted
    split: Split
    evaluated: Evaluated
    manifest: Manifest
    model: bytes
    scorer: Scorer
    warnings: tuple[str, ...]
    seconds: dict[str, float]
    call: dict[str, Any]
    function: str = "stillwatch.distill"
    command: str = ""

    @property
    def teacher(self) -> FittedTeacher:
        """The fitted teacher, over the feature matrix."""
        return self.fitted.asker.teacher

    @property
    def knowledge(self) -> Knowledge:
        """Where the teacher was asked, and what it said."""
        return self.fitted.knowledge

    @property
    def search(self) -> Search | None:
        """Every student that was tried within a budget, and which was chosen; None without a budget."""
        return self.fitted.search

    def features(self, rows: Any) -> NDArray[np.float32]:
        """(n, d) feature matrix of raw rows: what teacher and student see."""
        return np.concatenate([self.fitted.features.transform(part) for part in self.scorer.pack(rows)])

    def teacher_score(self, rows: Any) -> NDArray[np.float64]:
        """(n,) raw scores of the teacher for the same raw rows that the scorer takes."""
        return np.concatenate([self.fitted.teacher_score(part) for part in self.scorer.pack(rows)])

    def fallback(self, share: float = 0.02, rate: float | None = None) -> Fallback:
        """Alarms for which the teacher is asked about the rows nearest to the threshold.

        Parameters
        ----------
        share
            of rows like those that calibrated to hand over, in (0, 1).
        rate
            alert rate; None: that of the model.

        Raises
        ------
        InputError
            the share is none.
        CalibrationError
            the rate is finer than the calibration rows support.
        """
        from stillwatch.distillation.fallback import make_fallback

        return make_fallback(self, share, rate)

    @cached_property
    def report(self) -> Report:
        """Quality, fidelity, speed and size; speed is measured when this is first asked for."""
        from stillwatch.distillation.summary import summarise

        return summarise(self)

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> str:
        """Write the model folder and return its digest.

        Raises
        ------
        ArtifactError
            the target exists, or cannot be written.
        """
        from stillwatch.evaluation.card import card
        from stillwatch.evaluation.facts import card_facts
        from stillwatch.evaluation.page import render_html
        from stillwatch.evaluation.report import encode_report

        return write_artifact(
            path,
            model=self.model,
            manifest=self.manifest,
            report_html=render_html(self.report),
            report_json=encode_report(self.report).decode(),
            card=card(self.report, card_facts(self.manifest)),
            overwrite=overwrite,
        )
