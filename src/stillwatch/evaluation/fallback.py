"""What the alarms gain where the rows nearest to their threshold go to the teacher.

Two scores that rank nearly alike disagree on alarms only where a row lies close to the threshold, so that is where to ask:
disagreement of copies of the student tells far less (`docs/decisions/013-fallback.md`).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

SHARES = (0.01, 0.02, 0.05)


class FallbackLine(msgspec.Struct, frozen=True, kw_only=True):
    """One share of rows to hand over, and its gain on rows that neither student nor teacher was fitted on.

    Attributes
    ----------
    share
        of the calibration rows whose score lies at most `margin` from the threshold.
    margin
        on the scale of the scores.
    asked
        share of all these rows that the teacher would be asked about: alarms lie near the threshold more often than others.
    differ, differ_after
        share of these rows whose alarm is not the teacher's: without, and with the fallback.
    """

    share: float
    margin: float
    asked: float
    differ: float
    differ_after: float


def away(scores: NDArray[np.float32], threshold: float) -> NDArray[np.float32]:
    """(n,) how far scores lie from the threshold, to either side."""
    return np.asarray(np.abs(scores - np.float32(threshold)))


def fallback_lines(
    student: NDArray[np.float32],
    teacher: NDArray[np.float32],
    *,
    threshold: float,
    teacher_threshold: float,
    calibrating: int,
    shares: Sequence[float] = SHARES,
) -> tuple[FallbackLine, ...]:
    """Measure the fallback for some shares.

    Parameters
    ----------
    student, teacher
        (n,) scores of the same rows; higher = more abnormal.
    threshold, teacher_threshold
        from which score on each raises an alarm.
    calibrating
        how many of the rows, from the first, are like those that will come: they set the margins.
    """
    distance = away(student, threshold)
    differ = (student >= threshold) != (teacher >= teacher_threshold)
    lines = []
    for share in shares:
        margin = float(np.quantile(distance[:calibrating], share))
        asked = distance <= margin
        lines.append(
            FallbackLine(
                share=share,
                margin=margin,
                asked=float(asked.mean()),
                differ=float(differ.mean()),
                differ_after=float((differ & ~asked).mean()),
            )
        )
    return tuple(lines)
