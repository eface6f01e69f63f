from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import stillwatch as sw
from stillwatch.artifact.manifest import FILES, encode
from stillwatch.distillation.split import FOLDS, make_split
from stillwatch.evaluation.report import encode_report
from tests.tables import mixed_table

QUICK = sw.MLP(hidden=(16,), steps=60)


def test_the_split_is_made_before_anything_and_keeps_apart(distilled: sw.Distillation) -> None:
    split = distilled.split
    assert len(split.calibration) == 480
    assert not set(split.fit) & set(split.calibration)
    assert distilled.manifest.calibration.rows == 480
    assert not distilled.manifest.calibration.approximate


def test_calibration_rows_change_nothing_that_is_fitted(table: pa.Table) -> None:
    """Nonsense in the calibration rows leaves features, teacher, knowledge and student as they are."""
    x = np.random.default_rng(0).normal(size=(2_100, 3))
    split = make_split(len(x), None, "all", rng=np.random.default_rng(0))
    spoilt = x.copy()
    spoilt[split.calibration] *= 50
    before, after = (sw.distill(rows, teacher="knn", student=QUICK) for rows in (x, spoilt))
    np.testing.assert_array_equal(before.split.calibration, split.calibration)
    np.testing.assert_array_equal(before.knowledge.raw, after.knowledge.raw)
    assert before.model == after.model
    assert before.manifest.calibration != after.manifest.calibration


def test_normal_rows_train_and_the_others_evaluate() -> None:
    table = mixed_table(2_600)
    labels = table["fraud"].to_numpy()
    d = sw.distill(table, label="fraud", train_on="normal", teacher="knn", student=QUICK)
    assert (labels[d.split.fit] == 0).all()
    assert (labels[d.split.calibration] == 0).all()
    assert set(d.split.others) == set(np.flatnonzero(labels == 1))
    assert d.manifest.teacher["regime"] == "normal"
    assert d.manifest.quality is not None
    with pytest.raises(sw.InputError, match="needs a label column"):
        sw.distill(table.drop_columns(["fraud"]), train_on="normal")


def test_few_rows_all_fit_and_folds_calibrate(rng: np.random.Generator) -> None:
    d = sw.distill(rng.normal(size=(90, 3)), teacher="knn", student=QUICK)
    assert len(d.split.fit) == 90
    assert len(d.split.folds) == FOLDS
    assert d.manifest.calibration.approximate
    assert d.manifest.calibration.rows == 90


def test_too_few_rows_for_the_rate_warn_and_still_work(rng: np.random.Generator) -> None:
    d = sw.distill(rng.normal(size=(20, 2)), teacher="knn", student=sw.MLP())
    assert "20 calibration rows support alert rates from 0.048" in d.warnings[0]
    assert d.scorer.alert(np.array([[90.0, 90.0], [0.0, 0.0]]), rate=0.05).tolist() == [True, False]
    # The finest rate that so many rows support became the default.
    assert d.manifest.alert_rate == 1 / 21
    assert d.scorer.judge(np.array([[90.0, 90.0], [0.0, 0.0]])).alert.tolist() == [True, False]


def test_the_label_is_never_a_feature_and_a_leak_is_named() -> None:
    table = mixed_table(2_100)
    table = table.append_column(
        "verdict", pa.array(["yes" if f else "no" for f in table["fraud"].to_pylist()])
    )
    d = sw.distill(table, label="fraud", teacher="isolation_forest", student=QUICK)
    assert "fraud" not in d.scorer.manifest.schema.numbers
    assert any("'verdict' alone separates the label" in warning for warning in d.warnings)


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    table = mixed_table(2_100)
    first, again = (sw.distill(table, label="fraud", teacher="knn", student=QUICK, seed=3) for _ in range(2))
    assert first.model == again.model
    assert first.manifest == again.manifest
    np.testing.assert_array_equal(first.knowledge.raw, again.knowledge.raw)
    other = sw.distill(table, label="fraud", teacher="knn", student=QUICK, seed=4)
    assert other.model != first.model


