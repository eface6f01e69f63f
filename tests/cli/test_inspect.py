from __future__ import annotations

import json
from pathlib import Path

import pytest

from stillwatch.artifact.manifest import DIGEST
from tests.cli.conftest import Run, assert_one_message, json_lines


def test_a_table_is_shown_with_kinds_roles_and_reasons(invoke: Run, csv: Path) -> None:
    done = invoke("inspect", csv, "--label", "fraud", "--key", "payment id", "--ignore", "version")
    assert done.code == 0
    lines = {line.split("  ")[0]: " ".join(line.split()) for line in done.out.splitlines()}
    assert lines["amount"] == "amount number feature all 200 values are numbers"
    assert lines["fraud"] == "fraud boolean label declared as label"
    assert lines["payment id"].startswith("payment id category key declared as key")
    assert lines["version"].startswith("version number ignore declared as ignore")
    assert lines["city"].startswith("city category feature text, 4 distinct values")
    assert [line["done"] for line in json_lines(done.err)] == [0, 200]


def test_a_column_of_what_is_known(invoke: Run, csv: Path) -> None:
    found = json.loads(invoke("inspect", csv, "--known", "fraud", "--json").out)
    roles = {column["name"]: column["role"] for column in found["columns"]}
    assert roles["fraud"] == "known"


def test_a_table_as_json(invoke: Run, csv: Path) -> None:
    found = json.loads(invoke("inspect", csv, "--label", "fraud", "--json").out)
    roles = {column["name"]: (column["kind"], column["role"]) for column in found["columns"]}
    assert roles["fraud"] == ("boolean", "label")
    assert roles["payment id"] == ("category", "ignore")  # an id, and not declared as a key


def test_options_change_how_it_is_read(invoke: Run, tmp_path: Path) -> None:
    rows = "".join(f"{i},5;{'unknown' if i % 4 else i}\n" for i in range(60))
    (tmp_path / "t.csv").write_text("price now;age\n" + rows)

    def kinds(*options: str) -> dict[str, str]:
        found = json.loads(invoke("inspect", tmp_path / "t.csv", "--json", *options).out)
        return {column["name"]: column["kind"] for column in found["columns"]}

    assert kinds("--decimal", ",") == {"price now": "number", "age": "category"}
    assert kinds("--decimal", ",", "--missing", "unknown") == {"price now": "number", "age": "number"}
    assert kinds("--decimal", ",", "--column", "price now=category")["price now"] == "category"
    found = json.loads(
        invoke(
            "inspect", tmp_path / "t.csv", "--json", "--missing", "a", "--missing", "NA", "--decimal", ","
        ).out
    )
    assert found["missing"].count("NA") == 1
    assert found["missing"][-1] == "a"
    assert found["decimal"] == ","


def test_a_model_is_shown_with_what_it_is_and_takes(invoke: Run, keyed: Path) -> None:
    digest = (keyed / DIGEST).read_text().split()[0]
    done = invoke("inspect", keyed)
    assert digest in done.out
    assert "calibration rows" in done.out
    assert "payment id" in done.out
    found = json.loads(invoke("inspect", keyed, "--json").out)
    assert found["digest"] == digest
    assert found["teacher"] == "knn"
    assert found["calibration rows"] == 420
    assert [column["name"] for column in found["schema"]["columns"] if column["role"] == "key"] == [
        "payment id"
    ]


def test_hostile_names_are_inert(invoke: Run, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(
        '"\x1b[2Jcity","[red]x[/red]",":smile:","a\nb"\n'
        + "".join(f"{i % 3},{i % 5},{i % 2},1\n" for i in range(20))
    )
    for options in ((), ("--json",)):
        done = invoke("inspect", tmp_path / "t.csv", *options)
        assert done.code == 0
        assert "\x1b" not in done.out
        assert "[red]x[/red]" in done.out
        assert ":smile:" in done.out
    assert json.loads(done.out)["columns"][0]["name"] == "\x1b[2Jcity"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("a,b\n", "has no rows"),
        ("a,a\n1,2\n", "stand more than once: 'a'"),
        ("7,0,0\n8,1,1\n", "Is the header missing?"),
        ("a,b\n1,2\n3\n", "line 3 has 1 fields, the header has 2"),
    ],
)
def test_a_file_that_is_no_table_is_one_message(invoke: Run, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    assert_one_message(invoke("inspect", tmp_path / "t.csv"), message)


def test_a_folder_without_a_model_or_a_table_is_one_message(invoke: Run, tmp_path: Path) -> None:
    done = invoke("inspect", tmp_path)
    assert_one_message(done, str(tmp_path))
