"""What the README shows runs as it stands, in its order, in an empty folder."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pytest
import typer.main

from stillwatch.artifact.manifest import FILES
from stillwatch.cli.main import app
from tests.quick import QUICK, quick_program
from tests.tables import mixed_table

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
COMMANDS = [
    shlex.split(line) for line in re.findall(r"^    (stillwatch .*?)(?:  +#.*)?$", README, re.MULTILINE)
]
AFTER = """
expected = scorer.score_one({"amount": 9000.0, "hour": 3, "shop": "z"})
print("through Stillwatch", expected)
"""


def test_there_is_something_to_run() -> None:
    assert len(BLOCKS) >= 2
    assert {command[1] for command in COMMANDS} >= {"inspect", "distill", "score", "evaluate", "verify"}


@pytest.mark.slow
def test_the_python_blocks_run_in_order_and_print_what_they_say(tmp_path: Path) -> None:
    script = "\n".join([QUICK, *BLOCKS, AFTER])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    said = re.findall(r"^ *print\(.*# (\{.*\})$", "".join(BLOCKS), re.MULTILINE)
    assert said
    assert set(said) <= set(done.stdout.splitlines())
    plain, through = done.stdout.splitlines()[-2:]
    assert float(plain.strip("[]")) == pytest.approx(float(through.split()[-1]), rel=1e-5)
    assert {path.name for path in (tmp_path / "model").iterdir()} == set(FILES)


@pytest.mark.slow
def test_the_commands_run_in_order_on_the_files_that_they_name(tmp_path: Path) -> None:
    table = mixed_table(2_500).rename_columns({"city": "branch"})
    table = table.append_column("payment_id", pa.array([f"p{i}" for i in range(len(table))]))
    for name in ("payments.csv", "new.csv", "labelled.csv"):
        pacsv.write_csv(table, tmp_path / name)
    program = quick_program(tmp_path / "bin")
    for command in COMMANDS:
        done = subprocess.run(
            [program, *command[1:]],
            cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stderr}"


def test_the_commands_and_flags_of_the_readme_exist() -> None:
    known = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    every = {flag for command in known.values() for parameter in command.params for flag in parameter.opts}
    for command in COMMANDS:
        flags = {flag for parameter in known[command[1]].params for flag in parameter.opts}
        assert {word for word in command if word.startswith("-")} <= flags, command
    assert set(re.findall(r"`(--[a-z-]+)", README)) <= every | {"--help"}


def test_every_file_of_the_model_folder_is_explained() -> None:
    rows = [line for line in README.splitlines() if line.startswith("| `")]
    assert set(FILES) <= set(re.findall(r"`([\w.]+)`", "".join(rows)))


def test_links_lead_somewhere() -> None:
    for document in (
        ROOT / "README.md",
        ROOT / "README.zh-CN.md",
        ROOT / "CONTRIBUTING.md",
        *(ROOT / "docs").rglob("*.md"),
    ):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name}: {target}"
