from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pytest
from typer.testing import CliRunner

import stillwatch as sw
from stillwatch.cli.main import app
from tests.tables import mixed_table

PROGRAM = Path(sys.executable).with_name("stillwatch")


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str


Run = Callable[..., Done]


@pytest.fixture
def stillwatch(tmp_path: Path) -> Run:
    """The installed program, in a process and a folder of its own."""

    def run(*arguments: object, env: dict[str, str] | None = None, cwd: Path = tmp_path) -> Done:
        done = subprocess.run(
            [str(PROGRAM), *map(str, arguments)],
            cwd=cwd, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL, capture_output=True, check=False,
        )  # fmt: skip
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())

    return run


@pytest.fixture
def invoke() -> Run:
    """The same command line within this process, which is quicker."""

    def run(*arguments: object) -> Done:
        found = CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="stillwatch")
        if found.exception is not None and not isinstance(found.exception, SystemExit):
            raise found.exception
        return Done(found.exit_code, found.stdout, found.stderr)

    return run


def payments(rows: int, seed: int = 0) -> pa.Table:
    """A table with a key whose name holds a space."""
    table = mixed_table(rows, seed)
    return table.append_column("payment id", pa.array([f"p-{i}" for i in range(rows)]))


@pytest.fixture(scope="session")
def csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small file to distill."""
    path = tmp_path_factory.mktemp("data") / "payments.csv"
    pacsv.write_csv(payments(200), path)
    return path


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small file to score."""
    path = tmp_path_factory.mktemp("data") / "new.csv"
    pacsv.write_csv(payments(300, seed=7), path)
    return path


@pytest.fixture(scope="session")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a key column, in a folder whose name holds a space; never changed by a test."""
    folder = tmp_path_factory.mktemp("models") / "my model"
    d = sw.distill(
        payments(2_100),
        label="fraud",
        key=["payment id"],
        teacher="knn",
        student=sw.MLP(hidden=(8,), steps=60),
    )
    d.save(folder)
    return folder


@pytest.fixture(scope="session")
def model_without_label(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the same table that has never heard of a label."""
    folder = tmp_path_factory.mktemp("models") / "plain"
    d = sw.distill(
        payments(60), ignore=["fraud", "payment id"], teacher="knn", student=sw.MLP(hidden=(4,), steps=10)
    )
    d.save(folder)
    return folder


def names(folder: Path) -> list[str]:
    """What stands in a folder, hidden files included."""
    return sorted(path.name for path in folder.iterdir())


def assert_one_message(done: Done, message: str, *, code: int = 1) -> None:
    """One clean line on standard error, and nothing else."""
    assert done.code == code, done
    assert done.out == ""
    lines = done.err.splitlines()
    assert lines[-1].startswith("error: "), done.err
    assert message in lines[-1], done.err
    assert "Traceback" not in done.err
    assert lines[-1].isprintable()


def json_lines(text: str) -> Sequence[dict[str, object]]:
    """Progress, as a program reads it."""
    import json

    return [json.loads(line) for line in text.splitlines()]
