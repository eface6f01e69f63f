from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pytest

from tests.cli.conftest import Run, payments


@pytest.fixture
def moved(tmp_path: Path) -> Path:
    """A file whose people are four years older."""
    table = payments(2_000, seed=3).to_pydict()
    table["age"] = [None if age is None else age + 4 for age in table["age"]]
    pacsv.write_csv(pa.table(table), tmp_path / "moved.csv")
    return tmp_path / "moved.csv"


def test_rows_of_the_same_kind_end_with_0(invoke: Run, keyed: Path, fresh: Path) -> None:
    done = invoke("drift", keyed, fresh)
    assert done.code == 0, done
    assert "300 rows: nothing has drifted" in done.out
    for word in ("PSI", "KS", "missing", "unseen", "score", "alarms", "amount"):
        assert word in done.out


def test_drift_ends_with_4_a_chart_and_advice(invoke: Run, keyed: Path, moved: Path) -> None:
    done = invoke("drift", keyed, moved)
    assert done.code == 4
    assert "age  before, and below it now" in done.out
    assert "█" in done.out
    assert "2,000 rows: drifted." in done.out


def test_json_is_one_document(invoke: Run, keyed: Path, moved: Path) -> None:
    done = invoke("drift", keyed, moved, "--json", "--level", "0.001")
    found = json.loads(done.out)
    assert done.code == 4
    assert (found["drifted"], found["alarm"], found["level"]) == (["age"], True, 0.001)
    assert found["columns"][0]["column"] == "age"
    assert {"psi", "ks", "above", "missing", "unseen", "p_value", "bars"} <= set(found["columns"][0])


def test_a_level_is_a_chance(invoke: Run, keyed: Path, fresh: Path) -> None:
    assert invoke("drift", keyed, fresh, "--level", "1").code == 2
