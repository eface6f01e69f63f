from __future__ import annotations

import asyncio
import io
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from stillwatch.artifact.manifest import MODEL
from stillwatch.errors import ArtifactError, InputError
from stillwatch.serve.log import Log
from stillwatch.serve.metrics import Metrics
from stillwatch.serve.models import open_model, open_models
from stillwatch.serve.reload import Reloader


class Bench:
    """A reloader over one folder, with what it said."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.models = open_models([folder])
        self.said: list[dict[str, Any]] = []
        log = Log(io.BytesIO(), requests=False)
        log.write = lambda event, **fields: self.said.append(fields)  # type: ignore[method-assign]
        self.metrics = Metrics(self.models, lambda: 0, lambda: 0)
        self.reloader = Reloader(self.models, self.metrics, log)

    def look(self, times: int = 1, *, force: bool = False) -> None:
        async def run() -> None:
            for _ in range(times):
                self.reloader.look(force=force)
            assert self.reloader._task is not None
            await self.reloader._task

        asyncio.run(run())

    @property
    def digest(self) -> str:
        model = self.models.get(self.folder.name)
        assert model is not None
        return model.digest


@pytest.fixture
def bench(model: Path, tmp_path: Path) -> Bench:
    shutil.copytree(model, tmp_path / "served")
    return Bench(tmp_path / "served")


def swap(folder: Path, source: Path) -> None:
    """As the documentation says: copy beside, then rename."""
    shutil.copytree(source, folder.with_name("incoming"))
    os.rename(folder, folder.with_name("old"))
    os.rename(folder.with_name("incoming"), folder)
    shutil.rmtree(folder.with_name("old"))


def test_a_new_folder_is_swapped_in(bench: Bench, numbers: Path) -> None:
    swap(bench.folder, numbers)
    bench.look()
    assert bench.digest == open_model(numbers).digest
    assert [line["result"] for line in bench.said] == ["swapped"]
    assert b'stillwatch_model_reload_total{model="served",result="swapped"} 1.0' in bench.metrics.exposition()


def test_an_unchanged_folder_is_not_read(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stillwatch.serve.reload.open_model", None)
    bench.look(3)
    assert bench.said == []


def test_a_bad_folder_is_refused_once_and_the_last_good_model_stays(bench: Bench) -> None:
    before = bench.digest
    file = bench.folder / MODEL
    file.write_bytes(file.read_bytes()[:-1] + b"\0")
    bench.look()
    bench.look()
    assert bench.digest == before
    assert [line["result"] for line in bench.said] == ["refused"]
    assert MODEL in bench.said[0]["why"]
    shutil.rmtree(bench.folder)
    bench.look()
    assert bench.digest == before


def test_golden_rows_are_scored_before_a_swap(
    bench: Bench, numbers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    swap(bench.folder, numbers)
    monkeypatch.setattr("stillwatch.scorer.Scorer.score_one", lambda self, row: 0.123)
    before = bench.digest
    bench.look()
    assert bench.digest == before
    assert "golden rows" in bench.said[0]["why"]


def test_a_signal_reads_again_and_says_that_it_is_the_same(bench: Bench) -> None:
    bench.look(force=True)
    assert [line["result"] for line in bench.said] == ["same"]


def test_looks_do_not_overlap_and_a_forced_one_is_not_lost(bench: Bench) -> None:
    bench.look(5, force=True)
    assert 1 <= len(bench.said) <= 2


def test_a_folder_that_changes_while_it_is_read_is_read_again(
    bench: Bench, numbers: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def and_swapped(folder: Path) -> Any:
        found = open_model(folder)
        swap(bench.folder, model)
        monkeypatch.undo()
        return found

    swap(bench.folder, numbers)
    monkeypatch.setattr("stillwatch.serve.reload.open_model", and_swapped)
    bench.look()
    bench.look()
    assert [line["result"] for line in bench.said] == ["swapped", "swapped"]
    assert bench.digest == open_model(model).digest


def test_a_request_keeps_the_model_that_it_began_with(bench: Bench, numbers: Path) -> None:
    began = bench.models.get("served")
    swap(bench.folder, numbers)
    bench.look()
    assert began is not None
    assert began.scorer.score_one(began.manifest.golden.rows[0]) == pytest.approx(
        began.manifest.golden.scores[0]
    )


def test_models_are_found_in_a_folder_of_models(model: Path, numbers: Path, tmp_path: Path) -> None:
    for name, source in (("a", model), ("b", numbers)):
        shutil.copytree(source, tmp_path / "all" / name)
    assert [found.name for found in open_models([tmp_path / "all"])] == ["a", "b"]
    with pytest.raises(InputError, match="two model folders are named 'a'"):
        open_models([tmp_path / "all", tmp_path / "all" / "a"])


def test_a_name_that_no_path_can_hold_is_refused(model: Path, tmp_path: Path) -> None:
    shutil.copytree(model, tmp_path / "my model")
    with pytest.raises(InputError, match="letters"):
        open_models([tmp_path / "my model"])
    with pytest.raises(ArtifactError, match="does not exist"):
        open_models([tmp_path / "nothing"])
