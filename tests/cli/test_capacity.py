"""`distill` within a budget, and going on from an earlier model."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.csv as pacsv
import pytest

from stillwatch.artifact.manifest import MODEL, REPORT_JSON
from tests.cli.conftest import Run, assert_one_message

QUICK = ("--label", "fraud", "--teacher", "isolation_forest", "--student", "additive")


@pytest.fixture
def searched(csv: Path, invoke: Run, tmp_path: Path) -> Path:
    done = invoke(
        "distill", csv, *QUICK, "--size-kb", 60, "--fidelity", 0.9999, "-o", tmp_path / "model", "--json"
    )
    assert done.code == 0, done.err
    report = json.loads(done.out)["report"]
    assert {one["family"] for one in report["search"]} == {"additive"}
    assert sum(one["chosen"] for one in report["search"]) == 1
    assert any("No student within 60 KB reaches a fidelity of 0.9999" in text for text in report["warnings"])
    return tmp_path / "model"


def test_recorded_costs_choose_the_same_student(
    searched: Path, csv: Path, invoke: Run, tmp_path: Path
) -> None:
    size = (searched / MODEL).stat().st_size
    assert size <= 60_000
    again = invoke(
        "distill", csv, *QUICK, "--size-kb", 60, "--costs", searched / REPORT_JSON, "-o", tmp_path / "again"
    )
    assert again.code == 0, again.err
    assert (tmp_path / "again" / MODEL).read_bytes() == (searched / MODEL).read_bytes()


def test_a_model_is_started_from(searched: Path, fresh: Path, invoke: Run, tmp_path: Path) -> None:
    arguments = ("--teacher", "isolation_forest", "--start", searched, "-o", tmp_path / "next")
    done = invoke("distill", fresh, *arguments, "--json")
    assert done.code == 0, done.err
    found, before = (
        json.loads((folder / "manifest.json").read_text()) for folder in (tmp_path / "next", searched)
    )
    assert found["knowledge"]["softening"] == before["knowledge"]["softening"]
    assert found["student"]["name"] == "additive"
    other = invoke("distill", fresh, "--teacher", "knn", "--start", searched, "-o", tmp_path / "other")
    assert other.code != 0
    assert_one_message(other, "learnt from the teacher 'isolation_forest'")


def test_a_dry_run_reads_the_table_as_the_model_to_start_from_does(
    searched: Path, fresh: Path, invoke: Run, tmp_path: Path
) -> None:
    arguments = ("--teacher", "isolation_forest", "--start", searched, "--dry-run", "-o", tmp_path / "next")
    done = invoke("distill", fresh, *arguments)
    assert done.code == 0, done.err
    narrow = tmp_path / "narrow.csv"
    pacsv.write_csv(pacsv.read_csv(fresh).drop_columns(["amount"]), narrow)
    assert_one_message(invoke("distill", narrow, *arguments), "amount")
    assert not (tmp_path / "next").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--latency-us", 0), "latency_us=0"),
        (("--fidelity", 2), "fidelity=2"),
        (("--costs", "nowhere.json"), "nowhere.json"),
    ],
)
def test_an_impossible_budget_is_said_at_once(
    arguments: tuple[object, ...], message: str, csv: Path, invoke: Run, tmp_path: Path
) -> None:
    done = invoke("distill", csv, *arguments, "-o", tmp_path / "model")
    assert done.code != 0
    assert_one_message(done, message)


def test_a_report_without_a_search_holds_no_costs(csv: Path, invoke: Run, tmp_path: Path) -> None:
    from stillwatch.evaluation.report import Report, encode_report

    (tmp_path / "report.json").write_bytes(encode_report(Report()))
    done = invoke("distill", csv, "--costs", tmp_path / "report.json", "-o", tmp_path / "model")
    assert_one_message(done, "holds no costs")
