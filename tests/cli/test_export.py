from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Run, assert_one_message, names
from tests.golden.make import HERE

GOLDEN = HERE / "protocol_1" / "model"


def test_c_and_mlflow(invoke: Run, tmp_path: Path) -> None:
    done = invoke(
        "export", GOLDEN, "--c", tmp_path / "c", "--name", "detector", "--alert-rate", "0.1", "--json"
    )
    assert done.code == 0, done
    found = json.loads(done.out)
    assert names(tmp_path / "c") == ["detector.c", "detector.h"]
    assert found["alert_rate"] == 0.1
    assert (
        f"{found['threshold']:.4f}"
        in invoke("export", GOLDEN, "--c", tmp_path / "d", "--alert-rate", "0.1").out
    )
    assert invoke("export", GOLDEN, "--mlflow", tmp_path / "m").out.splitlines()[-1].endswith("MLmodel")


def test_wrong_use(invoke: Run, tmp_path: Path) -> None:
    for arguments in ((), ("--c", tmp_path, "--mlflow", tmp_path)):
        done = invoke("export", GOLDEN, *arguments)
        assert done.code == 2
        assert "name one of --c FOLDER and --mlflow FOLDER" in " ".join(done.err.replace("│", " ").split())
    invoke("export", GOLDEN, "--c", tmp_path)
    assert_one_message(invoke("export", GOLDEN, "--c", tmp_path), "or replace it by --overwrite")
