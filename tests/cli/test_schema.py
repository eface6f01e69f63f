from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import PROGRAM, Run

ROWS = [
    f"{20 + i % 7},{50 + i % 3},2024-03-0{1 + i % 9}T12:00,{'Bern' if i % 3 else 'Genf'}" for i in range(120)
]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "t.csv"
    path.write_text("age,branch,when,city\n" + "\n".join(ROWS) + "\n")
    return path


def test_a_schema_is_written_edited_used_and_compared(invoke: Run, table: Path, tmp_path: Path) -> None:
    schema = tmp_path / "schema.json"
    assert invoke("inspect", table, "--schema", schema).code == 0
    found = json.loads(schema.read_text())
    assert [(c["name"], c["kind"]) for c in found["columns"]] == [
        ("age", "number"), ("branch", "number"), ("when", "timestamp"), ("city", "category")
    ]  # fmt: skip
    assert found["columns"][3]["sample"] == ["Bern", "Genf"]
    assert invoke("inspect", table, "--schema", schema).code == 1  # it exists
    found["columns"][1]["kind"] = "category"
    schema.write_text(json.dumps(found))
    out = tmp_path / "model"
    done = invoke(
        "distill", table, "--schema", schema, "--teacher", "knn", "--student", "linear", "-o", out, "--time", "when", "--json"
    )  # fmt: skip
    assert done.code == 0, done.err
    kinds = {
        c["name"]: c["kind"] for c in json.loads(invoke("inspect", out, "--json").out)["schema"]["columns"]
    }
    assert kinds["branch"] == "category"

    assert "does not depart" in invoke("inspect", table, "--against", schema).out
    later = tmp_path / "later.csv"
    later.write_text("age,branch,city,more\n" + "old,50,Chur,1\n" * 5)
    done = invoke("inspect", later, "--against", out, "--json")
    assert done.code == 1
    assert [(d["column"], d["what"], d["severity"]) for d in json.loads(done.out)] == [
        ("when", "missing column", "error"),
        ("age", "changed kind", "error"),
        ("city", "new categories", "warning"),
        ("more", "new column", "info"),
    ]
    shown = invoke("inspect", later, "--against", out)
    assert "did you mean" not in shown.out
    assert "error" in shown.out


def test_wrong_use(invoke: Run, table: Path, tmp_path: Path) -> None:
    schema = tmp_path / "s.json"
    schema.write_text('{"protocol": 1, "columns": [{"name": "age", "kind": "numbr"}]}')
    done = invoke("distill", table, "--schema", schema, "-o", tmp_path / "m")
    assert done.code == 1
    assert "columns[0].kind" in done.err
    assert invoke("distill", table, "--schema", schema, "--missing", "x", "-o", tmp_path / "m").code == 2
    assert invoke("inspect", table, "--schema", schema, "--against", schema).code == 2


def test_standard_input_encoding_and_delimiter(tmp_path: Path) -> None:
    text = "größe~stadt\n" + "".join(f"{i % 7 + 0.5}~{'Köln' if i % 2 else 'Ulm'}\n" for i in range(60))

    def run(data: bytes, *options: str) -> subprocess.CompletedProcess[bytes]:
        command = [str(PROGRAM), "inspect", "-", "--json", *options]
        return subprocess.run(command, input=data, capture_output=True, check=False, cwd=tmp_path)

    done = run(text.encode("cp1252"), "--encoding", "cp1252", "--delimiter", "~")
    assert done.returncode == 0, done.stderr
    assert [c["name"] for c in json.loads(done.stdout)["columns"]] == ["größe", "stadt"]
    found = run(text.encode("cp1252"), "--delimiter", "~")
    assert found.stdout == done.stdout
    assert b"note: standard input is not UTF-8: read as cp1252" in found.stderr
    assert b"note" not in run(text.encode("cp1252"), "--delimiter", "~", "--quiet").stderr + done.stderr
    wrong = run(text.encode("cp1252"), "--delimiter", "~", "--encoding", "utf-8")
    assert wrong.returncode == 1
    assert b"standard input: the header is not UTF-8 text" in wrong.stderr
    lines = "\n".join(json.dumps({"a": i % 5 + 0.5, "b": None}) for i in range(60)).encode()
    assert [c["name"] for c in json.loads(run(lines).stdout)["columns"]] == ["a", "b"]
    tabs = run(text.replace("~", "\t").encode(), "--delimiter", "tab")
    assert [c["name"] for c in json.loads(tabs.stdout)["columns"]] == ["größe", "stadt"]
