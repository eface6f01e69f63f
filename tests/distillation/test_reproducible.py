"""The same data, seed and machine give the same model, byte for byte; what is clocked stands in the reports only."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pyarrow.csv as pacsv
import pytest

import stillwatch as sw
from stillwatch.artifact.manifest import CARD, DIGEST, MANIFEST, MODEL, REPORT_JSON
from tests.tables import mixed_table

QUICK = sw.MLP(hidden=(16,), steps=60)
ALIKE = (MANIFEST, MODEL, CARD)


@pytest.fixture(scope="module", params=[2_100, 300], ids=["rows set aside", "folds"])
def twice(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two model folders, from the same file in two places."""
    base = tmp_path_factory.mktemp("twice")
    folders = []
    for place in ("here", "there"):
        (base / place).mkdir()
        data = base / place / "payments.csv"
        if not folders:
            pacsv.write_csv(mixed_table(request.param), data)
        else:
            shutil.copy(base / "here" / "payments.csv", data)
        d = sw.distill(data, label="fraud", teacher="isolation_forest", student=QUICK, seed=3)
        d.save(base / place / "model")
        folders.append(base / place / "model")
    return folders[0], folders[1]


@pytest.mark.parametrize("name", ALIKE)
def test_two_distillations_write_the_same_bytes(twice: tuple[Path, Path], name: str) -> None:
    first, again = ((folder / name).read_bytes() for folder in twice)
    assert first == again


def test_they_have_the_same_digest(twice: tuple[Path, Path]) -> None:
    first, again = ((folder / DIGEST).read_text().splitlines()[0] for folder in twice)
    assert first == again
    assert first.endswith("  manifest.json")
    assert sw.verify(twice[1], expect=first.split()[0]).ok


def test_the_clock_is_in_the_reports_and_nowhere_else(twice: tuple[Path, Path]) -> None:
    report = json.loads((twice[0] / REPORT_JSON).read_text())
    assert report["student_speed"]["one_p50_us"] > 0
    assert report["steps"]
    year = report["created"][:5]  # "2026-"
    for name in (MANIFEST, CARD):
        text = (twice[0] / name).read_text()
        assert year not in text
        assert not re.search(r"µs|rows per second|\d seconds", text)


def test_no_path_of_this_machine_stands_in_manifest_or_card(twice: tuple[Path, Path]) -> None:
    for name in (MANIFEST, CARD):
        assert str(twice[0].parents[1]) not in (twice[0] / name).read_text()
    assert "payments.csv" in (twice[0] / CARD).read_text()
