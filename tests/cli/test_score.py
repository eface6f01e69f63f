from __future__ import annotations

import csv as csvs
import gzip
import io
import json
import os
import pty
import signal
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

import stillwatch as sw
from stillwatch.calibration.contamination import estimated_rate
from tests.cli.conftest import PROGRAM, Run, assert_one_message, json_lines, names, payments

HEADER = ["payment id", "score", "p_value", "alert"]


def columns_of(text: str) -> dict[str, list[str]]:
    header, *rows = csvs.reader(io.StringIO(text))
    return dict(zip(header, map(list, zip(*rows, strict=True)), strict=True))


def test_scores_go_to_standard_output_as_csv_and_progress_to_standard_error(
    stillwatch: Run, keyed: Path, fresh: Path
) -> None:
    done = stillwatch("score", keyed, fresh)
    assert done.code == 0, done.err
    found = columns_of(done.out)
    assert list(found) == HEADER
    verdict = sw.load(keyed).judge(fresh)
    assert found["payment id"] == [f"p-{i}" for i in range(300)]
    np.testing.assert_allclose(np.float32(found["score"]), verdict.score, rtol=1e-6)
    np.testing.assert_allclose(np.float32(found["p_value"]), verdict.p_value, rtol=1e-6)
    assert found["alert"] == [str(alert).lower() for alert in verdict.alert]
    assert [(line["done"], line["total"]) for line in json_lines(done.err)] == [(0, 300), (300, 300)]


def test_every_format_holds_the_same(invoke: Run, keyed: Path, fresh: Path, tmp_path: Path) -> None:
    for name in ("s.csv", "s.csv.gz", "s.parquet"):
        assert invoke("score", keyed, fresh, "-o", tmp_path / name).code == 0
    table = pq.read_table(tmp_path / "s.parquet")
    assert table.column_names == HEADER
    assert [str(field.type) for field in table.schema] == ["string", "float", "float", "bool"]
    plain = pacsv.read_csv(tmp_path / "s.csv")
    assert gzip.decompress((tmp_path / "s.csv.gz").read_bytes()) == (tmp_path / "s.csv").read_bytes()
    assert plain["payment id"].to_pylist() == table["payment id"].to_pylist()
    assert plain["alert"].to_pylist() == table["alert"].to_pylist()
    np.testing.assert_allclose(plain["score"].to_numpy(), table["score"].to_numpy(), rtol=1e-6)
    assert names(tmp_path) == ["s.csv", "s.csv.gz", "s.parquet"]


def test_the_result_as_json_and_for_people(invoke: Run, keyed: Path, fresh: Path, tmp_path: Path) -> None:
    verdict = sw.load(keyed).judge(fresh)
    done = invoke("score", keyed, fresh, "-o", tmp_path / "s.csv", "--json")
    assert json.loads(done.out) == {
        "scores": str(tmp_path / "s.csv"),
        "rows": 300,
        "alerts": int(verdict.alert.sum()),
        "alert_rate": 0.01,
        "estimated_rate": estimated_rate(0.01),
        "missing": verdict.counts.missing,
        "unseen": verdict.counts.unseen,
        "ignored": [],
    }
    done = invoke("score", keyed, fresh, "-o", tmp_path / "s2.csv")
    assert done.out.startswith(f"300 rows, {verdict.alert.sum()} alerts at rate 0.01 -> ")
    assert "of normal rows probably fewer alarm, 0.67 % by a rule of thumb" in done.out
    assert f"missing values: age {verdict.counts.missing['age']}" in done.out
    assert "not seen in training, or too rare: " in done.out


def test_json_needs_a_file_for_the_scores(invoke: Run, keyed: Path, fresh: Path) -> None:
    done = invoke("score", keyed, fresh, "--json")
    assert (done.code, done.out) == (2, "")
    assert "--json needs --out" in done.err


def test_the_alert_rate_is_chosen_here(invoke: Run, keyed: Path, fresh: Path, tmp_path: Path) -> None:
    alerts = {}
    for rate in (0.02, 0.3):
        done = invoke(
            "score", keyed, fresh, "--alert-rate", rate, "-o", tmp_path / f"{rate}.parquet", "--json"
        )
        alerts[rate] = json.loads(done.out)["alerts"]
        table = pq.read_table(tmp_path / f"{rate}.parquet")
        assert sum(table["alert"].to_pylist()) == alerts[rate]
        np.testing.assert_array_equal(
            table["alert"].to_numpy(), table["p_value"].to_numpy() <= np.float32(rate)
        )
    assert alerts[0.02] < alerts[0.3]


