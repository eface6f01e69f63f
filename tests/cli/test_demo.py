from __future__ import annotations

import json
from pathlib import Path

import pytest

import stillwatch as sw
from tests.cli.conftest import Run, assert_one_message, json_lines, names


@pytest.mark.slow
def test_the_demo_shows_that_it_works_and_leaves_a_model(
    invoke: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = invoke("demo", "-o", "some where", "--json")
    assert done.code == 0, done.err
    lines = json.loads(done.out)
    assert {line["data"] for line in lines} == {"tumours", "digits"}
    for data in ("tumours", "digits"):
        by_model = {line["model"]: line["auroc"] for line in lines if line["data"] == data}
        assert by_model["student, Stillwatch"] > 0.9
        assert by_model["student, Stillwatch"] > by_model["student, training rows only"] - 0.02
    assert json_lines(done.err)
    assert names(tmp_path / "some where") == ["model", "scores.csv"]
    assert sw.verify(tmp_path / "some where" / "model").ok


def test_a_folder_that_is_somebody_elses_is_left_alone(invoke: Run, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "thesis.tex").touch()
    assert_one_message(invoke("demo", "-o", tmp_path), "is no Stillwatch model, so it is never overwritten")
    (tmp_path / "file").touch()
    assert_one_message(invoke("demo", "-o", tmp_path / "file"), "is no folder")