def test_the_teacher_scores_the_rows_that_the_student_scores(distilled: sw.Distillation) -> None:
    fresh = mixed_table(500, seed=5).drop_columns(["fraud"])
    teacher, student = distilled.teacher_score(fresh), distilled.scorer.score(fresh)
    assert np.corrcoef(np.argsort(np.argsort(teacher)), np.argsort(np.argsort(student)))[0, 1] > 0.9
    np.testing.assert_allclose(teacher, distilled.teacher.score(distilled.features(fresh)))


def test_the_model_folder_is_small_complete_and_verified(distilled: sw.Distillation, model: Path) -> None:
    assert {path.name for path in model.iterdir()} == set(FILES)
    found = sw.verify(model)
    assert found.ok, found
    assert not found.extra
    assert len(distilled.model) < 200_000


def test_no_training_row_stands_in_the_folder() -> None:
    """Privacy: no row of the data, and no text seen fewer than 5 times, can be found in any file."""
    table = mixed_table(2_100)
    secret = ["Mallory Secret"] * 4 + table["city"].to_pylist()[4:]
    table = table.set_column(table.column_names.index("city"), "city", pa.array(secret))
    d = sw.distill(table, label="fraud", teacher="knn", student=QUICK)
    written = d.model + encode(d.manifest) + encode_report(d.report)
    assert b"Mallory" not in written
    amounts = table["amount"].to_numpy()
    median = np.quantile(amounts, [0.5])
    found = [amount for amount in amounts if repr(float(amount)).encode() in written and amount not in median]
    assert not found


def test_progress_names_every_step(rng: np.random.Generator) -> None:
    steps: list[str] = []
    sw.distill(
        rng.normal(size=(50, 2)),
        teacher="knn",
        student=QUICK,
        progress=lambda step, done, total: steps.append(step),
    )
    assert list(dict.fromkeys(steps)) == [
        "read",
        "fit teacher",
        "ask teacher",
        "train student",
        "cross-fit",
    ]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (1, "1 row came to train on; at least 5"),
        (4, "4 rows came to train on; at least 5"),
    ],
)
def test_hopelessly_few_rows_are_refused(rows: int, message: str) -> None:
    with pytest.raises(sw.InputError, match=message):
        sw.distill(np.random.default_rng(0).normal(size=(rows, 3)))


def test_options_out_of_range_are_refused(rng: np.random.Generator) -> None:
    x = rng.normal(size=(30, 2))
    with pytest.raises(sw.InputError, match="alert_rate=0"):
        sw.distill(x, alert_rate=0)
    with pytest.raises(sw.InputError, match="train_on='good'"):
        sw.distill(x, train_on="good")  # type: ignore[arg-type]
    with pytest.raises(sw.TeacherError, match="isolation_forest"):
        sw.distill(x, teacher="isolation_forrest")
    with pytest.raises(sw.SchemaError, match="did you mean 'fraud'"):
        sw.distill(mixed_table(30), label="Fraud")


class TestBadTeachers:
    """FAULTS row 26."""

    x = np.random.default_rng(0).normal(size=(60, 2))

    def test_nan(self) -> None:
        with pytest.raises(sw.TeacherError, match="not finite"):
            sw.distill(self.x, teacher=lambda x: np.full(len(x), np.nan), student=QUICK)

    def test_constant(self) -> None:
        with pytest.raises(sw.TeacherError, match=r"same score|tells none apart"):
            sw.distill(self.x, teacher=lambda x: np.ones(len(x)), student=QUICK)

    def test_wrong_length(self) -> None:
        with pytest.raises(sw.TeacherError, match="shape"):
            sw.distill(self.x, teacher=lambda x: np.ones(len(x) + 1), student=QUICK)