def test_a_rate_finer_than_the_model_supports_is_said_before_the_table_is_read(
    invoke: Run, keyed: Path, tmp_path: Path
) -> None:
    done = invoke("score", keyed, tmp_path / "no.csv", "--alert-rate", "0.0001", "-o", tmp_path / "s.csv")
    assert_one_message(done, "needs 9,999 calibration rows and this model has 420: ask for 0.00238 or more")
    assert invoke("score", keyed, tmp_path / "no.csv", "--alert-rate", "1").code == 2
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{model}", "{tmp}/no.csv"], "no.csv does not exist"),
        (["{tmp}/no model", "{fresh}"], "no model' does not exist"),
        (["{fresh}", "{fresh}"], "is not a folder. Name the folder that holds model.onnx"),
        (["{tmp}/thesis", "{fresh}"], "model.onnx is missing"),
        (["{model}", "{fresh}", "-o", "{tmp}/s.xlsx"], "scores go to .csv, .csv.gz or .parquet"),
        (["{model}", "{fresh}", "-o", "{tmp}/none/s.csv"], "is not a folder. Create it first."),
        (["{model}", "{fresh}", "-o", "{tmp}/old.csv"], "exists. Name another target, or pass --overwrite."),
        (["{model}", "{fresh}", "-o", "{tmp}/dir.csv", "--overwrite"], "is not a regular file"),
    ],
)
def test_what_cannot_be_is_one_message_and_writes_nothing(
    invoke: Run, keyed: Path, fresh: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "old.csv").write_text("mine")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "dir.csv").mkdir()
    filled = [argument.format(model=keyed, tmp=tmp_path, fresh=fresh) for argument in arguments]
    assert_one_message(invoke("score", *filled), message)
    assert names(tmp_path) == ["dir.csv", "old.csv", "thesis"]
    assert (tmp_path / "old.csv").read_text() == "mine"


