from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import stillwatch as sw
from stillwatch.stream import EventScorer, Refused
from tests.stream.conftest import Records


def answers(scored: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in scored.lines]


def test_a_stream_scores_as_a_table_does(scorer: sw.Scorer, records: Records, lines: list[bytes]) -> None:
    verdict = scorer.judge(records)
    found = answers(EventScorer(scorer).score(lines))
    np.testing.assert_array_equal(np.float32([row["score"] for row in found]), verdict.score)
    np.testing.assert_array_equal(
        np.float32([row["p_value"] for row in found]), verdict.p_value.astype(np.float32)
    )
    assert [row["alert"] for row in found] == verdict.alert.tolist()
    assert [row["id"] for row in found] == [record["id"] for record in records]


@pytest.mark.parametrize("size", [1, 7, 500])
def test_batches_do_not_matter(scorer: sw.Scorer, lines: list[bytes], size: int) -> None:
    events = EventScorer(scorer)
    whole = events.score(lines).lines
    assert [
        line for i in range(0, len(lines), size) for line in events.score(lines[i : i + size]).lines
    ] == whole


ODD: list[dict[str, Any]] = [
    {"amount": None},
    {"amount": "12.5"},
    {"amount": True},
    {"amount": "NA", "member": "yes"},
    {"member": "no", "city": None},
    {"city": True},
    {"city": " Bern "},
    {"city": "Oz"},
    {"city": 443.0, "shop": 7},
    {"stamp": 2**70},
    {"extra": {"nested": ["12:30", 1]}, "note": "a: b"},
    {"version": 1},
]


@pytest.mark.parametrize("size", [1, len(ODD)])
def test_a_value_means_what_it_means_in_a_row(scorer: sw.Scorer, records: Records, size: int) -> None:
    events, odd = EventScorer(scorer), [records[0] | change for change in ODD]
    lines = [json.dumps(record).encode() for record in odd]
    found = [row for i in range(0, len(lines), size) for row in answers(events.score(lines[i : i + size]))]
    alone = [scorer.score([{k: v for k, v in record.items() if k != "extra"}])[0] for record in odd]
    np.testing.assert_array_equal(np.float32([row["score"] for row in found]), alone)


BAD: list[tuple[bytes, str]] = [
    (b"nonsense", "is not JSON"),
    (b'{"amount": 1', "ends too early"),
    (b"[1]", "is no JSON object. Write the items"),
    (b"[" * 100_000, "nested too deeply"),
    (b'{"amount": NaN}', "a bare NaN"),
    (b'{"amount": 1e400}', "beyond the range"),
    (b'{"a": "\xff"}', "is not UTF-8"),
    (b'{"id": 1, "amount": 2, "amount": 3}', "key 'amount' more than once"),
    (b'{"id": 1, "x": "a:b", "amount": 2, "amount" : 3}', "key 'amount' more than once"),
    (b'{"id": 1}', "column 'amount' is missing"),
    (b'{"amount": 1}', "key column 'id' is missing"),
    (b'{"a": 1}{"a": 2}', "is not JSON"),
]


@pytest.mark.parametrize(("line", "reason"), BAD)
def test_a_bad_line_is_refused_and_touches_no_other(
    scorer: sw.Scorer, lines: list[bytes], line: bytes, reason: str
) -> None:
    events = EventScorer(scorer)
    scored = events.score([*lines[:3], line, b"", *lines[3:5]], first=11)
    assert scored.lines == events.score(lines[:5]).lines
    assert scored.places == [0, 1, 2, 5, 6]
    ((at, said),) = scored.refused
    assert at == 3
    assert reason in said


def test_a_line_that_is_two_and_one_that_is_none_are_not_taken_for_two(
    scorer: sw.Scorer, lines: list[bytes]
) -> None:
    """The decoder reads values, whatever lines they stand on."""
    scored = EventScorer(scorer).score([lines[0] + lines[1], b"", lines[2]])
    assert scored.places == [2]
    assert [refused.at for refused in scored.refused] == [0]
    half = lines[0][:-1]
    scored = EventScorer(scorer).score([half, b"}", lines[1] + lines[2]])
    assert scored.places == []


def test_a_wrong_value_is_refused_without_being_told(scorer: sw.Scorer, records: Records) -> None:
    wrong = [
        records[0] | {"amount": "secret"},
        records[1],
        records[2] | {"city": ["secret"]},
        records[3] | {"shop": "secret\0"},
    ]
    scored = EventScorer(scorer).score([json.dumps(record).encode() for record in wrong])
    assert scored.places == [1]
    assert [refused.at for refused in scored.refused] == [0, 2, 3]
    assert "column 'amount': a value is not a number" in scored.refused[0].reason
    assert "secret" not in str(scored.refused)


def test_what_is_absent_is_an_error_or_missing(scorer: sw.Scorer, records: Records) -> None:
    some = {name: value for name, value in records[0].items() if name != "amount"}
    line = json.dumps(some).encode()
    assert EventScorer(scorer).score([line]).lines == []
    (found,) = answers(EventScorer(scorer, absent_is_missing=True).score([line]))
    assert np.float32(found["score"]) == scorer.score([some | {"amount": None}])[0]


def test_csv(scorer: sw.Scorer, records: Records) -> None:
    header = list(records[0])
    lines = [",".join(map(str, record.values())).encode() for record in records[:50]]
    events = EventScorer(scorer, header=header)
    found = answers(events.score(lines))
    np.testing.assert_array_equal(np.float32([row["score"] for row in found]), scorer.score(records[:50]))
    scored = events.score([lines[0], b"1,2", b'"' + lines[1], lines[2] + b"\r"])
    assert scored.places == [0, 3]
    assert "has 2 fields, the header has" in scored.refused[0].reason


def test_a_header_is_checked(scorer: sw.Scorer) -> None:
    with pytest.raises(sw.SchemaError, match="'amount' is missing"):
        EventScorer(scorer, header=["id", "age"])
    with pytest.raises(sw.SchemaError, match="more than once"):
        EventScorer(scorer, header=["id", "amount", "amount"])


def test_a_rate_that_is_too_fine_is_told_before_any_event(scorer: sw.Scorer) -> None:
    with pytest.raises(sw.CalibrationError):
        EventScorer(scorer, rate=1e-9)


def test_without_key_columns_answers_have_the_number_of_the_line(
    distilled: sw.Distillation, lines: list[bytes]
) -> None:
    scored = EventScorer(distilled.scorer).score([b"bad", *lines[:2]], first=5)
    assert [row["line"] for row in answers(scored)] == [6, 7]
    assert scored.refused == [Refused(0, scored.refused[0].reason)]
