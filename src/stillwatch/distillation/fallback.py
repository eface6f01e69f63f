"""Alarms of a student that hands the rows nearest to its threshold to the teacher."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillwatch.calibration.conformal import threshold
from stillwatch.distillation.result import Distillation
from stillwatch.errors import InputError
from stillwatch.evaluation.fallback import FallbackLine, away, fallback_lines


@dataclass(frozen=True)
class Fallback:
    """A student, and its teacher where it is least sure.

    The teacher is no part of a saved model, so this lives as long as the distillation does.

    Attributes
    ----------
    gain
        how many rows are handed over, and how many alarms are the teacher's then, on rows held out.
    threshold, teacher_threshold
        from which score on each raises an alarm, both on the student's scale.
    """

    distillation: Distillation
    gain: FallbackLine
    threshold: float
    teacher_threshold: float

    def alert(self, rows: Any) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Judge raw rows.

        Returns
        -------
        (n,) which raise an alarm, and (n,) about which of them the teacher was asked.
        """
        d, alerts, asks = self.distillation, [np.zeros(0, np.bool_)], [np.zeros(0, np.bool_)]
        for part in d.scorer.pack(rows):
            score = d.scorer.score_packed(part)
            alert = score >= self.threshold
            asked = away(score, self.threshold) <= self.gain.margin
            if asked.any():
                raw = d.fitted.teacher_score(part.take(np.flatnonzero(asked)))
                alert[asked] = d.fitted.soften(raw) >= self.teacher_threshold
            alerts.append(alert)
            asks.append(asked)
        return np.concatenate(alerts), np.concatenate(asks)


def make_fallback(d: Distillation, share: float, rate: float | None) -> Fallback:
    """Set the margin; see `Distillation.fallback`."""
    if not 0 < share < 1:
        raise InputError(f"share={share}: expected a share of rows between 0 and 1, such as 0.02.")
    rate = d.manifest.alert_rate if rate is None else rate
    ours, theirs = threshold(d.manifest.calibration, rate), d.evaluated.teacher_threshold(rate)
    (gain,) = fallback_lines(
        d.evaluated.student,
        d.evaluated.teacher,
        threshold=ours,
        teacher_threshold=theirs,
        calibrating=d.evaluated.calibrating,
        shares=(share,),
    )
    return Fallback(d, gain, ours, theirs)
