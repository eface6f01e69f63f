"""What the page and the examples show runs as it stands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pytest

import stillwatch as sw

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "networks.md").read_text()


def run(*words: str, folder: Path) -> str:
    done = subprocess.run([sys.executable, *words], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_page_runs_from_top_to_bottom(tmp_path: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    said = run("-W", "error", "-c", "\n".join(blocks), folder=tmp_path)
    assert "times fewer parameters" in said
    assert sw.verify(tmp_path / "model").ok


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("intrusion_classifier", ("--steps", "20", "--epochs", "2")),
        ("autoencoder", ("--steps", "50", "--epochs", "2")),
    ],
)
def test_the_examples_of_tables_write_a_model(
    name: str, options: tuple[str, ...], table: pa.Table, tmp_path: Path
) -> None:
    pacsv.write_csv(table, tmp_path / "rows.csv")
    said = run(
        str(ROOT / "examples" / f"{name}.py"), "rows.csv", "--label", "fraud", *options, folder=tmp_path
    )
    assert "fidelity" in said
    assert sw.verify(tmp_path / "model").ok


@pytest.mark.slow
def test_the_example_of_a_discrepancy_finds_odd_digits(tmp_path: Path) -> None:
    said = run(str(ROOT / "examples" / "discrepancy.py"), "--normal", "0", folder=tmp_path)
    found = re.search(r"discrepancy (\d\.\d+)", said)
    assert found is not None
    assert float(found[1]) > 0.985
