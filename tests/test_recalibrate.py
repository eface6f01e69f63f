from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import stillwatch as sw
from stillwatch.artifact.manifest import MODEL
from tests.tables import mixed_table


@pytest.fixture(scope="module")
def today() -> pa.Table:
    """Rows whose amounts have tripled since."""
    table = mixed_table(1_500, seed=11)
    return table.set_column(0, "amount", pa.array(3 * table["amount"].to_numpy()))


@pytest.fixture(scope="module")
def anew(
    model: Path, today: pa.Table, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, sw.Recalibration]:
    folder = tmp_path_factory.mktemp("anew") / "model"
    return folder, sw.recalibrate(model, today, folder, by="city")


def test_the_graph_stays_and_the_parent_is_kept(
    model: Path, anew: tuple[Path, sw.Recalibration], tmp_path: Path
) -> None:
    folder, found = anew
    before, after = sw.load(model).manifest, sw.load(folder).manifest
    assert (folder / MODEL).read_bytes() == (model / MODEL).read_bytes()
    assert found.parent == sw.verify(model).digest == after.parent
    assert before.parent is None
    assert found.digest == sw.verify(folder, expect=found.digest).digest != found.parent
    assert sw.verify(folder).ok
    assert after.golden == before.golden
    assert after.schema == before.schema
    assert sw.recalibrate(folder, mixed_table(300, seed=1), tmp_path / "m").parent == found.digest
    assert sw.recalibrate(folder, mixed_table(300), tmp_path / "m", overwrite=True).rows < 300


def test_normal_rows_of_today_alarm_at_the_rate_again(
    model: Path, anew: tuple[Path, sw.Recalibration], today: pa.Table
) -> None:
    fresh = mixed_table(3_000, seed=12)
    fresh = fresh.set_column(0, "amount", pa.array(3 * fresh["amount"].to_numpy()))
    fresh = fresh.filter(pa.array(fresh["fraud"].to_numpy() == 0))
    old, new = sw.load(model), sw.load(anew[0])
    np.testing.assert_array_equal(old.score(fresh), new.score(fresh))
    assert abs(new.alert(fresh, rate=0.05).mean() - 0.05) < 0.02
    assert new.manifest.calibration.rows == int((today["fraud"].to_numpy() == 0).sum())
    assert new.manifest.calibration.normal
    assert new.manifest.sketches.score != old.manifest.sketches.score
    assert new.manifest.sketches.columns == old.manifest.sketches.columns
    assert not new.manifest.calibration.approximate


def test_report_and_card_show_the_new_thresholds_and_say_where_they_are_from(
    anew: tuple[Path, sw.Recalibration],
) -> None:
    folder, found = anew
    for name in ("README.md", "report.html", "report.json"):
        text = (folder / name).read_text()
        assert f"Calibrated anew on {found.rows:,} rows" in text
    assert f"{found.threshold!r}" in (folder / "README.md").read_text()
    assert "may hold anomalies. If a share" not in (folder / "README.md").read_text()


def test_too_few_rows_calibrate_with_the_finest_rate_they_support(model: Path, tmp_path: Path) -> None:
    rows = mixed_table(20, seed=3).drop_columns(["fraud"])
    found = sw.recalibrate(model, rows, tmp_path / "m", alert_rate=0.001)
    assert found.alert_rate == 1 / 21
    assert sw.load(tmp_path / "m").alert(rows).sum() <= 1


def test_what_cannot_be_done_is_said_and_nothing_written(
    model: Path, today: pa.Table, tmp_path: Path
) -> None:
    with pytest.raises(sw.CalibrationError, match="expected a share of normal rows"):
        sw.recalibrate(model, today, tmp_path / "m", alert_rate=2)
    with pytest.raises(sw.CalibrationError, match="0 calibration scores came"):
        sw.recalibrate(model, today.slice(0, 0), tmp_path / "m")
    with pytest.raises(sw.SchemaError, match="there is no column 'town'"):
        sw.recalibrate(model, today, tmp_path / "m", by="town")
    with pytest.raises(sw.DigestError, match="another model"):
        sw.recalibrate(model, today, tmp_path / "m", expect="0" * 64)
    with pytest.raises(sw.ArtifactError, match="exists"):
        sw.recalibrate(model, today, model)
    assert not list(tmp_path.iterdir())


def test_rows_are_judged_among_their_like(anew: tuple[Path, sw.Recalibration], today: pa.Table) -> None:
    scorer = sw.load(anew[0])
    groups = scorer.manifest.groups
    assert groups is not None
    assert set(groups.tables) == {"Basel", "Bern", "Genf"}  # Chur has too few rows
    verdict = scorer.judge(today, 0.05, by="city")
    cities = np.array(today["city"].to_pylist())
    assert verdict.counts.common == (cities == "Chur").sum()
    np.testing.assert_array_equal(verdict.alert, verdict.p_value <= 0.05)
    np.testing.assert_array_equal(verdict.alert, scorer.alert(today, 0.05, by="city"))
    for city, table in groups.tables.items():
        normal = (cities == city) & (today["fraud"].to_numpy() == 0)
        assert table.rows == normal.sum()
        assert verdict.alert[normal].mean() <= 0.05
    np.testing.assert_array_equal(
        verdict.p_value[cities == "Chur"], scorer.judge(today, 0.05).p_value[cities == "Chur"]
    )


def test_a_column_that_the_model_was_not_calibrated_by_is_refused(
    model: Path, anew: tuple[Path, sw.Recalibration], today: pa.Table
) -> None:
    with pytest.raises(sw.CalibrationError, match=r"by no column\. Distill with calibrate_by='city'"):
        sw.load(model).alert(today, 0.05, by="city")
    with pytest.raises(sw.CalibrationError, match="by 'city'"):
        sw.load(anew[0]).alert(today, 0.05, by="shop")
