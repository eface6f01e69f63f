"""From what people can look at in a day to an alert rate."""

from __future__ import annotations

from stillwatch.errors import InputError

_SECONDS = 86_400  # of a day


def budget_rate(alerts_per_day: float, rows_per_second: float) -> float:
    """The alert rate that gives at most so many false alarms a day.

    Parameters
    ----------
    alerts_per_day
        alarms on normal rows that can be looked into; those on anomalies come on top.
    rows_per_second
        how many rows come, on average over the day.

    Returns
    -------
    Share of normal rows that may raise an alarm, for `judge(rate=)`. It holds for the mean of many days: the alarms of one day
    scatter around it.

    Raises
    ------
    InputError
        a number is not above zero, or every row may raise an alarm.

    Examples
    --------
    >>> round(budget_rate(20, rows_per_second=3), 8)
    7.716e-05
    """
    for name, value in (("alerts_per_day", alerts_per_day), ("rows_per_second", rows_per_second)):
        if not 0 < value < float("inf"):
            raise InputError(f"{name}={value}: expected a number above 0.")
    rate = alerts_per_day / (rows_per_second * _SECONDS)
    if rate >= 1:
        raise InputError(
            f"{alerts_per_day:g} alerts a day came, of {rows_per_second * _SECONDS:,.0f} rows a day: every row may raise "
            "an alarm. Expected fewer alerts than rows."
        )
    return rate


def per_day(share: float, rows_per_second: float) -> float:
    """Rows a day, of a share of all rows.

    Examples
    --------
    >>> per_day(0.001, rows_per_second=3)
    259.2
    """
    return share * rows_per_second * _SECONDS
