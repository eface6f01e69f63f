"""Anything at all through reader, schema and packer: whatever happens, it is an answer or one of our errors.

The fast tier draws a hundred examples; `-m slow` draws many more of the same.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import stillwatch as sw
from stillwatch.table.departures import departures
from stillwatch.table.pack import Packer, Rows
from stillwatch.table.read import open_source
from stillwatch.table.schema import Column, Schema, infer_schema
from stillwatch.table.values import Kind

KINDS: tuple[Kind, ...] = ("number", "category", "boolean", "timestamp")
# A file that is taken for cp1252 is no fault.
pytestmark = pytest.mark.filterwarnings("ignore:.*is not UTF-8:UnicodeWarning")
QUICK = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
LONG = settings(max_examples=2_000, deadline=None, suppress_health_check=list(HealthCheck))

# What a table is made of, and what comes near to it.
crumbs = st.sampled_from(
    [b"a,b\n", b"1,2\n", b'"', b"\n", b"\r", b";", b"\t", b"\0", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b"{", b"}"]  # noqa: RUF005
    + [b'{"a": 1}', b'{"a": [1]}', b"NaN", b"null", b"[", b",", b"PAR1", b"ARROW1\0\0", b"\xff\xff\xff\xff", b"\x1f\x8b"]
    + [b"2024-01-01", b"1,5", b"-", b" ", "é".encode(), b"1e400", b"x" * 300, b"sep=;\n", "sep=é\n".encode()]
)  # fmt: skip
files = st.one_of(st.binary(max_size=60), st.lists(crumbs, max_size=14).map(b"".join))
names = st.sampled_from(
    ["t.csv", "t.ndjson", "t.parquet", "t.arrow", "t.csv.gz", "t.jsonl.gz", "t", "t.json"]
)
encodings = st.sampled_from([None, None, "utf-16", "cp1252", "latin-1"])

texts = st.one_of(
    st.sampled_from(
        [
            "",
            "NA",
            "1",
            "1.5",
            "1,5",
            "-999",
            "true",
            "no",
            "2024-03-01",
            "2024-03-01T12:00Z",
            "inf",
            "\x1b[2J",
        ]
    ),
    st.text(max_size=6),
)
values = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), texts, st.binary(max_size=4), st.dates(),
    st.datetimes(), st.datetimes(timezones=st.just(dt.UTC)), st.timedeltas(), st.times(), st.decimals(),
    st.lists(st.integers(), max_size=2), st.dictionaries(st.text(max_size=2), st.integers(), max_size=2), st.just(1j),
)  # fmt: skip
columns = st.one_of(
    *[st.lists(kind, min_size=3, max_size=3) for kind in (texts, st.floats(), st.integers(), values)]
)
tables = st.dictionaries(st.text(min_size=1, max_size=4), columns, min_size=1, max_size=3)


def packed(packer: Packer, batches: list[pa.RecordBatch]) -> tuple[str, Rows]:
    try:
        return "", Rows.concat(packer.table(batch) for batch in batches)
    except sw.TableError as exc:
        return str(exc), packer.table(batches[0].slice(0, 0))


def use(data: Any, **options: Any) -> None:
    """Read, infer, pack as inferred and as anything else, compare."""
    source = open_source(data, **options)
    batches = list(source.batches(2))
    assert all(tuple(batch.schema.names) == source.names for batch in batches)
    found = []
    with contextlib.suppress(sw.StillwatchError):
        found.append(infer_schema(source))
    inferred = bool(found)
    for kind in KINDS:
        with contextlib.suppress(sw.SchemaError):
            found.append(Schema(columns=tuple(Column(name=name, kind=kind) for name in source.names)))
    for i, schema in enumerate(found):
        packer = Packer(schema)
        problem, rows = packed(packer, batches)
        # What was inferred can be packed, but for text that nobody can read: that is told, not set aside.
        assert not problem or i > 0 or not inferred or "clean text" in problem, problem
        assert "\x1b" not in problem
        assert len(problem) < 1_000
        assert len(rows) == (0 if problem else sum(batch.num_rows for batch in batches))
        assert all(isinstance(text, str) for text in rows.texts.ravel())
        departures(schema, source)


def read_bytes(folder: Path, name: str, data: bytes, encoding: str | None) -> None:
    path = folder / name
    path.write_bytes(data)
    with contextlib.suppress(sw.StillwatchError):
        use(path, encoding=encoding)


def read_values(table: dict[str, list[Any]]) -> None:
    rows = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
    with contextlib.suppress(sw.StillwatchError):
        use(rows)
    with contextlib.suppress(sw.StillwatchError):
        use(np.array([list(row.values()) for row in rows], dtype=object))
    for kind in KINDS:
        for row in rows:
            with contextlib.suppress(sw.StillwatchError):
                Packer(Schema(columns=tuple(Column(name=name, kind=kind) for name in table))).row(row)


def damage(folder: Path, at: float, flip: int, kind: str) -> None:
    table = pa.table({"a": [1.5, None, 2.0] * 9, "b": ["x", None, "y"] * 9, "c": [dt.date(2024, 1, 1)] * 27})
    path = folder / f"t.{kind}"
    if kind == "parquet":
        pq.write_table(table, path)
    else:
        with (pa.ipc.new_file if kind == "arrow" else pa.ipc.new_stream)(path, table.schema) as writer:
            writer.write_table(table)
    data = bytearray(path.read_bytes())
    data[int(at * (len(data) - 1))] ^= flip
    path.write_bytes(data)
    with contextlib.suppress(sw.StillwatchError):
        use(path)


# Whole files, of which a few places are then written over, cut out or doubled.
TABLES = {
    "t.csv": 'a,"b;",c\n1.5,x,2024-01-01\n,"y\nz",2024-01-02\n-3,é,\n'.encode(),
    "t.tsv": "a\tb\tc\n1,5\tÄrger\tyes\n2,5\t\tno\n".encode("cp1252"),
    "u.csv": "sep=;\na;b\n1,5;ß\n".encode("utf-16"),
    "t.ndjson": b'{"a": 1.5, "b": "x\\u00e9", "c": null}\n{"a": "2024-01-01T12:00Z", "d": [true]}\n',
    "t.csv.gz": gzip.compress(b"a,b\n1,x\n2,y\n", mtime=0),
}
Edit = tuple[float, bytes, int]  # where, what is put there, how much is cut behind it
edits: st.SearchStrategy[list[Edit]] = st.lists(
    st.tuples(st.floats(0, 1), st.one_of(crumbs, st.binary(max_size=3)), st.integers(0, 4)),
    min_size=1,
    max_size=4,
)


def edited(data: bytes, changes: list[Edit]) -> bytes:
    for at, put, cut in changes:
        i = int(at * len(data))
        data = data[:i] + put + data[i + cut :]
    return data


def load_anything(folder: Path, data: bytes) -> None:
    path = folder / "s.json"
    path.write_bytes(data)
    with contextlib.suppress(sw.SchemaError):
        sw.load_schema(path)


WHOLE_SCHEMA = json.dumps(
    {
        "protocol": 1,
        "notes": ["x"],
        "missing": ["", "NA"],
        "decimal": ",",
        "columns": [
            {"name": "a", "kind": "number", "role": "feature", "reason": "r", "sample": [1.5, True, "x"]},
            {"name": "é", "kind": "timestamp", "zone": "Europe/Zurich"},
            {"name": "fraud", "kind": "boolean", "role": "label"},
        ],
    },
    ensure_ascii=False,
).encode()
schema_files = st.one_of(
    files,
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5)),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(
                st.sampled_from(["protocol", "columns", "name", "kind", "role", "zone", "missing"]), inner
            ),
        ),
    ).map(lambda value: json.dumps(value).encode()),
    edits.map(lambda changes: edited(WHOLE_SCHEMA, changes)),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@QUICK
@given(name=names, data=files, encoding=encodings)
def test_files(folder: Path, name: str, data: bytes, encoding: str | None) -> None:
    read_bytes(folder, name, data, encoding)


@QUICK
@given(table=tables)
def test_values(table: dict[str, list[Any]]) -> None:
    read_values(table)


@QUICK
@given(at=st.floats(0, 1), flip=st.integers(1, 255), kind=st.sampled_from(["parquet", "arrow", "feather"]))
def test_damaged_files(folder: Path, at: float, flip: int, kind: str) -> None:
    damage(folder, at, flip, kind)


@QUICK
@given(name=st.sampled_from(sorted(TABLES)), changes=edits)
def test_edited_files(folder: Path, name: str, changes: list[Edit]) -> None:
    read_bytes(folder, name, edited(TABLES[name], changes), None)


def test_what_is_edited_is_whole(folder: Path) -> None:
    for name, data in TABLES.items():
        (folder / name).write_bytes(data)
        use(folder / name)
    (folder / "s.json").write_bytes(WHOLE_SCHEMA)
    sw.load_schema(folder / "s.json")


@QUICK
@given(data=schema_files)
def test_schema_files(folder: Path, data: bytes) -> None:
    load_anything(folder, data)


@pytest.mark.slow
@LONG
@given(name=names, data=files, encoding=encodings)
def test_many_files(folder: Path, name: str, data: bytes, encoding: str | None) -> None:
    read_bytes(folder, name, data, encoding)


@pytest.mark.slow
@LONG
@given(name=st.sampled_from(sorted(TABLES)), changes=edits)
def test_many_edited_files(folder: Path, name: str, changes: list[Edit]) -> None:
    read_bytes(folder, name, edited(TABLES[name], changes), None)


@pytest.mark.slow
@LONG
@given(data=schema_files)
def test_many_schema_files(folder: Path, data: bytes) -> None:
    load_anything(folder, data)


@pytest.mark.slow
@LONG
@given(table=tables)
def test_many_values(table: dict[str, list[Any]]) -> None:
    read_values(table)


@pytest.mark.slow
@LONG
@given(at=st.floats(0, 1), flip=st.integers(1, 255), kind=st.sampled_from(["parquet", "arrow", "feather"]))
def test_many_damaged_files(folder: Path, at: float, flip: int, kind: str) -> None:
    damage(folder, at, flip, kind)
