from __future__ import annotations

import json
import shutil
from pathlib import Path

from stillwatch.artifact.manifest import DIGEST, MANIFEST
from tests.cli.conftest import Run


def test_a_good_model_passes_every_check(invoke: Run, keyed: Path) -> None:
    digest = (keyed / DIGEST).read_text().split()[0]
    done = invoke("verify", keyed)
    assert done.code == 0
    assert done.out.count("ok ") == 8
    assert digest in done.out
    assert "Whole and safe to load." in done.out
    found = json.loads(invoke("verify", keyed, "--json").out)
    assert found["ok"] is True
    assert found["digest"] == digest


def test_the_expected_digest(invoke: Run, keyed: Path) -> None:
    digest = (keyed / DIGEST).read_text().split()[0]
    assert "the model you expect" in invoke("verify", keyed, "--expect", digest).out
    done = invoke("verify", keyed, "--expect", "0" * 64)
    assert done.code == 3
    assert "this is another model" in done.out
    assert "Do not use this model." in done.out


def test_a_damaged_model_is_code_3_and_names_the_check(invoke: Run, keyed: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(keyed, copy)
    (copy / MANIFEST).write_bytes((copy / MANIFEST).read_bytes() + b"\n")
    done = invoke("verify", copy)
    assert done.code == 3
    assert "FAILED" in done.out
    assert "DIGEST does not match manifest.json" in done.out
    assert "skipped" in done.out
    assert "Traceback" not in done.err


def test_extra_files_are_listed(invoke: Run, keyed: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(keyed, copy)
    (copy / "\x1b[31mnotes.pkl").touch()
    done = invoke("verify", copy)
    assert done.code == 0
    assert r"\x1b[31mnotes.pkl (never opened)" in done.out


def test_no_model_at_all_is_code_3(invoke: Run, tmp_path: Path) -> None:
    done = invoke("verify", tmp_path / "nowhere")
    assert done.code == 3
    assert "does not exist" in done.out
