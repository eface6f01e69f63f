from __future__ import annotations

import gzip
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillwatch.scale import spans
from stillwatch.scale.shards import open_shard, plan
from stillwatch.scale.spans import spans_of
from stillwatch.table.files import open_file

FIELD = st.text(alphabet='ab",\n\r; ', max_size=6)


def written(field: str) -> str:
    """As in RFC 4180; what need not stand in quotes does so half of the time."""
    needed = any(sign in field for sign in ',"\n\r') or not field.strip()
    return '"' + field.replace('"', '""') + '"' if needed or len(field) % 2 else field


def read(path: Path, columns: list[str]) -> list[dict[str, object]]:
    """All rows, by the shards of a plan."""
    found = []
    for shard in plan(path):
        file, _ = open_shard(shard, columns)
        found += [row for batch in file.batches(1_000) for row in batch.to_pylist()]
    return found


@given(
    rows=st.lists(st.tuples(FIELD, FIELD), min_size=1, max_size=30),
    block=st.integers(1, 40),
    size=st.integers(1, 40),
    ending=st.sampled_from(["\n", "\r\n"]),
)
def test_rows_of_any_text_are_whole_in_their_spans(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], block: int, size: int, ending: str
) -> None:
    """Whatever stands in quotes, and wherever the blocks that are looked at end."""
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    lines = [",".join(map(written, row)) + ending for row in [("left", "right"), *rows]]
    path.write_bytes("".join(lines).encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spans, "_READ", block)
        patch.setattr("stillwatch.scale.shards.BYTES", 1 << 30)
        whole = read(path, ["left", "right"])
        patch.setattr("stillwatch.scale.shards.BYTES", size)
        assert read(path, ["left", "right"]) == whole


def test_a_large_file_is_cut(tmp_path: Path, small_shards: None) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n" + "".join(f'{i},"x\ny"\n' for i in range(2_000)))
    shards = plan(path)
    assert len(shards) == 6
    assert shards[0].span == (4, shards[1].span[0])  # type: ignore[index]
    assert [row["a"] for row in read(path, ["a"])] == [str(i) for i in range(2_000)]
    assert "(from byte " in shards[2].title


def test_ndjson_is_cut_at_any_line_feed(tmp_path: Path, small_shards: None) -> None:
    path = tmp_path / "t.ndjson"
    path.write_bytes(b"".join(msgspec.json.encode({"a": i, "b": 'it"s\n'}) + b"\n" for i in range(2_000)))
    assert len(plan(path)) > 5
    assert [row["a"] for row in read(path, ["a"])] == list(range(2_000))


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("quote.csv", b'a,b\n5" pipe,1\n' * 900),
        ("blank.csv", b"\n\na,b\n" + b"1,2\n" * 3_000),
        ("packed.csv.gz", gzip.compress(np.random.default_rng(0).bytes(20_000).hex().encode())),
        ("old.csv", b"a,b\r" + b"1,2\r" * 3_000),
        ("small.csv", b"a,b\n1,2\n"),
    ],
)
def test_what_cannot_be_told_is_left_whole(tmp_path: Path, name: str, data: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    assert spans_of(open_file(path), 4_096) == []


def test_other_encodings_are_left_whole(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n" + "1,2\n" * 3_000, encoding="utf-16")
    assert spans_of(open_file(path, encoding="utf-16"), 4_096) == []


def test_a_mark_at_the_start_belongs_to_no_row(tmp_path: Path, small_shards: None) -> None:
    path = tmp_path / "t.csv"
    path.write_text('\ufeff"a",b\n' + "1,2\n" * 3_000)
    assert pa.Table.from_pylist(read(path, ["a"])).num_rows == 3_000
    assert len(plan(path)) > 1
