"""Asking a teacher, with a cache that survives a crash.

Answers are cached block by block under a name made of the teacher's fingerprint and the block's bytes. A rerun reads what is
there and asks the rest, whether the first run finished, was killed or met an error after nine tenths.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from stillwatch.errors import InputError
from stillwatch.teachers.fit import FittedTeacher
from stillwatch.teachers.protocol import Teacher, ask, ask_members, disagreement
from stillwatch.unfinished import sweep_folder, unfinished

BLOCK = 4096

Map = Callable[[Callable[[Any], Callable[[Any], Any]], Any, Sequence[Any]], Iterator[Any]]
"""(start, context, items) to (place, result) of each item, in any order; `start(context)` gives the function that is mapped.

The `map` of an engine of `stillwatch.scale` is one.
"""


class Asker:
    """A fitted teacher behind a cache.

    Parameters
    ----------
    teacher
        a fitted teacher.
    fitted_on
        (n, d) rows that it was fitted on, part of its fingerprint.
    cache
        folder for its answers, which is made; None: nothing is kept.
    map
        who asks; None: this process, block by block. The answers are the same.
    progress
        called with (rows asked, rows in all) after every block.
    """

    def __init__(
        self,
        teacher: FittedTeacher,
        fitted_on: NDArray[np.float32],
        *,
        cache: str | Path | None = None,
        map: Map | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self.teacher = teacher
        self._width = 1 if teacher.members is None else 2  # numbers a row: the score, and the disagreement
        self.rows = 0
        self.seconds = 0.0
        self._cache = _folder(cache) if cache is not None else None
        self._fingerprint = fingerprint(teacher, fitted_on) if self._cache is not None else b""
        self._map = map or _in_turn
        self._progress = progress

    def ask(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n, d) features to (n,) raw scores, from the cache where it knows them; see `judge`."""
        return self.judge(x)[0]

    def judge(self, x: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
        """(n, d) features to (n,) raw scores and (n,) disagreement of the members, None where there are none.

        Raises
        ------
        TeacherError
            the teacher failed; blocks that were answered stay in the cache.
        InputError
            the cache cannot be written to.
        """
        answers = np.empty((len(x), self._width), dtype=np.float64)
        blocks = [slice(start, min(start + BLOCK, len(x))) for start in range(0, len(x), BLOCK)]
        unknown, done = [], 0
        for block in blocks:
            known = self._known(x[block])
            if known is None:
                unknown.append(block)
            else:
                answers[block] = known
                done = self._told(done, block, len(x))
        # One block is not worth the start of another process.
        mapped = self._map if len(unknown) > 1 else _in_turn
        for place, (found, seconds) in mapped(start_asking, self.teacher, [x[block] for block in unknown]):
            block = unknown[place]
            answers[block] = found
            self.rows += len(found)
            self.seconds += seconds
            if path := self._path(x[block]):
                _write(path, found)
            done = self._told(done, block, len(x))
        return answers[:, 0], answers[:, 1] if self._width == 2 else None

    def _known(self, rows: NDArray[np.float32]) -> NDArray[np.float64] | None:
        path = self._path(rows)
        return None if path is None else _read(path, (len(rows), self._width))

    def _path(self, rows: NDArray[np.float32]) -> Path | None:
        if self._cache is None:
            return None
        name = hashlib.sha256(self._fingerprint + str(rows.shape).encode() + rows.tobytes()).hexdigest()
        return self._cache / f"{name[:32]}.npy"

    def _told(self, done: int, block: slice, rows: int) -> int:
        done += block.stop - block.start
        if self._progress is not None:
            self._progress(done, rows)
        return done


def start_asking(
    teacher: FittedTeacher,
) -> Callable[[NDArray[np.float32]], tuple[NDArray[np.float64], float]]:
    """The function that asks about a block: its answers, and the seconds that they took."""
    return partial(_ask, teacher)


def _ask(teacher: FittedTeacher, rows: NDArray[np.float32]) -> tuple[NDArray[np.float64], float]:
    began = perf_counter()
    if teacher.members is None:
        answers = ask(teacher, rows)[:, None]
    else:
        members = ask_members(teacher.members, rows)
        answers = np.column_stack([teacher.members.combine(members), disagreement(members)])
    return answers, perf_counter() - began


def _in_turn(
    start: Callable[[Any], Callable[[Any], Any]], context: Any, items: Sequence[Any]
) -> Iterator[Any]:
    work = start(context)
    yield from ((place, work(item)) for place, item in enumerate(items))


def fingerprint(teacher: Teacher, fitted_on: NDArray[np.float32]) -> bytes:
    """Digest of a teacher's recipe and of the rows it was fitted on."""
    recipe = msgspec.json.encode(teacher.recipe(), order="sorted")
    rows = str(fitted_on.shape).encode() + np.ascontiguousarray(fitted_on).tobytes()
    return hashlib.sha256(recipe + hashlib.sha256(rows).digest()).digest()


def _folder(cache: str | Path) -> Path:
    folder = Path(cache)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise InputError(
            f"cache={str(folder)!r}: the folder cannot be made ({exc.strerror}). Name another."
        ) from exc
    sweep_folder(folder, Path.unlink)
    return folder


def _read(path: Path, shape: tuple[int, int]) -> NDArray[np.float64] | None:
    """Cached answers, or None where there are none that fit: a damaged file is asked again."""
    try:
        with path.open("rb") as file:
            answers = np.lib.format.read_array(file, allow_pickle=False)
    except (OSError, ValueError):
        return None
    fits = answers.shape == shape and answers.dtype == np.float64
    return answers if fits else None


def _write(path: Path, answers: NDArray[np.float64]) -> None:
    try:
        with unfinished(path, partial(Path.touch, exist_ok=False)) as part:
            try:
                with part.open("wb") as file:
                    np.lib.format.write_array(file, answers, allow_pickle=False)
                os.replace(part, path)
            finally:
                part.unlink(missing_ok=True)  # renamed by now, unless something failed
    except OSError as exc:
        raise InputError(
            f"cache={str(path.parent)!r}: the teacher's answers cannot be kept ({exc.strerror or exc}). Make room, or name "
            "another folder; what was answered before stands there, and a rerun does not ask it again."
        ) from exc
