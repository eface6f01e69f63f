"""Alarms of a whole batch, with a bound on how many of them are false."""

from __future__ import annotations

import math

import msgspec
import numpy as np
from numpy.typing import NDArray

from stillwatch.errors import InputError

_ORDINARY = 0.75  # rows that are unlike the calibration rows have hardly a p-value above it; 0.5 counts weak anomalies as alike


class Discoveries(msgspec.Struct, frozen=True, kw_only=True):
    """What a batch gave at a false discovery rate.

    Attributes
    ----------
    fdr
        share of the alarms that may be false, on average over batches.
    rows, alerts
        rows of the batch, and how many of them raise an alarm.
    fewest
        so many rows must score higher than every calibration row before a single alarm can be raised: the price of a batch
        that is large for its calibration rows.
    unlike
        estimate: rows of the batch that are unlike the calibration rows, for whatever reason. It cannot see those whose scores
        are ordinary, so it is rather too low.
    power
        estimate: share of these rows that raise an alarm, hence rather too high; None where there seem to be none. Only labels
        can measure it: `evaluate(fdr=)` does.
    """

    fdr: float
    rows: int
    alerts: int
    fewest: int
    unlike: int
    power: float | None


def check_fdr(fdr: float) -> None:
    """Refuse what is no share.

    Raises
    ------
    InputError
        it is not between 0 and 1.
    """
    if not 0 < fdr < 1:
        raise InputError(
            f"fdr={fdr}: expected the share of alarms that may be false, between 0 and 1, such as 0.1."
        )


def benjamini_hochberg(p: NDArray[np.float64], fdr: float) -> NDArray[np.bool_]:
    """(n,) alarms of a batch: at most a share `fdr` of them is false, on average over batches of rows and over tables.

    Parameters
    ----------
    p
        (n,) p-values of the batch, all from one table.

    Source: Benjamini, Hochberg 1995, with the correction of Storey 2002 for rows that are unlike the calibration rows: without
    it, a batch of half anomalies gets half of the `fdr`. That both hold for conformal p-values, although these share their
    calibration rows: Bates et al. 2023, arXiv:2104.08279; Marandon et al. 2024, arXiv:2208.06685.

    Examples
    --------
    >>> benjamini_hochberg(np.array([0.9, 0.001, 0.03, 0.2]), 0.1).tolist()
    [False, True, True, False]
    """
    ordered = np.sort(p)
    bar = np.minimum(fdr * np.arange(1, len(p) + 1) / max(_alike(p), 1), _ORDINARY)
    passed = np.flatnonzero(ordered <= bar)
    return p <= (ordered[passed[-1]] if len(passed) else 0.0)


def discoveries(p: NDArray[np.float64], alert: NDArray[np.bool_], fdr: float, finest: float) -> Discoveries:
    """Say what the alarms of a batch are worth.

    Parameters
    ----------
    p, alert
        (n,) p-values, and what `benjamini_hochberg` made of them.
    finest
        the smallest p-value that the calibration rows can give.
    """
    alerts, unlike = int(alert.sum()), len(p) - _alike(p)
    return Discoveries(
        fdr=fdr,
        rows=len(p),
        alerts=alerts,
        fewest=max(1, math.ceil(finest * _alike(p) / fdr - 1e-9)),
        unlike=unlike,
        power=min(1.0, (1 - fdr) * alerts / unlike) if unlike else None,
    )


def _alike(p: NDArray[np.float64]) -> int:
    """Estimate, rather too high, of the rows that are like the calibration rows. Source: Storey 2002."""
    return min(len(p), int((1 + (p > _ORDINARY).sum()) / (1 - _ORDINARY)))
