"""The alert rate as something to turn: what a day brings at every rate, for the page and for its script."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

from stillwatch.calibration.budget import per_day
from stillwatch.evaluation.budget import BudgetLine
from stillwatch.evaluation.report import Report


@dataclass(frozen=True)
class Outcome:
    """A day at one alert rate, on average. Without labels only `false` is known, and is the most there may be."""

    false: float
    right: float | None = None
    missed: float | None = None
    precision: float | None = None
    recall: float | None = None

    @property
    def alarms(self) -> float:
        """Right and false ones."""
        return self.false + (self.right or 0.0)


@dataclass(frozen=True)
class Dial:
    """Where it can be set, and where it stands.

    Attributes
    ----------
    stops
        alert rates, lowest first.
    at
        number of the one that was set.
    rows_a_day
        to begin with; the reader puts in their own.
    share
        of anomalies among the labelled rows, to begin with; None: no labels.
    """

    stops: tuple[BudgetLine, ...]
    at: int
    rows_a_day: float
    share: float | None

    @property
    def data(self) -> str:
        """For the script: rate, score, share of normal rows that alarm, share of anomalies caught."""
        return json.dumps([[line.rate, line.threshold, line.false_rate, line.recall] for line in self.stops])

    @property
    def now(self) -> BudgetLine:
        """The rate that was set."""
        return self.stops[self.at]

    @property
    def outcome(self) -> Outcome:
        """A day at the rate that was set."""
        line, rows = self.now, self.rows_a_day
        if self.share is None or line.recall is None or line.false_rate is None:
            return Outcome(false=rows * line.rate)
        right = rows * self.share * line.recall
        false = rows * (1 - self.share) * line.false_rate
        alarms = right + false
        return Outcome(
            false=false,
            right=right,
            missed=rows * self.share - right,
            precision=right / alarms if alarms else None,
            recall=line.recall,
        )


def dial(report: Report) -> Dial | None:
    """None where there are fewer than two rates to choose from."""
    stops, quality, set_to = report.budget, report.student_quality, report.calibration
    if len(stops) < 2 or set_to is None:
        return None
    labelled = quality is not None and all(
        line.recall is not None and line.false_rate is not None for line in stops
    )
    return Dial(
        stops=stops,
        at=min(range(len(stops)), key=lambda i: abs(math.log(stops[i].rate / set_to.alert_rate))),
        rows_a_day=per_day(1.0, report.rows_per_second),
        share=float(f"{quality.anomalies / quality.rows:.3g}") if quality is not None and labelled else None,
    )
