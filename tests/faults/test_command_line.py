"""The rules that hold for files and Python, at the command line: an answer, or one line that says what to do."""

from __future__ import annotations

import csv
import io
import json
import math
import shutil
from pathlib import Path
from typing import Any

import onnx
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from stillwatch.artifact.manifest import MANIFEST, MODEL, PROTOCOL
from stillwatch.cli.main import app
from tests.artifact.test_load import reseal
from tests.faults.test_row_18_hostile import CHANGES
from tests.golden.make import ROWS, folder


def score(model: Path, data: Path, *more: str) -> tuple[int, list[dict[str, str]], str]:
    done = CliRunner().invoke(app, ["score", str(model), str(data), *more], prog_name="stillwatch")
    assert done.exception is None or isinstance(done.exception, SystemExit)
    lines = [line for line in done.stderr.splitlines() if not line.startswith('{"step"')]
    return done.exit_code, list(csv.DictReader(io.StringIO(done.stdout))), "\n".join(lines)


def written(folder: Path, *rows: dict[str, Any]) -> Path:
    path = folder / "t.ndjson"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def assert_scored(found: tuple[int, list[dict[str, str]], str], rows: int = 1) -> None:
    code, scores, said = found
    assert (code, said) == (0, "")
    assert len(scores) == rows
    assert all(math.isfinite(float(row["score"])) and 0 < float(row["p_value"]) <= 1 for row in scores)


def assert_refused(found: tuple[int, list[dict[str, str]], str], *words: str) -> None:
    code, scores, said = found
    assert (code, scores) == (1, [])
    assert said.startswith("error: ")
    assert len(said) < 600
    assert "Traceback" not in said
    for word in words:
        assert word in said


@pytest.fixture
def row(rows: pa.Table) -> dict[str, Any]:
    return dict(rows.slice(0, 1).to_pylist()[0])


@pytest.mark.parametrize("value", [-0.0, 2**63, 10**400, True, None, "1e400", "NaN"])
def test_row_3_odd_numbers_score(model: Path, tmp_path: Path, row: dict[str, Any], value: Any) -> None:
    assert_scored(score(model, written(tmp_path, row | {"amount": value})))


@pytest.mark.parametrize("token", ["NaN", "-Infinity", "1e400"])
def test_row_3_what_json_does_not_have_is_refused(
    model: Path, tmp_path: Path, row: dict[str, Any], token: str
) -> None:
    path = written(tmp_path, row | {"amount": "TOKEN"})
    path.write_text(path.read_text().replace('"TOKEN"', token))
    assert_refused(score(model, path), "line 1 ")


def test_row_4_columns_go_by_name(model: Path, tmp_path: Path, row: dict[str, Any]) -> None:
    path = tmp_path / "t.csv"

    def scored(names: list[str], values: list[Any]) -> tuple[int, list[dict[str, str]], str]:
        path.write_text(f"{','.join(names)}\n{','.join(map(str, values))}\n")
        return score(model, path)

    names, values = list(row), list(row.values())
    assert_scored(scored(names, values))
    expected = score(model, path)
    assert scored(["more", *names[::-1]], ["x", *values[::-1]]) == expected
    assert_refused(scored(names[1:], values[1:]), "missing", repr(names[0]))
    assert_refused(scored([names[0].upper(), *names[1:]], values), "did you mean", repr(names[0].upper()))
    assert_refused(scored([*names, names[0]], [*values, 1]), "more than once", repr(names[0]))


@pytest.mark.parametrize("value", ["", "NULL", " NA ", " 3 ", "3e0"])
def test_row_5_missing_tokens_and_spaces_are_read(
    model: Path, tmp_path: Path, row: dict[str, Any], value: str
) -> None:
    assert_scored(score(model, written(tmp_path, row | {"amount": value})))


@pytest.mark.parametrize("value", ["1,5", "abc", "0x1F", "1 000"])
def test_row_5_what_is_no_number_is_refused(
    model: Path, tmp_path: Path, row: dict[str, Any], value: str
) -> None:
    found = score(model, written(tmp_path, row, row | {"amount": value}))
    assert_refused(found, "column 'amount'", "row 2", repr(value))


@pytest.mark.parametrize("value", ["x" * 1_000_000, "a\0b"])
def test_row_6_text_that_is_none_is_refused(
    model: Path, tmp_path: Path, row: dict[str, Any], value: str
) -> None:
    assert_refused(score(model, written(tmp_path, row | {"city": value})), "column 'city'", "10,000")


