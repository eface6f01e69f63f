"""The engine of a cluster, on this machine. Every test has a Ray in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import stillwatch as sw
from stillwatch.scale import Local, engine_named, score_files
from tests.scale.conftest import Contents

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _installed() -> None:
    pytest.importorskip("ray", reason="ray is not installed: pip install 'stillwatch[ray]'")


def run(code: str, *arguments: object, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, **(env or {})}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


SCORES = """
import os, sys
import numpy as np
import stillwatch as sw
from stillwatch.scale import engine_named, score_files
from stillwatch.scale.ray import Ray

model, files, out, report = sys.argv[1:]
said = open(report, "w")  # Ray has its own say on standard output
with engine_named("ray", workers=2) as engine:
    assert os.environ["RAY_AUTH_MODE"] == "token" and len(os.environ["RAY_AUTH_TOKEN"]) == 64
    print(score_files(model, files, out, engine=engine).rows, file=said)

    # One session a worker: what `start` makes is made once in each.
    def start(context):
        made = [0]
        def work(item):
            made[0] += 1
            return os.getpid(), made[0], os.getpriority(os.PRIO_PROCESS, 0)
        return work
    counted = {}
    for _, (process, calls, niceness) in engine.map(start, "context", range(40)):
        counted[process] = max(calls, counted.get(process, 0))
        assert niceness == os.getpriority(os.PRIO_PROCESS, 0)  # workers are no less urgent than processes are
    assert os.getpid() not in counted and len(counted) <= 2 and sum(counted.values()) == 40, counted

    # What the work raises is raised here, and a piece that kills its worker is given up.
    def broken(context):
        def work(item):
            if item == context:
                raise sw.TableError("the third is bad")
            return item
        return work
    try:
        list(engine.map(broken, 3, range(5)))
    except sw.TableError as exc:
        print(exc, file=said)

    def deadly(context):
        def work(item):
            if item == context:
                os._exit(9)
            return item
        return work
    found = []
    try:
        found.extend(engine.map(deadly, 2, range(5)))
    except sw.WorkerError as exc:
        print(sorted(found), list(exc.lost), file=said)

    # A teacher of this script, which no other process could import.
    x = np.random.default_rng(0).normal(size=(2_500, 3))
    teacher = lambda x: np.abs(x).sum(axis=1)
    student = sw.MLP(hidden=(8,), steps=20)
    models = [sw.distill(x, teacher=teacher, student=student, map=map_).model for map_ in (None, engine.map)]
    print(models[0] == models[1], file=said)
said.close()
"""


def test_one_cluster_of_our_own(keyed_model: Path, files: Path, tmp_path: Path, contents: Contents) -> None:
    run(SCORES, keyed_model, files, tmp_path / "ray", tmp_path / "said")
    assert (tmp_path / "said").read_text().splitlines() == [
        "2400",
        "the third is bad",
        "[(0, 0), (1, 1), (3, 3), (4, 4)] [2]",
        "True",
    ]
    score_files(keyed_model, files, tmp_path / "local", engine=Local(1))
    assert contents(tmp_path / "ray") == contents(tmp_path / "local")


JOINED = """
import os, sys
from ray.cluster_utils import Cluster
from stillwatch.scale import engine_named, score_files

model, files, out = sys.argv[1:]
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
cluster.add_node(num_cpus=1)
with engine_named("ray", address=cluster.address) as engine:
    print(score_files(model, files, out + " 1", engine=engine).rows)
os.environ["RAY_ADDRESS"] = cluster.address
with engine_named("ray") as engine:
    print(score_files(model, files, out + " 2", engine=engine).rows)
cluster.shutdown()
"""


def test_a_cluster_that_runs_is_joined(keyed_model: Path, files: Path, tmp_path: Path) -> None:
    said = run(JOINED, keyed_model, files, tmp_path / "out").splitlines()
    assert [line for line in said if line.isdecimal()] == ["2400", "2400"]


def test_a_cluster_that_is_not_there_is_said(keyed_model: Path, files: Path, tmp_path: Path) -> None:
    code = (
        "import sys\nimport stillwatch as sw\nfrom stillwatch.scale import engine_named, score_files\n"
        "try:\n    score_files(*sys.argv[1:], engine=engine_named('ray', address='127.0.0.1:9'))\n"
        "except sw.InputError as exc:\n    print(exc)"
    )
    assert run(code, keyed_model, files, tmp_path / "out").startswith(
        "Ray at 127.0.0.1:9 cannot be reached: "
    )


def test_an_old_ray_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import types

    monkeypatch.setenv("RAY_ADDRESS", "auto")
    monkeypatch.setitem(sys.modules, "ray", types.SimpleNamespace(__version__="2.54.9"))
    with pytest.raises(sw.InputError, match=r"ray 2\.54\.9 came, expected 2\.55 or newer"):
        engine_named("ray")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(sw.MissingExtraError, match=r"pip install 'stillwatch\[ray\]'"):
        engine_named("ray")
