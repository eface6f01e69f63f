from __future__ import annotations

import json
from pathlib import Path

import stillwatch as sw
from tests.cli.conftest import Run, assert_one_message, payments


def test_a_model_against_itself(invoke: Run, keyed: Path, fresh: Path) -> None:
    done = invoke("diff", keyed, keyed, fresh)
    assert done.code == 0, done
    assert "The same model." in done.out
    assert "every row scores the same" in done.out
    assert "0 appear, 0 vanish" in done.out


def test_two_models_of_one_table(invoke: Run, keyed: Path, fresh: Path, tmp_path: Path) -> None:
    d = sw.distill(
        payments(2_100).drop_columns(["version"]),
        label="fraud", key=["payment id"], teacher="isolation_forest", student=sw.MLP(hidden=(4,), steps=30), alert_rate=0.05,
    )  # fmt: skip
    d.save(tmp_path / "other")
    done = invoke("diff", keyed, tmp_path / "other", fresh)
    for said in (
        "version",
        "teacher name",
        "isolation_forest",
        "alarms from score",
        "rank agreement",
        "appears",
    ):
        assert said in done.out
    found = json.loads(invoke("diff", keyed, tmp_path / "other", fresh, "--json", "--alert-rate", "0.02").out)
    assert [change["what"] for change in found["columns"]] == ["version"]
    assert 0.02 in [limit["rate"] for limit in found["limits"]]
    sample = found["sample"]
    before, after = (sw.load(each).judge(str(fresh), rate=0.02) for each in (keyed, tmp_path / "other"))
    assert sample["rows"] == 300
    assert sample["alerts_before"] == before.alert.sum()
    assert sample["appeared"] == (after.alert & ~before.alert).sum()
    assert sample["alerts_after"] - sample["alerts_before"] == sample["appeared"] - sample["vanished"]
    for alert in sample["new"]:
        assert not before.alert[alert["row"] - 1]
        assert after.alert[alert["row"] - 1]
        assert alert["after"] == after.p_value[alert["row"] - 1]


def test_recalibrated_thresholds_over_the_same_graph(
    invoke: Run, keyed: Path, fresh: Path, tmp_path: Path
) -> None:
    sw.recalibrate(keyed, str(fresh), tmp_path / "new")
    done = invoke("diff", keyed, tmp_path / "new")
    assert "The same graph, so the same scores" in done.out
    assert "The same columns" in done.out
    assert "recalibrated from" in done.out
    assert "Name a table to see" in done.out


def test_what_cannot_be_compared(invoke: Run, keyed: Path, tmp_path: Path) -> None:
    assert_one_message(invoke("diff", keyed, tmp_path / "nothing"), "does not exist")
    (tmp_path / "one.csv").write_text("a\n1\n")
    assert_one_message(invoke("diff", keyed, keyed, tmp_path / "one.csv"), "[SW12]")
