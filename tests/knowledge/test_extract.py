from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stillwatch as sw
from stillwatch.errors import TeacherError
from stillwatch.knowledge.extract import BLOCK, Asker
from stillwatch.teachers.fit import fit_teacher
from stillwatch.teachers.resolve import resolve_teacher

QUICK = sw.MLP(hidden=(8,), steps=20)


class Counting:
    """A function that counts the rows it is asked and may fail on the way."""

    def __init__(self, fail_after: float = np.inf) -> None:
        self.rows = 0
        self.fail_after = fail_after

    def distance(self, x: np.ndarray) -> np.ndarray:
        self.rows += len(x)
        if self.rows > self.fail_after:
            raise RuntimeError("the machine is on fire")
        return np.abs(x).sum(axis=1)


@pytest.mark.usefixtures("user_sized")
def test_a_rerun_does_not_ask_the_teacher_again(tmp_path: Path, rng: np.random.Generator) -> None:
    x = rng.normal(size=(2_200, 4))
    scores = []
    asked = []
    for _ in range(2):
        counting = Counting()
        d = sw.distill(x, teacher=named(counting), student=QUICK, cache=tmp_path)
        scores.append(d.scorer.score(x[:50]))
        asked.append(counting.rows)
    assert asked[0] > 20_000
    assert asked[1] < 0.05 * asked[0]  # a few rows tell one teacher from another, and how sure it is
    np.testing.assert_array_equal(*scores)


def named(counting: Counting) -> Any:
    """The same function, by its code, whatever it counts."""

    def distance(x: np.ndarray) -> np.ndarray:
        return counting.distance(x)

    return distance


@pytest.mark.usefixtures("user_sized")
def test_a_teacher_that_fails_late_keeps_what_it_said(tmp_path: Path, rng: np.random.Generator) -> None:
    x = rng.normal(size=(2_200, 4))
    broken = Counting(fail_after=15_000)
    with pytest.raises(TeacherError, match="on fire"):
        sw.distill(x, teacher=named(broken), student=QUICK, cache=tmp_path)
    kept = len(list(tmp_path.glob("*.npy"))) * BLOCK
    assert kept > 4_000
    well, whole = Counting(), Counting()
    sw.distill(x, teacher=named(well), student=QUICK, cache=tmp_path)
    sw.distill(x, teacher=named(whole), student=QUICK)
    assert well.rows <= whole.rows - kept / 2
    assert not list(tmp_path.glob("*.part"))


def test_a_damaged_cache_is_asked_again(tmp_path: Path, rng: np.random.Generator) -> None:
    x = rng.normal(size=(300, 3)).astype(np.float32)
    teacher = fit_teacher(resolve_teacher("knn", regime="all"), x, seed=0)
    before = Asker(teacher, x, cache=tmp_path).ask(x)
    (file,) = tmp_path.glob("*.npy")
    for damage in (b"", b"no array", file.read_bytes()[:-9]):
        file.write_bytes(damage)
        again = Asker(teacher, x, cache=tmp_path)
        np.testing.assert_array_equal(again.ask(x), before)
        assert again.rows == len(x)


def test_another_teacher_or_other_rows_are_not_mixed_up(tmp_path: Path, rng: np.random.Generator) -> None:
    x = rng.normal(size=(300, 3)).astype(np.float32)
    for name, rows in (("knn", x), ("lof", x), ("knn", x[:200]), ("isolation_forest", x)):
        teacher = fit_teacher(resolve_teacher(name, regime="all"), rows, seed=0)
        asker = Asker(teacher, rows, cache=tmp_path)
        plain = Asker(teacher, rows).ask(x)
        np.testing.assert_array_equal(asker.ask(x), plain)
        assert asker.rows == len(x)


def backwards(start: Any, context: Any, items: Any) -> Any:
    """A map that finishes last things first."""
    work = start(context)
    yield from [(place, work(items[place])) for place in reversed(range(len(items)))]


def test_whoever_asks_the_answers_are_the_same(tmp_path: Path, rng: np.random.Generator) -> None:
    x = rng.normal(size=(2 * BLOCK + 700, 3)).astype(np.float32)
    teacher = fit_teacher(resolve_teacher("knn", regime="normal"), x[:500], seed=0)
    alone = Asker(teacher, x[:500])
    expected = alone.ask(x)
    told: list[tuple[int, int]] = []
    mapped = Asker(teacher, x[:500], cache=tmp_path, map=backwards, progress=lambda *now: told.append(now))
    np.testing.assert_array_equal(mapped.ask(x), expected)
    assert told == [(700, len(x)), (BLOCK + 700, len(x)), (len(x), len(x))]
    assert mapped.rows == alone.rows == len(x)
    # What is in the cache is not asked again, and one block is asked here.
    next(tmp_path.glob("*.npy")).unlink()

    def refused(*_: Any) -> Any:
        raise AssertionError("one block is not worth a map")

    again = Asker(teacher, x[:500], cache=tmp_path, map=refused)
    np.testing.assert_array_equal(again.ask(x), expected)
    assert 0 < again.rows <= BLOCK
