from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import stillwatch as sw
from stillwatch.errors import InputError
from stillwatch.serve.batch import Judged, Part
from stillwatch.serve.limits import Limits
from stillwatch.serve.models import open_model
from stillwatch.serve.watch import feedback as module
from stillwatch.serve.watch.feedback import FeedbackFolder
from stillwatch.serve.watch.recent import MOST_ALERTS, Recent
from stillwatch.serve.wire import dataframe
from stillwatch.serve.wire.asked import Head
from stillwatch.table.rows import Rows
from tests.serve.bodies import DATATYPES, arrow, csv, ndjson
from tests.serve.conftest import Ask

Events = list[dict[str, Any]]


def call(ask: Ask, rows: Events) -> None:
    assert ask("POST", "/invocations", json={"dataframe_records": rows}).status_code == 200


def alerts(ask: Ask) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ask("GET", "/watch/data").json()["models"][0]["alerts"]
    return found


def say(ask: Ask, alert: dict[str, Any], known: int | None) -> Any:
    return ask("POST", "/watch/feedback", json={"alert": alert["id"], "known": known})


def lines(feedback: Path, name: str = "payments") -> Events:
    file = feedback / f"{name}.ndjson"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_what_is_confirmed_teaches_the_next_model(watch: Ask, events: Events, feedback: Path) -> None:
    call(watch, [events[0] | {"payment_id": "=cmd()"}, events[1], events[0]])
    found = alerts(watch)
    assert [alert["key"] for alert in found][:2] == [["n0"], ["=cmd()"]]
    assert found[0]["reasons"][0]["column"] == "amount"
    assert say(watch, found[0], 1).json() == {"noted": True}
    assert say(watch, found[1], 0).status_code == 200
    assert [alert["known"] for alert in alerts(watch)][:2] == [1, 0]
    rows = pa.Table.from_pylist([*events, events[0] | {"payment_id": "=cmd()"}])
    joined = sw.join_feedback(rows, feedback / "payments.ndjson", key="payment_id")
    assert (joined.matched, joined.unmatched) == (2, 0)
    assert (joined.known[0], joined.known[-1]) == (1, 0)
    assert np.isnan(joined.known[1:-1]).all()


def test_a_word_can_be_changed_and_taken_back(watch: Ask, events: Events, feedback: Path) -> None:
    call(watch, [events[0]])
    (alert,) = alerts(watch)
    for known in (1, 0, 0, 1):
        assert say(watch, alert, known).status_code == 200
        assert [line["known"] for line in lines(feedback)] == [known]
    assert say(watch, alert, None).status_code == 200
    assert lines(feedback) == []
    assert alerts(watch)[0]["known"] is None
    assert say(watch, alert, None).status_code == 200


def test_a_key_speaks_for_all_of_its_rows(watch: Ask, events: Events, feedback: Path) -> None:
    call(watch, [events[0]])
    call(watch, [events[0]])
    say(watch, alerts(watch)[0], 1)
    assert [alert["known"] for alert in alerts(watch)] == [1, 1]
    say(watch, alerts(watch)[1], 0)
    assert [line["known"] for line in lines(feedback)] == [0]


@pytest.mark.parametrize("given", [None, "", float("nan"), "x" * 5_000])
def test_without_a_key_nothing_is_noted(watch: Ask, events: Events, feedback: Path, given: Any) -> None:
    row = events[0] | {"payment_id": given}
    content = json.dumps({"dataframe_records": [row]}).replace("NaN", "null").encode()
    watch("POST", "/invocations", content=content, headers={"content-type": "application/json"})
    (alert,) = alerts(watch)
    assert "payment_id" in alert["why_not"]
    answer = say(watch, alert, 1)
    assert answer.status_code == 409
    assert "payment_id" in answer.json()["error"]
    assert lines(feedback) == []


def test_a_model_without_a_key_names_request_and_row(
    make_ask: Any, model: Path, feedback: Path, events: Events
) -> None:
    ask = make_ask(folders=[model], feedback=FeedbackFolder(feedback))
    body = {"dataframe_records": [events[1], events[0]]}
    ask("POST", "/invocations", json=body, headers={"x-request-id": "r.1"})
    found = alerts(ask)[0]
    assert say(ask, found, 1).status_code == 200
    (line,) = lines(feedback, "mixed")
    assert (line["request_id"], line["row"], line["known"]) == ("r.1", 2, 1)
    joined = sw.join_feedback(
        [{"request_id": "r.1", "row": i} for i in (1, 2)],
        feedback / "mixed.ndjson",
        key=["request_id", "row"],
    )
    assert joined.known[1] == 1


