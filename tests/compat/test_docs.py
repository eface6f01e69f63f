"""What docs/fitting-in.md and docs/export.md show runs as it stands."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

import stillwatch as sw
from stillwatch.artifact.manifest import FILES
from tests.cli.conftest import PROGRAM
from tests.export.compiled import FLAGS, needs_gcc
from tests.quick import QUICK

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.slow
def test_the_python_runs(tmp_path: Path) -> None:
    shown = re.findall(r"^```python\n(.*?)^```", (DOCS / "fitting-in.md").read_text(), re.M | re.S)
    script = "\n".join([QUICK, *shown])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "model").iterdir()} == set(FILES)


@needs_gcc
def test_the_commands_and_the_c_run(tmp_path: Path) -> None:
    page = (DOCS / "export.md").read_text()
    table = pa.table(
        {
            "amount": [float(i * i % 997) for i in range(1_200)],
            "hour": [float(i % 24) for i in range(1_200)],
            "shop": ["xyz"[i % 3] for i in range(1_200)],
        }
    )
    sw.distill(table, teacher="knn", student=sw.MLP((8,), 30)).save(tmp_path / "model")
    for line in re.findall(r"^    (stillwatch .*)$", page, re.MULTILINE):
        done = subprocess.run(
            [PROGRAM, *shlex.split(line)[1:]],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode in {0, 1}, done.stderr
        assert done.returncode == 0 or "calibration rows" in done.stderr
    include, body = re.findall(r"^```c\n(#include.*?)\n\n(.*?)^```", page, re.M | re.S)[0]
    source = tmp_path / "firmware" / "main.c"
    source.write_text(f"{include}\nint main(void)\n{{\n{body}return alarm > 1;\n}}\n")
    program = tmp_path / "program"
    subprocess.run(["gcc", *FLAGS, "-o", program, source, source.with_name("model.c"), "-lm"], check=True)
    assert subprocess.run([program], check=False).returncode == 0
