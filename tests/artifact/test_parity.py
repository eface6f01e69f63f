from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from stillwatch.artifact.load import read_artifact
from stillwatch.artifact.manifest import DIGEST, FILES, Golden
from stillwatch.artifact.parity import (
    CHECKS,
    disagreement,
    golden_scores,
    open_session,
    run_session,
    verify,
)
from stillwatch.errors import ArtifactError
from stillwatch.table.pack import Rows

from . import graphs
from .conftest import Save


def test_a_good_folder_passes_every_check(folder: Path) -> None:
    found = verify(folder)
    assert found.ok
    assert [check.name for check in found.checks] == list(CHECKS)
    assert all(check.ok for check in found.checks)
    assert found.digest == read_artifact(folder).digest
    assert found.extra == ()


def test_golden_rows_score_as_stored(folder: Path) -> None:
    loaded = read_artifact(folder)
    golden = loaded.manifest.golden
    scores = golden_scores(open_session(loaded.model), loaded.manifest, golden.rows)
    np.testing.assert_allclose(scores, golden.scores)


def test_other_scores_than_the_stored_ones_are_reported(tmp_path: Path, save: Save) -> None:
    rows = ({"a": 1.0, "b": 0.5, "c": -2.0},)
    save(tmp_path / "m", manifest=graphs.manifest(golden=Golden(rows=rows, scores=(3.2501,))))
    found = verify(tmp_path / "m")
    assert not found.ok
    assert found.checks[-1].name == "golden"
    assert "score differently by up to 3.08e-05" in found.checks[-1].detail


@pytest.mark.parametrize("row", [{"a": "text", "b": 0.0, "c": 0.0}, {"a": 1.0}, {}])
def test_golden_rows_that_do_not_fit_are_reported(tmp_path: Path, save: Save, row: dict[str, float]) -> None:
    save(tmp_path / "m", manifest=graphs.manifest(golden=Golden(rows=(row,), scores=(0.0,))))
    assert not verify(tmp_path / "m").ok


def test_a_graph_that_onnxruntime_refuses_is_reported(tmp_path: Path, save: Save) -> None:
    odd = graphs.model([graphs.node("Gemm", ["num", "w", "b"], ["score"], no_such=1)]).SerializeToString()
    save(tmp_path / "m", model=odd)
    found = verify(tmp_path / "m")
    assert [check.name for check in found.checks if check.ok is False] == ["session"]
    assert "onnxruntime" in found.checks[-2].detail
    assert found.checks[-1].ok is None


@pytest.mark.parametrize("name", FILES)
def test_the_failing_check_is_named_and_later_ones_are_skipped(folder: Path, name: str) -> None:
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    found = verify(folder)
    assert not found.ok
    failed = [check for check in found.checks if check.ok is False]
    assert len(failed) == 1
    assert name in failed[0].detail
    assert all(check.ok is None for check in found.checks[found.checks.index(failed[0]) + 1 :])


def test_a_wrong_expectation_is_reported(folder: Path) -> None:
    found = verify(folder, expect="0" * 64)
    assert not found.ok
    assert found.digest is None


def test_extra_files_are_listed_and_not_opened(folder: Path) -> None:
    os.mkfifo(folder / "model.onnx.data")
    (folder / "\x1b[31mred").touch()
    found = verify(folder)
    assert found.ok
    assert found.extra == ("\\x1b[31mred", "model.onnx.data")


def test_no_folder_at_all_is_reported(tmp_path: Path, folder: Path) -> None:
    assert verify(tmp_path / "nowhere").checks[0].ok is False
    assert not verify(folder / DIGEST).ok
    assert not verify("nul\0byte").ok


def test_sessions_open_only_what_onnxruntime_can_build() -> None:
    with pytest.raises(ArtifactError, match="onnxruntime"):
        open_session(b"rubbish")


def test_refusals_print_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    """Both graphs are past the audit, which refuses them: an operator that is no UTF-8, an index out of range."""
    unreadable = graphs.simple().replace(b"Gemm", b"\xff" * 4)
    far = graphs.model(
        [graphs.node("Gather", ["num", "i"], ["score"], axis=1)], [graphs.tensor("i", [9], np.int64)]
    )
    session = open_session(far.SerializeToString())
    rows = Rows(np.zeros((1, 3)), np.zeros((1, 0), dtype=object))
    with pytest.raises(ArtifactError, match="cannot run the graph"):
        run_session(session, graphs.manifest(), rows)
    with pytest.raises(ArtifactError, match="refuses the graph"):
        open_session(unreadable)
    assert capfd.readouterr() == ("", "")


def test_disagreement_is_relative_above_one_and_absolute_below() -> None:
    assert disagreement([], []) == 0
    assert disagreement([100.0, 0.0], [101.0, 0.001]) == pytest.approx(0.01)
    assert disagreement([0.0], [float("nan")]) == float("inf")
