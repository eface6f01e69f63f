from __future__ import annotations

import io
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from stillwatch.serve.limits import Limits
from tests.serve.bodies import arrow
from tests.serve.conftest import Ask

ARROW = "/v2/models/mixed/arrow"


def changed(rows: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return rows.set_column(rows.column_names.index(name), name, values)


@pytest.mark.parametrize("codec", ["zstd", "lz4"])
def test_row_11_compressed_buffers_are_refused_before_they_are_unfolded(ask: Ask, codec: str) -> None:
    bomb = pa.table({"amount": np.zeros(4_000_000)})
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, bomb.schema, options=pa.ipc.IpcWriteOptions(compression=codec)) as stream:
        stream.write_table(bomb)
    assert len(sink.getvalue()) < 1 << 18
    before = pa.total_allocated_bytes()
    answer = ask("POST", ARROW, content=sink.getvalue())
    assert answer.status_code == 400
    assert "compressed" in answer.json()["error"]
    assert pa.total_allocated_bytes() <= before + (1 << 20)


def test_compressed_dictionaries_are_refused(ask: Ask, rows: pa.Table) -> None:
    words = pa.DictionaryArray.from_arrays(pa.array([0] * len(rows)), pa.array(["a" * 5_000]))
    answer = ask("POST", ARROW, content=arrow(changed(rows, "city", words), compression="zstd"))
    assert answer.status_code == 400
    assert "compressed" in answer.json()["error"]


def test_dictionaries_are_read_and_their_bombs_refused(make_ask: Any, rows: pa.Table) -> None:
    ask = make_ask(limits=Limits(decoded_bytes=1 << 20))
    fine = changed(rows, "city", rows.column("city").combine_chunks().dictionary_encode())
    assert ask("POST", ARROW, content=arrow(fine)).status_code == 200
    bomb = pa.DictionaryArray.from_arrays(pa.array([0] * len(rows)), pa.array(["a" * 9_000]))
    answer = ask("POST", ARROW, content=arrow(changed(rows, "city", bomb)))
    assert answer.status_code == 413
    assert "unfolds" in answer.json()["error"]


def test_types_that_hide_their_size_are_refused_and_others_are_ignored(ask: Ask, rows: pa.Table) -> None:
    runs = pa.RunEndEncodedArray.from_arrays([len(rows)], ["Bern"])
    answer = ask("POST", ARROW, content=arrow(changed(rows, "city", runs)))
    assert answer.status_code == 400
    assert "column 'city'" in answer.json()["error"]
    extra = rows.append_column("note", pa.array([[1, 2]] * len(rows)))
    assert ask("POST", ARROW, content=arrow(extra)).status_code == 200


@pytest.mark.parametrize("cut", [1, 7, 100, 1_000])
def test_a_cut_stream_is_refused(ask: Ask, rows: pa.Table, cut: int) -> None:
    whole = arrow(rows)
    for body in (whole[:cut], whole[: len(whole) // 2]):
        answer = ask("POST", ARROW, content=body)
        assert answer.status_code == 400
        assert "Arrow IPC stream" in answer.json()["error"]


def test_no_byte_of_a_stream_can_take_the_service_down(
    ask: Ask, rows: pa.Table, rng: np.random.Generator
) -> None:
    whole = arrow(rows.slice(0, 20))
    for _ in range(150):
        damaged = bytearray(whole)
        damaged[rng.integers(len(whole))] ^= 1 << int(rng.integers(8))
        assert ask("POST", ARROW, content=bytes(damaged)).status_code in {200, 400, 413}
