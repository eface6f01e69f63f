from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pytest

import stillwatch as sw
from stillwatch.artifact.manifest import CARD, DIGEST, FILES, MANIFEST, MODEL
from tests.cli.conftest import PROGRAM, Done, Run, assert_one_message, json_lines, names

DEFAULT = ("--teacher", "knn")
QUICK = (*DEFAULT, "--student", "linear")


@pytest.fixture(scope="module")
def distilled(csv: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Done, Path]:
    """One run of the program, whose output several tests look at."""
    folder = tmp_path_factory.mktemp("distilled")
    done = subprocess.run(
        [PROGRAM, "distill", csv, "--label", "fraud", "--key", "payment id", *DEFAULT, "-o", "a/b/my model", "--json"],
        cwd=folder, env={**os.environ, "PYTHONHASHSEED": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return Done(done.returncode, done.stdout, done.stderr), folder


def test_the_result_is_one_json_document_and_the_progress_one_line_a_step(
    distilled: tuple[Done, Path],
) -> None:
    done, folder = distilled
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found["model"] == "a/b/my model"
    assert found["digest"] == (folder / "a/b/my model" / DIGEST).read_text().split()[0]
    assert found["report"]["fidelity"]["spearman"] > 0.5
    lines = json_lines(done.err)
    steps = list(dict.fromkeys(line["step"] for line in lines))
    assert steps == ["inspect", "read", "fit teacher", "ask teacher", "train student", "cross-fit", "measure"]
    for step in steps:
        last = [line for line in lines if line["step"] == step][-1]
        assert last["done"] == last["total"]


def test_missing_parents_are_made_and_the_model_is_whole(distilled: tuple[Done, Path]) -> None:
    folder = distilled[1] / "a/b/my model"
    assert set(names(folder)) == set(FILES)
    assert sw.verify(folder).ok
    schema = sw.load(folder).manifest.schema
    assert schema.keys == ("payment id",)
    assert schema.label == "fraud"


def test_another_process_and_place_give_the_same_model(
    distilled: tuple[Done, Path], csv: Path, stillwatch: Run, tmp_path: Path
) -> None:
    """Python's hash seed differs: no order of a set may decide anything."""
    options = ("--label", "fraud", "--key", "payment id", *DEFAULT)
    done = stillwatch("distill", csv, *options, "-o", "again", env={"PYTHONHASHSEED": "2"})
    first = distilled[1] / "a/b/my model"
    for name in (MANIFEST, MODEL, CARD):
        assert (tmp_path / "again" / name).read_bytes() == (first / name).read_bytes(), name
    digest = (first / DIGEST).read_text().split()[0]
    # Without --json the same is said for people.
    assert digest in done.out
    assert "again/report.html" in done.out
    assert "Rank agreement" in done.out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--label", "Fraud"], "no column 'Fraud'; did you mean 'fraud'?"),
        (["--ignore", "amonut"], "did you mean 'amount'?"),
        (["--key", "paymentid"], "did you mean 'payment id'?"),
        (["--column", "amount=text"], "--column 'amount=text': expected NAME=KIND"),
        (["--column", "=number"], "expected NAME=KIND"),
        (["--column", "amonut=number"], "did you mean 'amount'?"),
        (
            ["--column", "age=number", "--column", "age=category"],
            "'age' is declared both number and category",
        ),
        (["--label", "city"], "label column 'city' holds"),
        (["--column", "city=number", "--teacher", "knn"], "column 'city'"),
    ],
)
def test_what_does_not_fit_the_table_is_one_message(
    invoke: Run, csv: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    assert_one_message(_without_progress(invoke("distill", csv, *options, "-o", tmp_path / "m")), message)
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--teacher", "isolation_forrest"], "Did you mean 'isolation_forest'?"),
        (["--teacher", "pyod:Nothing"], "Nothing"),
        (["--student", "mpl"], "student='mpl' is unknown"),
        (["-o", "{tmp}/file"], "exists and is no folder"),
        (["-o", "{tmp}/file/model"], "is no folder"),
        (["-o", "{tmp}/thesis"], "no Stillwatch model"),
    ],
)
def test_what_can_be_known_before_the_table_is_read_is_said_then(
    invoke: Run, tmp_path: Path, options: list[str], message: str
) -> None:
    """The table is not even there."""
    (tmp_path / "file").write_text("mine")
    (tmp_path / "thesis").mkdir()
    options = [option.format(tmp=tmp_path) for option in options]
    assert_one_message(invoke("distill", tmp_path / "no.csv", *options), message)
    assert names(tmp_path) == ["file", "thesis"]
    assert_one_message(invoke("distill", tmp_path / "no.csv", "-o", tmp_path / "m"), "no.csv does not exist.")


