from __future__ import annotations

import json
import re
from pathlib import Path

import pyarrow.csv as pacsv

import stillwatch as sw
from tests.cli.conftest import Run, assert_one_message, payments


def test_figures_come_with_their_intervals(invoke: Run, keyed: Path, fresh: Path) -> None:
    done = invoke("evaluate", keyed, fresh)
    assert done.code == 0
    interval = r"\s+\d\.\d{4}   \(95 %: \d\.\d{4} to \d\.\d{4}\)"
    for name in ("AUROC", "average precision", "recall at alert rate 0.01", "false alarms among normal rows"):
        assert re.search(re.escape(name) + interval, done.out), done.out
    assert re.search(r"rows +300, of which \d+ anomalies", done.out)
    assert "unseen categories" in done.out


def test_json_holds_what_the_library_returns(invoke: Run, keyed: Path, fresh: Path) -> None:
    found = json.loads(invoke("evaluate", keyed, fresh, "--alert-rate", "0.1", "--json").out)
    expected = sw.evaluate(sw.load(keyed), fresh, rate=0.1)
    assert expected.quality is not None
    assert found["quality"]["auroc"]["value"] == expected.quality.auroc.value
    assert found["rate"] == 0.1


def test_a_label_of_another_name(invoke: Run, keyed: Path, tmp_path: Path) -> None:
    table = payments(200, seed=2)
    pacsv.write_csv(table.rename_columns({"fraud": "is it fraud"}), tmp_path / "t.csv")
    done = invoke("evaluate", keyed, tmp_path / "t.csv", "--label", "is it fraud")
    assert done.code == 0
    assert "AUROC" in done.out
    assert_one_message(invoke("evaluate", keyed, tmp_path / "t.csv"), "column 'fraud' is missing")
    assert_one_message(
        invoke("evaluate", keyed, tmp_path / "t.csv", "--label", "is it frau"), "is missing; did you mean"
    )


def test_without_any_label(invoke: Run, model_without_label: Path, fresh: Path) -> None:
    assert_one_message(
        invoke("evaluate", model_without_label, fresh), "Name the label column: --label COLUMN."
    )


def test_one_class_only_says_why_there_is_no_quality(invoke: Run, keyed: Path, tmp_path: Path) -> None:
    table = payments(200)
    pacsv.write_csv(table.filter(table["fraud"].to_numpy() == 0), tmp_path / "t.csv")
    done = invoke("evaluate", keyed, tmp_path / "t.csv")
    assert done.code == 0
    assert re.search(r"quality +\w+", done.out)


def test_a_rate_too_fine_is_one_message(invoke: Run, keyed: Path, fresh: Path) -> None:
    done = invoke("evaluate", keyed, fresh, "--alert-rate", "0.0001")
    assert_one_message(done, "needs 9,999 calibration rows")


def test_the_whole_range_of_rates_is_shown(invoke: Run, keyed: Path, fresh: Path) -> None:
    done = invoke("evaluate", keyed, fresh, "--rows-per-second", "10")
    assert "false alarms a day at 10 rows/s" in done.out
    assert re.search(r"1 % +\S+ +8,640 +\d+ +", done.out), done.out
    assert re.search(r"50 % +\S+ +432,000 ", done.out)


def test_power_is_measured_where_labels_are(invoke: Run, keyed: Path, fresh: Path) -> None:
    done = invoke("evaluate", keyed, fresh, "--fdr", "0.9")
    assert re.search(r"recall at fdr 0\.9 +\d", done.out)
    assert "of the best threshold, known with hindsight" in done.out
    found = json.loads(invoke("evaluate", keyed, fresh, "--fdr", "0.9", "--json").out)
    assert found["rate"] is None
    assert found["quality"]["recall"]["value"] <= found["oracle_recall"] + 0.5