def test_every_way_in_brings_its_keys(watch: Ask, events: Events, feedback: Path) -> None:
    """The far row stands second, so that a key of the wrong row would be seen."""
    pair = [events[1], events[0] | {"payment_id": "far"}]
    table = pa.Table.from_pylist(pair)
    columns = {name: table.column(name).to_pylist() for name in table.column_names}
    base = "/v2/models/payments"
    tensors = [
        {"name": name, "shape": [2], "datatype": DATATYPES.get(name, "BYTES" if name == "payment_id" else "FP64"), "data": data}
        for name, data in columns.items()
    ]  # fmt: skip
    split = {"columns": list(columns), "data": [list(row) for row in zip(*columns.values(), strict=True)]}
    media = {"content-type": ""}
    ways: list[tuple[str, dict[str, Any]]] = [
        (f"{base}/infer", {"json": {"inputs": tensors}}),
        ("/invocations", {"json": {"dataframe_split": split}}),
        ("/invocations", {"json": {"dataframe_records": pair}}),
        ("/invocations", {"json": {"inputs": columns}}),
        (f"{base}/ndjson", {"content": ndjson(table)}),
        ("/invocations", {"content": csv(table), "headers": media | {"content-type": "text/csv"}}),
        (f"{base}/arrow", {"content": arrow(table)}),
        (f"{base}/infer", {"json": {"inputs": [t | {"shape": [1], "data": t["data"][1:]} for t in tensors]}}),
        ("/invocations", {"json": {"dataframe_split": split | {"data": split["data"][1:]}}}),
    ]
    for number, (path, options) in enumerate(ways, start=1):
        answer = watch("POST", path, **options)
        assert answer.status_code == 200, answer.text
        newest = alerts(watch)[0]
        assert newest["key"] == ["far"], path
        assert newest["row"] == (2 if number < 8 else 1)
    assert len([alert for alert in alerts(watch) if alert["key"] == ["far"]]) == len(ways)


def test_alarms_are_bounded_and_the_strongest_of_a_call_stay(watch: Ask, events: Events) -> None:
    far = [events[0] | {"payment_id": f"f{i}", "amount": 1e6 * (1 + i)} for i in range(300)]
    call(watch, far)
    assert [alert["key"] for alert in alerts(watch)] == [[f"f{i}"] for i in range(299, 291, -1)]
    for i in range(80):
        call(watch, [far[i]])
    found = watch("GET", "/watch/data").json()["models"][0]
    assert len(found["alerts"]) == MOST_ALERTS
    assert sum(step["alerts"] for step in found["series"]) == 380


def test_what_cannot_be_noted_is_said(watch: Ask, events: Events, feedback: Path, monkeypatch: Any) -> None:
    call(watch, [events[0]])
    (alert,) = alerts(watch)
    for body in (b"", b"{}", b"[]", b'{"alert": 1, "known": 1}', json.dumps({"alert": alert["id"], "known": 2}).encode(),
                 b"[" * 100_000, json.dumps({"alert": alert["id"], "known": 1, "file": "../x"}).encode()):  # fmt: skip
        assert watch("POST", "/watch/feedback", content=body).status_code == 400
    assert say(watch, {"id": "another"}, 1).status_code == 404
    file = feedback / "payments.ndjson"
    file.write_text('{"payment_id": "n0", "known": 1}\n{"paym')
    answer = say(watch, alert, 0)
    assert answer.status_code == 409
    assert "Mend it" in answer.json()["error"]
    assert file.read_text().endswith('{"paym')
    file.write_text('{"payment_id": "other", "known": 1}\n')
    monkeypatch.setattr(module, "MOST_LINES", 1)
    assert say(watch, alert, 1).status_code == 409
    assert [line["payment_id"] for line in lines(feedback)] == ["other"]
    monkeypatch.undo()
    monkeypatch.setattr(module, "write_whole", lambda *_, **__: (_ for _ in ()).throw(OSError(28, "full")))
    assert say(watch, alert, 1).status_code == 503
    assert alerts(watch)[0]["known"] is None


def test_a_folder_that_cannot_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be made"):
        FeedbackFolder(tmp_path / "file")
    if os.getuid():
        (tmp_path / "closed").mkdir(mode=0o500)
        with pytest.raises(InputError, match="cannot be written to"):
            FeedbackFolder(tmp_path / "closed")


def test_of_requests_that_were_scored_together_each_alarm_names_its_own(
    payments: Path, events: Events
) -> None:
    model = open_model(payments)
    plain, far = events[1], events[0] | {"payment_id": "far"}
    parts, packed = [], []
    for start, rows in ((0, [plain, plain]), (2, [plain, far]), (4, [plain])):
        body = json.dumps({"dataframe_records": rows}).encode()
        asked = dataframe.read(body, Head(), model, Limits())
        parts.append(Part(asked, f"r{start}", start))
        packed.append(asked.rows)
    together = Rows.concat(packed)
    recent = Recent()
    recent.judged(Judged(model, together, model.scorer.judge_packed(together), parts))
    (alert,) = recent.alerts("payments")
    assert (alert.request_id, alert.row, alert.key) == ("r2", 2, ("far",))
    assert alert.explain()[0].column == "amount"
