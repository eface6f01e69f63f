from __future__ import annotations

import msgspec
import pytest

from stillwatch import evaluation as ev
from stillwatch.evaluation.dial import dial

from .sample import sample_report


def test_a_day_adds_up() -> None:
    found = dial(sample_report(rows=4_000))
    assert found is not None
    assert found.share is not None
    outcome = found.outcome
    assert outcome.right is not None
    assert outcome.missed is not None
    assert found.now.rate == 0.01
    assert outcome.right + outcome.missed == pytest.approx(found.rows_a_day * found.share)
    assert outcome.alarms == pytest.approx(outcome.right + outcome.false)
    assert outcome.precision == pytest.approx(found.now.precision, abs=0.01)  # at the share that was measured
    assert len(found.stops) > 20
    rates = [line.rate for line in found.stops]
    assert rates == sorted(set(rates))


def test_without_labels_only_the_promise_is_known() -> None:
    found = dial(sample_report(labels=False, rows=4_000))
    assert found is not None
    assert found.share is None
    assert found.outcome.false == pytest.approx(0.01 * 172_800)
    assert found.outcome.right is None


def test_reports_of_older_models_still_have_one() -> None:
    report = sample_report(rows=4_000)
    old = tuple(msgspec.structs.replace(line, false_rate=None) for line in report.budget)
    found = dial(msgspec.structs.replace(report, budget=old))
    assert found is not None
    assert found.share is None
    assert "at most" in ev.render_html(msgspec.structs.replace(report, budget=old))


def test_nothing_to_turn_where_there_is_one_rate_or_none() -> None:
    report = sample_report(rows=4_000)
    assert dial(ev.Report()) is None
    assert dial(msgspec.structs.replace(report, budget=report.budget[:1])) is None
