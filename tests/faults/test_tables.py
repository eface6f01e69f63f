"""FAULTS.md rows 3, 6, 23, 27, 29 and 30: bad tables through files, Python and the command line."""

from __future__ import annotations

import csv
import gzip
import json
import os
import subprocess
import sys
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import stillwatch as sw
from stillwatch.cli.main import app
from stillwatch.table.pack import Packer
from stillwatch.table.schema import Column, Schema

PROGRAM = Path(sys.executable).with_name("stillwatch")
NUMBER = Packer(Schema(columns=(Column(name="a", kind="number"),)))
TEXT = Packer(Schema(columns=(Column(name="a", kind="category"),)))


def through_a_file(folder: Path, line: str) -> pa.RecordBatch:
    path = folder / "t.ndjson"
    path.write_text(line + "\n")
    return next(sw.open_source(path).batches())


def command(*arguments: Any) -> Any:
    return CliRunner().invoke(app, [str(a) for a in arguments], prog_name="stillwatch")


# Row 3: one rule for each odd number, whatever door


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ('{"a": -0}', 0.0),
        ('{"a": -0.0}', 0.0),
        ('{"a": 9223372036854775808}', 2.0**63),
        ('{"a": 1' + "0" * 400 + "}", np.inf),
        ('{"a": true}', 1.0),
        ('{"a": null}', np.nan),
        ('{"a": "1e400"}', np.inf),
        ('{"a": "NaN"}', np.nan),
    ],
)
def test_odd_numbers_mean_one_thing(tmp_path: Path, line: str, value: float) -> None:
    batch = through_a_file(tmp_path, line)
    np.testing.assert_array_equal(NUMBER.table(batch).numbers, [[value]])
    np.testing.assert_array_equal(NUMBER.row(json.loads(line)).numbers, [[value]])


@pytest.mark.parametrize("token", ["NaN", "Infinity", "-Infinity", "1e400", "nan", "undefined"])
def test_what_json_does_not_have_is_refused_by_line(tmp_path: Path, token: str) -> None:
    with pytest.raises(sw.TableError, match="line 1 "):
        through_a_file(tmp_path, f'{{"a": {token}}}')
    (tmp_path / "t.ndjson").write_text('{"a": 1}\n{"a": ' + token + "}\n")
    done = command("inspect", tmp_path / "t.ndjson")
    assert done.exit_code == 1
    assert "line 2 " in done.stderr


# Row 6: text that is none


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("x" * 1_000_000, "at most 10,000 characters"),
        ("a\0b", "without NUL"),
        ("\ud800", "column 'a'"),
        (b"\xff\xfe", "UTF-8"),
    ],
)
def test_bad_text_names_its_column_and_stays_short(value: Any, message: str) -> None:
    with pytest.raises(sw.TableError, match=message) as caught:
        TEXT.row({"a": value})
    assert len(str(caught.value)) < 250
    with pytest.raises(sw.TableError) as caught:
        TEXT.table(next(sw.open_source([{"a": value}]).batches()))
    assert caught.value.column == "a"


def test_bad_text_in_files(tmp_path: Path) -> None:
    with pytest.raises(sw.TableError, match="not clean text"):
        TEXT.table(through_a_file(tmp_path, r'{"a": "x\u0000y"}'))
    with pytest.raises(sw.TableError, match="line 1 "):
        through_a_file(tmp_path, r'{"a": "\ud800"}')
    (tmp_path / "t.csv").write_bytes("a,b\nä,1\n".encode() + b"\xff,2\n")
    done = command("inspect", tmp_path / "t.csv")
    assert done.exit_code == 1
    assert "line 3" in done.stderr


# Row 23: files


