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
