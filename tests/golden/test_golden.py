"""Artifacts of every protocol load and score as on the day they were made. How to make one: `tests/golden/make.py`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stillwatch as sw
from stillwatch.artifact.manifest import READERS
from stillwatch.artifact.parity import TOLERANCE
from tests.golden.make import ROWS, at_the_edges, folder, made_up, make


@pytest.fixture(params=sorted(READERS), ids=lambda protocol: f"protocol {protocol}")
def golden(request: pytest.FixtureRequest) -> Path:
    place = folder(request.param)
    if not place.is_dir():
        pytest.skip(f"{place.name} is not made yet: python -m tests.golden.make")
    return place


def _lines(golden: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((golden / ROWS).read_text())
    return found


def assert_scores_as_noted(golden: Path) -> None:
    scorer, lines = sw.load(golden / "model"), _lines(golden)
    expected = np.array([line["score"] for line in lines])
    rows = [line["row"] for line in lines]
    allowed = TOLERANCE * np.maximum(1, np.abs(expected))
    verdict = scorer.judge(rows, rate=0.05)
    assert (np.abs(verdict.score - expected) <= allowed).all()
    assert (np.abs([scorer.score_one(row) for row in rows] - expected) <= allowed).all()
    np.testing.assert_allclose(verdict.p_value, [line["p_value"] for line in lines])
    assert verdict.alert.tolist() == [line["alert"] for line in lines]


def test_it_is_whole_and_passes_every_check(golden: Path) -> None:
    found = sw.verify(golden / "model")
    assert found.ok, found
    assert not found.extra


def test_it_scores_as_on_the_day_it_was_made(golden: Path) -> None:
    assert_scores_as_noted(golden)


def test_it_holds_what_the_rules_are_about(golden: Path) -> None:
    manifest = sw.load(golden / "model").manifest
    assert {column.kind for column in manifest.schema.features} == {
        "number",
        "boolean",
        "category",
        "timestamp",
    }
    assert manifest.layout.num
    assert manifest.layout.num64
    assert manifest.layout.txt
    assert manifest.layout.time
    assert len(_lines(golden)) >= len(manifest.golden.rows) + 16


def test_what_would_be_made_today_passes_the_same_checks(tmp_path: Path) -> None:
    """So that the recipe still works on the day it is needed; its rows are new, and so are its scores."""
    make(tmp_path / "today")
    assert_scores_as_noted(tmp_path / "today")
    test_it_is_whole_and_passes_every_check(tmp_path / "today")
    test_it_holds_what_the_rules_are_about(tmp_path / "today")
    rows = made_up()
    assert rows["age"].null_count
    assert rows["city"].null_count
    assert {name for row in at_the_edges() for name in row} == set(rows.column_names)