def test_an_existing_model_needs_overwrite(invoke: Run, keyed: Path, tmp_path: Path) -> None:
    before = (keyed / DIGEST).read_bytes()
    assert_one_message(
        invoke("distill", tmp_path / "no.csv", "-o", keyed),
        "exists. Choose another name, or replace it by --overwrite",
    )
    # With it the next obstacle is the missing table: the model is still there.
    assert_one_message(invoke("distill", tmp_path / "no.csv", "-o", keyed, "--overwrite"), "does not exist")
    assert (keyed / DIGEST).read_bytes() == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--alert-rate", "0"], "0: expected a share"),
        (["--alert-rate", "1.5"], "1.5: expected a share"),
        (["--alert-rate", "nan"], "expected a share"),
        (["--alert-rate", "few"], "Invalid value for '--alert-rate'"),
        (["--train-on", "normal"], "needs --label"),
        (["--train-on", "good"], "'good' is not one of"),
        (["--key", "p_value"], "'p_value' is a column that `score` adds"),
        (["--decimal", ";"], "';' is not one of"),
        (["--seed", "x"], "Invalid value for '--seed'"),
    ],
)
def test_options_that_cannot_be_are_wrong_usage(
    invoke: Run, csv: Path, options: list[str], message: str
) -> None:
    done = invoke("distill", csv, *options)
    assert done.code == 2
    assert done.out == ""
    assert message in " ".join(done.err.replace("│", " ").split()), done.err


def test_decimal_commas_and_missing_tokens_of_the_users_own(invoke: Run, tmp_path: Path) -> None:
    rows = "".join(f"{i % 7},5;{'n.v.' if i % 3 else i};{'ja' if i % 2 else 'nein'}\n" for i in range(90))
    (tmp_path / "t.csv").write_text("preis;alter;treu\n" + rows)
    done = invoke(
        "distill", tmp_path / "t.csv", "--decimal", ",", "--missing", "n.v.", *QUICK, "-o", tmp_path / "m", "--json"
    )  # fmt: skip
    assert done.code == 0, done.err
    manifest = sw.load(tmp_path / "m").manifest
    assert manifest.schema.numbers[:2] == ("preis", "alter")
    assert manifest.schema.decimal == ","
    assert "n.v." in manifest.schema.missing
    assert "NA" in manifest.schema.missing
    done = invoke("score", tmp_path / "m", tmp_path / "t.csv", "-o", tmp_path / "s.csv", "--json")
    assert json.loads(done.out)["missing"] == {"alter": 60}


@pytest.mark.slow
def test_an_interrupt_is_code_130_and_leaves_nothing(csv: Path, tmp_path: Path) -> None:
    """Where a terminal would send it: in the middle of the work, to the program's process."""
    with subprocess.Popen(
        [PROGRAM, "distill", csv, *DEFAULT, "-o", "a/model"], cwd=tmp_path, stdout=-1, stderr=-1, text=True
    ) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        for line in process.stderr:
            if "train student" in line:
                process.send_signal(signal.SIGINT)
                break
        rest, out = process.stderr.read(), process.stdout.read()
    assert process.returncode == 130
    assert out == ""
    assert rest.splitlines()[-1] == "error: interrupted; nothing half-written stands under its final name"
    assert "Traceback" not in rest
    assert names(tmp_path) == []


def _without_progress(done: Done) -> Done:
    lines = [line for line in done.err.splitlines(keepends=True) if not line.startswith("{")]
    return Done(done.code, done.out, "".join(lines))


def test_confirmations_teach_the_next_model(
    invoke: Run, keyed: Path, csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file that `score` wrote, with a column filled in by people."""
    monkeypatch.chdir(tmp_path)
    assert invoke("score", keyed, csv, "-o", "scores.csv").code == 0
    scores = pacsv.read_csv("scores.csv")
    known = [1 if i < 8 else 0 if i < 12 else None for i in range(scores.num_rows)]
    pacsv.write_csv(scores.append_column("known", pa.array(known)), "checked.csv")
    arguments = ("distill", csv, "--label", "fraud", *QUICK, "--feedback", "checked.csv")
    done = invoke(*arguments, "--key", "payment id", "-o", "m")
    assert done.code == 0, done.err
    assert sw.load("m").manifest.schema.known == "known"
    assert invoke(*arguments, "-o", "m2").code == 2