def test_a_day_without_rows_gives_a_header(invoke: Run, keyed: Path, fresh: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_text(fresh.read_text().splitlines(keepends=True)[0])
    done = invoke("score", keyed, tmp_path / "empty.csv", "-o", tmp_path / "s.csv", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["rows"] == 0
    assert (tmp_path / "s.csv").read_text() == '"payment id","score","p_value","alert"\n'


def test_overwrite_replaces(invoke: Run, keyed: Path, fresh: Path, tmp_path: Path) -> None:
    (tmp_path / "old.csv").write_text("mine")
    assert invoke("score", keyed, fresh, "-o", tmp_path / "old.csv", "--overwrite").code == 0
    assert list(columns_of((tmp_path / "old.csv").read_text())) == HEADER


def test_columns_are_named_with_their_nearest_match(invoke: Run, keyed: Path, tmp_path: Path) -> None:
    table = payments(20)
    pacsv.write_csv(table.rename_columns({"amount": "Amount"}), tmp_path / "a.csv")
    pacsv.write_csv(table.rename_columns({"payment id": "payment_id"}), tmp_path / "b.csv")
    for name, column, near in (("a.csv", "amount", "Amount"), ("b.csv", "payment id", "payment_id")):
        message = f"column '{column}' is missing; did you mean '{near}'?"
        done = invoke("score", keyed, tmp_path / name, "-o", tmp_path / "s.csv")
        assert done.out == ""
        assert message in done.err.splitlines()[-1]
        assert done.code == 1
        assert not (tmp_path / "s.csv").exists()


def test_a_wrong_value_is_named_with_its_row_in_the_whole_stream(
    invoke: Run, keyed: Path, tmp_path: Path
) -> None:
    table = payments(20)
    amounts = [str(amount) for amount in table["amount"].to_pylist()]
    amounts[11] = "\x1b[31mmuch"
    place = table.column_names.index("amount")
    pacsv.write_csv(table, tmp_path / "1.csv")
    pacsv.write_csv(table.set_column(place, "amount", pa.array(amounts)), tmp_path / "2.csv")
    done = invoke("score", keyed, tmp_path / "1.csv", tmp_path / "2.csv", "-o", tmp_path / "s.csv")
    assert done.code == 1
    last = done.err.splitlines()[-1]
    assert "column 'amount'" in last
    assert "at row 32" in last
    assert "(--missing TEXT)" in last
    assert last.isprintable()
    assert not (tmp_path / "s.csv").exists()


@pytest.mark.parametrize("name", ["model.onnx", "manifest.json", "DIGEST", "report.html", "README.md"])
def test_a_damaged_model_is_refused_by_name(
    invoke: Run, keyed: Path, fresh: Path, tmp_path: Path, name: str
) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in keyed.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 4
    (copy / name).write_bytes(data)
    assert_one_message(invoke("score", copy, fresh, "-o", tmp_path / "s.csv"), name)
    assert not (tmp_path / "s.csv").exists()
    done = invoke("verify", copy, "--json")
    assert done.code == 3
    assert json.loads(done.out)["ok"] is False


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """More rows than a pipe holds."""
    path = tmp_path_factory.mktemp("data") / "long.parquet"
    pq.write_table(payments(20_000, seed=3), path)
    return path


def test_a_reader_that_goes_away_is_no_error(keyed: Path, long: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONUNBUFFERED": ""}
    with subprocess.Popen(
        [PROGRAM, "score", keyed, long], cwd=tmp_path, env=environment, stdout=-1, stderr=-1
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b'"payment id","score","p_value","alert"\n'
        process.stdout.close()
        err = process.stderr.read().decode()
    assert process.returncode == 0
    assert json_lines(err)  # progress, and nothing that is no JSON


@pytest.mark.parametrize(
    "command",
    [["score", "{model}", "{long}"], ["inspect", "{model}"], ["verify", "{model}", "--json"], ["--version"]],
)
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_behind_standard_output_is_an_error(
    keyed: Path, long: Path, command: list[str], unbuffered: str
) -> None:
    """Python holds back a few kilobytes of output, so it may be at the very end that the disk is found full."""
    arguments = [argument.format(model=keyed, long=long) for argument in command]
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [PROGRAM, *arguments], stdout=full, stderr=-1, text=True, env=environment, check=False
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "error: No space left on device [SW50]"


def test_closed_streams_are_no_bug(keyed: Path, fresh: Path, tmp_path: Path) -> None:
    command = '"$0" score "$1" "$2" -o s.csv >&- 2>&-'
    done = subprocess.run(["sh", "-c", command, PROGRAM, keyed, fresh], cwd=tmp_path, check=False)
    assert done.returncode == 0
    assert names(tmp_path) == ["s.csv"]


def test_an_interrupt_while_writing_is_code_130(keyed: Path, long: Path, tmp_path: Path) -> None:
    """Nobody reads, so the program waits on a full pipe when the interrupt comes."""
    with subprocess.Popen(
        [PROGRAM, "score", keyed, long], cwd=tmp_path, stdout=-1, stderr=-1, text=True
    ) as process:
        assert process.stderr is not None
        process.stderr.readline()
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert process.returncode == 130
    assert rest.splitlines()[-1].startswith("error: interrupted")
    assert "Traceback" not in rest


def test_an_interrupt_leaves_no_file(
    invoke: Run, keyed: Path, long: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge, calls = sw.Scorer.judge, iter(range(9))

    def interrupted(*args: Any, **kwargs: Any) -> Any:
        if next(calls):
            raise KeyboardInterrupt
        return judge(*args, **kwargs)

    monkeypatch.setattr(sw.Scorer, "judge", interrupted)
    done = invoke("score", keyed, long, long, "-o", tmp_path / "s.parquet")
    assert done.code == 130
    assert names(tmp_path) == []


EVIL = [
    "\x1b[31mred",
    "=cmd()",
    "new\nline",
    '"quoted", comma',
    "<script>",
    "\x9b31m",
    "-1+1",
    "-12.5",
    " a ",
]


@pytest.fixture
def evil(keyed: Path, tmp_path: Path) -> Path:
    table = payments(len(EVIL))
    table = table.set_column(table.column_names.index("payment id"), "payment id", pa.array(EVIL))
    pacsv.write_csv(table, tmp_path / "evil.csv")
    return tmp_path / "evil.csv"


def test_keys_come_back_as_they_were_but_for_formulas(invoke: Run, keyed: Path, evil: Path) -> None:
    """CSV through a pipe; the quote in front is what keeps a spreadsheet from running the cell."""
    done = invoke("score", keyed, evil)
    expected = [f"'{key}" if key in {"=cmd()", "-1+1"} else key for key in EVIL]
    assert columns_of(done.out)["payment id"] == expected
    assert invoke("score", keyed, evil, "-o", evil.parent / "s.parquet").code == 0
    assert pq.read_table(evil.parent / "s.parquet")["payment id"].to_pylist() == EVIL


def on_a_terminal(*arguments: object) -> tuple[int, str]:
    """Run the program with a terminal for its standard output, and read what arrives there."""
    ours, theirs = pty.openpty()
    with subprocess.Popen([PROGRAM, *map(str, arguments)], stdout=theirs, stderr=-1) as process:
        os.close(theirs)
        found = b""
        while True:
            try:
                piece = os.read(ours, 65_536)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            found += piece
    os.close(ours)
    return process.returncode, found.decode().replace("\r\n", "\n")


def test_nothing_that_a_terminal_obeys_reaches_it(keyed: Path, evil: Path) -> None:
    code, shown = on_a_terminal("score", keyed, evil)
    assert code == 0
    assert "[31mred" in shown
    assert not [sign for sign in shown if (sign < " " and sign != "\n") or "\x7f" <= sign < "\xa0"]


@pytest.mark.parametrize("alias", ["t.csv", "./t.csv", "link.csv", "hard.csv"])
@pytest.mark.parametrize(
    "command",
    [
        ("score", "MODEL", "t.csv", "--overwrite", "-o"),
        ("score", "MODEL", "*.csv", "--overwrite", "-o"),
        ("score", "MODEL", "t.csv", "--stream", "--dead-letters"),
        ("inspect", "t.csv", "--overwrite", "--schema"),
    ],
)
def test_the_data_is_never_overwritten(
    invoke: Run,
    keyed: Path,
    fresh: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...],
    alias: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    data = fresh.read_bytes()
    Path("t.csv").write_bytes(data)
    Path("link.csv").symlink_to("t.csv")
    Path("hard.csv").hardlink_to("t.csv")
    done = invoke(*(keyed if word == "MODEL" else word for word in command), alias)
    assert_one_message(done, "is the data itself")
    assert Path("t.csv").read_bytes() == data


def test_a_key_that_is_called_like_a_result_is_refused(invoke: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    table = pa.table({"score": [f"k{i}" for i in range(60)], "x": rng.normal(size=60)})
    d = sw.distill(table, key=["score"], teacher="knn", student=sw.MLP(hidden=(4,), steps=10))
    d.save(tmp_path / "m")
    pacsv.write_csv(table, tmp_path / "t.csv")
    assert_one_message(invoke("score", tmp_path / "m", tmp_path / "t.csv"), "key column 'score'")


def test_false_alarms_a_day_are_a_rate(invoke: Run, keyed: Path, fresh: Path, tmp_path: Path) -> None:
    done = invoke(
        "score", keyed, fresh, "-o", tmp_path / "s.csv", "--json",
        "--alerts-per-day", "4320", "--rows-per-second", "2",
    )  # fmt: skip
    assert json.loads(done.out)["alert_rate"] == 0.025
    assert_one_message(
        invoke("score", keyed, fresh, "--alerts-per-day", "1", "--rows-per-second", "2"),
        "needs 172,799 calibration rows",
    )


def test_false_discoveries_of_the_whole_file_are_bounded_whatever_its_batches(
    invoke: Run, keyed: Path, fresh: Path, tmp_path: Path
) -> None:
    verdict = sw.load(keyed).judge(fresh, fdr=0.9)
    done = invoke("score", keyed, fresh, "-o", tmp_path / "s.parquet", "--fdr", "0.9")
    assert done.out.startswith(f"300 rows, {verdict.alert.sum()} alerts at fdr 0.9 -> ")
    assert "power" in done.out
    written = pq.read_table(tmp_path / "s.parquet")
    assert written["alert"].to_pylist() == verdict.alert.tolist()
    assert written.column_names == HEADER
    found = json.loads(invoke("score", keyed, fresh, "-o", tmp_path / "t.csv", "--fdr", "0.9", "--json").out)
    assert found["discoveries"]["alerts"] == verdict.alert.sum()
    assert "alert_rate" not in found
    assert found["missing"] == verdict.counts.missing


def test_rows_are_judged_among_their_like(invoke: Run, keyed: Path, fresh: Path, tmp_path: Path) -> None:
    assert_one_message(invoke("score", keyed, fresh, "--by", "city"), "was calibrated by no column")
    assert invoke("recalibrate", keyed, fresh, "--by", "city", "-o", tmp_path / "m").code == 0
    done = invoke(
        "score", tmp_path / "m", fresh, "--by", "city", "-o", tmp_path / "s.csv", "--alert-rate", "0.05"
    )
    assert "judged by the common thresholds, for want of their group's own" in done.out


@pytest.mark.parametrize(
    "options",
    [
        ("--fdr", "0.1", "--alert-rate", "0.1"),
        ("--fdr", "0.1", "--by", "city"),
        ("--alerts-per-day", "5"),
        ("--alerts-per-day", "5", "--rows-per-second", "1", "--alert-rate", "0.1"),
        ("--fdr", "1"),
    ],
)
def test_options_that_contradict_each_other_are_wrong_usage(
    invoke: Run, keyed: Path, fresh: Path, options: tuple[str, ...]
) -> None:
    assert invoke("score", keyed, fresh, *options).code == 2
