"""What calibration rows that hold anomalies do to the false-alarm rate.

Of calibration rows that are a uniform sample of all rows, a share c may be anomalies. Promised is then that normal rows alarm
at a rate of at most rate / (1 - c): that is reached where anomalies score below every normal row. Where they score above,
as they should, the real rate is lower than the rate that was asked.
"""

from __future__ import annotations

# Of the rate that was asked, what normal rows alarm at where calibration rows hold 1 to 20 % of anomalies: the median over 20
# tables lies between 0.6 and 0.9. No shape of the scores told tables apart (docs/decisions/004-contamination.md).
_TYPICAL = 2 / 3


def estimated_rate(rate: float) -> float:
    """Estimate of the share of normal rows that alarm, where a share `rate` of calibration rows does, some of them anomalies.

    Parameters
    ----------
    rate
        alert rate that was asked.

    Returns
    -------
    A typical value, the same for every table: mostly right within a factor of 2, too high where anomalies stand well
    apart. It is no promise.
    """
    return _TYPICAL * rate
