from __future__ import annotations

import re
from typing import Any

import numpy as np
import pyarrow as pa
from prometheus_client.parser import text_string_to_metric_families

import stillwatch as sw
from stillwatch.scorer import Counts, Verdict
from stillwatch.serve.limits import Limits
from stillwatch.serve.metrics import Metrics
from tests.serve.bodies import inference
from tests.serve.conftest import Ask

NAMES = {
    "stillwatch_requests", "stillwatch_request_duration_seconds", "stillwatch_rows_scored", "stillwatch_alerts",
    "stillwatch_queue_depth", "stillwatch_inflight_requests", "stillwatch_held_bytes", "stillwatch_rejected",
    "stillwatch_score", "stillwatch_missing_values", "stillwatch_unseen_category", "stillwatch_ignored_columns",
    "stillwatch_model_info", "stillwatch_model_reload", "stillwatch_watched_rows", "stillwatch_drift_rows",
    "stillwatch_alert_rate", "stillwatch_alert_rate_promised", "stillwatch_drifted", "stillwatch_column_drift_psi",
    "stillwatch_score_change_evidence", "stillwatch_score_change_alarm",
}  # fmt: skip


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_what_is_counted(ask: Ask, scorer: sw.Scorer, rows: pa.Table) -> None:
    inputs = inference(rows)
    inputs["inputs"].append(
        {"name": "note", "shape": [len(rows)], "datatype": "BYTES", "data": ["x"] * len(rows)}
    )
    inputs["inputs"][4]["data"][0] = "Atlantis"
    assert ask("POST", "/v2/models/mixed/infer", json=inputs).status_code == 200
    assert ask("POST", "/v2/models/mixed/infer", content=b"{").status_code == 400
    assert ask("POST", "/invocations", content=b"x", headers={"content-type": "text/csv"}).status_code == 404
    answer = ask("GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    found = samples(answer.text)
    assert {family.name for family in text_string_to_metric_families(answer.text)} == NAMES
    model = ("model", "mixed")
    verdict = scorer.judge(rows)
    assert found["stillwatch_requests_total", (("code", "200"), model)] == 1
    assert found["stillwatch_requests_total", (("code", "400"), model)] == 1
    assert found["stillwatch_rows_scored_total", (model,)] == len(rows)
    assert (
        found["stillwatch_missing_values_total", (("column", "age"), model)] == verdict.counts.missing["age"]
    )
    assert found["stillwatch_unseen_category_total", (("column", "city"), model)] == 1
    assert found["stillwatch_ignored_columns_total", (model,)] == 1
    assert found["stillwatch_score_bucket", (("le", "+Inf"), model)] == len(rows)
    assert found["stillwatch_rejected_total", (("reason", "input"),)] == 1
    assert found["stillwatch_rejected_total", (("reason", "unknown"),)] == 1
    digest = ask("GET", "/v2/models/mixed").json()["parameters"]["digest"]
    info = next(
        dict(labels)
        for name, labels in found
        if name == "stillwatch_model_info" and dict(labels)["model"] == "mixed"
    )
    assert (info["sha256"], info["version"]) == (digest, digest[:12])


def test_histograms_count_as_prometheus_does(ask: Ask, rows: pa.Table, scorer: sw.Scorer) -> None:
    ask("POST", "/v2/models/mixed/infer", json=inference(rows))
    found = samples(ask("GET", "/metrics").text)
    scores = scorer.score(rows)
    for (name, labels), value in found.items():
        if name == "stillwatch_score_bucket" and dict(labels)["le"] != "+Inf":
            assert value == (scores <= float(dict(labels)["le"])).sum(), labels


def test_row_29_labels_do_not_grow_and_stay_in_their_place(make_ask: Any) -> None:
    ask = make_ask(limits=Limits())
    service = ask.service
    metrics: Metrics = service.metrics
    model = service.models.get("mixed")
    names = [f'evil"\n\x1b[31m{i}' + "x" * 10_000 for i in range(500)]
    counts = Counts(1, dict.fromkeys(names, 1), {}, ())
    one = np.ones(1)
    metrics.judged(model, Verdict(one.astype(np.float32), one, one > 2, one > 2, counts))
    text = metrics.exposition().decode()
    lines = [line for line in text.splitlines() if line.startswith("stillwatch_missing_values_total{")]
    assert len(lines) <= 201
    assert all(len(line) < 300 for line in lines)
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", text)
    assert (
        sum(value for (name, _), value in samples(text).items() if name == "stillwatch_missing_values_total")
        == 500
    )
