from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

import stillwatch as sw
from tests.cli.conftest import Run, assert_one_message, json_lines, names, payments

PARTS = ["part-00000-00000.parquet", "part-00001-00000.parquet"]


@pytest.fixture
def days(tmp_path: Path) -> Path:
    """Two days, one of them as CSV, in folders of their own."""
    for day in (1, 2):
        (tmp_path / "data" / f"{day}").mkdir(parents=True)
    pq.write_table(payments(300, seed=1), tmp_path / "data" / "1" / "p.parquet")
    pacsv.write_csv(payments(200, seed=2), tmp_path / "data" / "2" / "p.csv")
    return tmp_path / "data"


def test_a_glob_goes_to_a_folder_of_parts(stillwatch: Run, keyed: Path, days: Path, tmp_path: Path) -> None:
    done = stillwatch("score", keyed, f"{days}/**/p.*", "-o", "out/", "--workers", 2)
    assert done.code == 0, done.err
    alerts = int(sw.load(keyed).alert(days).sum())
    assert done.out.startswith(f"500 rows, {alerts} alerts at rate 0.01 -> out/ (2 parts)\n")
    assert names(tmp_path / "out") == ["_SUCCESS", "_job.json", "_manifest.jsonl", *PARTS]
    table = pq.read_table(tmp_path / "out")
    assert table.column_names == ["payment id", "score", "p_value", "alert"]
    np.testing.assert_array_equal(table["score"].to_numpy(), sw.load(keyed).score(days))
    assert [(line["step"], line["done"]) for line in json_lines(done.err)] == [("score", 0), ("score", 500)]


def test_the_result_as_json_and_a_rerun(invoke: Run, keyed: Path, days: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = json.loads(invoke("score", keyed, days, "-o", out, "--alert-rate", 0.05, "--json").out)
    assert first == {
        **first, "scores": str(out), "rows": 500, "alert_rate": 0.05, "parts": 2, "kept": 0, "failed": [], "ignored": [],
    }  # fmt: skip
    again = invoke("score", keyed, days, "-o", out, "--alert-rate", 0.05)
    assert "(2 parts, 2 of them from before)" in again.out
    done = invoke("score", keyed, days, "-o", out)
    assert_one_message(done, "Name another folder, or pass --overwrite.")
    assert invoke("score", keyed, days, "-o", out, "--overwrite").code == 0


def test_what_is_missing_is_listed_and_the_exit_code_says_partial(
    invoke: Run, keyed: Path, days: Path, tmp_path: Path
) -> None:
    (days / "1" / "q.parquet").write_bytes(b"PAR1")
    done = invoke("score", keyed, days, "-o", tmp_path / "out", "--json")
    assert done.code == 5
    found = json.loads(done.out)
    assert (found["rows"], found["parts"], len(found["failed"])) == (500, 2, 1)
    assert found["failed"][0]["file"].endswith("q.parquet")
    assert "q.parquet is damaged" in done.err
    assert "error: 1 of 3 parts are missing; the others stand." in done.err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["-o", "s.csv", "--workers", "2"], 2, "are for a folder: -o out/"),
        (["-o", "out/", "--fdr", "0.1"], 2, "--fdr and --reasons are for a file"),
        (["-o", "out/", "--engine", "dask"], 1, "engine 'dask' is unknown. Use one of local, ray."),
        (["-o", "out/", "--address", "auto"], 1, "is for the engine 'ray'"),
        (["-o", "out/", "--workers", "0"], 2, "Input should be greater than or equal to 1"),
        (["-o", "none/out/"], 1, "is not a folder. Create it first."),
    ],
)
def test_what_cannot_be_is_said(
    invoke: Run, keyed: Path, days: Path, tmp_path: Path, arguments: list[str], code: int, message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    done = invoke("score", keyed, days, *arguments)
    assert done.code == code
    assert message in " ".join(done.err.replace("│", " ").split())
    assert names(tmp_path) == ["data"]


def test_standard_input_is_not_cut(stillwatch: Run, keyed: Path) -> None:
    assert_one_message(stillwatch("score", keyed, "-", "-o", "out/"), "standard input came; shards are cut")


def test_a_tab_is_a_tab_here_too(invoke: Run, keyed: Path, tmp_path: Path) -> None:
    table = payments(30)
    pacsv.write_csv(table, tmp_path / "t.txt", pacsv.WriteOptions(delimiter="\t"))
    assert invoke("score", keyed, tmp_path / "t.txt", "-o", tmp_path / "out", "--delimiter", "tab").code == 0
    assert pq.read_table(tmp_path / "out").num_rows == 30


@pytest.mark.slow
def test_ray_gives_the_same_and_keeps_out_of_the_result(
    stillwatch: Run, invoke: Run, keyed: Path, days: Path, tmp_path: Path
) -> None:
    pytest.importorskip("ray", reason="ray is not installed: pip install 'stillwatch[ray]'")
    done = stillwatch("score", keyed, days, "-o", "ray/", "--engine", "ray", "--workers", 2, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["parts"] == 2
    assert invoke("score", keyed, days, "-o", tmp_path / "here").code == 0
    for part in PARTS:
        assert (tmp_path / "ray" / part).read_bytes() == (tmp_path / "here" / part).read_bytes()
