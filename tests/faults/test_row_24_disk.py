"""Disk full, read-only output, a target in the way, a process killed: never half of anything under its final name."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

import stillwatch as sw
from stillwatch.artifact.manifest import FILES
from tests.tables import mixed_table

PROGRAM = Path(sys.executable).with_name("stillwatch")
ROOT = Path(__file__).parents[2]
OUTPUTS = ("scores.csv", "scores.csv.gz", "scores.parquet")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough rows for several batches and more than a megabyte of scores."""
    path = tmp_path_factory.mktemp("data") / "many.parquet"
    unit = mixed_table(1_000, seed=8).drop_columns(["fraud"])
    pq.write_table(pa.concat_tables([unit] * 150), path)
    return path


def run(
    *arguments: object, cwd: Path, before: Callable[[], None] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(PROGRAM), *map(str, arguments)], cwd=cwd, preexec_fn=before, capture_output=True, text=True, check=False
    )  # fmt: skip


def assert_one_error(done: subprocess.CompletedProcess[str], message: str) -> None:
    assert done.returncode == 1, done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert message in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def small_disk(limit: int) -> Callable[[], None]:
    """No file may grow past `limit` bytes: the kernel cuts the write short, as on a full disk."""

    def before() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return before


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_full_disk_leaves_no_scores(model: Path, many: Path, tmp_path: Path, name: str) -> None:
    done = run("score", model, many, "-o", name, cwd=tmp_path, before=small_disk(4_096))
    assert_one_error(done, "could not be written: File too large")
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", OUTPUTS)
@pytest.mark.parametrize("call", [0, 1])
def test_a_disk_that_fills_keeps_the_old_scores(
    model: Path, many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, call: int
) -> None:
    """At the first `fsync` the file is not yet renamed; the second is the folder's, when all is done."""
    from typer.testing import CliRunner

    from stillwatch.cli.main import app

    (tmp_path / name).write_text("old")
    calls, sync = iter(range(9)), os.fsync

    def full(handle: int) -> None:
        if next(calls) == call:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(handle)

    monkeypatch.setattr(os, "fsync", full)
    found = CliRunner().invoke(
        app, ["score", str(model), str(many), "-o", str(tmp_path / name), "--overwrite"]
    )
    assert found.exit_code == 1
    assert "No space left on device" in found.stderr.splitlines()[-1]
    assert names(tmp_path) == [name]
    assert ((tmp_path / name).read_bytes() == b"old") == (call == 0)


@pytest.mark.slow
def test_a_full_disk_leaves_no_model(tmp_path: Path) -> None:
    pacsv.write_csv(mixed_table(100), tmp_path / "t.csv")
    arguments = ("distill", "t.csv", "--teacher", "knn", "--student", "mlp", "-o", "a/model")
    done = run(*arguments, cwd=tmp_path, before=small_disk(20_000))
    assert_one_error(done, "cannot be written: File too large")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / "t.csv"]


@pytest.fixture
def read_only(tmp_path: Path) -> Path:
    """A folder that nobody, or not even root, can write to."""
    folder = tmp_path / "read only"
    folder.mkdir(mode=0o555)
    return Path("/proc") if os.access(folder, os.W_OK) else folder


def test_a_read_only_folder_is_an_error(model: Path, many: Path, read_only: Path, tmp_path: Path) -> None:
    before = names(tmp_path)
    assert_one_error(
        run("score", model, many, "-o", read_only / "s.csv", cwd=tmp_path), "cannot be written to"
    )
    with pytest.raises(sw.ArtifactError, match=r"cannot be written|read-only"):
        _quick().save(read_only / "model")
    assert names(tmp_path) == before


def test_a_target_that_is_in_the_way(
    model: Path, many: Path, distilled: sw.Distillation, tmp_path: Path
) -> None:
    (tmp_path / "s.csv").mkdir()
    (tmp_path / "file").write_text("mine")
    for overwrite in ((), ("--overwrite",)):
        assert_one_error(
            run("score", model, many, "-o", "s.csv", *overwrite, cwd=tmp_path), "is not a regular file"
        )
    for overwrite in (False, True):
        with pytest.raises(sw.ArtifactError, match="is no folder"):
            distilled.save(tmp_path / "file", overwrite=overwrite)
        with pytest.raises(sw.ArtifactError, match="no Stillwatch model"):
            distilled.save(tmp_path / "s.csv", overwrite=overwrite)
    assert names(tmp_path) == ["file", "s.csv"]
    assert (tmp_path / "file").read_text() == "mine"


def _quick() -> sw.Distillation:
    x = np.random.default_rng(0).normal(size=(40, 2))
    return sw.distill(x, teacher="knn", student=sw.MLP(hidden=(4,), steps=5))


