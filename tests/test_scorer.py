from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

import stillwatch as sw
from stillwatch.calibration.discovery import benjamini_hochberg
from tests.tables import mixed_table


@pytest.fixture(scope="module")
def fresh() -> pa.Table:
    return mixed_table(300, seed=9).drop_columns(["fraud"])


@pytest.fixture(scope="module")
def scorer(model: Path) -> sw.Scorer:
    return sw.load(model)


def test_every_door_gives_the_same_scores(scorer: sw.Scorer, fresh: pa.Table, tmp_path: Path) -> None:
    expected = scorer.score(fresh)
    pacsv.write_csv(fresh, tmp_path / "rows.csv")
    pq.write_table(fresh, tmp_path / "rows.parquet")
    records = fresh.to_pylist()
    doors = {
        "csv": scorer.score(tmp_path / "rows.csv"),
        "parquet": scorer.score(tmp_path / "rows.parquet"),
        "glob": scorer.score(str(tmp_path / "*.parquet")),
        "pandas": scorer.score(fresh.to_pandas()),
        "polars": scorer.score(pl.from_arrow(fresh)),
        "dicts": scorer.score(records),
        "one by one": np.array([scorer.score_one(row) for row in records], dtype=np.float32),
        "tuples": np.array([scorer.score_one(tuple(row.values())) for row in records], dtype=np.float32),
        "series": np.array(
            [scorer.score_one(row) for _, row in fresh.to_pandas().iterrows()], dtype=np.float32
        ),
    }
    for door, scores in doors.items():
        np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-5, err_msg=door)


def test_one_row_reads_text_by_the_rules(scorer: sw.Scorer, fresh: pa.Table) -> None:
    row = {**fresh.to_pylist()[0], "city": "Bern"}
    assert scorer.score_one({**row, "city": " Bern\t"}) == scorer.score_one(row)
    assert scorer.score_one({**row, "city": "NULL"}) == scorer.score_one({**row, "city": None})
    assert scorer.score_one({**row, "city": "bern"}) == scorer.score_one({**row, "city": "Atlantis"})
    with pytest.raises(sw.TableError, match="not clean text"):
        scorer.score_one({**row, "city": "Be\0rn"})


def test_columns_go_by_name_and_extra_ones_are_ignored_and_counted(
    scorer: sw.Scorer, fresh: pa.Table
) -> None:
    turned = fresh.select(fresh.column_names[::-1]).append_column("more", pa.array(np.zeros(300)))
    np.testing.assert_array_equal(scorer.score(turned), scorer.score(fresh))
    assert scorer.judge(turned).counts.ignored == ("more",)
    record = fresh.to_pylist()[0]
    assert scorer.score_one({**record, "more": 1}) == scorer.score_one(record)


def test_a_missing_or_misspelt_column_names_the_nearest(scorer: sw.Scorer, fresh: pa.Table) -> None:
    renamed = fresh.rename_columns({"amount": "Amount"})
    with pytest.raises(sw.SchemaError, match=r"column 'amount' is missing; did you mean 'Amount'\?"):
        scorer.score(renamed)
    with pytest.raises(sw.SchemaError, match=r"did you mean 'Amount'\?"):
        scorer.score_one(renamed.to_pylist()[0])
    twice = pa.Table.from_arrays([*fresh.columns, fresh["age"]], [*fresh.column_names, "age"])
    with pytest.raises(sw.SchemaError, match=r"more than once|2 times"):
        scorer.score(twice)
    with pytest.raises(sw.SchemaError, match="8 feature columns"):
        scorer.score_one((1, 2))


def test_text_in_a_number_column_names_column_row_and_value(scorer: sw.Scorer, fresh: pa.Table) -> None:
    rows = fresh.to_pylist()
    rows[16]["amount"] = "1,5"
    with pytest.raises(sw.TableError, match=r"column 'amount': '1,5' is not a number"):
        scorer.score_one(rows[16])
    table = pa.table(
        {
            **dict(zip(fresh.column_names, fresh.columns, strict=True)),
            "amount": [str(r["amount"]) for r in rows],
        }
    )
    with pytest.raises(
        sw.TableError, match=r"column 'amount': 1 of 300 values are not numbers \(first: '1,5' at row 17\)"
    ):
        scorer.score(table)
    fine = [{**rows[0], "amount": value} for value in (" 3 ", "3", 3, 3.0, np.float32(3))]
    assert len({scorer.score_one(row) for row in fine}) == 1
    gaps = [{**rows[0], "amount": value} for value in ("", "NULL", None, float("nan"), " ")]
    assert len({scorer.score_one(row) for row in gaps}) == 1


def test_unseen_and_missing_values_are_counted_and_score(scorer: sw.Scorer, fresh: pa.Table) -> None:
    rows = fresh.to_pylist()[:10]
    rows[0]["city"] = "Atlantis"
    rows[1]["city"] = None
    for row in rows:
        row["age"] = None
    verdict = scorer.judge(rows)
    assert verdict.counts.unseen["city"] == 1
    assert verdict.counts.missing == {"age": 10, "city": 1}
    assert np.isfinite(verdict.score).all()


def test_a_row_of_nothing_but_gaps_scores_and_is_flagged(scorer: sw.Scorer, fresh: pa.Table) -> None:
    verdict = scorer.judge([dict.fromkeys(fresh.column_names), fresh.to_pylist()[0]])
    assert verdict.low_evidence.tolist() == [True, False]
    assert np.isfinite(verdict.score).all()


