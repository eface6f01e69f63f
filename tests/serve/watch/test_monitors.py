from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from stillwatch.serve.models import Models, open_model
from stillwatch.serve.watch import monitors
from stillwatch.serve.watch.monitors import BLOCK, Monitors, Sample
from tests.serve.bodies import inference
from tests.serve.conftest import Ask
from tests.serve.test_metrics import samples
from tests.serve.watch.conftest import shifted
from tests.tables import mixed_table


def of(ask: Ask, name: str, **labels: str) -> float:
    found = samples(ask("GET", "/metrics").text)
    return found[f"stillwatch_{name}", tuple(sorted({"model": "payments", **labels}.items()))]


def send(ask: Ask, rows: list[dict[str, Any]]) -> None:
    """One by one, as they come in life: all of them are looked at."""
    for row in rows:
        assert ask("POST", "/invocations", json={"dataframe_records": [row]}).status_code == 200


@pytest.mark.parametrize("rows", [0, 1, 2, 40, 64, 1_000])
def test_one_row_and_a_small_part_of_the_others_are_looked_at(
    payments: Path, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitors, "_PACE", 10**9)
    model = open_model(payments)
    sample, threads = Sample(model), ThreadPoolExecutor(1)
    packed = next(model.scorer.pack(mixed_table(1_000).slice(0, rows))) if rows else None
    packed = next(model.scorer.pack(mixed_table(1))).take(slice(0, 0)) if packed is None else packed
    verdict = model.scorer.judge_packed(packed)
    for _ in range(300):
        sample.add(packed, verdict, threads)
        sample._looks = []  # no backlog, however slow the machine is
    asyncio.run(sample.refresh(threads))
    most = 64 + 300 * (1 + rows // 128)
    assert min(300 * rows, most - 64) <= sample.watched.rows <= most


def test_calls_are_passed_over_where_rows_come_too_fast(
    payments: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(monotonic=lambda: 0.0, time=time.time)
    monkeypatch.setattr(monitors, "time", clock)
    model = open_model(payments)
    sample, threads = Sample(model), ThreadPoolExecutor(1)
    packed = next(model.scorer.pack(mixed_table(1)))
    verdict = model.scorer.judge_packed(packed)

    def looked_at(calls: int, seconds: float) -> int:
        before, began = sample.watched.rows, clock.monotonic()
        for call in range(calls):
            clock.monotonic = lambda now=began + seconds * (call + 1) / calls: now
            sample.add(packed, verdict, threads)
            sample._looks = []
        threads.submit(sample._compare, sample._taken()).result()
        return sample.watched.rows - before

    assert looked_at(1_024, seconds=0.1) == 1_024  # before it is known how fast they come
    assert 800 < looked_at(10_000, seconds=1.0) < 1_300
    looked_at(10_000, seconds=100.0)
    assert looked_at(500, seconds=5.0) == 500


def test_rows_like_those_that_were_learnt_have_not_drifted(watch: Ask, events: list[dict[str, Any]]) -> None:
    send(watch, events[1:])
    assert of(watch, "watched_rows_total") == of(watch, "drift_rows") == 299
    for what in ("columns", "score", "alert_rate"):
        assert of(watch, "drifted", what=what) == 0
    assert of(watch, "score_change_alarm") == 0
    assert of(watch, "alert_rate_promised") == 0.01


def test_drift_shows_in_the_metrics(watch: Ask, events: list[dict[str, Any]]) -> None:
    send(watch, shifted(events[1:], 40))
    assert of(watch, "drifted", what="columns") == 1
    assert of(watch, "column_drift_psi", column="amount") > 0.25
    assert of(watch, "drifted", what="score") == 1
    assert of(watch, "drifted", what="alert_rate") == 1
    assert of(watch, "alert_rate") > 0.05
    assert of(watch, "score_change_alarm") == 1


def test_the_comparison_is_of_the_last_rows(payments: Path) -> None:
    """What was odd long ago has left it; the number of rows looked at has not."""
    model = open_model(payments)
    sample, threads = Sample(model), ThreadPoolExecutor(1)
    odd = model.packer.table(mixed_table(BLOCK).set_column(0, "amount", [np.full(BLOCK, 1e6)]))
    plain = model.packer.table(mixed_table(3 * BLOCK, seed=4))
    for rows in (odd, plain):
        for start in range(0, len(rows), 2):
            pair = rows.take(slice(start, start + 2))
            verdict = model.scorer.judge_packed(pair)
            sample._waiting.append((pair, verdict.score, verdict.alert))
            if len(sample._waiting) == 128:
                sample._look(sample._taken())
    asyncio.run(sample.refresh(threads))
    assert sample.watched.rows == 4 * BLOCK
    assert sample.watched.drift is not None
    assert sample.watched.drift.rows == 2 * BLOCK
    assert "amount" not in sample.watched.drift.drifted


def test_an_approximate_calibration_is_not_watched_by_score(ask: Ask) -> None:
    tensor = {"name": "rows", "shape": [2, 5], "datatype": "FP32", "data": [0.0] * 10}
    assert ask("POST", "/v2/models/numbers/infer", json={"inputs": [tensor]}).status_code == 200
    found = samples(ask("GET", "/metrics").text)
    assert found["stillwatch_watched_rows_total", (("model", "numbers"),)] == 2
    assert ("stillwatch_score_change_alarm", (("model", "numbers"),)) not in found
    assert ("stillwatch_score_change_alarm", (("model", "mixed"),)) in found


def test_a_swapped_model_is_watched_anew_and_the_old_one_no_more(payments: Path) -> None:
    from stillwatch.serve.batch import Judged

    old, new = open_model(payments), open_model(payments)
    models = Models([old])
    monitors = Monitors(models)
    rows = old.packer.table(mixed_table(2))
    for model in (old, new):
        monitors.judged(Judged(model, rows, model.scorer.judge_packed(rows), []))
    models.swap(new)
    for model in (old, new):
        monitors.judged(Judged(model, rows, model.scorer.judge_packed(rows), []))
    asyncio.run(monitors.refresh())
    assert monitors.of(new).rows == 2


def test_nothing_that_goes_wrong_with_it_reaches_a_client(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, rows: Any
) -> None:
    said: list[tuple[str, dict[str, Any]]] = []
    service = ask.service  # type: ignore[attr-defined]
    monkeypatch.setattr(service.log, "write", lambda event, **fields: said.append((event, fields)))
    monkeypatch.setattr(service.monitors, "judged", lambda judged: 1 / 0)
    monkeypatch.setattr(service.monitors, "refresh", lambda: 1 / 0)
    assert ask("POST", "/v2/models/mixed/infer", json=inference(rows)).status_code == 200
    assert "stillwatch_rows_scored_total" in ask("GET", "/metrics").text
    assert [fields["error"].split(" ")[0] for event, fields in said if event == "watch"] == [
        "ZeroDivisionError"
    ] * 2