class TestUglyTraining:
    """FAULTS row 26, the table's side."""

    def test_constant_and_missing_and_id_columns(self) -> None:
        n = 400
        rng = np.random.default_rng(0)
        table = pa.table(
            {
                "id": pa.array([f"row {i}" for i in range(n)]),
                "empty": pa.nulls(n, pa.float64()),
                "same": pa.array(np.full(n, 3.0)),
                "x": pa.array(rng.normal(size=n)),
                "y": pa.array(rng.normal(size=n)),
            }
        )
        d = sw.distill(table, teacher="knn", student=QUICK, assume_normal=True)
        roles = {column.name: column.role for column in d.manifest.schema.columns}
        assert roles == {"id": "ignore", "empty": "ignore", "same": "feature", "x": "feature", "y": "feature"}
        usual, changed = {"same": 3.0, "x": 0.0, "y": 0.0}, {"same": 4.0, "x": 0.0, "y": 0.0}
        assert d.scorer.score_one(changed) > d.scorer.score_one(usual)
        assert d.scorer.alert([changed], rate=0.01).all()

    def test_nothing_but_an_id(self) -> None:
        with pytest.raises(sw.SchemaError, match="no feature column"):
            sw.distill(pa.table({"id": [f"row {i}" for i in range(100)]}))

    def test_infinite_and_huge_values_train(self) -> None:
        x = np.random.default_rng(0).normal(size=(200, 3))
        x[0] = [np.inf, -np.inf, 1e308]
        x[1] = np.nan
        d = sw.distill(x, teacher="knn", student=QUICK)
        assert np.isfinite(d.scorer.score(x)).all()

    def test_a_category_of_many_values(self) -> None:
        table = pa.table(
            {"word": [f"w{i % 3000}" for i in range(9_000)], "x": np.random.default_rng(0).normal(size=9_000)}
        )
        d = sw.distill(table, teacher="isolation_forest", student=QUICK)
        assert len(d.model) < 400_000


def test_groups_of_any_column_get_thresholds_from_the_calibration_rows_alone() -> None:
    """The column may be ignored by the model; a value of few rows is not stored, and nor is its name."""
    table = mixed_table(2_100)
    office = ["north", "south"] * 1_000 + [f"office {i}" for i in range(100)]
    table = table.append_column("office", pa.array(office))
    d = sw.distill(
        table, label="fraud", ignore=["office"], teacher="knn", student=QUICK, calibrate_by="office"
    )
    groups = d.manifest.groups
    assert groups is not None
    assert set(groups.tables) == {"north", "south"}
    calibrating = np.array(office)[d.split.calibration]
    for name, found in groups.tables.items():
        assert found.rows == (calibrating == name).sum()
    assert b"office 7" not in encode(d.manifest)
    assert d.scorer.judge(table, 0.05, by="office").counts.common == 100
    few = sw.distill(table.slice(0, 100), teacher="knn", student=QUICK, calibrate_by="city")
    assert any("no value of 'city' has 100 calibration rows" in warning for warning in few.warnings)
    with pytest.raises(sw.SchemaError, match="there is no column 'town'"):
        sw.distill(table, teacher="knn", student=QUICK, calibrate_by="town")


def test_calibration_rows_are_a_uniform_sample_of_all_rows_never_purified() -> None:
    """As many anomalies among them as among all; a label, or the caller, may vouch that there are none."""
    table = mixed_table(2_400, seed=8)
    d = sw.distill(table, label="fraud", teacher="auto", student=QUICK)
    anomalies = table["fraud"].to_numpy()
    assert abs(anomalies[d.split.calibration].mean() - anomalies.mean()) < 0.02
    assert d.manifest.calibration.rows == len(d.split.calibration) == 480
    assert not d.manifest.calibration.normal
    assert d.report.calibration is not None
    assert d.report.calibration.estimated_rate == pytest.approx(d.manifest.alert_rate * 2 / 3)
    normal = sw.distill(table, label="fraud", train_on="normal", teacher="knn", student=QUICK)
    assert normal.manifest.calibration.normal
    assert normal.report.calibration is not None
    assert normal.report.calibration.estimated_rate is None