def test_no_rows_give_no_scores(scorer: sw.Scorer, fresh: pa.Table) -> None:
    verdict = scorer.judge(fresh.slice(0, 0))
    assert len(verdict.score) == len(verdict.p_value) == len(verdict.alert) == 0
    assert len(scorer.score(fresh.slice(0, 1))) == 1


def test_judge_score_p_value_and_alert_agree_and_the_rate_is_chosen_late(
    scorer: sw.Scorer, fresh: pa.Table
) -> None:
    strict, loose = scorer.judge(fresh, rate=0.01), scorer.judge(fresh, rate=0.2)
    np.testing.assert_array_equal(strict.score, scorer.score(fresh))
    np.testing.assert_array_equal(loose.alert, scorer.alert(fresh, rate=0.2))
    np.testing.assert_array_equal(strict.p_value, scorer.p_value(fresh))
    np.testing.assert_array_equal(loose.alert, loose.p_value <= 0.2)
    assert loose.alert.sum() > strict.alert.sum()
    with pytest.raises(sw.CalibrationError, match="calibration rows"):
        scorer.alert(fresh, rate=1e-9)


def test_a_batch_has_its_false_discoveries_bounded_and_its_power_estimated(
    scorer: sw.Scorer, fresh: pa.Table
) -> None:
    """Scores and p-values are those of any other call; the alarms alone hang on the batch."""
    verdict, plain = scorer.judge(fresh, fdr=0.5), scorer.judge(fresh)
    np.testing.assert_array_equal(verdict.p_value, plain.p_value)
    np.testing.assert_array_equal(verdict.alert, benjamini_hochberg(plain.p_value, 0.5))
    assert verdict.discoveries is not None
    assert (verdict.discoveries.rows, verdict.discoveries.alerts) == (300, verdict.alert.sum())
    assert plain.discoveries is None
    for wrong in ({"rate": 0.1}, {"by": "city"}):
        with pytest.raises(sw.InputError, match="Choose one"):
            scorer.judge(fresh, fdr=0.5, **wrong)
    with pytest.raises(sw.InputError, match="between 0 and 1"):
        scorer.judge(fresh, fdr=1)


def test_scoring_changes_nothing_and_threads_share_a_scorer(scorer: sw.Scorer, fresh: pa.Table) -> None:
    records = fresh.to_pylist()
    expected = [scorer.score_one(row) for row in records]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            assert list(pool.map(scorer.score_one, records)) == expected
    whole = scorer.score(fresh)
    np.testing.assert_allclose(
        np.concatenate([scorer.score(fresh.slice(i, 7)) for i in range(0, 300, 7)]), whole, rtol=1e-5
    )


def test_an_array_model_takes_arrays_lists_and_frames(rng: np.random.Generator) -> None:
    x = rng.normal(size=(600, 4))
    d = sw.distill(x, teacher="knn", student=sw.MLP(hidden=(16,), steps=60), assume_normal=True)
    expected = d.scorer.score(x[:20])
    one = d.scorer.score_one
    for scores in (
        [one(row) for row in x[:20]],
        [one(row) for row in x[:20].astype(np.float32)],
        [one(row.tolist()) for row in x[:20]],
        [one({f"x{j}": v for j, v in enumerate(row)}) for row in x[:20]],
        d.scorer.score(pd.DataFrame(x[:20], columns=[f"x{j}" for j in range(4)])),
    ):
        np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-5)
    assert d.scorer.score(np.zeros((0, 4))).shape == (0,)
    with pytest.raises(sw.SchemaError, match="4 feature columns"):
        d.scorer.score(x[:, :3])
    assert np.isfinite([one([1e300, -1e300, np.inf, 0]), one([None, 1, 2, 3]), one([10**400, 0, 0, 0])]).all()


PLAIN_CLIENT = """
import sys, json
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "stillwatch":
            raise ImportError("this client has no stillwatch")
sys.meta_path.insert(0, Refuse())
import numpy as np, onnxruntime as ort
model, inputs = sys.argv[1], json.loads(sys.stdin.read())
session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
types = {"num": np.float32, "num64": np.float64, "txt": object}
feed = {i.name: np.array(inputs[i.name], dtype=types[i.name]) for i in session.get_inputs()}
print(json.dumps(session.run(["score"], feed)[0][:, 0].tolist()))
"""


def test_plain_onnxruntime_without_stillwatch_gives_the_scorers_score(
    scorer: sw.Scorer, model: Path, fresh: pa.Table
) -> None:
    """Raw values as they stand in the table, packed as the model card says."""
    import json

    layout = scorer.manifest.layout
    missing = {"num": float("nan"), "num64": float("nan"), "txt": ""}
    inputs = {
        name: [
            [
                missing[name] if row[c] is None else float(row[c]) if name != "txt" else row[c]
                for c in getattr(layout, name)
            ]
            for row in fresh.to_pylist()
        ]
        for name in ("num", "num64", "txt")
    }
    done = subprocess.run(
        [sys.executable, "-c", PLAIN_CLIENT, str(model / "model.onnx")],
        input=json.dumps(inputs),
        capture_output=True,
        text=True,
        check=True,
    )
    np.testing.assert_allclose(json.loads(done.stdout), scorer.score(fresh), rtol=1e-5, atol=1e-5)


def test_scoring_loads_no_training_library(model: Path) -> None:
    code = (
        "import sys, stillwatch as sw\n"
        f"scorer = sw.load({str(model)!r})\n"
        "scorer.judge([dict.fromkeys([c.name for c in scorer.manifest.schema.columns])])\n"
        "heavy = {'torch', 'sklearn', 'scipy', 'pyod', 'jinja2', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
