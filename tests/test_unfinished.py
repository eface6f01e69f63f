from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import stillwatch as sw
from stillwatch import unfinished as module
from stillwatch.knowledge.extract import Asker
from stillwatch.table.write import write_scores
from stillwatch.teachers import fit_teacher, resolve_teacher
from stillwatch.unfinished import sweep, unfinished

SCORES = [pa.RecordBatch.from_pydict({"score": [1.0]})]
make = partial(Path.touch, exist_ok=False)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_a_dead_writer_left_is_swept_and_nothing_else(tmp_path: Path) -> None:
    stays = [
        ".b.csv.0123abcd.part",  # of another target
        ".a.csv.0123abcd.old",
        ".a.csv.0123abc.part",
        ".axcsv.0123abcd.part",
        "a.csv.0123abcd.part",
    ]
    for name in [*stays, ".a.csv.0123abcd.part"]:
        (tmp_path / name).touch()
    (tmp_path / ".a.csv.00000000.part").symlink_to(tmp_path / stays[0])
    with unfinished(tmp_path / "a.csv", make) as alive:
        write_scores(tmp_path / "a.csv", SCORES)
        assert names(tmp_path) == sorted([*stays, ".a.csv.00000000.part", alive.name, "a.csv"])


def test_a_folder_that_is_being_written_is_not_swept(tmp_path: Path) -> None:
    with unfinished(tmp_path / "m", Path.mkdir) as part:
        sweep(tmp_path / "m", Path.rmdir)
        assert part.is_dir()
    sweep(tmp_path / "m", Path.rmdir)
    assert not part.exists()


def test_what_is_swept_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, calls = module.fcntl.flock, iter(range(9))

    def late(handle: int, how: int) -> None:
        if next(calls) == 0:
            (swept,) = tmp_path.iterdir()
            swept.unlink()
        lock(handle, how)

    monkeypatch.setattr(module.fcntl, "flock", late)
    with unfinished(tmp_path / "a.csv", make) as part:
        assert names(tmp_path) == [part.name]


def test_a_model_sweeps_the_folders_of_killed_writers(tmp_path: Path, distilled: sw.Distillation) -> None:
    """The older model goes last, when a whole one stands under the name."""
    for ending in ("part", "old"):
        distilled.save(tmp_path / f".model.0123abcd.{ending}")
    (tmp_path / "model").touch()
    with pytest.raises(sw.ArtifactError):
        distilled.save(tmp_path / "model")
    assert ".model.0123abcd.old" in names(tmp_path)
    os.unlink(tmp_path / "model")
    distilled.save(tmp_path / "model")
    assert names(tmp_path) == ["model"]


def test_a_cache_sweeps_the_files_of_killed_writers(tmp_path: Path) -> None:
    (tmp_path / f".{'0' * 32}.npy.0123abcd.part").touch()
    x = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    Asker(fit_teacher(resolve_teacher("knn", regime="all"), x, seed=0), x, cache=tmp_path)
    assert names(tmp_path) == []


def test_a_long_name_has_room(tmp_path: Path) -> None:
    target = tmp_path / ("x" * 251 + ".csv")
    write_scores(target, SCORES)
    assert names(tmp_path) == [target.name]
