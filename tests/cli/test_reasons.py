from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq

import stillwatch as sw
from tests.cli.conftest import Run
from tests.cli.test_score import columns_of


def test_alerts_get_reasons_in_every_format(invoke: Run, keyed: Path, fresh: Path, tmp_path: Path) -> None:
    rate = ("--alert-rate", "0.05", "--reasons")
    found = columns_of(invoke("score", keyed, fresh, *rate).out)
    assert list(found) == ["payment id", "score", "p_value", "alert", "reasons"]
    assert "true" in found["alert"]
    assert [bool(text) for text in found["reasons"]] == [alert == "true" for alert in found["alert"]]
    invoke("score", keyed, fresh, *rate, "-o", tmp_path / "s.parquet")
    assert [text or "" for text in pq.read_table(tmp_path / "s.parquet")["reasons"].to_pylist()] == found[
        "reasons"
    ]

    row = found["alert"].index("true")
    reasons = json.loads(found["reasons"][row])
    assert [set(reason) for reason in reasons] == [{"column", "effect", "value", "normal"}] * 3
    expected = sw.load(keyed).explain(fresh)[row]
    assert [reason["column"] for reason in reasons] == [reason.column for reason in expected]


def test_without_alerts_the_column_is_empty(invoke: Run, keyed: Path, fresh: Path) -> None:
    done = invoke("score", keyed, fresh, "--fdr", "0.0001", "--reasons")
    assert done.code == 0, done.err
    assert set(columns_of(done.out)["reasons"]) == {""}
