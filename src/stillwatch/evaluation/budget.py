"""What every alert rate costs in alarms a day and, where labels exist, what it finds."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from stillwatch.calibration.budget import per_day
from stillwatch.calibration.conformal import Calibration, finest_rate, threshold
from stillwatch.evaluation.quality import both_classes, known_labels

RATES = tuple(round(factor * 10.0**power, 8) for power in range(-6, 0) for factor in (1, 2, 5))
DIAL = tuple(  # stops between these, for a slider
    rate
    for power in range(-6, 0)
    for f in (1.3, 1.6, 2.5, 3, 4, 6, 8)
    if (rate := round(f * 10.0**power, 8)) < 0.5
)


class BudgetLine(msgspec.Struct, frozen=True, kw_only=True):
    """One alert rate.

    Attributes
    ----------
    rate, threshold
        share of normal rows that may raise an alarm, and the score from which a row does.
    per_day
        false alarms a day, at most: of rows like the calibration rows, at the rows a second that were asked for.
    alerts
        of the rows at hand, how many raise an alarm.
    precision, recall, false_rate
        share of the alarms that are anomalies, of the anomalies that raise one, and of the normal rows that raise one, among the
        rows at hand that have a label; None where that is not known. Precision holds for their share of anomalies alone.
    """

    rate: float
    threshold: float
    per_day: float
    alerts: int
    precision: float | None = None
    recall: float | None = None
    false_rate: float | None = None


def budget(
    calibration: Calibration,
    scores: ArrayLike,
    labels: ArrayLike | None,
    *,
    rows_per_second: float,
    also: Iterable[float] = (),
) -> tuple[BudgetLine, ...]:
    """The whole range of rates, from the finest that the calibration rows support to one half, in steps of 1, 2 and 5.

    Parameters
    ----------
    scores
        (n,) scores of the rows at hand; higher = more abnormal.
    labels
        (n,) 1 = anomaly, 0 = normal, NaN = unknown; None: no labels.
    rows_per_second
        for `per_day`.
    also
        more rates, such as the one that was set.
    """
    s = np.asarray(scores, dtype=np.float64)
    known, anomaly = known_labels(np.full(len(s), np.nan) if labels is None else labels)
    measured = both_classes(anomaly)
    lines = []
    for rate in sorted({*RATES, *also}):
        if rate < finest_rate(calibration):
            continue
        bar = threshold(calibration, rate)
        alert = s >= bar
        true, judged = int((alert[known] & anomaly).sum()), int(alert[known].sum())
        lines.append(
            BudgetLine(
                rate=rate,
                threshold=bar,
                per_day=per_day(rate, rows_per_second),
                alerts=int(alert.sum()),
                precision=true / judged if measured and judged else None,
                recall=true / int(anomaly.sum()) if measured else None,
                false_rate=(judged - true) / int((~anomaly).sum()) if measured else None,
            )
        )
    return tuple(lines)
