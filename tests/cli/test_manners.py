"""Errors carry a code, wrong names suggest the nearest, and the user decides how much is said, and in which colours."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pytest

from tests.cli.conftest import Run, assert_one_message, json_lines, names
from tests.golden.make import HERE

GOLDEN = HERE / "protocol_1" / "model"


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    pacsv.write_csv(pa.table({"amount": [1.5, 2.5, 4.0], "shop": ["a", "b", "a"]}), path)
    return path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("inspect", "rows.cvs"), "'rows.csv'? [SW11]"),
        (("verify", GOLDEN, "--expect", "00"), ""),
        (("score", GOLDEN.with_name("modle"), "rows.csv"), "model'?"),
        (("distill", "rows.csv", "--label", "amont"), "did you mean 'amount'? The table has 2: 'amount', 'shop'. [SW12]"),
        (("inspect", "rows.csv", "--column", "Shop=number"), "did you mean 'shop'?"),
        (("inspect", "rows.csv", "--column", "shop=categry"), "Did you mean shop=category? [SW10]"),
        (("distill", "rows.csv", "--teacher", "isolation_forrest"), "Did you mean 'isolation_forest'?"),
        (("distill", "rows.csv", "--student", "Prototype"), "did you mean 'prototypes'? Use one of"),
        (("export", GOLDEN, "--c", "c", "--alert-rate", "0.0001"), "[SW13]"),
    ],
)  # fmt: skip
def test_a_wrong_name_suggests_the_nearest_and_the_error_carries_its_code(
    invoke: Run, rows: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[object, ...], message: str
) -> None:
    monkeypatch.chdir(rows.parent)
    done = invoke(*arguments)
    if message:
        assert_one_message(done, message)
        assert done.err.rstrip().endswith("]")
    else:
        assert done.code == 3


@pytest.mark.parametrize("wrong", ["distil", "inspekt"])
def test_a_wrong_command_suggests_the_nearest(invoke: Run, wrong: str) -> None:
    assert "Did you mean" in invoke(wrong).err


def test_quiet_says_results_and_errors_only(stillwatch: Run, rows: Path) -> None:
    assert json_lines(stillwatch("inspect", rows).err)
    assert stillwatch("inspect", rows, "--quiet").err == ""
    assert "amount" in stillwatch("inspect", rows, "-q").out
    assert stillwatch("inspect", "nothing.csv", "-q").err.startswith("error: ")
    assert "choose one of --quiet and --verbose" in stillwatch("inspect", rows, "-q", "-v").err


def test_verbose_says_where_an_error_comes_from(stillwatch: Run) -> None:
    said = stillwatch("inspect", "nothing.csv", "--verbose").err
    assert "Traceback" in said
    assert "disk.py" in said
    assert said.splitlines()[-1].startswith("error: nothing.csv does not exist")


def test_verbose_says_what_the_library_logs(invoke: Run, rows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import logging

    def logged(*_: object) -> None:
        logging.getLogger("stillwatch").info("something of note")
        raise OSError("no")

    monkeypatch.setattr("stillwatch.cli.options.opened", logged)
    assert "INFO something of note" in invoke("inspect", rows, "-v").err
    assert "of note" not in invoke("inspect", rows).err


def test_no_color_is_heeded(stillwatch: Run) -> None:
    green = "\x1b[32m"
    assert green in stillwatch("verify", GOLDEN, env={"FORCE_COLOR": "1"}).out
    for arguments in (("verify", GOLDEN), ("score", "--help"), ("verify", "nothing")):
        done = stillwatch(*arguments, env={"FORCE_COLOR": "1", "NO_COLOR": "1"})
        assert "\x1b[3" not in (done.out + done.err).replace("\x1b[3m", "")  # italics are no colour


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_the_commands(stillwatch: Run, shell: str) -> None:
    # What the shell's own script asks, as `--show-completion` writes it.
    env = {"_STILLWATCH_COMPLETE": f"complete_{shell}", "COMP_WORDS": "stillwatch dis", "COMP_CWORD": "1"}
    env |= {"_TYPER_COMPLETE_ARGS": "stillwatch dis", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    assert "distill" in stillwatch(env=env).out


def test_a_dry_run_says_how_columns_and_rows_would_be_used_and_writes_nothing(
    invoke: Run, csv: Path, tmp_path: Path
) -> None:
    options = ("--label", "fraud", "--key", "payment id", "--dry-run", "-o", tmp_path / "model")
    done = invoke("distill", csv, *options)
    assert done.code == 0, done
    assert "payment id" in done.out
    assert "approximate" in done.out
    found = json.loads(invoke("distill", csv, *options, "--json", "--calibrate-by", "city", "-q").out)
    plan = found["plan"]
    assert plan["rows"] == plan["read"] == plan["fit"] == 200
    assert plan["approximate"]
    assert plan["anomalies"] + plan["normal"] == 200
    assert plan["finest_rate"] == pytest.approx(1 / 201)
    assert plan["groups"] == []  # none has 100 rows
    assert names(tmp_path) == []
    assert_one_message(invoke("distill", csv, "--dry-run", "--label", "city"), "[SW1")
