from __future__ import annotations

import pytest

import stillwatch as sw
from stillwatch.calibration.budget import per_day


def test_a_budget_is_a_rate_and_back() -> None:
    rate = sw.budget_rate(50, rows_per_second=10)
    assert per_day(rate, 10) == pytest.approx(50)
    assert rate == pytest.approx(50 / 864_000)


@pytest.mark.parametrize(("alerts", "rows"), [(0, 1), (1, 0), (-1, 1), (float("nan"), 1), (1, float("inf"))])
def test_what_is_no_number_above_zero_is_refused(alerts: float, rows: float) -> None:
    with pytest.raises(sw.InputError, match="expected a number above 0"):
        sw.budget_rate(alerts, rows)


def test_more_alerts_than_rows_are_refused() -> None:
    with pytest.raises(sw.InputError, match="every row may raise an alarm"):
        sw.budget_rate(100_000, rows_per_second=1)