def test_row_6_unseen_categories_are_counted(model: Path, tmp_path: Path, row: dict[str, Any]) -> None:
    done = CliRunner().invoke(
        app,
        [
            "score",
            str(model),
            str(written(tmp_path, row | {"city": "Oz"}, row)),
            "-o",
            str(tmp_path / "s.csv"),
        ],
    )
    assert done.exit_code == 0
    assert "categories not seen in training, or too rare: city 1" in done.stdout


def test_row_7_rows_and_columns_without_values_score(
    model: Path, tmp_path: Path, row: dict[str, Any]
) -> None:
    assert_scored(score(model, written(tmp_path, dict.fromkeys(row), row)), rows=2)
    assert_scored(score(model, written(tmp_path, row | {"amount": None})))


@pytest.mark.parametrize("value", [1e38, -1e308, 5e-324, "inf", "-inf"])
def test_row_8_extremes_score(model: Path, tmp_path: Path, row: dict[str, Any], value: Any) -> None:
    assert_scored(score(model, written(tmp_path, row | {"amount": value, "stamp": value})))


def test_row_9_no_rows_give_no_scores(model: Path, tmp_path: Path, row: dict[str, Any]) -> None:
    path = tmp_path / "t.csv"
    path.write_text(",".join(row) + "\n")
    assert_scored(score(model, path), rows=0)


@pytest.mark.parametrize("change", ["external data above", "Loop", "a constant of 4 TiB"])
def test_row_18_a_hostile_graph_is_refused(
    model: Path, tmp_path: Path, row: dict[str, Any], change: str
) -> None:
    shutil.copytree(model, tmp_path / "model")
    hostile = onnx.load_model_from_string((model / MODEL).read_bytes())
    CHANGES[change](hostile)
    reseal(tmp_path / "model", MODEL, hostile.SerializeToString())
    assert_refused(score(tmp_path / "model", written(tmp_path, row)), "audit")


def test_row_19_a_newer_protocol_names_the_version_that_reads_it(
    model: Path, tmp_path: Path, row: dict[str, Any]
) -> None:
    shutil.copytree(model, tmp_path / "model")
    newer = json.loads((model / MANIFEST).read_text()) | {"protocol": PROTOCOL + 1, "writer": "2.7.0"}
    reseal(tmp_path / "model", MANIFEST, json.dumps(newer).encode())
    assert_refused(score(tmp_path / "model", written(tmp_path, row)), "stillwatch >= 2.7.0")


def test_row_19_the_oldest_protocol_scores_as_on_its_first_day(tmp_path: Path) -> None:
    golden = folder(1)
    lines = json.loads((golden / ROWS).read_text())
    code, scores, said = score(golden / "model", written(tmp_path, *(line["row"] for line in lines)))
    assert (code, said) == (0, "")
    for found, line in zip(scores, lines, strict=True):
        assert float(found["score"]) == pytest.approx(line["score"], abs=1e-4, rel=1e-4)


def test_row_26_columns_without_news_and_a_copy_of_the_label(tmp_path: Path) -> None:
    rows = [
        {"id": f"c-{i:05}", "void": None, "same": "CH", "x": i % 13 + i / 300, "verdict": "bad" if i % 9 == 0 else "good",
         "fraud": i % 9 == 0}
        for i in range(300)
    ]  # fmt: skip
    words = ["distill", str(written(tmp_path, *rows)), "--label", "fraud", "--teacher", "isolation_forest"]
    done = CliRunner().invoke(app, [*words, "--student", "linear", "-o", str(tmp_path / "m")])
    assert done.exit_code == 0, done.stderr
    assert "column 'verdict' alone separates the label" in " ".join(done.stdout.split())
    columns = json.loads((tmp_path / "m" / MANIFEST).read_text())["schema"]["columns"]
    assert {c["name"]: c["role"] for c in columns} == {
        "id": "ignore", "void": "ignore", "same": "feature", "x": "feature", "verdict": "feature", "fraud": "label",
    }  # fmt: skip


def test_row_26_a_label_for_all_rows_or_none_is_told(tmp_path: Path) -> None:
    path = written(tmp_path, *({"x": i % 13 + 0.5, "fraud": 1} for i in range(60)))
    done = CliRunner().invoke(
        app, ["distill", str(path), "--label", "fraud", "--train-on", "normal", "-o", str(tmp_path / "m")]
    )
    assert done.exit_code == 1
    assert "error: 0 normal rows came to train on; at least 5 are needed." in done.stderr
    assert not (tmp_path / "m").exists()
