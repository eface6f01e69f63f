from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pytest

from stillwatch.cli.drift_page import render
from stillwatch.drift.report import Alarms, Bar, Change, Drift
from tests.cli.conftest import Run, assert_one_message, payments


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


def test_a_page_charts_everything_that_has_drifted_and_is_inert(
    invoke: Run, keyed: Path, moved: Path, tmp_path: Path
) -> None:
    page = tmp_path / "drift.html"
    assert invoke("drift", keyed, moved, "-o", page).code == 4
    text = page.read_text()
    assert text.count("<figure>") == 1 + ("score <span>" in text)
    assert "<figcaption>age <span>" in text
    assert "Content-Security-Policy" in text
    assert "<script" not in text
    assert "style=" not in text.replace("style-src", "")
    assert_one_message(invoke("drift", keyed, moved, "-o", page), "exists")
    assert invoke("drift", keyed, moved, "-o", page, "--overwrite").code == 4
    assert invoke("drift", keyed, moved, "-o", tmp_path / "drift.csv").code == 2


def test_hostile_names_are_inert_on_the_page() -> None:
    bars = (Bar("</text><script>alert(1)</script>", 0.25, 0.75), Bar("\x1b[2J\u202e", 0.75, 0.25))
    change = Change(
        column="<img src=x onerror=alert(1)>" + "x" * 10_000, kind="category", psi=1.0, p_value=0.0, drifted=True,
        largest=bars[0], bars=bars,
    )  # fmt: skip
    alarms = Alarms(promised=0.01, found=0.02, p_value=None, drifted=False)
    page = render(
        Drift(rows=9, level=0.01, columns=(change,), score=None, alarms=alarms, advice="watch", why="<b>")
    )
    for part in ("<script", "<img", "<b>", "\x1b", "\u202e"):
        assert part not in page
    assert len(page) < 10_000
