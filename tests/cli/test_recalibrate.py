from __future__ import annotations

import json
import re
from pathlib import Path

import stillwatch as sw
from tests.cli.conftest import Run, assert_one_message


def test_a_new_folder_with_new_thresholds(invoke: Run, keyed: Path, fresh: Path, tmp_path: Path) -> None:
    done = invoke("recalibrate", keyed, fresh, "-o", tmp_path / "m", "--alert-rate", "0.02")
    assert done.code == 0, done.err
    digest = sw.verify(keyed).digest
    assert f"Comes from  {digest}" in done.out
    assert "at alert rate 0.02 a row alarms from score" in done.out
    manifest = sw.load(tmp_path / "m").manifest
    assert (manifest.parent, manifest.alert_rate) == (digest, 0.02)
    shown = invoke("inspect", tmp_path / "m").out
    assert re.search(rf"recalibrated from +{digest}", shown)
    assert "calibrated by" not in shown


def test_json_holds_what_the_library_returns(invoke: Run, keyed: Path, fresh: Path, tmp_path: Path) -> None:
    found = json.loads(invoke("recalibrate", keyed, fresh, "-o", tmp_path / "m", "--json").out)
    assert found["digest"] == sw.verify(tmp_path / "m").digest
    assert found["rows"] == sw.load(tmp_path / "m").manifest.calibration.rows


def test_the_target_is_never_replaced_unasked(invoke: Run, keyed: Path, fresh: Path) -> None:
    assert_one_message(invoke("recalibrate", keyed, fresh, "-o", keyed), "exists")