KILLED_WHILE_SCORING = """
import os, signal, sys
import stillwatch as sw
from stillwatch.cli.main import run
judge, calls = sw.Scorer.judge, iter(range(99))
def killed(*args, **kwargs):
    if next(calls) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return judge(*args, **kwargs)
sw.Scorer.judge = killed
sys.argv[0] = "stillwatch"
run()
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", OUTPUTS)
@pytest.mark.parametrize("old", [True, False])
def test_a_kill_while_scoring_leaves_nothing_under_the_final_name(
    model: Path, many: Path, tmp_path: Path, name: str, old: bool
) -> None:
    arguments = ["score", str(model), str(many), "-o", name, "--overwrite"]
    if old:
        (tmp_path / name).write_text("old")
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_WHILE_SCORING, *arguments],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    visible = [found for found in names(tmp_path) if not found.startswith(".")]
    assert visible == ([name] if old else [])
    if old:
        assert (tmp_path / name).read_text() == "old"
    # What was left behind is hidden and in nobody's way; the rerun gives what an undisturbed run gives.
    assert run(*arguments, cwd=tmp_path).returncode == 0
    (tmp_path / "undisturbed").mkdir()
    assert run(*arguments, cwd=tmp_path / "undisturbed").returncode == 0
    assert (tmp_path / name).read_bytes() == (tmp_path / "undisturbed" / name).read_bytes()


@pytest.fixture(scope="module")
def csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "t.csv"
    pacsv.write_csv(mixed_table(100), path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("signal_", "step"),
    [
        *((signal.SIGKILL, step) for step in ("fit teacher", "ask teacher", "train student", "measure")),
        *((signal.SIGINT, step) for step in ("ask teacher", "measure")),
    ],
)
def test_a_distillation_that_dies_leaves_no_model_and_can_be_run_again(
    csv: Path, tmp_path: Path, signal_: signal.Signals, step: str
) -> None:
    arguments = ["distill", csv, "--teacher", "knn", "--student", "mlp", "-o", "model", "--cache", "cache"]
    with subprocess.Popen([PROGRAM, *arguments], cwd=tmp_path, stdout=-1, stderr=-1, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if f'"{step}"' in line:
                process.send_signal(signal_)
                break
        rest = process.stderr.read()
    assert process.returncode == (130 if signal_ is signal.SIGINT else -signal_)
    assert "Traceback" not in rest
    assert [name for name in names(tmp_path) if name != "cache"] == []
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert names(tmp_path) == ["cache", "model"]
    assert set(names(tmp_path / "model")) == set(FILES)
    assert sw.verify(tmp_path / "model").ok


DIES_WHILE_ASKING = """
import os, signal, sys
import numpy as np
import stillwatch as sw
asked, die_after = 0, int(sys.argv[1])
def teacher(x):
    global asked
    asked += len(x)
    if die_after and asked > die_after:
        os.kill(os.getpid(), signal.SIGKILL)
    return np.abs(x).sum(axis=1).astype(np.float64)
x = np.random.default_rng(0).normal(size=(2_500, 3))
d = sw.distill(x, teacher=teacher, student=sw.MLP(hidden=(8,), steps=20), cache="cache")
print(asked)
d.save("model", overwrite=True)
"""


@pytest.mark.slow
def test_a_rerun_asks_the_teacher_only_what_it_has_not_answered(tmp_path: Path) -> None:
    def distill(die_after: int, cwd: Path) -> subprocess.CompletedProcess[str]:
        cwd.mkdir(exist_ok=True)
        return subprocess.run(
            [sys.executable, "-c", DIES_WHILE_ASKING, str(die_after)],
            cwd=cwd, capture_output=True, text=True, check=False,
        )  # fmt: skip

    undisturbed = distill(0, tmp_path / "undisturbed")
    everything = int(undisturbed.stdout)
    killed = distill(int(0.8 * everything), tmp_path / "killed")
    assert killed.returncode == -signal.SIGKILL
    assert names(tmp_path / "killed") == ["cache"]
    again = distill(0, tmp_path / "killed")
    assert 0 < int(again.stdout) < 0.5 * everything
    for name in ("model.onnx", "manifest.json"):
        assert (tmp_path / "killed/model" / name).read_bytes() == (
            tmp_path / "undisturbed/model" / name
        ).read_bytes()


KILLED_WHILE_SAVING = """
import sys, time
import numpy as np
import stillwatch as sw
d = sw.distill(np.random.default_rng(1).normal(size=(60, 3)), teacher="knn", student=sw.MLP(hidden=(8,), steps=10))
d.save("model")
print("ready", flush=True)
while True:
    d.save("model", overwrite=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("signal_", [signal.SIGKILL, signal.SIGINT], ids=lambda sent: sent.name)
def test_a_kill_at_any_moment_of_saving_leaves_a_whole_model_or_none(
    tmp_path: Path, signal_: signal.Signals, rng: np.random.Generator
) -> None:
    """Between the two renames of an overwrite there is no folder under the name, but both beside it, whole."""
    with subprocess.Popen(
        [sys.executable, "-c", KILLED_WHILE_SAVING], cwd=tmp_path, stdout=-1, stderr=-1, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(float(rng.uniform(0.05, 0.3)))
        process.send_signal(signal_)
        process.wait()
    if (tmp_path / "model").exists():
        assert sw.verify(tmp_path / "model").ok
        assert signal_ is signal.SIGKILL or names(tmp_path) == ["model"]
    else:
        assert signal_ is signal.SIGKILL
        for folder in tmp_path.glob(".model.*"):
            assert sw.verify(folder).ok
    _quick().save(tmp_path / "model", overwrite=(tmp_path / "model").exists())
    assert sw.verify(tmp_path / "model").ok


def test_a_cache_on_a_full_disk_holds_nothing_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np.lib.format, "write_array", full)
    x = np.random.default_rng(0).normal(size=(40, 2))
    with pytest.raises(sw.InputError, match=r"cannot be kept \(No space left on device\)\. Make room"):
        sw.distill(x, teacher=lambda x: np.abs(x).sum(axis=1), cache=tmp_path / "cache")
    assert names(tmp_path / "cache") == []