def write(path: Path, table: pa.Table) -> Path:
    pq.write_table(table, path)
    return path


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return write(tmp_path / "good.parquet", pa.table({"x": np.arange(9.0), "y": ["a"] * 9}))


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("cut.parquet", lambda data: data[: len(data) // 2], "damaged"),
        ("no.parquet", lambda data: b"PAR2" + data[4:], "not a Parquet file"),
        ("empty.csv", lambda _: b"", "is empty"),
        ("rows.csv", lambda _: b"\n\n", "is empty"),
        ("cut.csv.gz", lambda _: gzip.compress(os.urandom(999) + b"x" * 99)[:-12], "truncated|NUL|UTF-8"),
        ("rows.ndjson", lambda _: b"\n", "is empty"),
    ],
)
def test_bad_files_are_named(good: Path, name: str, make: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(make(good.read_bytes()))
    with pytest.raises(sw.TableError, match=message) as caught:
        list(sw.open_source(path).batches())
    assert str(path) in str(caught.value)
    done = command("inspect", path)
    assert done.exit_code == 1
    assert name in done.stderr.replace("\n", "")
    assert "Traceback" not in done.stderr


def test_files_that_do_not_fit_together(good: Path, tmp_path: Path) -> None:
    write(tmp_path / "other.parquet", pa.table({"x": [1.0], "Y": ["a"]}))
    done = command("inspect", good, tmp_path / "other.parquet")
    assert done.exit_code == 1
    assert "did you mean 'Y'" in done.stderr.replace("\n", " ")
    empty = write(tmp_path / "none.parquet", pa.table({"x": [1.0], "y": ["a"]}).slice(0, 0))
    assert command("inspect", good, empty).exit_code == 0  # a part without rows is no harm
    assert "has no rows" in command("inspect", empty).stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(good: Path) -> None:
    good.chmod(0)
    assert "permission denied" in command("inspect", good).stderr


def test_a_fifo_and_a_loop_of_links(tmp_path: Path) -> None:
    (tmp_path / "loop.csv").symlink_to(tmp_path / "loop.csv")
    done = command("inspect", tmp_path / "loop.csv")
    assert done.exit_code == 1
    assert "loop.csv" in done.stderr


# Row 27: the machine's zone, language and home


@pytest.mark.slow
def test_the_machine_makes_no_difference(tmp_path: Path) -> None:
    rows = "".join(
        f"{i % 13 + 0.5};2024-0{1 + i % 9}-11 0{i % 9}:30;{'ä' if i % 3 else 'i'}\n" for i in range(200)
    )
    (tmp_path / "t.csv").write_text("x;when;c\n" + rows, encoding="utf-8")
    home = tmp_path / "home"
    home.mkdir(mode=0o500)
    outputs = set()
    for i, (zone, language) in enumerate(
        (("UTC", "C"), ("Asia/Kolkata", "tr_TR.UTF-8"), ("America/New_York", "POSIX"))
    ):
        env = {"PATH": os.environ["PATH"], "TZ": zone, "LC_ALL": language, "HOME": str(home)}
        for words in (
            ["distill", "t.csv", "--teacher", "knn", "--student", "mlp", "-o", f"model{i}"],
            ["score", f"model{i}", "t.csv", "-o", f"scores{i}.csv"],
        ):
            done = subprocess.run([PROGRAM, *words], cwd=tmp_path, env=env, capture_output=True, check=False)
            assert done.returncode == 0, done.stderr
        outputs.add(
            (tmp_path / f"scores{i}.csv").read_bytes() + (tmp_path / f"model{i}" / "model.onnx").read_bytes()
        )
    assert len(outputs) == 1


# Row 29: names and values that would do something where they are shown

HOSTILE = ["<script>alert(1)</script>", "=cmd|' /C calc'!A0", "\x1b[2J\x1b]0;title\x07", "a\nb", "x" * 10_000]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_and_values_are_inert(name: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(
            [[name, "z", "key"], *([f"{name}{i % 3}"[-9_999:], i % 7, name] for i in range(60))]
        )
    done = command("inspect", path, "--schema", tmp_path / "s.json")
    assert done.exit_code == 0, done.stderr
    assert "\x1b" not in done.stdout
    assert sw.load_schema(tmp_path / "s.json").columns[0].name == name
    for message in (
        command("inspect", path, "--label", "nobody").stderr,
        command("inspect", path, "--column", f"{name}=number", "--label", name).stderr,
        command("distill", path, "--column", f"{name}=number", "-o", tmp_path / "m").stderr,
    ):
        assert "\x1b" not in message
        assert len(message) < 2_000


# Row 30: ugly tables


def germans(rows: int) -> bytes:
    rng = np.random.default_rng(1)
    lines = ["Betrag;Stückzahl;Größe;Ort;Betrug"]
    for i in range(rows):
        bad = i % 40 == 0
        amount = f"{rng.normal(900 if bad else 50, 9):.2f}".replace(".", ",")
        size = "" if i % 11 == 0 else f"{rng.normal(1.8, 0.1):.3f}".replace(".", ",")
        lines.append(
            f'"{amount}";{rng.integers(1, 9)};{size};{rng.choice(["Köln", "Ulm", "n/a"])};{int(bad)}'
        )
    return b"\xef\xbb\xbf" + "\r\n".join(lines).encode() + b"\r\n"


def texts(rows: int) -> bytes:
    rng = np.random.default_rng(2)
    lines = ["note,amount,user,fraud"]
    for i in range(rows):
        bad = i % 50 == 0
        note = "" if rng.random() < 0.4 else f'"note {i}, ""x"""'
        user = f"u{rng.zipf(1.3) % 5_000}"
        lines.append(
            f"{note},{'' if rng.random() < 0.4 else rng.normal(300 if bad else 10, 3):.6},{user},{int(bad)}"
        )
    return "\n".join(lines).encode()


def times(rows: int) -> bytes:
    rng = np.random.default_rng(3)
    start = datetime(2024, 1, 1)
    lines = []
    for i in range(rows):
        bad = i % 50 == 0
        when = start + timedelta(
            days=int(rng.integers(0, 300)), hours=float(rng.uniform(1, 4) if bad else rng.uniform(8, 18))
        )
        record = {
            "opened": when.isoformat() + "Z",
            "booked": str(when.replace(microsecond=0)),
            "day": None if i % 7 == 0 else str(when.date()),
            "amount": round(float(rng.normal(200 if bad else 20, 4)), 2),
            "fraud": bad,
        }
        lines.append(json.dumps({k: v for k, v in record.items() if not (k == "day" and i % 14 == 0)}))
    return "\n".join(lines).encode()


GERMAN = {"Betrag": "number", "Größe": "number", "Ort": "category"}
UGLY = {
    "germans.csv": (germans(3_000), "Betrug", GERMAN),
    "western.csv": (germans(3_000).decode("utf-8-sig").encode("cp1252"), "Betrug", GERMAN),
    "texts.csv": (texts(84_000), "fraud", {"note": "category", "user": "category", "amount": "number"}),
    "times.ndjson": (
        times(3_000), "fraud", {"opened": "timestamp", "booked": "timestamp", "day": "timestamp", "amount": "number"},
    ),
}  # fmt: skip


@pytest.fixture(params=UGLY)
def ugly(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, str, dict[str, str]]:
    data, label, kinds = UGLY[request.param]
    path = tmp_path / request.param
    path.write_bytes(data)
    return path, label, kinds


@pytest.mark.filterwarnings("ignore:western.csv is not UTF-8:UnicodeWarning")
def test_ugly_tables_are_read_as_a_person_would(ugly: tuple[Path, str, dict[str, str]]) -> None:
    path, label, kinds = ugly
    schema = sw.inspect(path, label=label)
    found = {column.name: column.kind for column in schema.columns}
    assert found.items() >= kinds.items()


@pytest.mark.slow
def test_ugly_tables_go_the_whole_way(ugly: tuple[Path, str, dict[str, str]]) -> None:
    path, label, _ = ugly
    folder = path.parent

    def run(*words: Any) -> bytes:
        done = subprocess.run([PROGRAM, *map(str, words)], cwd=folder, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    assert run("inspect", path.name, "--label", label, "--schema", "schema.json")
    run(
        "distill",
        path.name,
        "--schema",
        "schema.json",
        "--train-on",
        "normal",
        "--teacher",
        "knn",
        "--student",
        "linear",
        "-o",
        "model",
    )
    run("score", "model", path.name, "-o", "scores.csv")
    assert len((folder / "scores.csv").read_text().splitlines()) > 3_000
    quality = json.loads(run("evaluate", "model", path.name, "--json"))["quality"]
    assert quality["auroc"]["value"] > 0.65  # where the amount is missing nothing tells them apart
    assert b"does not depart" in run("inspect", path.name, "--against", "schema.json")
    assert run("verify", "model")


def test_arrow_types_of_all_kinds_in_one_table() -> None:
    n = 60
    table = pa.table(
        {
            "dictionary": pa.array(["a", None, "b"] * 20).dictionary_encode(),
            "decimal": [Decimal("1.25"), Decimal(2), None] * 20,
            "list": [[1, 2], None, []] * 20,
            "struct": [{"a": 1}] * n,
            "day": [date(2024, 1, 1 + i % 28) for i in range(n)],
            "zone": pa.array([1_700_000_000 + 3_600 * i for i in range(n)], pa.timestamp("s", "Asia/Tokyo")),
            "long": pa.array([i % 9 for i in range(n)], pa.duration("ms")),
            "nothing": pa.nulls(n),
        }
    )
    schema = sw.inspect(table)
    kinds = {c.name: c.kind if c.role == "feature" else c.role for c in schema.columns}
    assert kinds == {
        "dictionary": "category", "decimal": "number", "list": "ignore", "struct": "ignore", "day": "timestamp",
        "zone": "timestamp", "long": "number", "nothing": "ignore",
    }  # fmt: skip
    rows = Packer(schema).table(table)
    assert np.isfinite(rows.numbers[0]).all()
    with pytest.raises(sw.TableError, match=r"column 'list' holds lists or objects.*own column"):
        Packer(schema.with_kinds({"list": "number"}).with_roles(feature=["list"])).table(table)


def test_doubled_names_and_three_thousand_columns(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b,a\n1,2,3\n")
    with pytest.raises(sw.SchemaError, match="more than once: 'a'"):
        sw.open_source(tmp_path / "t.csv")
    names = [f"c{i}" for i in range(3_000)]
    line = json.dumps(dict.fromkeys(names, 1.5))
    (tmp_path / "t.ndjson").write_text(f"{line}\n" * 20)
    schema = sw.inspect(tmp_path / "t.ndjson")
    assert len(schema.numbers) == 3_000
