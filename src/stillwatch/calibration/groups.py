"""Calibration by group: a table of its own for each value of a column that has enough rows."""

from __future__ import annotations

from collections import Counter

import msgspec
import numpy as np
from numpy.typing import NDArray

from stillwatch.calibration.conformal import Calibration, calibrate, finest_rate, p_values

LEAST_ROWS = 100  # of a group with a table of its own, so that it supports an alert rate of 1 %
MOST_GROUPS = 100  # the largest ones
_POINTS = 90  # of a group's table


class Groups(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Tables of the values of one column.

    Attributes
    ----------
    column
        the column whose values are the groups.
    tables
        value -> its own calibration. Values with fewer than `LEAST_ROWS` calibration rows are not stored, nor is the missing one.
    """

    column: str
    tables: dict[str, Calibration]


def calibrate_groups(
    column: str,
    values: NDArray[np.object_],
    scores: NDArray[np.float32],
    *,
    approximate: bool,
    normal: bool = False,
) -> Groups:
    """Calibrate every group that has enough rows.

    Parameters
    ----------
    values, scores
        (n,) value of the column, "" = missing, and score of every calibration row.
    approximate, normal
        see `Calibration`.
    """
    counts = Counter(values.tolist())
    largest = [value for value, rows in counts.most_common() if value and rows >= LEAST_ROWS][:MOST_GROUPS]
    return Groups(
        column=column,
        tables={
            value: calibrate(scores[values == value], approximate=approximate, normal=normal, points=_POINTS)
            for value in sorted(largest)
        },
    )


def group_p_values(
    groups: Groups,
    common: Calibration,
    values: NDArray[np.object_],
    scores: NDArray[np.float32],
    rate: float,
) -> tuple[NDArray[np.float64], int]:
    """p-values of rows among their like.

    Parameters
    ----------
    values, scores
        (n,) value of the column and score of every row to judge.
    rate
        the alert rate: a group whose own rows are too few for it is judged by the common table.

    Returns
    -------
    (n,) p-values, and how many rows the common table judged.
    """
    p = p_values(common, scores)
    own = 0
    for value in set(values.tolist()):
        table = groups.tables.get(value)
        if table is not None and rate >= finest_rate(table):
            members = values == value
            p[members] = p_values(table, scores[members])
            own += int(members.sum())
    return p, len(scores) - own
